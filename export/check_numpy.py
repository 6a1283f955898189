"""Check that NumPy arrays reach Triton's Python backend and come back unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import TargetMissingError


def check_numpy(pb: Any) -> None:
    """Check that the server's Python backend works with the installed NumPy.

    The Python backend of Triton before 24.12 was compiled for NumPy 1. With NumPy 2 it starts, but
    reads the size of an element as 0: arrays contain wrong numbers, and texts end the process. So
    an array is sent through the backend's own memory and compared.

    Args:
        pb: Triton's module ``triton_python_backend_utils``.

    Raises:
        TargetMissingError: the array comes back changed; states which NumPy to install.
    """
    array = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    tensor = pb.Tensor("check", array)
    # Through DLPack: ``as_numpy`` of the tensor itself would return the same Python object.
    returned = pb.Tensor.from_dlpack("check", tensor.to_dlpack()).as_numpy()
    if not np.array_equal(array, returned):
        raise TargetMissingError(
            f"this server's Python backend does not work with NumPy {np.__version__}: it was "
            "compiled for NumPy 1, and arrays come back with wrong values; install NumPy 1 for it "
            "(pip install 'numpy<2'), or use Triton 24.12 or later"
        )
