"""Compilation of CUDA C++ to PTX by NVRTC, which needs no GPU, driver or toolkit."""

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
"""The compute capabilities, times ten, to compile for. PTX runs on its own and all later ones."""
HEADERS = Path(__file__).parent
_REMEDY = "install it with: pip install 'ocr-trt[cuda]'"


def ptx_from_source(source: Path, floor: int, folder: Path | None = None) -> bytes:
    """Compile kernels, or read them from the cache if source, headers and options are unchanged.

    Args:
        source: a CUDA C++ file; it may include the headers beside this module.
        floor: the lowest compute capability that the PTX runs on, times ten.
        folder: of the cache; None compiles anew.

    Returns:
        The PTX text, ASCII.

    Raises:
        EngineBuildError: NVRTC rejects the file; the message shows its lines.
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
    # A change to a header changes the PTX, too.
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
    # NVRTC writes into the bytes object. CPython shares bytes objects of one byte, so a text that
    # is only the terminating zero must not be read this way.
    if size < 2:
        return b""
    buffer = bytes(size)
    getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
    return buffer.rstrip(b"\0 ")


def _compiled(source: Path, options: tuple[str, ...]) -> bytes:
    """Compile in a separate thread.

    NVRTC leaves its thread in the "C" locale (``uselocale``), where Python's default encoding of
    files is ASCII.
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
            raise EngineBuildError(f"{source}: NVRTC rejects it:\n{log or status.name}")
        return _text(nvrtc, program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def entries_of(ptx: bytes) -> dict[str, int]:
    """Return the names of the kernels in PTX, and the number of parameters of each."""
    matches = re.finditer(rb"\.visible \.entry (\w+)\(([^)]*)\)", ptx)
    return {match[1].decode(): match[2].count(b".param") for match in matches}
