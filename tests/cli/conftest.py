"""Small ONNX models, which need no TensorFlow, with their specs and bundles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import yaml

from tests.builder.small_build import write_model
from tests.cli.in_process import succeeds

RECOGNIZER = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,1,32,W] image) => (float[N,T,96] logits)
    <int64[1] rows = {2}>
    { a = Conv <strides = [4, 4]> (image, w0)
      b = Relu(a)
      c = Conv (b, w1)
      d = Squeeze (c, rows)
      e = Transpose <perm = [0, 2, 1]> (d)
      logits = MatMul (e, w2) }"""


def write_recognizer(path: Path) -> None:
    """Write a recognizer of 96 classes for lines of 32 rows, one time step per four columns."""
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(RECOGNIZER)
    shapes = {"w0": (16, 1, 4, 4), "w1": (32, 16, 8, 1), "w2": (32, 96)}
    for name, shape in shapes.items():
        array = (rng.standard_normal(shape) / 4).astype(np.float32)
        if name == "w0":  # no response to a plain image, so that classes depend on its content
            array -= array.mean(axis=(1, 2, 3), keepdims=True)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)


@pytest.fixture(scope="session")
def spec_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Specs by role, with budgets that untrained models do not exceed. Read-only."""
    folder = tmp_path_factory.mktemp("specs")
    write_model(folder / "detector.onnx")
    write_recognizer(folder / "recognizer.onnx")
    detector = {
        "name": "det",
        "input": {"name": "image", "shape": [1, 3, 32, 32], "layout": "NCHW"},
        "output": {"name": "map"},
    }
    recognizer = {
        "name": "rec",
        "input": {
            "name": "image",
            "shape": [1, 1, 32, 64],
            "layout": "NCHW",
            "color": "GRAY",
            "max_batch": 4,
        },
        "output": {"name": "logits"},
    }
    for role, spec in (("detector", detector), ("recognizer", recognizer)):
        source = {"path": str(folder / f"{role}.onnx")}
        data = {**spec, "role": role, "source": source, "accuracy": {"max_loss": 100}}
        (folder / f"{role}.yaml").write_text(yaml.safe_dump(data))
    return {role: folder / f"{role}.yaml" for role in ("detector", "recognizer")}


@pytest.fixture(scope="session")
def bundles(
    spec_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Bundles of the models by role, built by the program in fp32 for OpenVINO. Read-only."""
    output = tmp_path_factory.mktemp("bundles")
    options = (
        "--target",
        "openvino",
        "--precision",
        "fp32",
        "--duration",
        "0.05",
        "--output",
        output,
        "--json",
    )
    text = succeeds("build", *spec_files.values(), "--target", "openvino", *options)
    return dict(zip(spec_files, [Path(row["bundle"]) for row in json.loads(text)], strict=True))


@pytest.fixture(scope="session")
def engines(bundles: dict[str, Path]) -> tuple[object, ...]:
    """The options that name both bundles."""
    return ("--detector", bundles["detector"], "--recognizer", bundles["recognizer"])


@pytest.fixture
def tensorflow_spec(detector_model: Path, tmp_path: Path) -> Path:
    """The spec of a small TensorFlow detector."""
    spec = {
        "name": "tf-det",
        "role": "detector",
        "source": {"path": str(detector_model)},
        "input": {"name": "image", "shape": [1, 64, 96, 3]},
        "output": {"name": "output_0"},
        "accuracy": {"max_loss": 100},
    }
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path
