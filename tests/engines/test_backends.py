from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.nvidia.builder import Builder, build_in_child, refusals_in_child
from ocr_trt.engines.targets import backend, target_names
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import EngineBuildError, TargetMissingError, UserError
from ocr_trt.spec import spec_from_dict

RUNNABLE = [name for name in ("onnxruntime", "openvino") if backend(name).availability().can_run]

MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,8,8] x) => (float[N,3,8,8] y) <float[1] s = {2.0}> {
        m = Mul(x, s)
        y = Relu(m)
    }
""")
BAD = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,3,8,8] x) => (float[1,3,8,8] y) { y, i = MaxPool <kernel_shape = [1, 1]> (x) }
""")


def test_targets_are_the_files_of_the_folder() -> None:
    assert target_names() == ["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"]
    for name in target_names():
        assert backend(name).name == name


def test_unknown_target_is_refused_with_the_list() -> None:
    with pytest.raises(UserError, match=r"no target 'cuda'.*: onnxruntime, openvino"):
        backend("cuda")
    with pytest.raises(UserError):
        backend("base")
    with pytest.raises(UserError):
        backend("../../spec")


@pytest.mark.parametrize("name", target_names())
def test_unavailable_target_states_reason_and_hint(name: str) -> None:
    availability = backend(name).availability()
    if not (availability.can_build and availability.can_run):
        assert availability.reason
        assert availability.hint


@pytest.mark.parametrize("name", RUNNABLE)
def test_plan_computes_the_numbers_of_its_graph(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    target = backend(name)
    plan = tmp_path / f"plan{target.suffix}"
    target.build(MODEL, plan, BuildSettings(max_batch=4))
    with target.open(plan, label="x", settings=RunSettings(threads=1), max_batch=4) as runner:
        assert runner.shape == (3, 8, 8)
        for batch in (1, 3, 4, 1):
            images = rng.standard_normal((batch, 3, 8, 8)).astype(np.float32)
            np.testing.assert_allclose(runner.run(images), np.maximum(2 * images, 0), atol=1e-6)


@pytest.mark.parametrize("name", RUNNABLE)
def test_results_of_two_runs_do_not_share_memory(name: str, tmp_path: Path) -> None:
    target = backend(name)
    plan = tmp_path / f"plan{target.suffix}"
    target.build(MODEL, plan, BuildSettings(max_batch=1))
    with target.open(plan, label="x", settings=RunSettings(), max_batch=1) as runner:
        first = runner.run(np.ones((1, 3, 8, 8), np.float32))
        runner.run(np.zeros((1, 3, 8, 8), np.float32))
    assert (first == 2).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.ones((1, 3, 8, 8)), "got float64"),
        (np.ones((1, 3, 8, 9), np.float32), r"accepts float32 \(N, 3, 8, 8\)"),
        (np.ones((3, 8, 8), np.float32), r"accepts float32 \(N, 3, 8, 8\)"),
        (np.ones((5, 3, 8, 8), np.float32), "accepts 1 to 4 images, got 5"),
        (np.ones((0, 3, 8, 8), np.float32), "accepts 1 to 4 images, got 0"),
    ],
    ids=["dtype", "width", "rank", "too many", "none"],
)
def test_wrong_input_is_refused(images: np.ndarray, message: str, tmp_path: Path) -> None:
    target = backend("onnxruntime")
    target.build(MODEL, tmp_path / "plan.onnx", BuildSettings(max_batch=4))
    with target.open(
        tmp_path / "plan.onnx", label="engine", settings=RunSettings(), max_batch=4
    ) as runner:
        with pytest.raises(ValueError, match=message):
            runner.run(images)


def test_unavailable_precision_is_refused() -> None:
    with pytest.raises(UserError, match=r"openvino cannot compute in fp16.* fp32, .*int8"):
        backend("openvino").check_precision("fp16")
    backend("openvino").check_precision("int8")


RTX = pytest.mark.skipif(
    not backend("tensorrt-rtx").availability().can_build, reason="tensorrt-rtx is not installed"
)


@RTX
@pytest.mark.parametrize("options", [{}, {"compute-capability": "8.6, 8.9,12.0"}])
def test_rtx_builds_without_a_gpu(options: dict[str, str], tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    settings = BuildSettings(max_batch=4, options=options)
    backend("tensorrt-rtx").build(MODEL, plan, settings)
    assert plan.stat().st_size > 1000


@RTX
def test_rtx_builds_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        backend("tensorrt-rtx").build(MODEL, tmp_path / name, BuildSettings(max_batch=4))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt-rtx"])
def test_targets_report_refused_graphs(name: str) -> None:
    target = backend(name)
    if not target.availability().can_build:
        pytest.skip(f"{name} is not installed")
    assert target.refusals(MODEL) == {}
    foreign = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,3,8,8] x) => (float[1,3,8,8] y) {
            s = Relu(x) [strange_node] t = Teleport(s) y = Relu(t)
        }
    """)
    refused = target.refusals(foreign)
    assert "Teleport" in str(refused) or set(refused) == {"strange_node"}


@RTX
def test_parser_reports_every_refused_node() -> None:
    (model,) = [
        onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,3,8,8] x) => (float[1,3,8,8] y) {
            [first] a, i = MaxPool <kernel_shape = [1, 1]> (x)
            [second] b, j = MaxPool <kernel_shape = [1, 1]> (x)
            y = Add(a, b)
        }
    """)
    ]
    refused = backend("tensorrt-rtx").refusals(model)
    assert set(refused) == {"first", "second"}


def test_crash_of_the_parser_is_reported_as_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing_parser.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    refused = refusals_in_child("crashing_parser", MODEL)
    assert "crashed with signal 6" in refused[""]


@RTX
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (BAD, {}, "MaxPool"),
        (MODEL, {"compute-capability": "7.0"}, "compute capability 7.0 .* 120, 121, 75"),
    ],
    ids=["an op it cannot", "a GPU it does not know"],
)
def test_message_of_the_builder_is_in_the_error(
    model: onnx.ModelProto, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    settings = BuildSettings(options=options)
    with pytest.raises(EngineBuildError, match=message):
        backend("tensorrt-rtx").build(model, tmp_path / "plan", settings)
    assert not (tmp_path / "plan").exists()


def test_crash_of_the_builder_becomes_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing_builder.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineBuildError, match="its builder crashed with signal 6"):
        build_in_child(Builder(module="crashing_builder"), MODEL, tmp_path / "plan")


@RTX
def test_unwritable_plan_is_not_reported_as_a_refused_graph(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        build_in_child(Builder(module="tensorrt_rtx"), MODEL, tmp_path / "gone" / "plan")
    assert caught.value.filename == str(tmp_path / "gone" / "plan")


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_opening_a_plan_on_a_machine_that_cannot_run_it_states_the_reason(
    name: str, tmp_path: Path
) -> None:
    target = backend(name)
    if target.availability().can_run:
        pytest.skip("it can run here")
    with pytest.raises(TargetMissingError, match="engine: "):
        target.open(tmp_path / "plan", label="engine", settings=RunSettings(), max_batch=1)


LINES = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,1,4,6] image) => (float[A,B,C] scores) {{
        to = Constant <value_ints = [{batch}, 6, 4]> ()
        r = Reshape (image, to)
        scores = {last} (r)
    }}"""


@pytest.mark.parametrize(
    ("batch", "last", "takes"),
    [(0, "Sin", True), (1, "Sin", False), (-1, "Softmax <axis = 0>", False)],
    ids=["free", "fixed", "rows that depend on each other"],
)
def test_batches_of_an_onnx_source(
    batch: int, last: str, takes: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    text = LINES.format(batch=batch, last=last)
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "recognizer",
            "source": {"path": tmp_path / "m.onnx"},
            "input": {
                "name": "image",
                "shape": [1, 1, 4, 6],
                "layout": "NCHW",
                "color": "GRAY",
                "max_batch": 3,
            },
            "output": {"name": "scores"},
            "charset": "abc",
        }
    )
    runner = baseline_runner(open_source(spec.source), spec)
    assert ("one by one" in runner.label) == (not takes)
    images = rng.uniform(-1, 1, (3, 1, 4, 6)).astype(np.float32)
    alone = [runner.run(images[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(runner.run(images), np.concatenate(alone), atol=1e-6)


@pytest.mark.parametrize("name", RUNNABLE)
def test_plan_in_a_folder_that_is_not_utf8(name: str, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    target = backend(name)
    plan = folder / f"plan{target.suffix}"
    target.build(MODEL, plan, BuildSettings(max_batch=1))
    with target.open(plan, label="x", settings=RunSettings(), max_batch=1) as runner:
        assert (runner.run(np.ones((1, 3, 8, 8), np.float32)) == 2).all()
