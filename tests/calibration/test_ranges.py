"""Histograms, methods and observation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_trt.calibration.coverage import coverage, share_beyond
from ocr_trt.calibration.histogram import BINS, EMPTY, Histogram
from ocr_trt.calibration.methods import METHODS, mean_squared_error, min_max, percentile
from ocr_trt.calibration.observe import Observation, observe
from ocr_trt.calibration.ranges import Ranges, check_ranges, graphs_sha256, load_ranges, save_ranges
from ocr_trt.common.input_size import InputSize
from ocr_trt.errors import InputFileError, UserError

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
def test_range_never_exceeds_the_largest_value(method: Method, rng: np.random.Generator) -> None:
    found = histogram(rng.uniform(-3, 3, 10_000))
    assert 0 < method(found) <= found.peak


MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,1,1,4] x) => (float[1,1,1,4] y) {
        a = Relu(x)
        y = Neg(a)
    }
""")


SIZE = InputSize(1, 4)


def look(batches: list[np.ndarray], *, peaks: tuple[str, ...] = ()) -> Observation:
    feeds = [np.asarray(batch, np.float32)[None, None] for batch in batches]
    return observe({SIZE: MODEL}, iter(feeds), len(feeds), histograms=["a", "x"], peaks=peaks)


def test_every_batch_is_read_and_counts() -> None:
    found = look([np.full((1, 4), value) for value in (1, 2, 5, 3)], peaks=("x", "y"))
    assert found.batches == 4
    assert found.histograms["a"].peaks == (1, 2, 5, 3)
    assert found.histograms["x"].total == 16
    assert found.peaks == {"a": 5, "x": 5, "y": 5}
    assert found.early["a"].peaks == (1, 2), "the first half"


def test_no_data_is_an_error_never_random() -> None:
    with pytest.raises(InputFileError, match="no readable calibration images"):
        look([])


@pytest.mark.parametrize("peaks", [(), ("y",)], ids=["histogram", "peak"])
def test_a_bad_batch_stops_and_is_named(peaks: tuple[str, ...]) -> None:
    bad = np.full((1, 4), np.inf if peaks else np.nan)
    with pytest.raises(InputFileError, match="image 2: a has NaN or infinite"):
        look([np.ones((1, 4)), bad], peaks=peaks)


def test_average_changes_little_by_one_outlier() -> None:
    found = histogram(*(np.full(10, value) for value in (2, 2, 2, 20, 2)))
    assert METHODS["average"](found) == pytest.approx(2 + 0.9 * 0.1 * 18)


def test_entropy_equals_the_textbook_loop(rng: np.random.Generator) -> None:
    """The same in plain loops, as in NVIDIA's slides, over all candidate ranges."""
    counts = histogram(np.append(rng.laplace(size=20_000), 30.0))
    bins = [float(n) for n in counts.counts]
    bins[0] = bins[1]
    best, least = 0, np.inf
    for end in [*range(128, BINS, 8), BINS]:
        true = [*bins[: end - 1], bins[end - 1] + sum(bins[end:])]
        rounded = [0.0] * end
        for level in range(128):
            members = [i for i in range(end) if i * 128 // end == level]
            filled = [i for i in members if bins[i] > 0]
            for i in filled:
                rounded[i] = sum(bins[j] for j in members) / len(filled)
        p, q = np.array(true) / sum(true), np.array(rounded) / sum(rounded)
        seen = p > 0
        divergence = (p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum()
        if divergence < least:
            best, least = end, divergence
    assert METHODS["entropy"](counts) == pytest.approx(best * counts.top / BINS, rel=0.01)
    assert METHODS["entropy"](counts) < 0.8 * counts.peak


def findings(batches: list[np.ndarray], ranges: dict[str, float]) -> set[tuple[str, str]]:
    return {(f.tensor, f.kind) for f in coverage(look(batches), ranges, min_max)}


def test_coverage_names_what_images_do_not_show(rng: np.random.Generator) -> None:
    plain = [rng.uniform(-1, 1, (1, 4)) for _ in range(64)]
    full = {"x": 1.0, "a": 1.0}
    assert findings(plain, full) == set()
    assert findings([-np.abs(x) for x in plain], {"x": 1.0, "a": 0.0}) == {("a", "dead")}
    assert findings(plain, {"x": 1.0, "a": 0.5}) >= {("a", "clipped")}
    grown = [x * (1 if i < 32 else 3) for i, x in enumerate(plain)]
    assert findings(grown, {"x": 3.0, "a": 3.0}) == {("x", "moving"), ("a", "moving")}


def test_share_beyond_a_limit_is_counted() -> None:
    found = histogram(np.linspace(0, 1, 10_001))
    assert share_beyond(found, 0.9) == pytest.approx(0.1, abs=1e-3)
    assert share_beyond(found, 1.0) == 0
    assert share_beyond(EMPTY, 0.0) == 0


RANGES = Ranges(
    model_sha256="m", data_sha256="d", method="mse", images=3,
    ranges={"a": 1.5}, peaks={"a": 2.0, "y": 2.0},
)  # fmt: skip


def test_ranges_come_back_from_disk(tmp_path: Path) -> None:
    save_ranges(RANGES, tmp_path / "r.json")
    assert load_ranges(tmp_path / "r.json") == RANGES


@pytest.mark.parametrize(
    ("field", "message"),
    [("model_sha256", "another model"), ("data_sha256", "another calibration folder"),
     ("method", "another method")],
)  # fmt: skip
def test_ranges_of_something_else_are_refused(field: str, message: str, tmp_path: Path) -> None:
    expected = {"model_sha256": "m", "data_sha256": "d", "method": "mse"}
    check_ranges(RANGES, tmp_path, **expected)
    with pytest.raises(UserError, match=message):
        check_ranges(RANGES, tmp_path, **{**expected, field: "other"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("[]", "no object"),
        ("{" * 100_000, "nested without end"),
        ('{"ranges": {"a": NaN}}', "no number, and much missing"),
        (RANGES.model_dump_json().replace("1.5", "-1.5"), "a range below 0"),
        (RANGES.model_dump_json().replace("1.5", "1e999"), "an infinite range"),
    ],
)
def test_damaged_ranges_are_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputFileError, match=r"r\.json"):
        load_ranges(tmp_path / "r.json")


def test_fingerprint_of_graphs_covers_weights_and_sizes() -> None:
    other = onnx.ModelProto()
    other.CopyFrom(MODEL)
    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    other.graph.initializer.append(tensor)
    changed = onnx.ModelProto()
    changed.CopyFrom(other)
    changed.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones(3, np.float32), "w"))
    wider = InputSize(1, 8)
    marks = {
        graphs_sha256(g) for g in ({SIZE: MODEL}, {wider: MODEL}, {SIZE: other}, {SIZE: changed})
    }
    assert len(marks) == 4
    assert graphs_sha256({SIZE: other}) == graphs_sha256({SIZE: other})
