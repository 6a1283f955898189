"""``ocr-trt inspect``: models, specs, quantized graphs and ranges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.spec import DetectorSpec, RecognizerSpec, dump_spec, load_spec
from tests.cli.in_process import fails, run, succeeds


def test_inspect_shows_a_model_and_a_spec(tensorflow_spec: Path, detector_model: Path) -> None:
    assert "output_0" in succeeds("inspect", detector_model)
    text = succeeds("inspect", tensorflow_spec, "--target", "openvino")
    assert "raise_max_unpool +2; accepted by openvino" in " ".join(text.split())
    for fact in ("MaxUnpool2d", "fixed by the spec to", "FLOP/byte"):
        assert fact in text


def test_inspect_explains_a_rule(tensorflow_spec: Path) -> None:
    text = succeeds("inspect", tensorflow_spec, "--explain", "raise_max_unpool")
    assert text.startswith("raise_max_unpool applied ")
    done = run("inspect", tensorflow_spec, "--explain", "raise_max_unpol")
    fails(done, 2, "no rule 'raise_max_unpol'", "did you mean raise_max_unpool?", "fold_constants")


def test_inspect_verifies_rule_by_rule(tensorflow_spec: Path, tmp_path: Path) -> None:
    checks = json.loads(succeeds("inspect", tensorflow_spec, "--verify", "--json"))
    assert checks[0]["name"] == "export"
    assert all(check["difference"] < 1e-4 for check in checks)
    spec = load_spec(tensorflow_spec)
    strict = spec.accuracy.model_copy(update={"max_difference": 1e-12})
    path = tmp_path / "strict.yaml"
    path.write_text(dump_spec(spec.model_copy(update={"accuracy": strict})))
    done = run("inspect", path, "--verify")
    fails(done, 3, "after export", "differs from the model", "accuracy.max_difference 1e-12")


def test_options_of_specs_are_refused_for_a_model(
    spec_files: dict[str, Path], images: Path
) -> None:
    model = spec_files["detector"].with_suffix(".onnx")
    for options in (["--verify"], ["--target", "openvino"], ["--calibration", images]):
        fails(run("inspect", model, *options), 2, "detector.onnx", "need a spec")


def test_ranges_are_printed_and_written(
    spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    spec, out = spec_files["detector"], tmp_path / "ranges.json"
    text = succeeds("inspect", spec, "--calibration", images, "--ranges", out)
    assert "stays in float: first layer" in text
    found = json.loads(out.read_text())
    assert found["images"] == 3
    assert all(limit >= 0 for limit in found["ranges"].values())
    printed = json.loads(succeeds("inspect", spec, "--calibration", images, "--json"))
    assert printed["ranges"] == found["ranges"]
    assert all({"tensor", "kind", "text"} <= set(each) for each in printed["findings"])
    half = succeeds("inspect", spec, "--calibration", images, "--precision", "fp16")
    assert "ranges on 3 images" in half
    # A build uses the ranges in the file; the images are not calibrated again.
    options = ("--calibration", images, "--ranges", out, "--output", tmp_path)
    quick = ("--duration", "0.05")
    assert json.loads(succeeds("build", spec, *options, *quick, "--json"))[0]["error"] is None


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--ranges", "r.json"], ["--calibration DIR"]),
        (["--calibration", "images", "--precision", "best"], ["int8, fp16 or bf16", "best"]),
        (["--calibration", "images", "--method", "auto"], ["auto"]),
        (["--calibration", "images", "--ranges", "."], ["is a folder"]),
    ],
)
def test_ranges_need_images_and_one_method(
    options: list[str], facts: list[str], spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    fails(run("inspect", spec_files["detector"], *options, cwd=tmp_path), 2, *facts)


QUANTIZED = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,8,8,8] x) => (float[1,8,8,8] y)
    <float s = {0.1}, int8 z = {ZERO}, float v = {0.01}>
    {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        w = DequantizeLinear(w8, v)
        c = Conv <pads = [1, 1, 1, 1]> (d, w)
        a = Relu(d)
        e = Conv <pads = [1, 1, 1, 1]> (a, w)
        y = Add(c, e)
    }
"""


@pytest.mark.parametrize(("zero", "code"), [(0, 0), (3, 3)])
def test_inspect_shows_how_tensorrt_runs_a_quantized_graph(
    zero: int, code: int, tmp_path: Path
) -> None:
    proto = onnx.parser.parse_model(QUANTIZED.replace("ZERO", str(zero)))
    weights = np.ones((8, 8, 3, 3), np.int8)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w8"))
    onnx.save(proto, tmp_path / "quantized.onnx")
    done = run("inspect", tmp_path / "quantized.onnx")
    assert done.code == code, done.stderr
    assert "50.0 % of the FLOPs" in done.stdout
    if code:
        assert "zero point is 3" in done.stderr
    rows = json.loads(run("inspect", tmp_path / "quantized.onnx", "--json").stdout)
    assert {row["runs"] for row in rows} == {"int8", "float"} | ({"refused"} if code else set())
    assert any("Relu" in row["reason"] for row in rows)


@pytest.mark.full
def test_inspect_accepts_a_dumped_spec(
    detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec, tmp_path: Path
) -> None:
    for spec in (detector_spec, recognizer_spec):
        path = tmp_path / f"{spec.role}.yaml"
        path.write_text(dump_spec(spec))
        assert json.loads(succeeds("inspect", path, "--json"))["clean_nodes"] > 0


def test_rule_without_an_end_is_named(
    spec_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr_trt.convert import pipeline

    def rule_without_an_end(_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(pipeline, "PASSES", (rule_without_an_end,))
    monkeypatch.setenv("OCR_TRT_CONVERT_SECONDS", "5")
    fails(run("inspect", spec_files["detector"]), 3, "5 s", "the rule rule_without_an_end")
