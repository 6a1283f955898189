"""Compilation of CUDA C++ to PTX by NVRTC, which needs no GPU, driver or toolkit."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from ...common.cache import Cache, key_from
from ...common.error_text import why_not_imported
from ...errors import EngineBuildError, TargetMissingError

FLOORS = (75, 80, 90)
"""Compute capabilities, times ten, to compile for. PTX runs on its own and on all later ones."""
HEADERS = Path(__file__).parent
_INSTALL = "install it with: pip install 'ocr-trt[cuda]'"


def ptx_from_source(source: Path, floor: int, cache: Cache | None = None) -> bytes:
    """Compile kernels, or read them from the cache if source, headers and options are unchanged.

    Args:
        source: a CUDA C++ file; it may include the headers beside this module.
        floor: the lowest compute capability that the PTX runs on, times ten.
        cache: where PTX is kept; None: it is compiled each time.

    Returns:
        The PTX text, ASCII.

    Raises:
        EngineBuildError: NVRTC rejects the file; the message shows its lines.
        TargetMissingError: NVRTC is not installed.
    """
    options = (f"--gpu-architecture=compute_{floor}", "--std=c++17")
    if cache is None:
        return _compiled(source, options)
    # A change to a header changes the PTX, too.
    key = key_from([nvrtc_version(), options, source.read_text("utf-8"), _headers()])
    ptx = cache.read(key)
    if ptx is None:
        ptx = _compiled(source, options)
        cache.write(key, ptx)
    return ptx


def _headers() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(HEADERS.glob("*.cuh"))}


@cache
def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        if isinstance(error, ImportError):
            raise TargetMissingError(f"{why_not_imported(error, 'NVRTC')}; {_INSTALL}") from None
        raise TargetMissingError(f"NVRTC cannot be loaded ({error}); {_INSTALL}") from None
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
            raise EngineBuildError(f"{source}: NVRTC cannot compile it:\n{log or status.name}")
        return _text(nvrtc, program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def entries_of(ptx: bytes) -> dict[str, int]:
    """Return the names of the kernels in PTX, and the number of parameters of each."""
    matches = re.finditer(rb"\.visible \.entry (\w+)\(([^)]*)\)", ptx)
    return {match[1].decode(): match[2].count(b".param") for match in matches}
