"""Find the most compressed network on a path that is within budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..compression.greedy_path import PathPoint
from .compression_trials import CompressionTrial, Judgement


@dataclass(frozen=True, kw_only=True)
class CompressionStop:
    """A network on the path that was measured."""

    point: PathPoint
    trial: CompressionTrial
    judgement: Judgement
    failure: str = ""
    """Why its engine was not accepted; "" if it was, or was not built."""

    @property
    def is_open(self) -> bool:
        """Whether it is within budget, and its engine was not refused."""
        return self.judgement.is_within and not self.failure


class PathBisection:
    """Measures few of the points of a path. The loss is assumed to grow along the path.

    Args:
        points: the networks to choose from, the least compressed first.
        measure: fits and measures a network.
    """

    def __init__(
        self, points: Sequence[PathPoint], measure: Callable[[PathPoint], CompressionStop]
    ) -> None:
        self.points, self._measure = tuple(points), measure
        self._measured: dict[int, CompressionStop] = {}

    @property
    def measured(self) -> tuple[CompressionStop, ...]:
        """All networks that were measured, the least compressed first."""
        return tuple(self._measured[number] for number in sorted(self._measured))

    def best(self) -> CompressionStop | None:
        """Return the most compressed network that is within budget and not refused, or None."""
        closed = [number for number, stop in self._measured.items() if not stop.is_open]
        high = min(closed, default=len(self.points))
        low = max(
            (n for n, stop in self._measured.items() if stop.is_open and n < high), default=-1
        )
        # Invariant: the network `low` is within budget, or is the whole one; `high` is not.
        while high - low > 1:
            middle = (low + high) // 2
            if middle not in self._measured:
                self._measured[middle] = self._measure(self.points[middle])
            if self._measured[middle].is_open:
                low = middle
            else:
                high = middle
        return self._measured[low] if low >= 0 else None

    def refuse(self, stop: CompressionStop, failure: str) -> None:
        """Exclude a network, and so all that are more compressed; ``failure``: the reason."""
        number = self.points.index(stop.point)
        self._measured[number] = replace(stop, failure=failure)
