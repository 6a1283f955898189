"""The program as its users meet it: exit codes, messages, files left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import onnx
import onnx.parser
import pytest
import yaml
from typer.main import get_command

from ocr_trt.cli.app import app
from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.engines.bundle import file_entry, load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.spec import DetectorSpec, RecognizerSpec, dump_spec, load_spec
from tests.json_schema import problems

COMMANDS = [command.callback.__name__ for command in app.registered_commands]


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ocr_trt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


def fails(done: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    """One clear line, the right exit code, no traceback."""
    assert message in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1


@pytest.fixture(scope="module")
def specs(
    detector_model: Path, recognizer_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Spec files of the small models, with budgets that random models can keep."""
    folder = tmp_path_factory.mktemp("specs")
    detector = {
        "name": "det", "role": "detector", "source": {"path": str(detector_model)},
        "input": {"name": "image", "shape": [1, 64, 96, 3]}, "output": {"name": "output_0"},
        "accuracy": {"max_loss": 100},
    }  # fmt: skip
    recognizer = {
        "name": "rec", "role": "recognizer", "source": {"path": str(recognizer_model)},
        "input": {"name": "image", "shape": [1, 32, 64, 1], "color": "GRAY", "max_batch": 4},
        "output": {"name": "output_0"}, "accuracy": {"max_loss": 100},
    }  # fmt: skip
    for spec in (detector, recognizer):
        (folder / f"{spec['role']}.yaml").write_text(yaml.safe_dump(spec))
    return {role: folder / f"{role}.yaml" for role in ("detector", "recognizer")}


@pytest.fixture(scope="module")
def bundles(specs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the small models, built by the program."""
    output = tmp_path_factory.mktemp("bundles")
    done = run("build", *specs.values(), "--precision", "fp32", "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    built = json.loads(done.stdout)
    return dict(zip(specs, [Path(row["bundle"]) for row in built], strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = run(command, "--help", env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0
    assert f"Example: ocr-trt {command}" in done.stdout


def test_every_command_speaks_json() -> None:
    silent = [c.name for c in get_command(app).commands.values() if not has_json(c)]
    assert silent == []


def has_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


def test_help_lists_all_commands_and_exit_codes() -> None:
    done = run("--help", env={**os.environ, "COLUMNS": "200"})
    assert all(command in done.stdout for command in COMMANDS)
    assert "4 over accuracy budget" in done.stdout


def test_version_is_said() -> None:
    assert run("--version").stdout.startswith("ocr-trt 0.")


def test_doctor_speaks_to_people_and_machines() -> None:
    assert "openvino" in run("doctor").stdout
    found = json.loads(run("doctor", "--json").stdout)
    assert found["targets"]["onnxruntime"]["can_run"]
    for availability in found["targets"].values():
        assert availability["can_run"] or availability["hint"]


def test_init_writes_a_spec_that_inspect_takes(
    detector_model: Path, recognizer_model: Path, tmp_path: Path
) -> None:
    for role, model in (("detector", detector_model), ("recognizer", recognizer_model)):
        done = run("init", model, "--role", role, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"spec": f"{role}.yaml"}
        assert "# (?)" in (tmp_path / f"{role}.yaml").read_text()
        again = run("init", model, "--role", role, cwd=tmp_path)
        fails(again, 2, "is there already")
    done = run("inspect", "recognizer.yaml", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["clean_nodes"] < found["raw_nodes"]
    assert found["signature"]["inputs"][0]["name"] == "image"


def test_init_runs_lambdas_only_when_asked(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Lambda(lambda t: t * 2, name="doubler", output_shape=(8, 8, 3))(image)
    keras.Model(image, x).save(tmp_path / "m.keras")
    arguments = ("init", "m.keras", "--role", "detector")
    fails(run(*arguments, cwd=tmp_path), 2, "init --allow-lambda")
    done = run(*arguments, "--allow-lambda", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_spec(tmp_path / "detector.yaml").source.allow_lambda


def test_init_reads_a_charset(recognizer_model: Path, tmp_path: Path) -> None:
    characters = ["\x7f", "\u0085", "\u2028", '"', *(chr(0x4E00 + i) for i in range(91))]
    for name, text in (("lines", "\n".join(characters) + "\n"), ("line", "".join(characters))):
        (tmp_path / name).write_text(text, "utf-8")
        arguments = ("--role", "recognizer", "--charset", name, "--output", f"{name}.yaml")
        done = run("init", recognizer_model, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        spec = load_spec(tmp_path / f"{name}.yaml")
        assert isinstance(spec, RecognizerSpec)
        assert spec.charset == "".join(characters)
    (tmp_path / "wrong").write_text("a\nbc\nd\n")
    arguments = ("--role", "recognizer", "--charset", "wrong")
    done = run("init", recognizer_model, *arguments, cwd=tmp_path)
    fails(done, 2, "line 2 is 'bc'; expected one character in each line")


def test_inspect_shows_a_model_and_a_spec(specs: dict[str, Path], detector_model: Path) -> None:
    assert "output_0" in run("inspect", detector_model).stdout
    assert "MaxUnpool2d" in run("inspect", specs["detector"]).stdout


def test_inspect_asks_the_target(specs: dict[str, Path]) -> None:
    done = run("inspect", specs["detector"], "--target", "openvino")
    assert done.returncode == 0, done.stderr
    assert "raise_max_unpool +2; taken by openvino" in " ".join(done.stdout.split())
    assert "fixed by the spec to" in done.stdout
    assert "FLOP/byte" in done.stdout
    fails(run("inspect", specs["detector"], "--target", "cuda"), 2, "no target 'cuda'")


def test_inspect_explains_a_rule(specs: dict[str, Path]) -> None:
    done = run("inspect", specs["detector"], "--explain", "raise_max_unpool")
    assert done.stdout == "raise_max_unpool left nothing alone that it almost took\n"
    fails(run("inspect", specs["detector"], "--explain", "magic"), 2, "no rule 'magic'; there are")


def test_inspect_verifies_pass_by_pass(specs: dict[str, Path], tmp_path: Path) -> None:
    done = run("inspect", specs["detector"], "--verify", "--json")
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)
    assert checks[0]["name"] == "export"
    assert all(check["difference"] < 1e-4 for check in checks)
    spec = load_spec(specs["detector"])
    strict = spec.accuracy.model_copy(update={"max_difference": 1e-12})
    path = specs["detector"].with_name("strict.yaml")
    path.write_text(dump_spec(spec.model_copy(update={"accuracy": strict})))
    fails(run("inspect", path, "--verify"), 3, "behind export the graph differs from the model")


def test_inspect_of_a_model_takes_no_options_of_specs(detector_model: Path) -> None:
    fails(run("inspect", detector_model, "--verify"), 2, "these options need a spec")


def test_build_says_its_verdict_and_nothing_of_tensorflow(
    specs: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    done = run(
        "build", specs["detector"], "--calibration", images, "--data", images,
        "--target", "openvino", "--target", "onnxruntime", "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Verdict: engine / tensorflow 2" in done.stdout
    assert "hmean" in done.stdout
    for noise in ("oneDNN", "WARNING", "cuda", "rebuild TensorFlow"):
        assert noise not in done.stderr + done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "det-onnxruntime-int8",
        "det-openvino-int8",
    ]


def test_build_takes_a_model_in_place_of_a_spec(recognizer_model: Path, tmp_path: Path) -> None:
    done = run(
        "build", recognizer_model, "--role", "recognizer", "--input", "image:1x32x64x1",
        "--mean", "127.5", "--scale", "0.0078", "--precision", "fp32", "--output", tmp_path,
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (built,) = json.loads(done.stdout)
    spec = yaml.safe_load((Path(built["bundle"]) / "spec.yaml").read_text())
    assert spec["input"]["shape"] == [1, 32, 64, 1]
    assert spec["input"]["mean"] == [127.5]


def test_calibrate_prints_and_writes_ranges(
    specs: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ranges.json"
    done = run("calibrate", specs["detector"], "--calibration", images, "--output", out)
    assert done.returncode == 0, done.stderr
    assert "stays in float: first layer" in done.stdout
    found = json.loads(out.read_text())
    assert found["images"] == 3
    assert all(limit >= 0 for limit in found["ranges"].values())


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
def test_inspect_says_what_tensorrt_makes_of_a_quantized_graph(
    zero: int, code: int, tmp_path: Path
) -> None:
    proto = onnx.parser.parse_model(QUANTIZED.replace("ZERO", str(zero)))
    weights = np.ones((8, 8, 3, 3), np.int8)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w8"))
    onnx.save(proto, tmp_path / "quantized.onnx")
    done = run("inspect", tmp_path / "quantized.onnx")
    assert done.returncode == code, done.stderr
    assert "50.0 % of the FLOPs of its layers are int8" in done.stdout
    if code:
        assert "its zero point is 3: only symmetric ones are taken" in done.stderr
    rows = json.loads(run("inspect", tmp_path / "quantized.onnx", "--json").stdout)
    assert {row["runs"] for row in rows} == {"int8", "float"} | ({"refused"} if code else set())
    assert any("put the pair behind the Relu" in row["reason"] for row in rows)


def test_bench_writes_three_reports_and_holds_engines_to_limits(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    done = run(
        "bench", *bundles.values(), "--data", images, "--report", tmp_path / "r",
        "--duration", "0.05", "--fail-on", "speedup<100000,cer>100000",
    )  # fmt: skip
    fails(done, 5, "speedup<100000")
    assert "cer>100000" not in done.stderr
    assert "broken" in done.stdout
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "report.html", "report.json", "report.md",
    ]  # fmt: skip
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    assert problems(found, json_schema(Document.REPORT)) == []
    kinds = [[s["kind"] for s in model["systems"]] for model in found["models"]]
    assert kinds == [["baseline", "reference", "engine"]] * 2
    batches = [{s["batch"] for s in m["systems"][0]["latencies"]} for m in found["models"]]
    assert batches == [{1}, {1, 4}]
    assert [s["kind"] for s in found["end_to_end"]["systems"]] == ["baseline", "engine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-on", "latency>1.1x"], "needs an older report"),
        (["--fail-on", "cer>3"], "needs images: --data"),
        (["--fail-on", "quick"], "expected a measure"),
        (["--fail-on", ""], "expected a measure"),
        (["--baseline", "old.json"], "needs a rule that uses it"),
        (["--baseline", "none.json", "--fail-on", "p90>2x"], "cannot be read as a report"),
    ],
)
def test_limits_are_read_before_anything_is_measured(
    options: list[str], message: str, tmp_path: Path
) -> None:
    fails(run("bench", tmp_path / "none", *options, cwd=tmp_path), 2, message)


def test_a_rule_that_suits_no_engine_is_told_before_anything_is_measured(
    bundles: dict[str, Path], images: Path
) -> None:
    start = time.monotonic()
    done = run(
        "bench", bundles["detector"], "--data", images, "--duration", "100", "--fail-on", "cer>3"
    )
    fails(done, 2, "cer is of one recognizer, and given is one detector")
    assert time.monotonic() - start < 60


def test_load_and_competitors_are_printed_with_what_they_mean(bundles: dict[str, Path]) -> None:
    done = run(
        "bench", bundles["recognizer"], "--competitors", "--concurrency", "3", "--rate", "125",
        "--duration", "0.2", "-v",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for told in (
        *("tensorflow eager", "tensorflow XLA", "openvino as it is (", "its output differs from"),
        *("rec: load, by clients", "rec: load, by rate of requests", "│        125 │"),
        *("- Latency: wall-clock time", "- Closed loop:", "- Open loop:", "coordinated omission"),
    ):
        assert told in done.stdout


def test_bundles_are_shown_verified_and_compared(bundles: dict[str, Path], tmp_path: Path) -> None:
    both = list(bundles.values())
    shown = run("bundle", "show", *both)
    assert shown.returncode == 0, shown.stderr
    assert "version of openvino" in shown.stdout
    assert "measured against" in shown.stdout
    assert str(both[0]) in shown.stdout.splitlines()
    told = json.loads(run("bundle", "diff", *both, "--json").stdout)
    assert {"what": "spec.role", "first": "detector", "second": "recognizer"} in told
    assert run("bundle", "diff", both[0], both[0]).stdout == "no difference\n"
    fails(run("bundle", "diff", both[0]), 2, "diff takes two bundles")
    copy = shutil.copytree(both[0], tmp_path / "copy")
    assert run("bundle", "verify", copy).returncode == 0
    next(copy.glob("*.onnx")).write_bytes(b"changed")
    fails(run("bundle", "verify", copy), 2, "is not the file that was built")


def test_layers_of_a_plan_are_listed(bundles: dict[str, Path], tmp_path: Path) -> None:
    fails(run("bundle", "layers", bundles["detector"]), 2, "has no list of layers")
    copy = Path(shutil.copytree(bundles["detector"], tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (plan,) = (copy / engine["plan"] for engine in manifest["engines"])
    layers = plan.with_suffix(".layers.json")
    tensor = {"Name": "x", "Format/Datatype": "Row major linear FP16 format"}
    layer = {"Name": "fused", "LayerType": "kgen", "Inputs": [tensor]}
    layer["Metadata"] = "[ONNX Layer: first/Conv2D]"
    layers.write_text(json.dumps({"Layers": [layer]}))
    manifest["files"][layers.name] = file_entry(layers).model_dump()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    shown = run("bundle", "layers", copy)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"fused .*kgen .*fp16 .*first/Conv2D", shown.stdout)
    (told,) = json.loads(run("bundle", "layers", copy, "--json").stdout)
    assert told["layers"][0]["precision"] == "fp16"


def test_buckets_are_found_and_drawn(specs: dict[str, Path], images: Path, tmp_path: Path) -> None:
    command = ["buckets", specs["recognizer"], "--data", images, "--most", "2"]
    done = run(*command, "--draw", tmp_path / "b.svg")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^buckets: \[[\d, ]*\]", done.stdout, re.M)
    assert (tmp_path / "b.svg").read_text().startswith("<svg")
    fails(run("buckets", specs["detector"], "--data", images), 2, "only recognizers have buckets")
    fails(run(*command, "--step", "60"), 2, "at most half of the input's width")
    fails(run(*command, "--draw", tmp_path / "b.png"), 2, "name a file that ends in .svg")


def test_tune_keeps_what_it_measured_and_run_takes_it(
    bundles: dict[str, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = run("tune", bundles["detector"], bundles["recognizer"], "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told) == [str(bundles["detector"]), str(bundles["recognizer"])]
    for each in told.values():
        tuning = json.loads(Path(each["kept"]).read_text())
        assert tuning == each["tuning"]
        for mode in ("latency", "throughput"):
            tried = [trial for trial in each["trials"] if trial["mode"] == mode]
            assert tuning[mode] in [trial["choice"] for trial in tried]
            assert all(trial["milliseconds"] > 0 for trial in tried)
        tuning["throughput"] = {"streams": 3, "threads": 3}
        Path(each["kept"]).write_text(json.dumps(tuning))
    engines = ["--detector", bundles["detector"], "--recognizer", bundles["recognizer"]]
    alone = run("run", images, *engines, "--workers", "1", "--json")
    tuned = run("run", images, *engines, "--json")
    assert (tuned.returncode, tuned.stdout) == (0, alone.stdout)
    with Engine.from_bundle(load_bundle(bundles["detector"]), mode="throughput") as engine:
        assert engine.runner().streams == 3


def test_run_prints_json_and_draws(bundles: dict[str, Path], images: Path, tmp_path: Path) -> None:
    done = run(
        "run", images, "--detector", bundles["detector"], "--recognizer", bundles["recognizer"],
        "--draw", tmp_path / "drawn", "--json", "--workers", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 3
    alone = run(
        "run", images, "--detector", bundles["detector"], "--recognizer", bundles["recognizer"],
        "--json",
    )  # fmt: skip
    assert json.loads(alone.stdout) == rows, "one worker reads the same"


def test_run_does_not_draw_over_its_images(bundles: dict[str, Path], images: Path) -> None:
    before = {path: path.read_bytes() for path in images.glob("*.png")}
    done = run(
        "run", images, "--detector", bundles["detector"], "--recognizer", bundles["recognizer"],
        "--draw", images,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in set(images.glob("*.png")) - set(before)) == [
        "0.ocr.png", "1.ocr.png", "2.ocr.png",
    ]  # fmt: skip


def test_run_refuses_a_plan_that_its_runtime_cannot_load(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    import hashlib
    import shutil

    forged = Path(shutil.copytree(bundles["detector"], tmp_path / "forged"))
    manifest = json.loads((forged / "manifest.json").read_text())
    plan = manifest["engines"][0]["plan"]
    (forged / plan).write_bytes(b"<net>")
    manifest["files"][plan] = {"bytes": 5, "sha256": hashlib.sha256(b"<net>").hexdigest()}
    (forged / "manifest.json").write_text(json.dumps(manifest))
    done = run("run", images, "--detector", forged, "--recognizer", bundles["recognizer"])
    fails(done, 2, "openvino cannot load it")


def test_run_reports_a_bad_file_in_a_folder_and_goes_on(
    bundles: dict[str, Path], images: Path
) -> None:
    (images / "1.png").write_bytes(b"no image")
    done = run(
        "run", images, "--detector", bundles["detector"], "--recognizer", bundles["recognizer"],
        "--json",
    )  # fmt: skip
    fails(done, 3, "1.png: not an image")
    rows = json.loads(done.stdout)
    assert ["error" in row for row in rows] == [False, True, False]


def bad_image(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "image.png"
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = cv2.imencode(".png", image)[1].tobytes()
    contents = {
        "text": b"hello",
        "empty": b"",
        "truncated": data[: len(data) // 2],
        "one pixel": cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes(),
    }
    if kind != "missing":
        path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("text", "not an image"),
        ("empty", "is empty"),
        ("truncated", "damaged or truncated"),
        ("one pixel", "too small"),
    ],
)
def test_run_refuses_a_bad_image(
    bundles: dict[str, Path], tmp_path: Path, kind: str, message: str
) -> None:
    done = run(
        "run", bad_image(tmp_path, kind), "--detector", bundles["detector"],
        "--recognizer", bundles["recognizer"],
    )  # fmt: skip
    fails(done, 2, message)


def test_run_refuses_what_is_no_bundle_or_in_the_wrong_place(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    detector, recognizer = bundles["detector"], bundles["recognizer"]
    wrong = run("run", images, "--detector", tmp_path, "--recognizer", recognizer)
    fails(wrong, 2, "not an engine bundle")
    swapped = run("run", images, "--detector", recognizer, "--recognizer", detector)
    fails(swapped, 2, "a detector is needed")


def spec_with(specs: dict[str, Path], tmp_path: Path, path: str, value: Any) -> Path:
    data = yaml.safe_load(specs["detector"].read_text())
    *parents, last = path.split(".")
    part = data
    for parent in parents:
        part = part[parent]
    part[last] = value
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data))
    return tmp_path / "spec.yaml"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("unpit", {}, "unpit: unknown key"),
        ("input.shape", "big", "input.shape"),
        ("source.path", "nothing", "no such file or folder"),
        ("source.signature", "other", "no signature named 'other'; it has: serv"),
        ("input.name", "image", "no input named 'image'; it has: image"),
        ("output.name", "y", "no output named 'y'"),
    ],
)
def test_build_refuses_a_wrong_spec(
    specs: dict[str, Path], tmp_path: Path, path: str, value: Any, message: str
) -> None:
    spec = spec_with(specs, tmp_path, path, value)
    done = run("build", spec, "--precision", "fp32", "--output", tmp_path / "out")
    fails(done, 2, message)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "int4"], "no precision 'int4'; there are: fp32, bf16, fp16, int8, best"),
        (["--target", "cuda"], "no target 'cuda'"),
        (["--precision", "int8"], "give --calibration DIR"),
        (["--precision", "fp32", "--method", "magic"], "no method 'magic'"),
        (["--precision", "fp32", "--role", "detector"], "is a spec: put role"),
        (["--precision", "fp32", "--output", "/proc/nothing"], "cannot be written"),
        (["--precision", "fp32", "--data", "nothing"], "nothing: no such folder"),
        (["--precision", "fp32", "--option", "workspace=512"], "add --target tensorrt"),
        (["--precision", "fp32", "-O", "plugins=yes"], "openvino does not have it"),
        (["--precision", "fp32", "-O", "plugins"], "expected NAME=VALUE"),
        (["--precision", "fp32", "--output", "x" * 300 + "/y"], "File name too long"),
    ],
)
def test_build_refuses_wrong_options(
    specs: dict[str, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run("build", specs["detector"], *arguments, cwd=tmp_path)
    fails(done, 2, message)


def test_two_specs_of_one_name_are_refused_before_any_work(
    specs: dict[str, Path], tmp_path: Path
) -> None:
    data = yaml.safe_load(specs["recognizer"].read_text())
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**data, "name": "det"}))
    done = run("build", specs["detector"], other, "--precision", "fp32", cwd=tmp_path)
    fails(done, 2, "two specs are named 'det'")
    assert not (tmp_path / "bundles").exists()


def test_report_does_not_replace_what_is_not_its_own(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "thesis.txt").write_text("x")
    done = run("bench", bundles["detector"], "--report", tmp_path, "--duration", "0.05")
    fails(done, 2, "it holds 'thesis.txt'")
    assert (tmp_path / "thesis.txt").read_text() == "x"


def test_init_quotes_what_a_model_calls_its_parts(tmp_path: Path) -> None:
    import onnx

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
        done = run("init", path, "--role", "detector", "--output", spec)
        assert done.returncode == 0, done.stderr
        loaded = load_spec(spec)
        assert (loaded.input.name, loaded.output.name) == (name, "1234")
        assert not loaded.source.allow_lambda


def test_build_refuses_a_model_without_a_role(detector_model: Path, tmp_path: Path) -> None:
    fails(run("build", detector_model, cwd=tmp_path), 2, "give --role detector")
    fails(run("build", tmp_path / "x.yaml", cwd=tmp_path), 2, "no such file or folder")


def test_build_refuses_lambda_layers_unless_asked(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Lambda(lambda t: t * 2, name="doubler", output_shape=(8, 8, 3))(image)
    keras.Model(image, x).save(tmp_path / "model.keras")
    done = run("build", tmp_path / "model.keras", "--role", "detector", cwd=tmp_path)
    fails(done, 2, "layers doubler run Python code")


def test_over_budget_is_exit_4_and_nothing_is_left(
    specs: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    # Ranges taken from nearly black images clip everything that noise makes.
    (images / "labels.json").unlink()
    dark = tmp_path / "dark"
    dark.mkdir()
    cv2.imwrite(str(dark / "a.png"), np.full((48, 80, 3), 1, np.uint8))
    data = yaml.safe_load(specs["recognizer"].read_text())
    spec = tmp_path / "strict.yaml"
    spec.write_text(yaml.safe_dump({**data, "accuracy": {"max_loss": 0.3}}))
    done = run("build", spec, "--calibration", dark, "--data", images, "--output", tmp_path / "out")
    fails(done, 4, "over accuracy.max_loss 0.3")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_stop_during_a_build_leaves_nothing(
    stop: signal.Signals, specs: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "ocr_trt", "build", str(specs["recognizer"]), "--output",
               str(output), "--calibration", str(images)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (output.exists() and list(output.iterdir())):
        time.sleep(0.02)  # until the scratch folder of the bundle is there
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + stop, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert list(output.iterdir()) == []


def test_internal_errors_ask_for_a_report(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from ocr_trt.cli import app as module

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(module, "app", broken)
    monkeypatch.setattr(sys, "argv", ["ocr-trt", "doctor"])
    assert module._run() == 1
    assert "internal error, please report it" in capsys.readouterr().err


def test_dumped_spec_is_a_spec_for_the_program(
    detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec, tmp_path: Path
) -> None:
    for spec in (detector_spec, recognizer_spec):
        path = tmp_path / f"{spec.role}.yaml"
        path.write_text(dump_spec(spec))
        assert json.loads(run("inspect", path, "--json").stdout)["clean_nodes"] > 0
