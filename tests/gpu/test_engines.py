"""Plans on a GPU against their graphs in onnxruntime."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.nvidia.device import CudaDevice
from ocr_trt.engines.nvidia.plan_layers import layers_from_file
from ocr_trt.engines.targets import backend
from ocr_trt.plugins import max_pool_argmax_2d, max_unpool_2d

TARGETS = ["tensorrt", "tensorrt-rtx"]
MOST = 8


def graph(dtype: str) -> onnx.ModelProto:
    """A convolution, pooled and un-pooled, in fp32 or fp16; input and output are fp32."""
    rng = np.random.default_rng(3)
    kind = {"float": 1, "float16": 10}[dtype]
    weights = ", ".join(f"{w:.4f}" for w in rng.standard_normal(16 * 3 * 3 * 3) / 5)
    return onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 20, "ocr_trt" : 1]>
        agraph (float[N,3,64,96] x) => (float[N,16,64,96] y)
        <float[16,3,3,3] w32 = {{{weights}}}> {{
            w = Cast <to = {kind}> (w32)
            in = Cast <to = {kind}> (x)
            c = Conv <pads = [1, 1, 1, 1]> (in, w)
            pooled, place = ocr_trt.MaxPoolArgmax2d(c)
            active = Relu(pooled)
            u = ocr_trt.MaxUnpool2d(active, place)
            y = Cast <to = 1> (u)
        }}
        {max_pool_argmax_2d.BODY}
        {max_unpool_2d.BODY}"""
    )


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, device: CudaDevice) -> str:
    availability = backend(request.param).availability()
    if not availability.can_run:
        pytest.skip(availability.reason)
    return str(request.param)


def share_off(found: np.ndarray, expected: np.ndarray) -> float:
    """Of values that are far off: where rounding chose another maximum, a value is elsewhere."""
    return float(np.mean(np.abs(found - expected) > 0.01 * (1 + np.abs(expected))))


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize("use_graphs", [False, True])
@pytest.mark.parametrize("plugins", [False, True])
def test_plan_gives_the_numbers_of_its_graph(
    target: str, dtype: str, use_graphs: bool, plugins: bool, tmp_path: Path
) -> None:
    chosen = backend(target)
    if plugins and "plugins" not in chosen.option_names:
        pytest.skip("takes no kernels")
    model, plan = graph(dtype), tmp_path / "model.plan"
    options = {"plugins": "yes"} if plugins else {}
    chosen.build(model, plan, BuildSettings(max_batch=MOST, options=options))
    session, rng = onnx_session(model), np.random.default_rng(5)
    settings = RunSettings(use_graphs=use_graphs)
    with chosen.open(plan, label=target, settings=settings, max_batch=MOST) as runner:
        for batch in (1, 1, 1, 1, MOST, MOST, MOST, MOST, 3, 1, 5, MOST):
            images = rng.standard_normal((batch, 3, 64, 96)).astype(np.float32)
            expected = session.run(None, {"x": images})[0]
            assert share_off(runner.run(images), expected) < (1e-3 if dtype == "float" else 0.02)


def test_threads_share_a_plan(target: str, tmp_path: Path) -> None:
    chosen, plan = backend(target), tmp_path / "model.plan"
    chosen.build(graph("float"), plan, BuildSettings(max_batch=1))
    rng = np.random.default_rng(6)
    feeds = list(rng.standard_normal((64, 1, 3, 64, 96)).astype(np.float32))
    settings = RunSettings(streams=4)
    with chosen.open(plan, label=target, settings=settings, max_batch=1) as runner:
        alone = [runner.run(feed) for feed in feeds]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(runner.run, feeds))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_thousand_runs_leave_nothing_behind(target: str, tmp_path: Path) -> None:
    import pycuda.driver as cuda

    chosen, plan = backend(target), tmp_path / "model.plan"
    chosen.build(graph("float16"), plan, BuildSettings(max_batch=MOST))
    images = np.zeros((MOST, 3, 64, 96), np.float32)
    with chosen.open(plan, label=target, settings=RunSettings(), max_batch=MOST) as runner:
        for number in range(1010):
            runner.run(images[: 1 + number % MOST])
            if number == 9 * MOST:
                free = cuda.mem_get_info()[0]
        assert free - cuda.mem_get_info()[0] < 1 << 20


def test_layers_say_what_they_compute_in(target: str, tmp_path: Path) -> None:
    chosen, plan = backend(target), tmp_path / "model.plan"
    chosen.build(graph("float16"), plan, BuildSettings(max_batch=1))
    layers = layers_from_file(tmp_path / "model.layers.json")
    assert any(layer.precision == "fp16" for layer in layers), layers
