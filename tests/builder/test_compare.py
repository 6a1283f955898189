"""Comparison of graphs with the model, on models of a few lines of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest

from ocr_trt.builder.compare import check_parity
from ocr_trt.builder.judge import check_budget
from ocr_trt.builder.tolerance import Tolerance
from ocr_trt.convert.rounding import Rounding
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import OcrMetric
from ocr_trt.engines.runner import Batch, Runner
from ocr_trt.errors import BudgetError, ConversionError
from ocr_trt.spec import DetectorSpec, spec_from_dict


@pytest.fixture
def spec() -> DetectorSpec:
    """The spec of a detector at 64x96; its model is never opened."""
    parsed = spec_from_dict(
        {
            "name": "formula",
            "role": "detector",
            "source": {"path": "formula.onnx"},
            "input": {
                "name": "image",
                "shape": [1, 64, 96, 3],
                "mean": [127.5],
                "scale": [1 / 127.5],
            },
            "output": {"name": "output"},
        }
    )
    assert isinstance(parsed, DetectorSpec)
    return parsed


Function = Callable[[np.ndarray], np.ndarray]


class Formula(Runner):
    """A NumPy function as a model."""

    def __init__(self, function: Function) -> None:
        super().__init__(label="formula", shape=(3, 64, 96), max_batch=1)
        self.function = function

    def _execute(self, feed: Batch) -> np.ndarray:
        return self.function(feed)


def engine(spec: DetectorSpec, function: Function) -> Engine:
    return Engine(label="formula", spec=spec, open_runner=lambda _: Formula(function))


def smooth(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.1 * x[:, :1])


def jumping(x: np.ndarray, last_bit: float = 0.0) -> np.ndarray:
    """Smooth except for one pixel, which depends on the sign of a sum of rounding errors."""
    y = smooth(x)
    total = float((x - np.round(x, 6)).sum()) + last_bit
    y[0, 0, 5, 5] += 0.03 if total > 0 else 0.0
    return y


def test_rounding_errors_pass(spec: DetectorSpec) -> None:
    other = engine(spec, lambda x: smooth(x) * np.float32(1 + 1e-6))
    assert 0 < check_parity(other, engine(spec, smooth)).largest < 1e-5


def test_equal_infinities_are_equal(spec: DetectorSpec) -> None:
    def masked(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, :1] > 0.5, np.float32(-np.inf), smooth(x))

    assert check_parity(engine(spec, masked), engine(spec, masked)).largest == 0
    other = engine(spec, lambda x: -masked(x))
    with pytest.raises(ConversionError, match="differs from the model by inf"):
        check_parity(other, engine(spec, masked))


def test_model_that_returns_nan_is_refused_as_such(spec: DetectorSpec) -> None:
    def model(x: np.ndarray) -> np.ndarray:
        y = smooth(x)
        y[0, 0, 3, 5] = np.nan
        return y

    with pytest.raises(ConversionError, match=r"model itself returns NaN .*1 of 6144.* weights"):
        check_parity(engine(spec, model), engine(spec, model))


def test_few_pixels_may_differ_where_the_model_jumps(spec: DetectorSpec) -> None:
    model = engine(spec, jumping)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 96)).astype(np.float32)
    jumps = [
        float(np.abs(jumping(image + np.float32(n) * np.float32(1e-6)) - jumping(image)).max())
        for n in np.random.default_rng(1).uniform(-1, 1, (16, 1, 3, 64, 96))
    ]
    assert max(jumps) > 0.02, "the model does jump"
    seen: list[float] = []
    other = engine(spec, lambda x: noting(seen, jumping(x, 1.0), jumping(x)))
    assert check_parity(other, model).largest < 1e-6
    assert max(seen) > 0.02, "and does so at an image that was compared"


def noting(seen: list[float], ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    seen.append(float(np.abs(ours - theirs).max()))
    return ours


@pytest.mark.parametrize(
    ("model", "graph"),
    [
        (smooth, lambda x: jumping(x, 1.0)),
        (jumping, lambda x: jumping(x) + np.float32(0.01)),
        (jumping, lambda x: jumping(x) + np.float32(0.2) * (x[:, :1] > 0.9999)),
        (smooth, lambda x: smooth(x) * np.float32(np.nan)),
    ],
    ids=["model that does not jump", "wrong everywhere", "jumps too far", "NaN"],
)
def test_other_differences_are_refused(
    spec: DetectorSpec, model: Function, graph: Function
) -> None:
    with pytest.raises(ConversionError, match="the formula differs from the model by"):
        check_parity(engine(spec, graph), engine(spec, model))


@pytest.mark.parametrize(("hmean", "passes"), [(0.945, True), (0.9449, False)])
def test_loss_equal_to_the_budget_passes(spec: DetectorSpec, hmean: float, passes: bool) -> None:
    budget = spec.accuracy.model_copy(update={"max_loss": 0.5})
    spec = spec.model_copy(update={"accuracy": budget})
    metric = OcrMetric(
        name="hmean", engine=hmean, baseline=0.95, samples=9, labeled=True, engine_run_by="x"
    )
    assert metric.loss > 0.5, "in binary, 0.95 - 0.945 is more"
    with nullcontext() if passes else pytest.raises(BudgetError, match=r"accuracy\.max_loss"):
        check_budget(metric, spec, "x")


@pytest.mark.parametrize(
    ("precision", "advice"),
    [("fp32", "--data"), ("fp16", "--precision best"), ("int8", "--method")],
)
def test_advice_of_an_exceeded_budget_depends_on_the_precision(
    spec: DetectorSpec, precision: str, advice: str
) -> None:
    metric = OcrMetric(
        name="hmean", engine=0.5, baseline=0.95, samples=9, labeled=True, engine_run_by="x"
    )
    with pytest.raises(BudgetError, match=advice) as caught:
        check_budget(metric, spec, "x", precision=precision)
    assert ("--method" in str(caught.value)) == (precision == "int8")


def test_rounding_of_a_16_bit_model_passes_and_an_error_does_not(spec: DetectorSpec) -> None:
    """The model rounds to steps of 0.02, which an fp32 engine does not."""

    def steps(x: np.ndarray) -> np.ndarray:
        return np.round(smooth(x) * 50) / 50

    image = np.random.default_rng(1).uniform(-1, 1, (1, 3, 64, 96)).astype(np.float32)
    rounding = Rounding.of([np.abs(steps(image) - smooth(image))])
    tolerance = Tolerance(float_type="float16", roundings={spec.input.size: rounding})
    model = engine(spec, steps)
    found = check_parity(engine(spec, smooth), model, tolerance)
    assert found.largest == pytest.approx(0.01, rel=0.05)
    assert found.allowed > spec.accuracy.max_difference + found.largest
    with pytest.raises(
        ConversionError, match=r"max_difference 0\.001 and the rounding of a float16"
    ):
        check_parity(engine(spec, lambda x: smooth(x) + np.float32(0.05)), model, tolerance)
    with pytest.raises(ConversionError, match=r"accuracy\.max_difference 0\.001; please report"):
        check_parity(engine(spec, smooth), model)
