"""Kernels of the ops on 2x2 windows, MaxPoolArgmax2d and MaxUnpool2d: names and launches.

Both ops have a value per window on one side and four on the other, so their grids are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .hwc8 import CHANNELS_PER_GROUP
from .plugin import Buffers, Launch, blocks_for
from .vector_entries import entries, entry_for

THREADS = 256
"""Per block."""


@dataclass(frozen=True, kw_only=True)
class WindowKernels:
    """The kernels of one op.

    Attributes:
        stem: what their names start with.
        share: as for :func:`~.vector_entries.entries`.
    """

    stem: str
    share: int = 1

    @property
    def entries(self) -> tuple[str, ...]:
        """The names of all kernels."""
        return (*entries(self.stem, self.share), self.hwc8_entry)

    @property
    def hwc8_entry(self) -> str:
        """The kernel for TensorRT's format HWC8."""
        return f"{self.stem}_f16_hwc8"

    def linear_entry(self, dtype: np.dtype, columns: int | None) -> tuple[str, int]:
        """Return the kernel for rows of ``columns`` windows, and how many a thread processes.

        ``columns`` is None if it is unknown.
        """
        return entry_for(self.stem, dtype, columns, self.share)

    def launch(self, windows: tuple[int, int, int, int], outputs: Buffers) -> Launch:
        """Return the launch for NCHW tensors with windows (N, C, H, W)."""
        batch, channels, height, width = windows
        # Rows of all channels and samples are adjacent in memory, so they form one list of rows.
        rows = batch * channels * height
        entry, per_thread = self.linear_entry(outputs[0][1], width)
        return self._launch(entry, rows * width // per_thread, (rows, width), outputs)

    def launch_hwc8(self, windows: tuple[int, int, int, int], outputs: Buffers) -> Launch:
        """Return the launch for HWC8 tensors with windows (N, H, W, 8 G)."""
        batch, height, width, channels = windows
        rows, groups = batch * height, channels // CHANNELS_PER_GROUP
        return self._launch(self.hwc8_entry, rows * width * groups, (rows, width, groups), outputs)

    def _launch(self, entry: str, work: int, numbers: tuple[int, ...], outputs: Buffers) -> Launch:
        return Launch(
            entry=entry,
            blocks=blocks_for(work, THREADS),
            threads=THREADS,
            numbers=numbers,
            outputs=outputs,
        )
