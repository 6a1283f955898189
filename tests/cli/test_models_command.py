"""``ocr-trt models``: what needs no download, and specs that need no changes."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnx.parser
import pytest

from ocr_trt.models import catalog
from ocr_trt.spec import ClassifierSpec, DetectorSpec, RecognizerSpec, load_spec
from tests.cli.in_process import fails, run, succeeds

HEAD = '<ir_version: 8, opset_import: ["" : 18]>'
DETECTOR = "g (float[N,3,H,W] x) => (float[N,1,H,W] y) { m = ReduceMax(x, axis) y = Sigmoid(m) }"
RECOGNIZER = """g (float[N,3,48,W] x) => (float[N,W,6] y) <int64[1] one = {1}> {
    m = ReduceMean <keepdims = 0> (x, one) t = Transpose <perm = [0, 2, 1]> (m)
    s = MatMul(t, w) y = Softmax(s) }"""


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two models in the import path, and a catalog that lists it."""
    folder = tmp_path / "site" / "some_wheel"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('the code of a package must not run')")
    for name, text, array in (
        ("one_det.onnx", DETECTOR, onnx.helper.make_tensor("axis", 7, [1], [1])),
        ("one_rec.onnx", RECOGNIZER, onnx.helper.make_tensor("w", 1, [48, 6], [0.1] * 288)),
    ):
        model = onnx.parser.parse_model(f"{HEAD} {text}")
        model.graph.initializer.append(array)
        onnx.helper.set_model_props(model, {"character": "a\nb\nc\nd"})
        onnx.save(model, folder / "models" / name)
    entry = {
        "about": "two models",
        "package": "some_wheel",
        "install": "pip install some-wheel",
        "preset": "ppocr",
        "precision": "fp32",
        "detector": "models/*_det.onnx",
        "recognizer": "models/*_rec.onnx",
    }
    (tmp_path / "catalog.yaml").write_text(
        json.dumps({"one": entry, "two": {**entry, "package": "no_such_wheel"}})
    )
    monkeypatch.setattr(catalog, "_CATALOG", tmp_path / "catalog.yaml")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_list_states_what_is_installed(wheel: Path) -> None:
    rows = json.loads(succeeds("models", "--json"))
    assert [(row["name"], row["available"]) for row in rows] == [
        ("reference", True), ("one", True), ("two", False),
    ]  # fmt: skip
    assert "no; pip install some-wheel" in succeeds("models", "list")


def test_get_writes_copies_and_specs(wheel: Path, tmp_path: Path) -> None:
    result = json.loads(succeeds("models", "get", "one", "--output", "m", "--json", cwd=tmp_path))
    assert result == {"specs": {"detector": "m/detector.yaml", "recognizer": "m/recognizer.yaml"}}
    detector, recognizer = (load_spec(tmp_path / path) for path in result["specs"].values())
    assert isinstance(detector, DetectorSpec)
    assert isinstance(recognizer, RecognizerSpec)
    assert detector.name == "one-detector"
    assert detector.source.path.read_bytes() == (wheel / "models" / "one_det.onnx").read_bytes()
    assert detector.input.shape == (1, 3, 736, 736)
    assert detector.input_sizes[-1] == (960, 1280)
    assert (detector.boxes.score_mode, detector.boxes.dilate) == ("fast", True)
    assert (recognizer.charset, recognizer.blank) == ("abcd ", 0)
    assert (recognizer.input.width, recognizer.buckets) == (1280, (64, 160, 320, 640))
    assert recognizer.width_step == 32
    assert recognizer.output.kind == "probabilities"
    for spec in (detector, recognizer):
        assert (spec.input.color, spec.input.mean) == ("BGR", (127.5,))
    again = run("models", "get", "one", "--output", "m", cwd=tmp_path)
    fails(again, 2, "detector.yaml", "exists already", "--output")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["get"], ["name the model"]),
        (["list", "one"], ["ocr-trt models get one"]),
        (["get", "three"], ["no model 'three'", "one, two"]),
        (["get", "two"], ["no_such_wheel is not installed", "pip install some-wheel"]),
    ],
)
def test_wrong_requests_are_refused(
    arguments: list[str], facts: list[str], wheel: Path, tmp_path: Path
) -> None:
    fails(run("models", *arguments, cwd=tmp_path), 2, *facts)
    assert not (tmp_path / "two").exists()


def test_a_classifier_is_optional_in_the_catalog(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"""{HEAD} g (float[N,3,48,192] x) => (float[N,2] y) <int64[2] all = {{2, 3}}> {{
        m = ReduceMean <keepdims = 0> (x, all) s = MatMul(m, w) y = Softmax(s) }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.helper.make_tensor("w", 1, [3, 2], [0.1] * 6))
    # As Paddle's exporter declares free sizes.
    for axis in (0, 2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = -1
    onnx.save(model, wheel / "models" / "one_cls.onnx")
    entries = json.loads((tmp_path / "catalog.yaml").read_text())
    entries["one"]["classifier"] = "models/*_cls.onnx"
    (tmp_path / "catalog.yaml").write_text(json.dumps(entries))
    succeeds("models", "get", "one", "--output", "m", cwd=tmp_path)
    spec = load_spec(tmp_path / "m" / "classifier.yaml")
    assert isinstance(spec, ClassifierSpec)
    assert (spec.input.shape, spec.threshold, spec.fit) == ((1, 3, 48, 192), 0.9, "pad")
    entries["one"]["classifier"] = "models/missing.onnx"
    (tmp_path / "catalog.yaml").write_text(json.dumps(entries))
    fails(run("models", "get", "one", "--output", "n", cwd=tmp_path), 2, "pip install some-wheel")
