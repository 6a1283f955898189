"""Features of the processor that change numbers."""

from __future__ import annotations

from pathlib import Path

_EXACT = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Instructions that sum int8 products in 32 bits: two names on x86, one on ARM."""
_BF16 = frozenset({"avx512_bf16", "amx_bf16"})


def has_exact_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether int8 products are summed in 32 bits.

    Older x86 processors add two products of an 8-bit activation and an 8-bit weight in 16 bits and
    clip the sum: 255 * 127 * 2 does not fit. False if the processor is unknown.
    """
    return _all_have(_EXACT, cpuinfo)


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether there are instructions for bf16 products, which OpenVINO's kernels use."""
    return _all_have(_BF16, cpuinfo)


def channel_block(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Return how many channels the kernels of convolutions compute together.

    A register of AVX-512 holds 16 float32 sums or int32 sums, and one of AVX2 holds 8. Kernels
    round the number of channels up to a whole register.
    """
    return 16 if _all_have(frozenset({"avx512f"}), cpuinfo) else 8


def _all_have(some: frozenset[str], cpuinfo: Path) -> bool:
    """Whether every core has at least one of these instructions; False if unknown."""
    lines = _lines(cpuinfo, ("flags", "Features"))  # x86 lists "flags", ARM "Features"
    return bool(lines) and all(some & set(line.split()) for line in lines)


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model and the instruction sets of the processors, as the system lists them.

    Libraries choose kernels by them, and kernels differ in rounding. "" if the system has no list.
    """
    keys = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(sorted(set(_lines(cpuinfo, keys))))


def _lines(cpuinfo: Path, keys: tuple[str, ...]) -> list[str]:
    """Return the lines of all cores that start with one of the keys."""
    try:
        text = cpuinfo.read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.startswith(keys)]
