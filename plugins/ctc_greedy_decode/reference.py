"""The NumPy reference of CtcGreedyDecode, and its examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..plugin import Example

_SHAPES = ((1, 1, 2), (3, 8, 97), (2, 41, 33), (5, 9, 7), (0, 6, 5), (1, 30, 300), (2, 0, 5))


def ctc_greedy_decode(
    logits: npt.NDArray, blank: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Decode by the best path: best class of each step, repeats merged, blanks dropped.

    The algorithm is that of "Connectionist Temporal Classification", Graves et al., 2006.

    Args:
        logits: (N, T, C).
        blank: the class index of the blank.

    Returns:
        Labels (N, T), with -1 after the last one; the number of labels (N,); and the mean
        log-probability of the steps where labels begin (N,), -inf if there are none.
    """
    count, steps, _ = logits.shape
    best = logits.argmax(-1)
    kept = best != blank
    kept[:, 1:] &= best[:, 1:] != best[:, :-1]
    # log softmax of the best class: its own logit cancels, -log(sum(exp(logits - top))) remains.
    exact = logits.astype(np.float64)
    top = exact.max(-1)
    logs = -np.log(np.exp(exact - top[..., None]).sum(-1))
    labels = np.full((count, steps), -1, np.int32)
    scores = np.full(count, -np.inf, np.float32)
    for i in range(count):
        kept_labels = best[i, kept[i]]
        labels[i, : len(kept_labels)] = kept_labels
        if len(kept_labels):
            scores[i] = logs[i, kept[i]].mean()
    return labels, kept.sum(1).astype(np.int32), scores


def _scores(rng: np.random.Generator, shape: tuple[int, ...], blank: int) -> npt.NDArray:
    """Draw logits like those of recognizers: long runs of the blank, short runs of a class."""
    count, steps, classes = shape
    best = np.where(rng.random((count, steps)) < 0.5, blank, rng.integers(0, classes, shape[:2]))
    best[:, 1::3] = best[:, : best[:, 1::3].shape[1] * 3 : 3]
    return rng.normal(0, 2, shape) + 8 * (best[..., None] == np.arange(classes))


def examples() -> list[Example]:
    """Return logits with repeats, equal maxima, only blanks, and NaN."""
    rng, made = np.random.default_rng(0), []
    for dtype in (np.float32, np.float16):
        for shape in _SHAPES:
            blank = int(rng.integers(shape[2]))
            name = f"{np.dtype(dtype)} {'x'.join(map(str, shape))}, blank {blank}"
            scores = _scores(rng, shape, blank).astype(dtype)
            made.append(Example(name=name, inputs=(scores,), attributes={"blank": blank}))
        ties = rng.integers(0, 2, (4, 20, 5)).astype(dtype)
        blanks = np.zeros((2, 12, 40), dtype)
        broken = np.where(rng.random((2, 10, 50)) < 0.05, np.nan, 1.0).astype(dtype)
        far = (1000 + _scores(rng, (2, 12, 20), 0)).astype(dtype)
        for name, scores in (
            ("far from zero", far),
            ("equal scores", ties),
            ("nothing but blanks", blanks),
            ("NaN", broken),
        ):
            name = f"{np.dtype(dtype)} {name}"
            made.append(Example(name=name, inputs=(scores,), attributes={"blank": 0}))
    return made
