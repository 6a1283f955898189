"""A few cases of ``fuzz.py``, and that it detects crashes, bugs and hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzz

COUNTS = {
    **{"images": 150, "specs": 60, "manifests": 60, "models": 25},
    **{"labels": 60, "charsets": 60, "constants": 60, "foreign_images": 60},
    **{"pages": 100, "integer_models": 25},
}


@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_files_are_read_or_refused(kind: str) -> None:
    outcome = fuzz.fuzz(kind, COUNTS[kind], seed=1)
    assert outcome.wrong == []
    assert outcome.cases == COUNTS[kind]
    assert outcome.read > 0, "nothing that was damaged gets through: the damage is too coarse"
    assert outcome.refused.total() > 0


BROKEN = """
import os, signal, sys, time
sys.path.insert(0, {folder!r})
import fuzz_cases
from ocr_trt.errors import InputFileError

def broken(folder):
    number = int(sys.argv[sys.argv.index("--first") + 1]) - 1
    def case(rng):
        nonlocal number
        number += 1
        if number == 1: os.kill(os.getpid(), signal.SIGSEGV)
        if number == 2: raise ValueError("a bug")
        if number == 3: raise InputFileError("no")
        while number == 4: pass
        print("noise")
    return case

fuzz_cases.CASES["images"] = broken
import fuzz
fuzz.CPU_SECONDS = 0.2
fuzz.main()
"""


def test_crash_bug_and_hang_are_reported_and_the_rest_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(BROKEN.format(folder=str(fuzz.HERE)))
    monkeypatch.setattr(fuzz, "SCRIPT", script)
    monkeypatch.setattr(fuzz, "CPU_SECONDS", 0.2)
    outcome = fuzz.fuzz("images", 7)
    assert outcome.read == 3
    assert outcome.refused == {"InputFileError": 1}
    crash, bug, hang = outcome.wrong
    assert crash == "images 1, seed 0: crash: SIGSEGV"
    assert bug.startswith("images 2, seed 0: ValueError: a bug")
    assert hang == "images 4, seed 0: hang: over 0.2 s of processor time"
