"""Builds that take a second or two: models of a few layers, as ONNX without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser

from ocr_trt.builder import BuildRequest
from ocr_trt.calibration.images import load_calibration
from ocr_trt.engines.base import BuildSettings
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

Spec = DetectorSpec | RecognizerSpec
QUICK = LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3)

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,32,32] image) => (float[1,1,32,32] map)
    { a = Conv <pads = [1, 1, 1, 1]> (image, w0)
      b = Relu(a)
      c = Conv <pads = [1, 1, 1, 1]> (b, w1)
      d = Relu(c)
      e = Conv (d, w2)
      map = Sigmoid(e) }"""
"""A detector: three convolutions, of which the first and the last keep fp32."""
WEIGHTS = {"w0": (32, 3, 3, 3), "w1": (32, 32, 3, 3), "w2": (1, 32, 1, 1)}

LINES = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,1,32,W] image) => (float[N,T,96] logits) <int64[1] two = {2}>
    { a = Conv <strides = [8, 4]> (image, w0)
      b = Relu(a)
      c = Conv <pads = [0, 1, 0, 1]> (b, w1)
      d = Relu(c)
      e = Squeeze(d, two)
      f = Transpose <perm = [0, 2, 1]> (e)
      g1 = MatMul(f, w2)
      h = Relu(g1)
      logits = MatMul(h, w3) }"""
"""A recognizer of lines of any width, one time step for each 4 pixels."""
LINE_WEIGHTS = {"w0": (16, 1, 8, 4), "w1": (32, 16, 4, 3), "w2": (32, 64), "w3": (64, 96)}


def write_model(
    path: Path,
    seed: int = 0,
    text: str = MODEL,
    weights: dict[str, tuple[int, ...]] = WEIGHTS,
    scale: float = 1.0,
) -> None:
    """Write a model with random weights of standard deviation ``scale``."""
    rng = np.random.default_rng(seed)
    model = onnx.parser.parse_model(text)
    for name, shape in weights.items():
        array = (scale * rng.standard_normal(shape)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)


def small_spec(folder: Path, output: str = "map", max_loss: float = 100.0) -> DetectorSpec:
    """Write the small detector into ``folder``, and return its spec; any engine passes."""
    write_model(folder / "m.onnx")
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": folder / "m.onnx"},
            "input": {"name": "image", "shape": [1, 3, 32, 32], "layout": "NCHW"},
            "output": {"name": output},
            "accuracy": {"max_loss": max_loss},
        }
    )
    assert isinstance(spec, DetectorSpec)
    return spec


def small_recognizer_spec(folder: Path, max_loss: float = 100.0) -> RecognizerSpec:
    """Write the small recognizer into ``folder``, and return its spec: widths 32 and 64."""
    # Small weights, so that no value is too large for fp16.
    write_model(folder / "lines.onnx", text=LINES, weights=LINE_WEIGHTS, scale=0.1)
    spec = spec_from_dict(
        {
            "name": "lines",
            "role": "recognizer",
            "source": {"path": folder / "lines.onnx"},
            "input": {
                "name": "image", "shape": [1, 1, 32, 64], "layout": "NCHW", "color": "GRAY",
                "mean": [127.5], "scale": [1 / 127.5], "max_batch": 4,
            },
            "output": {"name": "logits"},
            "buckets": [32],
            "accuracy": {"max_loss": max_loss},
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


def generous(spec: Any) -> Any:
    """Return a spec with a budget of 100 points, since random models lose much in int8."""
    budget = spec.accuracy.model_copy(update={"max_loss": 100.0})
    return spec.model_copy(update={"accuracy": budget})


def fp32_request(spec: Spec, output: Path, **change: Any) -> BuildRequest:
    """Return a request in fp32 for OpenVINO, without images; ``change``: other fields."""
    fields: dict[str, Any] = {
        "spec": spec, "targets": ("openvino",), "precision": "fp32", "output": output,
        "latency": QUICK, "settings": BuildSettings(max_batch=spec.input.max_batch),
    }  # fmt: skip
    return BuildRequest(**{**fields, **change})


def quick_request(spec: Spec, images: Path, output: Path, **change: Any) -> BuildRequest:
    """Return a request in int8 for onnxruntime, calibrated and measured on ``images``.

    Any engine passes its verdict.
    """
    spec = generous(spec)
    data = {"calibration": load_calibration(images, spec), "samples": load_dataset(images)}
    fields = {"targets": ("onnxruntime",), "precision": "int8", **data, **change}
    return fp32_request(spec, output, **fields)
