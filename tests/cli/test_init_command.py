"""``ocr-trt init``: other commands accept the spec that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from ocr_trt.spec import RecognizerSpec, load_spec
from tests.cli.in_process import fails, run, succeeds


def test_init_writes_a_spec_that_inspect_accepts(
    detector_model: Path, recognizer_model: Path, tmp_path: Path
) -> None:
    for role, model in (("detector", detector_model), ("recognizer", recognizer_model)):
        text = succeeds("init", model, "--role", role, "--json", cwd=tmp_path)
        assert json.loads(text) == {"spec": f"{role}.yaml"}
        assert "# (?)" in (tmp_path / f"{role}.yaml").read_text()
        again = run("init", model, "--role", role, cwd=tmp_path)
        fails(again, 2, f"{role}.yaml", "exists already", "--output", "--force")
    (tmp_path / "detector.yaml").write_text("old")
    succeeds("init", detector_model, "--role", "detector", "--force", cwd=tmp_path)
    assert "# (?)" in (tmp_path / "detector.yaml").read_text()
    result = json.loads(succeeds("inspect", "recognizer.yaml", "--json", cwd=tmp_path))
    assert result["clean_nodes"] < result["raw_nodes"]
    assert result["signature"]["inputs"][0]["name"] == "image"


def test_spec_that_exists_is_an_error_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "damaged.keras").write_text("no model")
    (tmp_path / "detector.yaml").write_text("old")
    done = run("init", "damaged.keras", "--role", "detector", cwd=tmp_path)
    fails(done, 2, "detector.yaml: exists already")
    (tmp_path / "folder").mkdir()
    options = ("--output", "folder", "--force")
    done = run("init", "damaged.keras", "--role", "detector", *options, cwd=tmp_path)
    fails(done, 2, "folder: is not a file")


def test_lambdas_run_only_on_request(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Lambda(lambda t: t * 2, name="doubler", output_shape=(8, 8, 3))(image)
    keras.Model(image, x).save(tmp_path / "m.keras")
    arguments = ("m.keras", "--role", "detector")
    for command in (("init",), ("build", "--precision", "fp32")):
        refused = run(*command, *arguments, cwd=tmp_path)
        fails(refused, 2, "layers doubler run Python code", "init --allow-lambda")
    succeeds("init", *arguments, "--allow-lambda", cwd=tmp_path)
    assert load_spec(tmp_path / "detector.yaml").source.allow_lambda


def test_init_reads_a_charset(recognizer_model: Path, tmp_path: Path) -> None:
    characters = ["\x7f", "\u0085", "\u2028", '"', *(chr(0x4E00 + i) for i in range(91))]
    for name, text in (("lines", "\n".join(characters) + "\n"), ("line", "".join(characters))):
        (tmp_path / name).write_text(text, "utf-8")
        options = ("--role", "recognizer", "--charset", name, "--output", f"{name}.yaml")
        succeeds("init", recognizer_model, *options, cwd=tmp_path)
        spec = load_spec(tmp_path / f"{name}.yaml")
        assert isinstance(spec, RecognizerSpec)
        assert spec.charset == "".join(characters)
    (tmp_path / "wrong").write_text("a\nbc\nd\n")
    options = ("--role", "recognizer", "--charset", "wrong")
    done = run("init", recognizer_model, *options, cwd=tmp_path)
    fails(done, 2, "line 2 is 'bc'", "expected one character")


def test_init_quotes_the_names_in_a_model(tmp_path: Path) -> None:
    hostile = "image\nsource: {path: evil.keras, allow_lambda: true}\ninput:\n  name: x"
    for number, name in enumerate((hostile, "0", "image: 0", 'a"b', "on")):
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", [name], ["1234"])], "g",
            [value(name, 1, [1, 3, 32, 32])], [value("1234", 1, [1, 3, 32, 32])],
        )  # fmt: skip
        opset = [onnx.helper.make_opsetid("", 17)]
        path = tmp_path / f"{number}.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        spec = tmp_path / f"{number}.yaml"
        succeeds("init", path, "--role", "detector", "--output", spec)
        loaded = load_spec(spec)
        assert (loaded.input.name, loaded.output.name) == (name, "1234")
        assert not loaded.source.allow_lambda


@pytest.mark.parametrize("command", ["init", "build"])
def test_a_model_needs_a_role(command: str, spec_files: dict[str, Path], tmp_path: Path) -> None:
    model = spec_files["detector"].with_suffix(".onnx")
    options = ("--precision", "fp32") if command == "build" else ()
    fails(run(command, model, *options, cwd=tmp_path), 2, "detector.onnx", "--role detector")
    missing = run(command, tmp_path / "x.yaml", *options, cwd=tmp_path)
    fails(missing, 2, "no such file or folder")
    spec = run(command, spec_files["detector"], *options, "--role", "detector", cwd=tmp_path)
    fails(spec, 2, "is a spec: put role")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--mean", "a,b"], ["--mean 'a,b'"]),
        (["--input", "image:3x3"], ["--input 'image:3x3'", "NAME:1x640x640x3"]),
        (["--custom", "no class"], ["--custom no class", "module:Class"]),
    ],
)
def test_wrong_descriptions_of_a_model_are_refused(
    options: list[str], facts: list[str], spec_files: dict[str, Path], tmp_path: Path
) -> None:
    model = spec_files["detector"].with_suffix(".onnx")
    fails(run("init", model, "--role", "detector", *options, cwd=tmp_path), 2, *facts)
