"""A small detector that works, with layers that are exactly of low rank, and images for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser

from ocr_trt.builder import BuildRequest
from ocr_trt.calibration.images import load_calibration
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec, spec_from_dict
from tests.builder.small_build import fp32_request

SIZE, CHANNELS, RANK = 96, 32, 16
LAYERS = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,{SIZE},{SIZE}] image) => (float[1,1,{SIZE},{SIZE}] map)
    {{ a = Conv <pads = [1, 1, 1, 1]> (image, w0)
       b = Relu(a)
       c = Conv <pads = [1, 1, 1, 1]> (b, w1)
       d = Relu(c)
       e = Conv <pads = [1, 1, 1, 1]> (d, w2)
       f = Relu(e)
       h = Conv (f, w3, b3)
       map = Sigmoid(h) }}"""
"""``a``: brightness in channel 0, noise in the others; ``c`` and ``e`` keep channel 0."""


def kernel(rng: np.random.Generator, rank: int) -> npt.NDArray[np.float32]:
    """Return (O, I, 3, 3) weights that a 3x1 and a 1x3 kernel with ``rank`` channels compute."""
    columns = rng.standard_normal((rank, CHANNELS, 3)) / np.sqrt(3 * CHANNELS)
    rows = rng.standard_normal((CHANNELS, rank, 3)) / np.sqrt(rank)
    # Channel 0 passes through: the first factor keeps its center, alone.
    columns[0], rows[:, 0], rows[0] = 0.0, 0.0, 0.0
    columns[0, 0, 1] = rows[0, 0, 1] = 1.0
    return np.einsum("ora,rib->oiba", rows, columns).astype(np.float32)


def weights(rank: int = RANK, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights of the detector: a pixel is text if it is bright."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32) / 5
    first[0] = 0.0
    first[0, :, 1, 1] = 1 / 3
    last = rng.standard_normal((1, CHANNELS, 1, 1)).astype(np.float32) / 100
    last[0, 0] = 20.0
    return {
        "w0": first, "w1": kernel(rng, rank), "w2": kernel(rng, rank), "w3": last,
        "b3": np.array([-10.0], np.float32),
    }  # fmt: skip


def compressible_spec(
    folder: Path,
    text: str = LAYERS,
    arrays: dict[str, npt.NDArray[np.float32]] | None = None,
    max_loss: float = 0.5,
) -> DetectorSpec:
    """Write the detector into ``folder``, and return its spec."""
    model = onnx.parser.parse_model(text)
    for name, array in (arrays or weights()).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, folder / "low.onnx")
    spec = spec_from_dict(
        {
            "name": "low",
            "role": "detector",
            "source": {"path": folder / "low.onnx"},
            "input": {
                "name": "image", "shape": [1, 3, SIZE, SIZE], "layout": "NCHW",
                "mean": [0.0], "scale": [1 / 255],
            },
            "output": {"name": "map"},
            "boxes": {"unclip_ratio": 0.0},
            "accuracy": {"max_loss": max_loss},
        }
    )  # fmt: skip
    assert isinstance(spec, DetectorSpec)
    return spec


def write_words(folder: Path, count: int = 12) -> Path:
    """Write images with two bright bars each, and their labels."""
    import cv2

    rng, rows = np.random.default_rng(0), []
    folder.mkdir()
    for number in range(count):
        image, boxes = rng.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8), []
        for top in (8, 36):
            x, width, height = int(rng.integers(4, 12)), int(rng.integers(30, 44)), 16
            image[top : top + height, x : x + width] = rng.integers(200, 256, (height, width, 3))
            corners = (x, top), (x + width, top), (x + width, top + height), (x, top + height)
            boxes.append({"polygon": [c for corner in corners for c in corner], "text": "word"})
        cv2.imwrite(str(folder / f"{number}.png"), image)
        rows.append({"file": f"{number}.png", "boxes": boxes})
    (folder / "labels.json").write_text(json.dumps(rows))
    return folder


def compress_request(spec: DetectorSpec, images: Path, output: Path, **change: Any) -> BuildRequest:
    """Return a request with compression in fp32 for OpenVINO."""
    data = {"calibration": load_calibration(images, spec), "samples": load_dataset(images)}
    # Long enough for medians: an engine that is not faster is not kept.
    latency = LatencySettings(warm_up_ms=10, duration_s=0.2)
    fields = {"compress": True, "latency": latency, **data, **change}
    return fp32_request(spec, output, **fields)
