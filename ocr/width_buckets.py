"""Choose a few input widths for a recognizer, so that lines need little padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Widths = Sequence[int] | npt.NDArray[np.int64]


def mean_cost(lines: Widths, buckets: Sequence[int], cost: Callable[[int], float]) -> float:
    """Return the mean cost of a line if each line goes to the narrowest bucket that it fits.

    Args:
        lines: widths of lines or windows, in pixels at the input's height; those wider than the
            widest bucket go to it.
        buckets: input widths.
        cost: the cost of one line in a bucket of the given width.
    """
    counts = lines_per_bucket(lines, buckets)
    return sum(n * cost(width) for width, n in counts.items()) / max(1, len(lines))


def lines_per_bucket(lines: Widths, buckets: Sequence[int]) -> dict[int, int]:
    """Return the number of lines in each bucket, by width."""
    edges = sorted(buckets)
    places = np.searchsorted(edges, np.minimum(lines, edges[-1]))
    return {width: int((places == place).sum()) for place, width in enumerate(edges)}


def padded_share(lines: Widths, buckets: Sequence[int]) -> float:
    """Return the share of padding in all input pixels, 0..1."""
    fitted = np.minimum(lines, max(buckets))
    pixels = sum(n * width for width, n in lines_per_bucket(lines, buckets).items())
    return 1 - float(fitted.sum()) / pixels if pixels else 0.0


def best_buckets(
    lines: Widths, candidates: Sequence[int], max_count: int, cost: Callable[[int], float]
) -> list[tuple[int, ...]]:
    """Return the cheapest 1, 2 .. ``max_count`` buckets; in each choice the narrowest comes first.

    The widest candidate is always one of them. This is dynamic programming over the candidates: the
    best k buckets whose widest is candidate j are candidate j and the best k - 1 buckets whose
    widest is some narrower candidate.

    Raises:
        ValueError: there are no lines or no candidates.
    """
    edges = sorted(set(candidates))
    if not edges or not len(lines):
        raise ValueError("there are no lines or no candidate widths")
    # below[j]: the number of lines that fit into one of the first j candidates
    below = np.concatenate([[0], np.cumsum(list(lines_per_bucket(lines, edges).values()))])
    prices = np.array([cost(width) for width in edges])
    # cheapest[j]: the cost of these lines in ``count`` buckets, the widest of them edges[j - 1]
    cheapest = np.concatenate([[0.0], np.full(len(edges), np.inf)])
    before: list[npt.NDArray[np.int64]] = []
    choices = []
    for count in range(1, min(max_count, len(edges)) + 1):
        # table[i, j]: candidates i .. j - 1 are skipped, and their lines go to candidate j
        table = cheapest[:-1, None] + (below[None, 1:] - below[:-1, None]) * prices[None, :]
        table[np.tril_indices(len(edges), -1)] = np.inf  # i must not exceed j
        before.append(table.argmin(0))
        cheapest = np.concatenate([[np.inf], table.min(0)])
        choices.append(_traced(edges, before, count))
    return choices


def _traced(
    edges: Sequence[int], before: Sequence[npt.NDArray[np.int64]], count: int
) -> tuple[int, ...]:
    # Walk back from the widest candidate along the best narrower ones.
    widths, place = [], len(edges)
    for choices in reversed(before[:count]):
        widths.append(edges[place - 1])
        place = int(choices[place - 1])
    return tuple(reversed(widths))
