"""The one Core of a process: signals after plans were closed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import onnx.parser
import pytest

from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.openvino import library
from ocr_trt.engines.targets import backend

MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }
""")
SIGNAL = """
import signal, sys, threading
from pathlib import Path
from ocr_trt.engines.base import RunSettings
from ocr_trt.engines.targets import backend
plan, handled = Path(sys.argv[1]), []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))

def opened():
    return backend("openvino").open(plan, label="x", settings=RunSettings(), max_batch=4)

if sys.argv[2] == "in the order of opening":
    runners = [opened() for _ in range(3)]
    while runners:
        runners.pop(0).close()
else:
    runner = opened()
    thread = threading.Thread(target=runner.close)
    thread.start()
    thread.join()
    del runner
signal.raise_signal(signal.SIGUSR1)
print(handled)
"""


@pytest.mark.parametrize("way", ["in the order of opening", "in another thread"])
def test_signals_are_handled_after_plans_are_closed(way: str, tmp_path: Path) -> None:
    """OpenVINO gives threads a stack for signal handlers, and frees it with its last Core."""
    plan = tmp_path / "plan.xml"
    backend("openvino").build(MODEL, plan, BuildSettings(max_batch=4))
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL, plan, way], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "[1]\n"), done.stderr


def test_only_one_file_creates_a_core() -> None:
    root = Path(library.__file__).parents[2]
    creating = [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*.py"))
        if not {"tests", "benchmarks", ".venv"} & set(path.relative_to(root).parts)
        and re.search(r"\bCore\(\)|\b(ov|openvino)\.compile_model\(", path.read_text())
    ]
    assert creating == ["engines/openvino/library.py"]
