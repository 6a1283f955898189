"""Plans on a simulated GPU (gpu_stand_in.py): order, memory, shapes, threads, recording."""

from __future__ import annotations

import importlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.cache import named_cache
from ocr_trt.engines.base import BuildSettings, BuiltWith, RunSettings
from ocr_trt.engines.nvidia import backend as nvidia_backend
from ocr_trt.engines.nvidia.backend import NvidiaBackend
from ocr_trt.engines.nvidia.features import Features, features_of
from ocr_trt.engines.nvidia.infer_request import PlanSettings
from ocr_trt.engines.nvidia.load_plan import engine_from_plan
from ocr_trt.engines.nvidia.plan_runner import PlanRunner
from ocr_trt.engines.targets import backend
from ocr_trt.errors import ClosedError, EngineBuildError, InputFileError, TargetMissingError

from .gpu_stand_in import StandInDevice, plan_of, stand_in_trt

MODEL = onnx.parser.parse_model(
    """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,4,8] x) => (float[N,4,3] y) <float[1] s = {2.0}> {
        m = Mul(x, s)
        t = ReduceSum <keepdims = 0> (m, axis)
        y = Transpose <perm = [0, 2, 1]> (t)
    }
""".replace("<float[1] s = {2.0}>", "<float[1] s = {2.0}, int64[1] axis = {3}>")
)


def expected(images: np.ndarray) -> np.ndarray:
    return 2 * images.sum(3).transpose(0, 2, 1)


class SimulatedGpu:
    """A simulated GPU with one loaded plan."""

    def __init__(self, *, is_rtx: bool = False, max_batch: int = 4, **settings: Any) -> None:
        self.device = StandInDevice()
        self.trt = stand_in_trt(self.device, is_rtx=is_rtx)
        self.features: Features = features_of(self.trt)
        profiles = [(1, 1), (2, max_batch)] if max_batch > 1 else [(1, 1)]
        with self.device.current():
            engine = engine_from_plan(
                self.trt, plan_of(MODEL, profiles), self.features, is_trusted=False
            )
        self.runner = PlanRunner(
            self.trt,
            engine,
            self.device,
            self.features,
            label="plan",
            settings=PlanSettings(**settings),
        )
        self.engine = engine


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """Images of integers, so that sums are exact."""
    return rng.integers(-99, 99, (64, 3, 4, 8)).astype(np.float32)


@pytest.mark.parametrize("is_rtx", [False, True])
@pytest.mark.parametrize("use_graphs", [False, True])
def test_results_do_not_depend_on_earlier_batches(
    is_rtx: bool, use_graphs: bool, images: np.ndarray
) -> None:
    simulated = SimulatedGpu(is_rtx=is_rtx, use_graphs=use_graphs)
    assert simulated.runner.shape == (3, 4, 8)
    assert simulated.runner.max_batch == 4
    start = 0
    with simulated.runner as runner:
        for batch in (1, 1, 1, 1, 4, 4, 4, 2, 4, 1, 3, 3, 3, 3, 2, 4, 1):
            feed = images[start : start + batch]
            np.testing.assert_array_equal(runner.run(feed), expected(feed))
            start += batch
    assert simulated.device.recorded == (2 if use_graphs and not is_rtx else 0)


def test_results_of_two_runs_do_not_share_memory(images: np.ndarray) -> None:
    with SimulatedGpu().runner as runner:
        first = runner.run(images[:1])
        kept = first.copy()
        runner.run(images[1:2])
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("streams", [1, 3])
def test_each_thread_gets_its_own_result(streams: int, images: np.ndarray) -> None:
    simulated = SimulatedGpu(streams=streams)
    with simulated.runner as runner, ThreadPoolExecutor(8) as pool:
        feeds = [images[i : i + 1 + i % 4] for i in range(48)]
        for feed, result in zip(feeds, pool.map(runner.run, feeds), strict=True):
            np.testing.assert_array_equal(result, expected(feed))
    assert len(simulated.device.streams) <= streams


def test_a_thread_may_allocate_memory_while_another_records(images: np.ndarray) -> None:
    simulated = SimulatedGpu(streams=2)
    device, results = simulated.device, list[np.ndarray]()

    def record() -> bool:
        with pytest.raises(AssertionError, match="while recording"):
            device.memory((1,), np.float32)
        # The first batch of another thread creates an infer request with its buffers.
        other = threading.Thread(target=lambda: results.append(simulated.runner.run(images[:1])))
        other.start()
        other.join(timeout=10)
        return True

    with simulated.runner as runner, runner.infer_request() as infer_request:
        device.captured(infer_request.stream, record)
    np.testing.assert_array_equal(results, [expected(images[:1])])


def test_submit_returns_futures(images: np.ndarray) -> None:
    with SimulatedGpu(streams=2).runner as runner:
        futures = [runner.submit(images[i : i + 2]) for i in range(0, 60, 2)]
        for start, future in zip(range(0, 60, 2), futures, strict=True):
            feed = images[start : start + 2]
            np.testing.assert_array_equal(future.result(), expected(feed))


def test_work_that_cannot_be_recorded_still_runs(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedGpu()
    tries: list[int] = []
    monkeypatch.setattr(simulated.device, "captured", lambda *_: tries.append(1))
    with simulated.runner as runner:
        for i in range(8):
            np.testing.assert_array_equal(
                runner.run(images[i : i + 1]), expected(images[i : i + 1])
            )
    assert len(tries) == 1, "it is not tried again and again"


def test_batch_outside_the_profiles_is_refused(images: np.ndarray) -> None:
    with SimulatedGpu().runner as runner:
        with pytest.raises(ValueError, match="accepts 1 to 4 images, got 5"):
            runner.run(images[:5])


def test_closed_runner_raises(images: np.ndarray) -> None:
    runner = SimulatedGpu().runner
    runner.close()
    with pytest.raises(ClosedError, match="plan is closed"):
        runner.run(images[:1])


def test_close_waits_for_batches_and_wakes_waiting_threads(images: np.ndarray) -> None:
    simulated = SimulatedGpu(streams=1)
    errors: list[str] = []

    def run() -> None:
        try:
            simulated.runner.run(images[:1])
        except ClosedError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    with simulated.runner.infer_request() as infer_request:
        for thread in threads:
            thread.start()
        closing = threading.Thread(target=simulated.runner.close)
        time.sleep(0.05)
        closing.start()
        time.sleep(0.05)
        assert closing.is_alive(), "a batch is on its way"
        np.testing.assert_array_equal(infer_request.run(images[:1]), expected(images[:1]))
    for thread in (*threads, closing):
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert not errors, "they had begun when the runner was closed"
    with pytest.raises(ClosedError, match="plan is closed"):
        simulated.runner.run(images[:1])


def test_shape_is_set_again_after_a_failure(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedGpu(use_graphs=False)
    with simulated.runner as runner:
        runner.run(images[:2])
        (context,) = simulated.engine.contexts
        with monkeypatch.context() as patch:
            patch.setattr(context, "set_input_shape", lambda *_: False)
            with pytest.raises(EngineBuildError, match="batches of 3"):
                runner.run(images[:3])
        np.testing.assert_array_equal(runner.run(images[:2]), expected(images[:2]))


def test_failure_to_create_a_context_raises(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedGpu()
    monkeypatch.setattr(simulated.engine, "create_execution_context", lambda: None)
    with (
        simulated.runner as runner,
        pytest.raises(EngineBuildError, match="cannot create an execution context"),
    ):
        runner.run(images[:1])


def test_rtx_caches_compiled_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: np.ndarray
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with SimulatedGpu(is_rtx=True, runtime_cache="key").runner as runner:
        runner.run(images[:1])
    assert named_cache("runtime").read("key") == b"compiled"
    simulated = SimulatedGpu(is_rtx=True, runtime_cache="key")
    assert simulated.engine.config.cache.known == b"compiled"
    assert simulated.engine.config.cuda_graph_strategy == 1
    simulated.runner.close()


BUILT = BuiltWith(
    version="10.9.0",
    settings={"gpu": {"name": "Stand-in", "compute_capability": "8.9", "driver": "12.4"}},
)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> NvidiaBackend:
    """The target TensorRT on a machine with the simulated GPU."""
    device = StandInDevice()
    trt, import_module = stand_in_trt(device), importlib.import_module
    monkeypatch.setattr(nvidia_backend, "gpu_absence", lambda: None)
    monkeypatch.setattr(nvidia_backend, "CudaDevice", lambda: device)
    monkeypatch.setattr(nvidia_backend, "gpu_here", lambda: device.gpu)
    monkeypatch.setattr(nvidia_backend.util, "find_spec", lambda name: object())
    monkeypatch.setattr(nvidia_backend.metadata, "version", lambda name: "10.9.0")
    monkeypatch.setattr(
        nvidia_backend,
        "import_module",
        lambda name: trt if name == "tensorrt" else import_module(name),
    )
    refused = {"compute-capability": "builds for the GPU it runs on"}
    return NvidiaBackend(name="tensorrt", package="tensorrt", extra="gpu", refused=refused)


def test_plan_of_this_machine_is_opened(
    target: NvidiaBackend, tmp_path: Path, images: np.ndarray
) -> None:
    assert target.availability().can_run
    plan = tmp_path / "plan"
    plan.write_bytes(plan_of(MODEL, [(1, 1)]))
    with target.open(plan, label="x", settings=RunSettings(built=BUILT), max_batch=1) as runner:
        np.testing.assert_array_equal(runner.run(images[:1]), expected(images[:1]))


def test_plan_with_host_code_requires_trust(target: NvidiaBackend, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_bytes(plan_of(MODEL, [(1, 1)]))
    settings = {**BUILT.settings, "options": {"version_compatible": True}}
    built = BuiltWith(version="10.8.0", settings=settings)
    with pytest.raises(InputFileError, match="--trust"):
        target.open(plan, label="x", settings=RunSettings(built=built), max_batch=1)
    target.open(
        plan, label="x", settings=RunSettings(built=built, is_trusted=True), max_batch=1
    ).close()


def test_tensorrt_may_have_another_distribution_name(
    target: NvidiaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "tensorrt":
            raise nvidia_backend.metadata.PackageNotFoundError(name)
        return "10.9.1"

    monkeypatch.setattr(nvidia_backend.metadata, "version", version)
    result = {"tensorrt": ["tensorrt-cu12"]}
    monkeypatch.setattr(nvidia_backend.metadata, "packages_distributions", lambda: result)
    assert target.availability().version == "10.9.1"


def test_stripped_weights_are_read_from_the_onnx(
    target: NvidiaBackend, tmp_path: Path, images: np.ndarray
) -> None:
    plan, model = tmp_path / "plan", tmp_path / "model.onnx"
    plan.write_bytes(plan_of(MODEL, [(1, 1)], stripped=True))
    onnx.save(MODEL, model)
    with pytest.raises(InputFileError, match="no weights, and its ONNX"):
        target.open(plan, label="x", settings=RunSettings(built=BUILT), max_batch=1)
    settings = RunSettings(built=BUILT, model=model)
    with target.open(plan, label="x", settings=settings, max_batch=1) as runner:
        np.testing.assert_array_equal(runner.run(images[:1]), expected(images[:1]))


def test_truncated_plan_is_refused_with_the_message_of_tensorrt(
    target: NvidiaBackend, tmp_path: Path
) -> None:
    plan = tmp_path / "plan"
    plan.write_bytes(b"")
    with pytest.raises(InputFileError, match="magic tag; build the bundle again"):
        target.open(plan, label="x", settings=RunSettings(built=BUILT), max_batch=1)


def test_error_without_a_gpu_states_what_is_missing(
    target: NvidiaBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia_backend, "gpu_absence", lambda: ("no NVIDIA GPU found", "use one"))
    with pytest.raises(TargetMissingError, match="x: no NVIDIA GPU found; use one"):
        target.open(tmp_path / "plan", label="x", settings=RunSettings(), max_batch=1)


def test_unsupported_gpu_is_reported(target: NvidiaBackend) -> None:
    rtx = NvidiaBackend(
        name="tensorrt-rtx",
        package="tensorrt_rtx",
        extra="rtx",
        runs_on=lambda capability: capability != (8, 9),
    )
    availability = rtx.availability()
    assert availability.can_build, "for other GPUs"
    assert not availability.can_run
    assert availability.reason == "tensorrt-rtx does not run on Stand-in (compute capability 8.9)"
    assert target.availability().can_run


def test_plans_for_other_gpus_are_built_but_not_run(target: NvidiaBackend) -> None:
    rtx = NvidiaBackend(name="tensorrt-rtx", package="tensorrt_rtx", extra="rtx")
    assert rtx.can_run(BuildSettings())
    assert rtx.can_run(BuildSettings(options={"compute-capability": "8.6,8.9"}))
    for_blackwell = BuildSettings(options={"compute-capability": "12.0"})
    assert not rtx.can_run(for_blackwell)
    assert rtx.can_run_built({"compute_capabilities": 7}), "a forged manifest"
    assert target.can_run(for_blackwell), "that option is not for it"
    assert target.built_with(for_blackwell)["compute_capabilities"] == []


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((7, 5), True), ((8, 7), False), ((8, 9), True), ((9, 0), False), ((10, 0), False),
     ((12, 0), True), ((12, 1), True)],
)  # fmt: skip
def test_rtx_runs_on_the_gpus_that_its_runtime_supports(
    capability: tuple[int, int], runs: bool
) -> None:
    assert backend("tensorrt-rtx")._runs_on(capability) == runs
