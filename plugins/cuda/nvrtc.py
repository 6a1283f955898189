"""PTX from CUDA C++ by NVRTC: no GPU, no driver, no toolkit."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from ...common.files import check_writable, write_whole
from ...errors import EngineBuildError, TargetMissingError

FLOORS = (75, 80, 90)
"""Compute capabilities, times ten, that PTX is made for; it runs on these and all above."""
HEADERS = Path(__file__).parent
_REMEDY = "install it with: pip install 'ocr-trt[cuda]'"


def ptx_from_source(source: Path, floor: int, folder: Path | None = None) -> bytes:
    """Compile kernels, or take them from the cache if nothing about them has changed.

    Args:
        source: a CUDA C++ file; it may include the headers that stand beside this module.
        floor: the least compute capability, times ten.
        folder: of the cache; None compiles anew.

    Returns:
        PTX text, ASCII.

    Raises:
        EngineBuildError: NVRTC refuses it; the message has the kernel's lines.
        TargetMissingError: NVRTC is not installed.
        OutputError: the cache cannot be written.
    """
    options = (f"--gpu-architecture=compute_{floor}", "--std=c++17")
    if folder is None:
        return _compiled(source, options)
    path = folder / f"{_key(source, options)}.ptx"
    if path.is_file():
        return path.read_bytes()
    check_writable(folder)
    ptx = _compiled(source, options)
    write_whole(path, ptx)
    return ptx


def _headers() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(HEADERS.glob("*.cuh"))}


def _key(source: Path, options: tuple[str, ...]) -> str:
    major, minor = nvrtc_version()
    parts = (f"NVRTC {major}.{minor}", *options, source.read_text("utf-8"))
    named = (f"{name}\n{text}" for name, text in _headers().items())
    return hashlib.sha256("\0".join((*parts, *named)).encode()).hexdigest()


@cache
def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        raise TargetMissingError(f"NVRTC is not here ({error}); {_REMEDY}") from None
    return nvrtc


def nvrtc_version() -> tuple[int, int]:
    """Return NVRTC's version. PTX runs on drivers for this version of CUDA and later.

    Raises:
        TargetMissingError: NVRTC is not installed.
    """
    nvrtc = _nvrtc()
    _, major, minor = nvrtc.nvrtcVersion()
    return major, minor


def _text(nvrtc: Any, program: Any, what: str) -> bytes:
    size = getattr(nvrtc, f"nvrtcGet{what}Size")(program)[1]
    if size < 2:  # a terminating zero; CPython shares bytes objects as short as that
        return b""
    buffer = bytes(size)
    getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
    return buffer.rstrip(b"\0 ")


def _compiled(source: Path, options: tuple[str, ...]) -> bytes:
    """Compile in a thread of its own: NVRTC leaves the thread in the "C" locale (``uselocale``).

    Python would read and write ASCII files there.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_compile, source, options).result()


def _compile(source: Path, options: tuple[str, ...]) -> bytes:
    nvrtc, headers = _nvrtc(), _headers()
    code, name = source.read_bytes(), source.name.encode()
    texts = [text.encode() for text in headers.values()]
    names = [name.encode() for name in headers]
    _, program = nvrtc.nvrtcCreateProgram(code, name, len(names), texts, names)
    try:
        encoded = [option.encode() for option in options]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = _text(nvrtc, program, "ProgramLog").decode("utf-8", "replace").strip()
            raise EngineBuildError(f"{source}: NVRTC refuses it:\n{log or status.name}")
        return _text(nvrtc, program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def entries_of(ptx: bytes) -> dict[str, int]:
    """Return the kernels in PTX, and how many parameters each takes."""
    found = re.finditer(rb"\.visible \.entry (\w+)\(([^)]*)\)", ptx)
    return {match[1].decode(): match[2].count(b".param") for match in found}
