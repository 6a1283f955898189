"""The height and width of a model's input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class InputSize(NamedTuple):
    """Height and width of an input in pixels. A model has an engine for each of its sizes."""

    height: int
    width: int

    @property
    def area(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def listed(sizes: Iterable[InputSize]) -> str:
    """Return sizes as text: "32x96, 32x320"."""
    return ", ".join(map(str, sizes))


def by_area(size: InputSize) -> tuple[int, int]:
    """Return a sort key: sizes with fewer pixels come first, of equal ones the narrower size."""
    return size.area, size.width
