"""Actors x threads = CPUs."""

from __future__ import annotations

import pytest

from ocr_trt.batch.division import Machine, block_size, divide_cpus
from ocr_trt.errors import UserError


def machines(*cpus: int, memory: int = 64) -> list[Machine]:
    """Return machines with ``memory`` GiB each."""
    return [Machine(cpus=each, memory=memory << 30) for each in cpus]


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        (machines(1), {}, (1, 1)),
        (machines(2), {}, (2, 1)),
        (machines(32), {}, (32, 1)),
        (machines(6, memory=3), {}, (3, 2)),
        (machines(32, memory=8), {}, (8, 4)),
        (machines(32, memory=1), {}, (8, 4)),
        (machines(7, memory=3), {}, (7, 1)),  # other divisions would leave a core idle
        (machines(8), {"actors": 2}, (2, 4)),
        (machines(2), {"actors": 8}, (8, 1)),
        (machines(8), {"threads": 2}, (4, 2)),
        (machines(8), {"actors": 3, "threads": 5}, (3, 5)),
        (machines(4, 4), {"spare": 2}, (6, 1)),
        (machines(4, 4, memory=2), {"spare": 2}, (3, 2)),
        (machines(1, 1), {"spare": 2}, (1, 1)),
        (machines(16), {"gpus": 1}, (1, 4)),
        (machines(8, 8), {"gpus": 4, "spare": 2}, (4, 3)),
        (machines(*[32] * 100), {"spare": 2}, (3198, 1)),
    ],
)
def test_division(given: list[Machine], options: dict[str, int], expected: tuple[int, int]) -> None:
    assert divide_cpus(given, **options) == expected


def test_more_threads_than_a_machine_has() -> None:
    with pytest.raises(UserError, match=r"--threads 9: .* at most 8"):
        divide_cpus(machines(4, 8), threads=9)


@pytest.mark.parametrize(
    ("images", "actors", "size"), [(1, 1, 8), (300, 1, 19), (300, 2, 10), (10_000_000, 800, 256)]
)
def test_block_size(images: int, actors: int, size: int) -> None:
    assert block_size(images, actors) == size
