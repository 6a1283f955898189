"""The choice of input widths equals an exhaustive search; cost and share of padding."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ocr_trt.ocr.width_buckets import best_buckets, lines_per_bucket, mean_cost, padded_share


@pytest.mark.parametrize("seed", range(40))
def test_best_buckets_equal_an_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lines = rng.integers(1, 200, int(rng.integers(1, 40)))
    widths = sorted({int(width) for width in rng.integers(8, 160, int(rng.integers(1, 8)))})
    fixed, power = rng.uniform(0, 50), rng.uniform(0.5, 2)
    choices = best_buckets(lines, widths, 4, lambda width: fixed + width**power)
    assert [len(buckets) for buckets in choices] == list(range(1, min(4, len(widths)) + 1))
    for count, buckets in enumerate(choices, 1):
        assert buckets == tuple(sorted({*buckets}))
        assert buckets[-1] == widths[-1]
        others = (
            mean_cost(lines, (*some, widths[-1]), lambda width: fixed + width**power)
            for some in combinations(widths[:-1], count - 1)
        )
        own = mean_cost(lines, buckets, lambda width: fixed + width**power)
        assert own == pytest.approx(min(others))


def test_lines_go_to_the_narrowest_bucket_that_they_fit() -> None:
    assert lines_per_bucket([1, 10, 11, 20, 21, 500], [30, 10, 20]) == {10: 2, 20: 2, 30: 2}


def test_cost_and_padding_by_hand() -> None:
    lines, buckets = [5, 10, 25, 60], [10, 40]
    assert mean_cost(lines, buckets, lambda width: float(width)) == (10 + 10 + 40 + 40) / 4
    assert padded_share(lines, buckets) == pytest.approx(1 - (5 + 10 + 25 + 40) / 100)
    assert padded_share([40], [40]) == 0


def test_empty_input_is_refused() -> None:
    for lines, widths in (([], [10]), ([10], [])):
        with pytest.raises(ValueError, match="no lines"):
            best_buckets(lines, widths, 2, lambda width: 1.0)
