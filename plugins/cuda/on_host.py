"""Kernels on the CPU: the same source, built by a C++ compiler with sanitizers.

What is seen there: wrong numbers, accesses out of bounds, vector loads that are not aligned, races
in shared memory within a block, and barriers that not all threads reach. What is not: speed, what
a GPU's own arithmetic rounds otherwise, races between blocks (they follow each other here), shared
memory that is read before it is written, and code that takes a shuffle for a memory barrier (it is
one here).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import EngineBuildError, TargetMissingError
from ..plugin import Array, Launch
from .nvrtc import HEADERS

Watch = Literal["memory", "races"]
_SANITIZERS: dict[Watch, str] = {"memory": "address,undefined", "races": "thread"}
_COMPILE_SECONDS = 300
_RUN_SECONDS = 120


def compiler() -> str | None:
    """Return a C++ compiler, if there is one."""
    return shutil.which("g++") or shutil.which("clang++")


def _watched(command: list[str], who: str, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise EngineBuildError(f"{who} did not end in {seconds} s") from None


class HostKernels:
    """The kernels of one file, built for this CPU.

    Args:
        source: a CUDA C++ file.
        entries: the kernels in it.
        folder: an existing folder to build and run in.
        watch: what to look for while they run.

    Raises:
        TargetMissingError: there is no C++ compiler.
        EngineBuildError: it refuses the file.
    """

    def __init__(
        self, source: Path, entries: Sequence[str], folder: Path, watch: Watch = "memory"
    ) -> None:
        tool = compiler()
        if tool is None:
            raise TargetMissingError("no C++ compiler: apt-get install g++")
        self._source, self._folder = source, folder
        self._program = folder / f"{source.parent.name}-{watch}"
        calls = "".join(
            f'    if (name == "{e}") return on_host::run({e}, argc - 1, argv + 1);\n'
            for e in entries
        )
        main = folder / f"{source.parent.name}.cpp"
        main.write_text(
            f'#include "on_host.hpp"\n#include "{source.resolve()}"\n\n'
            "int main(int argc, char **argv)\n{\n    const std::string name = argv[1];\n"
            f"{calls}    return 1;\n}}\n"
        )
        command = [
            tool, "-std=c++20", "-O1", "-g", "-pthread", "-Wall", "-Wno-unknown-pragmas",
            f"-fsanitize={_SANITIZERS[watch]}", "-fno-sanitize-recover=all",
            f"-I{HEADERS}", str(main), "-o", str(self._program),
        ]  # fmt: skip
        done = _watched(command, f"{source}: {tool}", _COMPILE_SECONDS)
        if done.returncode:
            raise EngineBuildError(f"{source}: {tool} refuses it:\n{done.stderr.strip()[:2000]}")

    def run(self, launch: Launch, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run one launch; inputs are read as they lie, C-contiguous.

        Raises:
            EngineBuildError: a sanitizer saw something; the message has the kernel's line.
        """
        arguments = [launch.entry, str(launch.blocks), str(launch.threads)]
        for number, array in enumerate(inputs):
            path = self._folder / f"in-{number}.bin"
            path.write_bytes(np.ascontiguousarray(array).tobytes())
            arguments.append(f"r:{path}")
        arguments += [f"i:{number}" for number in launch.numbers]
        paths = [self._folder / f"out-{number}.bin" for number in range(len(launch.outputs))]
        for path, (shape, dtype) in zip(paths, launch.outputs, strict=True):
            arguments.append(f"w:{path}:{int(np.prod(shape)) * dtype.itemsize}")
        who = (
            f"{self._source}: {launch.entry}, which may have a barrier that not all threads reach,"
        )
        done = _watched([str(self._program), *arguments], who, _RUN_SECONDS)
        if done.returncode:
            raise EngineBuildError(
                f"{self._source}: {launch.entry} fails on the CPU:\n{done.stderr.strip()[:2000]}"
            )
        return tuple(
            np.frombuffer(path.read_bytes(), dtype).reshape(shape)
            for path, (shape, dtype) in zip(paths, launch.outputs, strict=True)
        )
