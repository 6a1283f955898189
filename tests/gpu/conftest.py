"""Everything here needs an NVIDIA GPU and pycuda: ``make test-gpu``. Without one it is skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocr_trt.engines.nvidia.device import CudaDevice, gpu_absence


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/gpu/" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)


@pytest.fixture
def device() -> Iterator[CudaDevice]:
    """The GPU, its context current in this thread."""
    absence = gpu_absence()
    if absence is not None:
        pytest.skip(absence[0])
    found = CudaDevice()
    with found.current():
        yield found
