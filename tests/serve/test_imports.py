"""The service starts quickly: it imports nothing that only conversion or measuring needs."""

from __future__ import annotations

import subprocess
import sys


def test_service_imports_nothing_heavy() -> None:
    code = (
        "import sys, ocr_trt.serve.server\n"
        "heavy = {'onnx_ir', 'sympy', 'tensorflow', 'onnxruntime', 'matplotlib', 'keras'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
