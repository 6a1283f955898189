"""A few of many things."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ocr_trt.common.spread import spread


@pytest.mark.parametrize(("count", "limit"), [(23, 12), (95, 48), (16, 48), (1, 4), (200, 3)])
def test_indices_reach_from_the_first_to_the_last(count: int, limit: int) -> None:
    found = spread(count, limit)
    assert len(found) == min(count, limit)
    assert (found[0], found[-1]) == (0, count - 1)
    steps = {b - a for a, b in pairwise(found)}
    assert max(steps, default=0) - min(steps, default=0) <= 1


def test_nothing_is_chosen_from_nothing() -> None:
    assert spread(0, 3) == []
