"""The other tools that quantizers.py compares with: onnxruntime and nncf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner

from ocr_trt.calibration.images import load_calibration
from ocr_trt.convert.sources import Source
from ocr_trt.engines.engine import Engine
from ocr_trt.measure.accuracy import run_labels
from ocr_trt.models.reference_models import SAMPLES
from ocr_trt.ocr.dataset import Dataset, load_dataset
from ocr_trt.ocr.metrics.metric import METRICS
from ocr_trt.ocr.roles import role_of
from ocr_trt.spec import ModelSpec

Spec = ModelSpec
Batches = list[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One model: its float graph, its calibration images, and the images it is measured on."""

    spec: Spec
    graph: onnx.ModelProto
    inlined: onnx.ModelProto
    batches: Batches
    baseline: Engine
    samples: Dataset
    folder: Path
    source: Source
    """Must stay alive: it owns the variables that the baseline reads."""

    @property
    def entry(self) -> str:
        """The name of the input."""
        return self.graph.graph.input[0].name


class _Reader:
    """onnxruntime's calibration data."""

    def __init__(self, contest: Contest) -> None:
        self._left = [{contest.entry: batch} for batch in contest.batches]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


def _onnxruntime(contest: Contest, **options: Any) -> onnx.ModelProto:
    from onnxruntime.quantization import quant_pre_process, quantize_static

    source, ready, made = (contest.folder / f"ort-{n}.onnx" for n in ("in", "ready", "out"))
    onnx.save(contest.inlined, source)
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    quantize_static(str(ready), str(made), _Reader(contest), **options)
    return onnx.load(made)


def onnxruntime_default(contest: Contest) -> onnx.ModelProto:
    """Onnxruntime `quantize_static` with its defaults."""
    return _onnxruntime(contest)


def onnxruntime_for_tensorrt(contest: Contest) -> onnx.ModelProto:
    """Onnxruntime with the options that its documentation recommends for TensorRT."""
    from onnxruntime.quantization import QuantType

    return _onnxruntime(
        contest,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv", "MatMul"],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "QuantizeBias": False,
            "DedicatedQDQPair": False,
        },
    )


def nncf_default(contest: Contest) -> onnx.ModelProto:
    """NNCF `quantize` with its defaults."""
    import nncf

    return nncf.quantize(contest.inlined, _nncf_data(contest), subset_size=len(contest.batches))


def nncf_accuracy_control(contest: Contest) -> onnx.ModelProto:
    """NNCF `quantize_with_accuracy_control` with the same budget."""
    import nncf

    spec, samples = contest.spec, load_dataset(SAMPLES / "test")
    batches = [batch for _, batch in load_calibration(SAMPLES / "test", spec, 10**6).batches()]

    def validate(model: Any, items: Any) -> tuple[float, list[float]]:
        proto = model if isinstance(model, onnx.ModelProto) else model.model
        with Engine.from_graphs(lambda _: proto, spec=spec, label="nncf") as engine:
            return values_of(engine, samples, spec, [int(item) for item in items])

    return nncf.quantize_with_accuracy_control(
        contest.inlined,
        calibration_dataset=_nncf_data(contest),
        validation_dataset=nncf.Dataset(range(len(batches)), lambda i: {contest.entry: batches[i]}),
        validation_fn=validate,
        max_drop=spec.accuracy.max_loss / 100,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=len(contest.batches),
    )


def values_of(
    engine: Engine, samples: Dataset, spec: Spec, chosen: list[int]
) -> tuple[float, list[float]]:
    """Return the metric on some samples, and the value of each sample."""
    labels = role_of(spec).labels_of(samples)
    found = run_labels(engine, [labels[i] for i in chosen])
    each = [found.sample_value(i) for i in range(len(chosen))]
    if METRICS[found.metric].sign > 0:
        return found.value, each
    return 1 - found.value, [1 - value for value in each]


def _nncf_data(contest: Contest) -> Any:
    import nncf

    return nncf.Dataset([{contest.entry: batch} for batch in contest.batches])


def score_of(engine: Engine, samples: Dataset, spec: Spec) -> float:
    """Return hmean, or 1 - CER."""
    count = len(role_of(spec).labels_of(samples))
    return values_of(engine, samples, spec, list(range(count)))[0]


def stock_plan(graph: onnx.ModelProto, path: Path) -> Path | None:
    """Convert a graph with OpenVINO's defaults; None if OpenVINO rejects it."""
    import openvino as ov

    try:
        ov.save_model(ov.Core().read_model(graph.SerializeToString()), path, compress_to_fp16=False)
    except RuntimeError:
        return None
    return path


COMPETITORS: tuple[Callable[[Contest], onnx.ModelProto], ...] = (
    onnxruntime_default,
    onnxruntime_for_tensorrt,
    nncf_default,
    nncf_accuracy_control,
)
