"""Features of processors in /proc/cpuinfo."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocr_trt.common.cpu import has_exact_int8


@pytest.mark.parametrize(
    ("text", "exact", "why"),
    [
        ("flags : fpu avx2 avx512f avx512_vnni\n", True, "VNNI with AVX-512"),
        ("flags : fpu avx2 avx_vnni\n", True, "VNNI with AVX2"),
        ("flags : fpu avx2 avx512f\n", False, "AVX-512 alone adds in 16 bits"),
        ("flags : avx_vnni_int8_not\n", False, "whole words only"),
        ("flags : avx_vnni\nflags : avx2\n", False, "one core that cannot is enough"),
        ("Features : fp asimd asimddp\n", True, "ARM's dot product"),
        ("model name : x\n", False, "lists no instructions"),
        ("", False, "empty"),
    ],
)
def test_exact_int8_is_read_from_the_flags(
    text: str, exact: bool, why: str, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert has_exact_int8(tmp_path / "cpuinfo") == exact, why


def test_missing_flags_mean_no_exact_int8(tmp_path: Path) -> None:
    assert not has_exact_int8(tmp_path / "nothing")
