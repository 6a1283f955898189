"""How often a block was begun, so that an image that kills its process is found and left out.

Ray restarts an actor that died, and gives it the same block again. If one image of the block
crashes a library or uses all memory, that would never end. So the third attempt reads the images
one by one and records each, and an image during which the process died twice gets an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_CAREFUL = 3
"""The attempt from which on images are read one by one. The first two deaths may have any cause."""
_DEATHS = 2
"""How often the process must die during an image before it is left out."""
_BEGIN, _START, _END = "begin", "start", "end"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to read a block."""

    file: Path
    number: int
    """Which attempt it is, counted from 1."""
    deaths: Counter[str]
    """How often the process died during an image, by its position in the block."""

    @property
    def is_careful(self) -> bool:
        """Whether images are read one by one."""
        return self.number >= _CAREFUL

    def is_fatal(self, position: int) -> bool:
        """Whether the image at this position in the block is left out."""
        return self.deaths[str(position)] >= _DEATHS

    @contextlib.contextmanager
    def reading(self, position: int) -> Iterator[None]:
        """Record that an image is read in the block of this ``with``."""
        _append(self.file, f"{_START} {position}")
        yield
        _append(self.file, f"{_END} {position}")


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """Counts attempts in files of a folder that all machines see."""

    folder: Path

    @contextlib.contextmanager
    def begin(self, ids: Sequence[str]) -> Iterator[Attempt]:
        """Record that a block with these ids is begun; forget it when the ``with`` ends."""
        file = self.folder / hashlib.sha256("\0".join(ids).encode()).hexdigest()
        _append(file, _BEGIN)
        lines = Counter(file.read_text("utf-8").splitlines())
        deaths = Counter[str]()
        for line, count in lines.items():
            word, _, position = line.partition(" ")
            if word == _START:
                deaths[position] = count - lines[f"{_END} {position}"]
        try:
            yield Attempt(file=file, number=lines[_BEGIN], deaths=deaths)
        finally:
            file.unlink(missing_ok=True)


def _append(file: Path, line: str) -> None:
    """Add a line that survives the death of this process."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)
