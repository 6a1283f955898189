from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocr_trt.common.cores import limited_cores, usable_cores


@pytest.mark.parametrize(
    ("quota", "usable", "limited"),
    [
        ("max 100000", 8, 0),
        ("200000 100000", 2, 2),
        ("150000 100000", 2, 2),
        ("10000 100000", 1, 1),
        ("6400000 100000", 8, 0),
        ("nonsense", 8, 0),
        ("100000 0", 8, 0),
    ],
    ids=["none", "whole", "part of a core", "below one", "above all", "damaged", "no period"],
)
def test_quota_of_a_container_limits_the_cores(
    quota: str, usable: int, limited: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)})
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path / "cpu.max") == usable
    assert limited_cores(tmp_path / "cpu.max") == limited


def test_all_cores_without_control_groups(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "missing") == len(os.sched_getaffinity(0))
    assert limited_cores(tmp_path / "missing") == 0
