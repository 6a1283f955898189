"""Actors x threads = CPUs."""

from __future__ import annotations

import pytest

from ocr_trt.batch.division import block_size, divide_cpus
from ocr_trt.errors import UserError


@pytest.mark.parametrize(
    ("cpus", "options", "expected"),
    [
        ([2], {}, (1, 2)),
        ([1], {}, (1, 1)),
        ([6], {}, (2, 3)),
        ([7], {}, (7, 1)),
        ([31], {}, (10, 3)),
        ([32], {}, (8, 4)),
        ([8], {"actors": 2}, (2, 4)),
        ([2], {"actors": 8}, (8, 1)),
        ([8], {"threads": 2}, (4, 2)),
        ([8], {"actors": 3, "threads": 5}, (3, 5)),
        ([4, 4], {"spare": 2}, (2, 3)),
        ([1, 1], {"spare": 2}, (1, 1)),
        ([32] * 100, {"spare": 2}, (799, 4)),
        ([2, 64], {"spare": 2}, (16, 4)),
    ],
)
def test_division(cpus: list[int], options: dict[str, int], expected: tuple[int, int]) -> None:
    assert divide_cpus(cpus, **options) == expected


def test_more_threads_than_a_machine_has() -> None:
    with pytest.raises(UserError, match=r"--threads 9: .* largest has 8"):
        divide_cpus([4, 8], threads=9)


@pytest.mark.parametrize(
    ("images", "actors", "size"), [(1, 1, 8), (300, 1, 19), (300, 2, 10), (10_000_000, 800, 256)]
)
def test_block_size(images: int, actors: int, size: int) -> None:
    assert block_size(images, actors) == size
