"""A build that takes a second: three convolutions, as ONNX, in int8 for OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser

from ocr_trt.builder import BuildRequest
from ocr_trt.calibration.images import load_calibration
from ocr_trt.engines.build_cache import BuildCache
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec, spec_from_dict

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,32,32] image) => (float[1,1,32,32] map)
    { a = Conv <pads = [1, 1, 1, 1]> (image, w0)
      b = Relu(a)
      c = Conv <pads = [1, 1, 1, 1]> (b, w1)
      d = Relu(c)
      e = Conv (d, w2)
      map = Sigmoid(e) }"""


def write_model(path: Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    model = onnx.parser.parse_model(MODEL)
    for name, shape in (("w0", (32, 3, 3, 3)), ("w1", (32, 32, 3, 3)), ("w2", (1, 32, 1, 1))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)


def small_spec(folder: Path, output: str = "map") -> DetectorSpec:
    """Write a model into ``folder``, and return its spec."""
    write_model(folder / "m.onnx")
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": folder / "m.onnx"},
            "input": {"name": "image", "shape": [1, 3, 32, 32], "layout": "NCHW"},
            "output": {"name": output},
            "accuracy": {"max_loss": 100.0},
        }
    )
    assert isinstance(spec, DetectorSpec)
    return spec


def small_request(folder: Path, images: Path, cache: BuildCache) -> BuildRequest:
    """Ask for an engine of a model in ``folder``."""
    spec = small_spec(folder)
    return BuildRequest(
        spec=spec,
        targets=("openvino",),
        precision="int8",
        output=folder / "first",
        calibration=load_calibration(images, spec),
        samples=load_dataset(images),
        latency=LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3),
        cache=cache,
    )
