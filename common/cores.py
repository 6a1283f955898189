"""The number of processor cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Return the number of cores that this process may use, within its container's quota.

    In a container with a quota of two cores, the system still reports all cores of the machine. As
    many threads would mostly wait for each other. ``quota``: a file of control groups version 2.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text("ascii").split()  # both in microseconds of CPU time
        return max(1, min(cores, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no quota: "max 100000", or no such file
        return cores


def limited_cores(quota: Path = _QUOTA) -> int:
    """Return :func:`usable_cores` if a quota limits them, else 0: the default of a library."""
    cores = usable_cores(quota)
    return cores if cores < len(os.sched_getaffinity(0)) else 0
