"""How many processor cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Return the cores that this process may run on, and a container's share of them.

    A container with a quota of two cores on a machine of 64 sees all 64; as many threads would
    mostly wait for one another. The quota is that of control groups, version 2.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text("ascii").split()
        return max(1, min(cores, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no quota: "max 100000", or no such file
        return cores


def limited_cores(quota: Path = _QUOTA) -> int:
    """Return :func:`usable_cores` if a quota makes them fewer than there are, else 0."""
    cores = usable_cores(quota)
    return cores if cores < len(os.sched_getaffinity(0)) else 0
