"""Which entry of a kernel that moves data takes a row: several values at a time, or one by one."""

from __future__ import annotations

import numpy as np

_KINDS = {np.dtype(np.float32): ("f32", 4), np.dtype(np.float16): ("f16", 8)}
"""Name, and how many of them 16 bytes hold."""


def entries(stem: str, share: int = 1) -> tuple[str, ...]:
    """Return the names of all entries of an op on rows.

    ``share``: 1, if a thread takes 16 bytes of a row; 2 if it takes 8.
    """
    return tuple(
        f"{stem}_{kind}_x{n}" for kind, most in _KINDS.values() for n in (most // share, 1)
    )


def entry_hwc8(stem: str) -> str:
    """Return the entry of an op for TensorRT's format HWC8."""
    return f"{stem}_f16_hwc8"


def entry_for(stem: str, dtype: np.dtype, columns: int | None, share: int = 1) -> tuple[str, int]:
    """Return the entry for rows of so many columns, and how many of them a thread makes.

    ``columns`` is None if they are free; ``share`` as for :func:`entries`.

    Raises:
        ValueError: there is none for the dtype.
    """
    if dtype not in _KINDS:
        raise ValueError(f"no kernel for {dtype}; it takes {', '.join(map(str, _KINDS))}")
    kind, of_16_bytes = _KINDS[dtype]
    most = of_16_bytes // share
    side = 1 if columns is None or columns % most else most
    return f"{stem}_{kind}_x{side}", side
