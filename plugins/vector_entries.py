"""Names of the kernels that process several elements of a row per thread, or one.

A GPU reaches its bandwidth with loads and stores of 16 bytes. They need addresses that are
multiples of 16, so they fit only rows whose length is a multiple of the vector's.
"""

from __future__ import annotations

import numpy as np

_KINDS = {np.dtype(np.float32): ("f32", 4), np.dtype(np.float16): ("f16", 8)}
"""The name in a kernel's name, and how many elements 16 bytes hold."""


def entries(stem: str, share: int = 1) -> tuple[str, ...]:
    """Return the names of all kernels of an op on rows.

    ``share``: 1, if a thread reads 16 bytes of a row; 2, if it reads 8.
    """
    return tuple(
        f"{stem}_{kind}_x{n}" for kind, most in _KINDS.values() for n in (most // share, 1)
    )


def entry_for(stem: str, dtype: np.dtype, columns: int | None, share: int = 1) -> tuple[str, int]:
    """Return the kernel for rows of ``columns`` elements, and how many a thread processes.

    ``columns`` is None if it is unknown; ``share`` as for :func:`entries`.

    Raises:
        ValueError: there is no kernel for the dtype.
    """
    if dtype not in _KINDS:
        raise ValueError(f"no kernel for {dtype}; there are some for {', '.join(map(str, _KINDS))}")
    kind, of_16_bytes = _KINDS[dtype]
    most = of_16_bytes // share
    per_thread = 1 if columns is None or columns % most else most
    return f"{stem}_{kind}_x{per_thread}", per_thread
