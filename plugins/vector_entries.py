"""Names of the kernels that process one or several elements of a row per thread.

A GPU reaches its bandwidth with loads and stores of 16 bytes. They need addresses that are
multiples of 16, so they fit only rows whose length is a multiple of the vector's.
"""

from __future__ import annotations

import numpy as np

_KINDS = {np.dtype(np.float32): ("f32", 4), np.dtype(np.float16): ("f16", 8)}
"""dtype -> its abbreviation in kernel names, and how many elements 16 bytes hold."""


def entries(stem: str, share: int = 1) -> tuple[str, ...]:
    """Return the names of all kernels of an op on rows.

    ``share``: 1, if a thread reads 16 bytes of a row; 2, if it reads 8.
    """
    return tuple(
        f"{stem}_{kind}_x{n}" for kind, count in _KINDS.values() for n in (count // share, 1)
    )


def entry_for(stem: str, dtype: np.dtype, columns: int | None, share: int = 1) -> tuple[str, int]:
    """Return the kernel for rows of ``columns`` elements, and how many a thread processes.

    ``columns`` is None if it is unknown; ``share`` as for :func:`entries`.

    Raises:
        ValueError: there is no kernel for the dtype.
    """
    if dtype not in _KINDS:
        raise ValueError(f"no kernel for {dtype}; there are some for {', '.join(map(str, _KINDS))}")
    kind, in_16_bytes = _KINDS[dtype]
    vector = in_16_bytes // share
    # A row that is no multiple of the vector, or may be none, needs the kernel for single elements.
    per_thread = 1 if columns is None or columns % vector else vector
    return f"{stem}_{kind}_x{per_thread}", per_thread
