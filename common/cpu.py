"""What this machine's processor can do, as far as it changes numbers."""

from __future__ import annotations

from pathlib import Path

_EXACT = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Instructions that add products of int8 up in 32 bits: two names of x86, one of ARM."""
_BF16 = frozenset({"avx512_bf16", "amx_bf16"})


def has_exact_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products of int8 are summed up in 32 bits.

    Older x86 processors add two products of an 8-bit activation and an 8-bit weight in 16 bits,
    and clip the sum: 255 * 127 * 2 does not fit. What cannot be told is taken for such a one.
    """
    return _all_have(_EXACT, cpuinfo)


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products of bf16 have instructions of their own, as OpenVINO's kernels use them."""
    return _all_have(_BF16, cpuinfo)


def _all_have(some: frozenset[str], cpuinfo: Path) -> bool:
    """Whether every processor has one of some instructions; what cannot be told has none."""
    try:
        text = cpuinfo.read_text("utf-8", errors="replace")
    except OSError:
        return False
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return bool(lines) and all(some & set(line.split()) for line in lines)


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model and the instruction sets of the processors, as the system lists them.

    Kernels are chosen by them, and with the kernels the rounding of their numbers. "" where the
    system does not tell.
    """
    try:
        text = cpuinfo.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    told = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(sorted({line for line in text.splitlines() if line.startswith(told)}))
