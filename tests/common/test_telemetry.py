"""onnxruntime sends no telemetry once ``ocr_trt`` has been imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Replaces the function that looks up names, and writes each name to a file.
LOOKUPS = r"""
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    FILE *file = fopen(getenv("LOOKUPS"), "a");
    if (file) { fprintf(file, "%s\n", name ? name : ""); fclose(file); }
    return EAI_NONAME;
}
"""
USE = """
import time
from ocr_trt.common.onnx_session import onnx_session
try:
    onnx_session(b"no model")
except Exception:
    pass
time.sleep({seconds})
"""


def files_after(code: str, home: Path, **variables: str) -> list[str]:
    """Run code with an empty home folder; return the files that it leaves there."""
    home.mkdir(exist_ok=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    environment |= {"HOME": str(home), **variables}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, env=environment, timeout=120, capture_output=True)
    return [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]


def test_nothing_is_written_below_the_home_folder(tmp_path: Path) -> None:
    assert files_after(USE.format(seconds=1), tmp_path / "home") == []


@pytest.mark.full
def test_no_name_is_looked_up(tmp_path: Path) -> None:
    """By default, releases from 1.30 look up a host of their vendor after 12 seconds."""
    source, library, names = (tmp_path / name for name in ("l.c", "l.so", "names"))
    source.write_text(LOOKUPS)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    variables = {"LD_PRELOAD": str(library), "LOOKUPS": str(names)}
    files_after(USE.format(seconds=16), tmp_path / "home", **variables)
    assert not names.exists(), names.read_text()
