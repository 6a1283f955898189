"""Kernels on a GPU against their NumPy references, and whether they leave memory behind."""

from __future__ import annotations

import pytest

from ocr_trt.engines.nvidia.device import CudaDevice
from ocr_trt.plugins.cuda.nvrtc import FLOORS, ptx_from_source
from ocr_trt.plugins.cuda.on_device import DeviceKernels
from ocr_trt.plugins.registry import PLUGINS
from ocr_trt.plugins.verify_kernels import verify_on_device


@pytest.mark.parametrize("name", PLUGINS)
@pytest.mark.parametrize("floor", FLOORS)
def test_kernels_are_the_op(name: str, floor: int, device: CudaDevice) -> None:
    major, minor = map(int, device.gpu.compute_capability.split("."))
    if 10 * major + minor < floor:
        pytest.skip(f"PTX for {floor} does not run on {device.gpu.name}")
    finding = verify_on_device(PLUGINS[name], floor, device.gpu.name)
    assert finding.wrong == ()


@pytest.mark.parametrize("name", PLUGINS)
def test_a_thousand_runs_leave_nothing_behind(name: str, device: CudaDevice) -> None:
    import pycuda.driver as cuda

    plugin = PLUGINS[name]
    kernels = DeviceKernels(ptx_from_source(plugin.source, FLOORS[0]))
    examples = plugin.examples()
    launches = [plugin.launch(e.inputs, e.attributes) for e in examples]
    free = []
    for number in range(1010):
        chosen = number % len(examples)
        kernels.run(launches[chosen], examples[chosen].inputs)
        if number == 9:
            free.append(cuda.mem_get_info()[0])
    assert free[0] - cuda.mem_get_info()[0] < 1 << 20
