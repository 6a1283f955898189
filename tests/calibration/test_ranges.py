"""Histograms, methods and observation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_trt.calibration.histogram import BINS, EMPTY, Histogram
from ocr_trt.calibration.methods import METHODS, mean_squared_error, min_max, percentile
from ocr_trt.calibration.observe import observe
from ocr_trt.errors import InputFileError

Method = Callable[[Histogram], float]


def histogram(*batches: np.ndarray) -> Histogram:
    result = EMPTY
    for batch in batches:
        result = result.add(np.asarray(batch, np.float32))
    return result


@settings(deadline=None)
@given(peaks=st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=6))
def test_every_value_is_counted_however_the_range_grows(peaks: list[float]) -> None:
    batches = [np.linspace(-peak, peak, 101) for peak in peaks]
    found = histogram(*batches)
    assert found.peak == pytest.approx(max(peaks))
    assert found.peaks == tuple(np.float32(p) for p in peaks)
    if found.top > 0:
        assert found.total >= 101
        assert found.total <= 101 * len(peaks)
        assert found.top >= found.peak


def test_counts_stay_in_the_right_bins_when_the_top_doubles() -> None:
    found = histogram(np.full(10, 1.0), np.full(3, 7.5))
    assert found.top == 8.0
    filled = np.nonzero(found.counts)[0] * found.top / BINS
    assert filled == pytest.approx([1.0, 7.5], abs=2 * 8 / BINS)
    assert found.counts.sum() == 13


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        histogram(np.array([1.0, bad]))


def test_methods_on_a_normal_tensor_with_one_outlier(rng: np.random.Generator) -> None:
    values = rng.standard_normal(200_000)
    found = histogram(np.append(values, 100.0))
    assert min_max(found) == 100.0
    assert 3.7 < percentile(found, 99.99) < 4.1
    assert percentile(found, 99.99) < mean_squared_error(found) < 100


@pytest.mark.parametrize("zeros", [0.0, 0.75, 0.95], ids=["dense", "ReLU", "max-unpooling"])
def test_mse_is_the_best_of_all_clips(zeros: float, rng: np.random.Generator) -> None:
    values = rng.laplace(size=100_000).astype(np.float32)
    values[rng.random(len(values)) < zeros] = 0.0
    found = histogram(values)

    def error(limit: float) -> float:
        scale = limit / 127
        rounded = np.clip(np.round(values / scale), -127, 127) * scale
        return float(((values - rounded) ** 2).mean())

    chosen = error(mean_squared_error(found))
    assert chosen <= 1.05 * min(error(found.peak * share) for share in np.linspace(0.05, 1, 40))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_dead_tensor_has_range_zero(method: Method) -> None:
    assert method(histogram(np.zeros(50))) == 0.0


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_range_never_exceeds_what_was_seen(method: Method, rng: np.random.Generator) -> None:
    found = histogram(rng.uniform(-3, 3, 10_000))
    assert 0 < method(found) <= found.peak


MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,4] x) => (float[1,4] y) {
        a = Relu(x)
        y = Neg(a)
    }
""")


def test_every_batch_is_read_and_counts() -> None:
    batches = [np.full((1, 4), value, np.float32) for value in (1, 2, 5, 3)]
    found = observe(MODEL, iter(batches), ["a", "x"])
    assert found["a"].peaks == (1, 2, 5, 3)
    assert found["x"].total == 16


def test_observation_goes_on_where_it_stopped() -> None:
    batches = [np.full((1, 4), value, np.float32) for value in (1, 4)]
    first = observe(MODEL, batches[:1], ["a"])
    both = observe(MODEL, batches[1:], ["a"], first)
    assert both["a"].peaks == (1, 4)


def test_no_data_is_an_error_never_random() -> None:
    with pytest.raises(InputFileError, match="no calibration pictures"):
        observe(MODEL, [], ["a"])


def test_a_bad_batch_stops_and_is_named() -> None:
    batches = [np.ones((1, 4), np.float32), np.full((1, 4), np.nan, np.float32)]
    with pytest.raises(InputFileError, match="batch 2: a has NaN"):
        observe(MODEL, batches, ["a"])
