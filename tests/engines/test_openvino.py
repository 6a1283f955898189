"""OpenVINO: streams, the cache of compiled plans, recurrent models, bf16."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.calibration.emulate import emulated
from ocr_trt.common.cache import named_cache
from ocr_trt.common.cpu import has_bf16
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.base import BuildSettings, BuiltWith, RunSettings
from ocr_trt.engines.openvino import backend as openvino_file
from ocr_trt.engines.openvino import compiled_plan as compiling
from ocr_trt.engines.openvino.infer_requests import RecurrentRunner
from ocr_trt.engines.openvino.library import import_openvino
from ocr_trt.engines.runner import Runner
from ocr_trt.engines.targets import backend
from ocr_trt.errors import InputFileError, OutputError

TARGET = backend("openvino")
BUILT = BuiltWith(version="1", settings={})
MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,8,8] x) => (float[N,3,8,8] y) <float[1] s = {2.0}> {
        m = Mul(x, s)
        y = Relu(m)
    }
""")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.xml"
    TARGET.build(MODEL, path, BuildSettings(max_batch=4))
    return path


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled plans in a cache that only this test uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("OCR_TRT_CACHE_MIB")
    return tmp_path / "cache" / "ocr-trt" / "openvino"


def opened(
    plan: Path, *, threads: int = 1, streams: int = 0, built: BuiltWith | None = BUILT
) -> Runner:
    settings = RunSettings(threads=threads, streams=streams, built=built)
    return TARGET.open(plan, label="x", settings=settings, max_batch=4)


def doubled(runner: Runner) -> bool:
    """Whether the results are those of the model."""
    images = np.linspace(-1, 1, 3 * 64, dtype=np.float32).reshape(1, 3, 8, 8)
    return np.array_equal(runner.run(images), np.maximum(2 * images, 0))


def may_not_compile(*_: object) -> None:
    raise AssertionError("a plan was compiled that is kept")


@pytest.mark.parametrize(
    "program",
    [
        "from ocr_trt.engines.targets import backend; backend('openvino').availability()",
        "sys.argv[1:] = ['doctor']; from ocr_trt.cli.start import main; main()",
    ],
    ids=["a target asked for", "the program"],
)
def test_openvino_sends_no_telemetry(program: str) -> None:
    """By default, OpenVINO forks processes that report each import and each conversion."""
    code = f"""import sys
try:
    {program}
except SystemExit:
    pass
assert "openvino" in sys.modules
print([name for name in sys.modules if name.startswith("openvino_telemetry")], file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"


def test_bindings_are_initialized_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that create their first tensors at the same time could deadlock."""
    openvino, created = import_openvino(), []

    class Tensor(openvino.Tensor):
        @property
        def data(self) -> np.ndarray:
            created.append(super().data.shape)
            return super().data

    monkeypatch.setattr(openvino, "Tensor", Tensor)
    import_openvino()
    assert len(created) == 1


def test_only_one_file_imports_openvino() -> None:
    root = Path(compiling.__file__).parents[2]
    importing = [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*.py"))
        if not {"tests", "benchmarks", ".venv"} & set(path.relative_to(root).parts)
        and re.search(r"^\s*(import openvino|from openvino import)", path.read_text(), re.M)
    ]
    assert importing == ["engines/openvino/library.py"]


def test_streams_run_concurrently_and_return_separate_results(plan: Path) -> None:
    with opened(plan, threads=2, streams=2) as runner, ThreadPoolExecutor(8) as callers:
        assert runner.streams == 2
        feeds = [np.full((1 + n % 4, 3, 8, 8), n, np.float32) for n in range(200)]
        for feed, result in zip(feeds, callers.map(runner.run, feeds), strict=True):
            assert np.array_equal(result, 2 * feed)


def test_compiled_plan_is_read_from_the_cache(
    plan: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(plan) as runner:
        assert doubled(runner)
    assert len(list(cache_folder.iterdir())) == 1
    monkeypatch.setattr("openvino.Core.compile_model", may_not_compile)
    with opened(plan) as runner:
        assert doubled(runner)
        assert runner.run(np.ones((4, 3, 8, 8), np.float32)).shape == (4, 3, 8, 8)


def test_cache_key_covers_all_that_changes_the_compiled_plan(
    plan: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def one_more() -> bool:
        result = sorted(file.name for file in cache_folder.iterdir())
        names.append(result)
        return len(result) == len(names)

    opened(plan).close()
    assert one_more()
    opened(plan, threads=2).close()
    assert one_more(), "other threads"
    opened(plan, threads=2, streams=2).close()
    assert one_more(), "other streams"
    plan.with_suffix(".bin").write_bytes(np.float32(3).tobytes())
    with opened(plan) as runner:
        assert (runner.run(np.ones((1, 3, 8, 8), np.float32)) == 3).all()
    assert one_more(), "other weights"
    monkeypatch.setattr(compiling, "cpu_features", lambda: "another processor")
    opened(plan).close()
    assert one_more(), "another processor"


def test_damaged_cache_entry_is_compiled_again(plan: Path, cache_folder: Path) -> None:
    opened(plan).close()
    (file,) = cache_folder.glob("*/data")
    data = file.read_bytes()
    file.write_bytes(data[:40] + b"?" + data[41:])
    with opened(plan) as runner:
        assert doubled(runner)
    assert file.read_bytes() != data[:40] + b"?" + data[41:], "it was written again"


def test_entry_that_openvino_refuses_is_compiled_again(plan: Path, cache_folder: Path) -> None:
    opened(plan).close()
    (entry,) = cache_folder.iterdir()
    named_cache("openvino").write(entry.name, b"of another build")
    with opened(plan) as runner:
        assert doubled(runner)
    assert named_cache("openvino").read(entry.name) != b"of another build"


def test_plans_of_trials_are_not_cached(plan: Path, cache_folder: Path) -> None:
    opened(plan, built=None).close()
    assert not cache_folder.exists()


def test_nothing_is_cached_if_the_cache_is_disabled(
    plan: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_TRT_CACHE_MIB", "0")
    with opened(plan) as runner:
        assert doubled(runner)
    assert not cache_folder.exists()


def test_unwritable_cache_is_ignored(plan: Path, cache_folder: Path) -> None:
    cache_folder.parent.parent.write_text("a file where the folder would be")
    with opened(plan) as runner:
        assert doubled(runner)


def test_openvino_never_chooses_bf16_by_itself(tmp_path: Path, rng: np.random.Generator) -> None:
    # 1 + 2**-10 needs more bits than bf16 has.
    target = backend("openvino")
    target.build(MODEL, tmp_path / "plan.xml", BuildSettings(max_batch=1))
    with target.open(
        tmp_path / "plan.xml", label="x", settings=RunSettings(), max_batch=1
    ) as runner:
        result = runner.run(np.full((1, 3, 8, 8), 1 + 2**-10, np.float32))
    assert (result == np.float32(2 + 2**-9)).all()


BF16_MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 22]>
    agraph (float[N,3,8,8] x) => (float[N,3,8,8] y) {
        h = Cast <to = 16> (x)
        c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (h, w)
        y = Cast <to = 1> (c)
    }
""")


def test_graph_in_bf16_runs_in_bf16_or_not_at_all(tmp_path: Path, rng: np.random.Generator) -> None:
    model, weights = onnx.ModelProto(), rng.standard_normal((3, 3, 3, 3)).astype(np.float32)
    model.CopyFrom(BF16_MODEL)
    # Raw bytes, as in all our graphs: OpenVINO 2026.4 misreads bfloat16 values in int32_data.
    tensor = onnx.numpy_helper.from_array(weights.astype(ml_dtypes.bfloat16), "w")
    model.graph.initializer.append(tensor)
    plan = tmp_path / "plan.xml"
    TARGET.build(model, plan, BuildSettings(max_batch=4))
    if not has_bf16():
        with pytest.raises(InputFileError, match="bf16, which this processor has no instructions"):
            opened(plan)
        return
    images = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    (theirs,) = onnx_session(emulated(model)).run(None, {"x": images})
    with opened(plan) as runner:
        result = runner.run(images)
    np.testing.assert_allclose(result, theirs, atol=2**-7 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fma avx512_bf16", ("fp32", "bf16", "int8")), ("fma avx2", ("fp32", "int8"))],
)
def test_bf16_is_offered_where_the_processor_has_it(
    flags: str, expected: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n" * 2)
    monkeypatch.setattr(openvino_file, "has_bf16", lambda: has_bf16(tmp_path / "cpuinfo"))
    assert type(TARGET)().precisions == expected


def test_full_disk_under_openvino_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("long story\nno space")

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(OutputError, match=r"cannot write its plan .* are free: no space"):
        backend("openvino").build(MODEL, tmp_path / "plan.xml", BuildSettings())


READER = """<ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,1,4,6] x) => (float[N,6,5] y) {
        shape = Constant <value_ints = [0, 4, 6]> ()
        one = Constant <value_ints = [1]> ()
        r = Reshape (x, shape)
        t = Transpose <perm = [2, 0, 1]> (r)
        l = LSTM <hidden_size = 5> (t, w, rw)
        s = Squeeze (l, one)
        y = Transpose <perm = [1, 0, 2]> (s)
    }"""


def test_recurrent_models_run_in_batches_of_powers_of_two(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    model = onnx.parser.parse_model(READER)
    for name, shape in (("w", (1, 20, 4)), ("rw", (1, 20, 5))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    target, plan = backend("openvino"), tmp_path / "plan.xml"
    target.build(model, plan, BuildSettings(max_batch=6))
    reference = onnx_session(model)
    with target.open(plan, label="x", settings=RunSettings(), max_batch=6) as runner:
        for batch in (1, 2, 3, 5, 6, 3):
            x = rng.standard_normal((batch, 1, 4, 6)).astype(np.float32)
            (theirs,) = reference.run(None, {"x": x})
            np.testing.assert_allclose(runner.run(x), theirs, atol=1e-5)
        assert isinstance(runner, RecurrentRunner)
        assert sorted(runner._requests) == [1, 2, 4, 6]


def test_output_is_read_where_openvino_wrote_it(plan: Path) -> None:
    first, second = np.ones((1, 3, 8, 8), np.float32), np.full((1, 3, 8, 8), 2, np.float32)
    with opened(plan) as runner:
        kept = [runner.run_and(first, lambda output: output)]
        assert runner.run_and(first, np.sum) == 2 * first.sum()
        with pytest.raises(KeyError):  # not an error of the runtime
            runner.run_and(first, lambda _: {}["missing"])
        copied = runner.run(first)
        runner.run(second)
        assert (kept[0] == 4).all(), "run_and lends memory, which the next batch overwrites"
        assert (copied == 2).all()


def test_batches_with_a_large_output_are_not_faster(plan: Path) -> None:
    with opened(plan) as runner:
        assert runner.good_batch == runner.max_batch == 4, "before the first batch"
        runner.run(np.zeros((2, 3, 8, 8), np.float32))
        assert runner.good_batch == 4
        runner._output_bytes = 3 << 20
        assert runner.good_batch == 1
