"""Memory that this process may use, and a budget of it that threads share."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/meminfo")
_PROCESS = Path("/proc/self/status")


def available_memory(groups: Path = _GROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Return the number of bytes that this process can still allocate without swapping.

    The least of what is left on the machine, in the control groups that contain the process
    (containers, systemd services; version 1 and 2), and below the limit of its address space.
    """
    left = [_kib(_MACHINE, "MemAvailable:"), *_left_in_groups(groups, own_group)]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        left.append(limit - _kib(_PROCESS, "VmSize:"))
    return max(0, min(left))


def _kib(path: Path, key: str) -> int:
    """Return a value that a file of the kernel states in KiB, in bytes."""
    line = next(line for line in path.read_text("ascii").splitlines() if line.startswith(key))
    return int(line.split()[1]) << 10


def _left_in_groups(groups: Path, own_group: Path) -> Iterator[int]:
    for root, folder in _folders_of_groups(groups, own_group):
        # From the group of the process to the root: each may have a limit.
        for each in (folder, *folder.parents):
            yield from _left_in_group(each)
            if each == root:
                break


def _folders_of_groups(groups: Path, own_group: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the root and the own folder of each hierarchy that limits memory."""
    try:
        lines = own_group.read_text("ascii", "replace").splitlines()
    except OSError:
        return
    for line in lines:  # such as 0::/system.slice/ocr.service (version 2), 4:memory:/docker/1f...
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = groups / "memory" if controllers else groups
        folder = root / name.lstrip("/")
        # In a container, the path may be that of the host; then only the root is visible.
        yield root, folder if folder.is_dir() and ".." not in folder.parts else root


def _left_in_group(folder: Path) -> Iterator[int]:
    for limit, usage, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = int((folder / limit).read_text("ascii"))
            used = int((folder / usage).read_text("ascii"))
            rows = map(str.split, (folder / "memory.stat").read_text("ascii").splitlines())
            cached = next((int(value) for key, value in rows if key == inactive), 0)
        except (OSError, ValueError):  # no such file, or no limit: "max"
            continue
        # The kernel frees pages of files that were not used for long before it refuses memory.
        yield most - used + cached


class MemoryBudget:
    """Bytes that several threads share; who needs more than is left waits, in order of arrival."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lent: list[int] = []
        self._waiting: deque[object] = deque()
        self._state = Condition()

    @contextmanager
    def lend(self, amount: int) -> Iterator[None]:
        """Take ``amount`` bytes for a block. More than the whole budget: waits to be alone."""
        with self._state:
            place = object()
            self._waiting.append(place)
            try:
                self._state.wait_for(lambda: self._is_turn(place, amount))
                self._lent.append(amount)
            finally:  # also if the wait is interrupted
                self._waiting.remove(place)
                self._state.notify_all()
        try:
            yield
        finally:
            with self._state:
                self._lent.remove(amount)
                self._state.notify_all()

    def _is_turn(self, place: object, amount: int) -> bool:
        # In order of arrival: otherwise small images could overtake a large one forever.
        fits = not self._lent or sum(self._lent) + amount <= self.size
        return self._waiting[0] is place and fits
