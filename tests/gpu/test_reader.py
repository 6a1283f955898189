"""The reader's kernels on a GPU, around plans that onnxruntime runs on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.nvidia.device import CudaDevice
from ocr_trt.engines.nvidia.infer_request import PlanSettings
from ocr_trt.engines.nvidia.plan_runner import PlanRunner
from ocr_trt.pipeline.gpu import GpuReader
from ocr_trt.pipeline.reader import OcrReader, ReadSettings
from tests.gpu.test_runner import FEATURES, KernelContext, KnownStreams, PlanEngine, trt_module
from tests.pipeline.functions import FunctionRunner
from tests.pipeline.stripes import image_with, model_of, specs


class HostContext(KernelContext):
    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.engine.sizes(self.batch)

    def execute_async_v3(self, handle: int) -> bool:
        import pycuda.driver as cuda

        self.engine.device.known[handle].synchronize()
        feed = np.empty((self.batch, *self.engine.sides), np.float32)
        cuda.memcpy_dtoh(feed, self.addresses["x"])
        output = self.engine.session.run(None, {"x": feed})[0]
        cuda.memcpy_htod(self.addresses["y"], np.ascontiguousarray(output))
        return True


class HostEngine(PlanEngine):
    """A graph with the input x and the output y."""

    def __init__(self, device: KnownStreams, model: onnx.ModelProto, most: int) -> None:
        sides = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        super().__init__(device, sides, most)
        self.session = onnx_session(model)
        feed = np.zeros((1, *self.sides), np.float32)
        self._output = self.session.run(None, {"x": feed})[0].shape[1:]

    def sizes(self, batch: int) -> tuple[int, ...]:
        return (batch, *self._output)

    def create_execution_context(self) -> HostContext:
        return HostContext(self)


def readers(given: tuple, find_model: Any) -> tuple[GpuReader, OcrReader]:
    """Return readers on the GPU and on the CPU; ``find_model``: role and input size -> graph."""
    device = KnownStreams()

    def planned(spec: Any, size: InputSize) -> PlanRunner:
        loaded = HostEngine(device, find_model(spec.role, size), spec.input.max_batch)
        settings = PlanSettings(use_graphs=False)
        return PlanRunner(
            trt_module(), loaded, device, FEATURES, label=spec.name, settings=settings
        )

    def plain(spec: Any, size: InputSize) -> FunctionRunner:
        session = onnx_session(find_model(spec.role, size))
        shape = (spec.input.channels, *size)
        return FunctionRunner(
            lambda feed: session.run(None, {"x": feed})[0], shape, spec.input.max_batch
        )

    engines = [
        [
            Engine(label=s.name, spec=s, open_runner=lambda size, s=s, make=make: make(s, size))
            for s in given
        ]
        for make in (planned, plain)
    ]
    return GpuReader(*engines[0]), OcrReader(*engines[1], ReadSettings(tiles="off"))


@pytest.mark.parametrize("max_batch", [1, 4])
def test_images_are_read_as_on_the_cpu(max_batch: int, device: CudaDevice) -> None:
    on_gpu, on_cpu = readers(specs(max_batch), model_of)
    lines = ["abc", "b", "ca", "acba"]
    for image in (image_with(lines), image_with([]), image_with(lines, (256, 200))):
        found, expected = on_gpu.read(image), on_cpu.read(image)
        assert [line.text for line in found] == [line.text for line in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.quad, other.quad, atol=1e-3)
            assert one.text_score == pytest.approx(other.text_score, abs=1e-3)
    assert [line.text for line in on_gpu.read(image_with(lines))] == lines


def test_a_thousand_images_leave_nothing_behind(device: CudaDevice) -> None:
    import pycuda.driver as cuda

    on_gpu, _ = readers(specs(4), model_of)
    images = [image_with(["abc", "b"]), image_with(["ca"], (200, 256))]
    for number in range(1010):
        on_gpu.read(images[number % 2])
        if number == 9:
            free = cuda.mem_get_info()[0]
    assert free - cuda.mem_get_info()[0] < 1 << 20
