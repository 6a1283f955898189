"""Engines that are closed while threads use them: results or ClosedError, but nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.runner import Runner
from ocr_trt.engines.targets import backend
from ocr_trt.errors import ClosedError

MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,H,W] x) => (float[N,3,H,W] y) <float[1] s = {2.0}> { y = Mul(x, s) }
""")
LSTM = onnx.parser.parse_model(
    """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,1,4,6] x) => (float[N,6,5] y) <
        float[1,20,4] w = {WS}, float[1,20,5] rw = {RS}, int64[1] one = {1}
    > {
        l = Squeeze (x, one)
        t = Transpose <perm = [2, 0, 1]> (l)
        h = LSTM <hidden_size = 5> (t, w, rw)
        s = Squeeze (h, one)
        y = Transpose <perm = [1, 0, 2]> (s)
    }""".replace("WS", ",".join(["0.1"] * 80)).replace("RS", ",".join(["0.1"] * 100))
)
IMAGES = np.ones((1, 3, 8, 8), np.float32)
WAYS: dict[str, Callable[[Runner, np.ndarray], np.ndarray]] = {
    "run": lambda runner, images: runner.run(images),
    "run_and": lambda runner, images: runner.run_and(images, np.array),
    "submit": lambda runner, images: runner.submit(images).result(),
    "execute": lambda runner, images: runner.execute(images),
}


def until_closed(call: Callable[[], np.ndarray], expected: np.ndarray) -> int:
    """Call until ClosedError is raised; return the number of results."""
    count = 0
    while True:
        try:
            result = call()
        except ClosedError:
            return count
        np.testing.assert_array_equal(result, expected)
        count += 1


def check_closing(
    opened: Callable[[], Engine | Runner], call: Callable, expected: np.ndarray, times: int = 12
) -> None:
    """Close an engine or runner at various moments while four threads use it."""
    results = 0
    with ThreadPoolExecutor(4) as threads:
        for number in range(times):
            own = opened()
            running = [threads.submit(until_closed, partial(call, own), expected) for _ in range(4)]
            time.sleep(0.01 * (number % 4))
            own.close()
            results += sum(each.result(60) for each in running)
            with pytest.raises(ClosedError, match="is closed"):
                call(own)
            own.close()
    assert results, "threads were using it"


def plan_of(name: str, folder: Path, model: onnx.ModelProto = MODEL) -> Path:
    plan = folder / f"plan{backend(name).suffix}"
    backend(name).build(model, plan, BuildSettings(max_batch=4))
    return plan


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_runner_is_closed_while_threads_run_batches(name: str, way: str, tmp_path: Path) -> None:
    plan, settings = plan_of(name, tmp_path), RunSettings(streams=2, threads=1)

    def opened() -> Runner:
        size = InputSize(8, 8)
        free = backend(name).open_free(plan, settings=settings)
        runner = free.runner(size, label="x", max_batch=4)
        runner.plan = free
        return runner

    check_closing(opened, lambda runner: WAYS[way](runner, IMAGES), 2 * IMAGES)


def test_recurrent_runner_is_closed_while_it_compiles_for_a_batch(tmp_path: Path) -> None:
    plan, images = plan_of("openvino", tmp_path, LSTM), np.ones((3, 1, 4, 6), np.float32)
    settings = RunSettings(streams=2, threads=1)

    def opened() -> Runner:
        return backend("openvino").open(plan, label="x", settings=settings, max_batch=4)

    with opened() as runner:
        expected = runner.run(images)
    check_closing(opened, lambda runner: runner.run(images), expected, times=4)


def test_engine_of_a_bundle_is_closed_while_threads_use_it(
    recognizer_bundle: Path, detector_bundle: Path
) -> None:
    for folder in (recognizer_bundle, detector_bundle):
        bundle = load_bundle(folder)
        spec = bundle.spec
        images = np.ones((1, spec.input.channels, *spec.input.size), np.float32)

        def opened(bundle: object = bundle) -> Engine:
            return Engine.from_bundle(bundle, streams=2, threads=1)

        def call(engine: Engine, images: np.ndarray = images) -> np.ndarray:
            return engine.runner().run(images)

        with opened() as engine:
            expected = call(engine)
        check_closing(opened, call, expected, times=6)


def test_closed_engine_opens_no_further_plan(recognizer_bundle: Path) -> None:
    engine = Engine.from_bundle(load_bundle(recognizer_bundle))
    engine.runner()
    engine.close()
    for size in engine.sizes:
        with pytest.raises(ClosedError, match="small-recognizer openvino int8 is closed"):
            engine.runner(size)


def test_batches_that_were_submitted_before_close_are_run(tmp_path: Path) -> None:
    plan = plan_of("onnxruntime", tmp_path)
    free = backend("onnxruntime").open_free(plan, settings=RunSettings(threads=1))
    runner = free.runner(InputSize(8, 8), label="x", max_batch=4)
    futures = [runner.submit(IMAGES) for _ in range(2)]
    runner.close()
    for future in futures:
        np.testing.assert_array_equal(future.result(0), 2 * IMAGES)
    with pytest.raises(ClosedError):
        runner.submit(IMAGES)


def test_callback_may_close_the_runner_that_calls_it(tmp_path: Path) -> None:
    plan = plan_of("openvino", tmp_path)
    free = backend("openvino").open_free(plan, settings=RunSettings(threads=1))
    runner = free.runner(InputSize(8, 8), label="x", max_batch=4)

    def use(output: np.ndarray) -> float:
        runner.close()
        return float(output.sum())  # the memory is still there

    assert runner.run_and(IMAGES, use) == 2 * IMAGES.sum()
    with pytest.raises(ClosedError):
        runner.run(IMAGES)
