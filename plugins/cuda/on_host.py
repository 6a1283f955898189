"""Run kernels on the CPU: a C++ compiler builds the same source with sanitizers.

It detects wrong numbers, accesses out of bounds, misaligned vector loads, races in shared memory
within a block and in global memory between blocks, and barriers that not all threads reach.

It does not detect: low speed; rounding that differs in a GPU's arithmetic; shared memory that is
read before it is written; code that relies on a shuffle as a memory barrier, which it is here but
not on a GPU; and errors that occur only in orders of relaxed atomics that a CPU does not produce.
"""

from __future__ import annotations

import math
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
_MULTIPROCESSORS: dict[Watch, int] = {"memory": 1, "races": 2}
"""Blocks that run at the same time. A race between blocks needs two."""
_COMPILE_SECONDS = 300
_RUN_SECONDS = 120


def compiler() -> str | None:
    """Return the path of a C++ compiler; None if there is none."""
    return shutil.which("g++") or shutil.which("clang++")


def _run_tool(command: list[str], who: str, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise EngineBuildError(f"{who} did not end within {seconds} s") from None


def _bytes_of(buffer: tuple[tuple[int, ...], np.dtype]) -> int:
    shape, dtype = buffer
    return math.prod(shape) * dtype.itemsize


def _program_of(source: Path, entries: Sequence[str], copies: int) -> str:
    """Return a C++ program with ``copies`` of the kernels.

    Shared memory is a static variable there, so blocks that run at the same time need a copy each.
    """
    # Headers first: included by a kernel, they would declare everything in that copy's namespace.
    parts = ['#include "on_host.hpp"\n', *(f'#include "{p.name}"\n' for p in HEADERS.glob("*.cuh"))]
    for copy in range(copies):
        # Entries are extern "C", so two copies of one name would be the same function.
        parts += [f"#define {entry} {entry}_{copy}\n" for entry in entries]
        parts.append(f'namespace copy_{copy} {{\n#include "{source.resolve()}"\n}}\n')
        parts += [f"#undef {entry}\n" for entry in entries]
    parts.append("auto named(const std::string &name, const on_host::Arguments &arguments)\n{\n")
    for entry in entries:
        kernels = ", ".join(f"copy_{copy}::{entry}_{copy}" for copy in range(copies))
        bound = f"on_host::bound(std::vector{{{kernels}}}, arguments)"
        parts.append(f'    if (name == "{entry}") return {bound};\n')
    parts.append(
        "    throw std::invalid_argument(name);\n}\n\n"
        "int main(int argc, char **argv) { return on_host::run(argc, argv, named); }\n"
    )
    return "".join(parts)


class HostKernels:
    """The kernels of one file, built for this CPU.

    Args:
        source: a CUDA C++ file.
        entries: the kernels in it.
        folder: an existing folder to build and run in.
        watch: the errors to look for: "memory" (addresses, undefined behavior) or "races".

    Raises:
        TargetMissingError: there is no C++ compiler.
        EngineBuildError: the compiler rejects the file.
    """

    def __init__(
        self, source: Path, entries: Sequence[str], folder: Path, watch: Watch = "memory"
    ) -> None:
        tool = compiler()
        if tool is None:
            raise TargetMissingError("no C++ compiler found; install one with: apt-get install g++")
        self._source, self._folder = source, folder
        self._program = folder / f"{source.parent.name}-{watch}"
        main = folder / f"{source.parent.name}.cpp"
        main.write_text(_program_of(source, entries, _MULTIPROCESSORS[watch]))
        # The first error ends the program (no-sanitize-recover), so its exit code reports it.
        command = [
            tool, "-std=c++20", "-O1", "-g", "-pthread", "-Wall", "-Wno-unknown-pragmas",
            f"-fsanitize={_SANITIZERS[watch]}", "-fno-sanitize-recover=all",
            f"-I{HEADERS}", str(main), "-o", str(self._program),
        ]  # fmt: skip
        done = _run_tool(command, f"{source}: {tool}", _COMPILE_SECONDS)
        if done.returncode:
            raise EngineBuildError(
                f"{source}: {tool} cannot compile it:\n{done.stderr.strip()[:2000]}"
            )

    def run(self, launch: Launch, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run all launches of an op; inputs are passed in C order.

        Raises:
            EngineBuildError: a sanitizer reports an error; the message contains the kernel's line.
        """
        # The program's arguments are described in on_host.hpp.
        arguments = []
        for step in launch.steps:
            arguments += [step.entry, str(step.blocks), str(step.threads)]
        arguments.append("--")
        for number, array in enumerate(inputs):
            path = self._folder / f"in-{number}.bin"
            path.write_bytes(np.ascontiguousarray(array).tobytes())
            arguments.append(f"r:{path}")
        arguments += [f"i:{number}" for number in launch.numbers]
        paths = [self._folder / f"out-{number}.bin" for number in range(len(launch.outputs))]
        for path, buffer in zip(paths, launch.outputs, strict=True):
            arguments.append(f"w:{path}:{_bytes_of(buffer)}")
        arguments += [f"s:{_bytes_of(buffer)}" for buffer in launch.scratch]
        names = ", ".join(step.entry for step in launch.steps)
        who = f"{self._source}: {names}, which may have a barrier that not all threads reach,"
        done = _run_tool([str(self._program), *arguments], who, _RUN_SECONDS)
        if done.returncode:
            raise EngineBuildError(
                f"{self._source}: {names} fails on the CPU:\n{done.stderr.strip()[:2000]}"
            )
        return tuple(
            np.frombuffer(path.read_bytes(), dtype).reshape(shape)
            for path, (shape, dtype) in zip(paths, launch.outputs, strict=True)
        )
