"""Sessions of onnxruntime on graphs that crash it with all of its rewrites."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from ocr_trt.common.onnx_session import onnx_session

_NODES = """
  a = Transpose <perm = [1, 2, 0]> (x)
  b = Cast <to = 1> (a)
  c = MatMul (b, w)
  d = Add (b, c)
  y = Transpose <perm = [0, 2, 1]> (d)
"""
_IN_LOOP = f"""
  y = Loop <body = step (int64 i, bool go, float[1,3,4] s) => (bool same, float[1,3,4] y) {{
    same = Identity (go)
    {_NODES}
  }}> (steps, , start)
"""
# A child process opens the session: a crash would end the tests.
_RUN = """
import sys, numpy as np
from ocr_trt.common.onnx_session import onnx_session
model = sys.argv[1] if sys.argv[2] == "path" else open(sys.argv[1], "rb").read()
x = np.arange(12).reshape(3, 1, 4).astype(np.float16)
np.save(sys.argv[3], onnx_session(model).run(None, {"x": x})[0])
"""


def _model(nodes: str) -> onnx.ModelProto:
    weights = "float[3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}, int64 steps = {1}"
    start = f"float[1,3,4] start = {{{', '.join('0' * 12)}}}"
    header = '<ir_version: 10, opset_import: ["" : 18]> m (float16[3,1,4] x) => (float[1,3,4] y)'
    return onnx.parser.parse_model(f"{header} <{weights}, {start}> {{ {nodes} }}")


@pytest.mark.parametrize("nodes", [_NODES, _IN_LOOP], ids=["graph", "loop"])
@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_opens_a_graph_with_a_cast_between_transpose_and_matmul(
    nodes: str, kind: str, tmp_path: Path
) -> None:
    model = _model(nodes)
    onnx.checker.check_model(model)
    path, found = tmp_path / "m.onnx", tmp_path / "found.npy"
    onnx.save(model, path)
    command = [sys.executable, "-c", _RUN, str(path), kind, str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    x = np.arange(12).reshape(3, 1, 4).astype(np.float16)
    (expected,) = onnx_session(model, optimize=False).run(None, {"x": x})
    assert np.allclose(np.load(found), expected)


def test_zeros_before_a_max_pool_count() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,2,6,6] x) => (float[1,2,3,3] y)
        <int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, float zero = {0}> {
            p = Pad(x, pads, zero)
            y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (p)
        }
    """)
    x = np.full((1, 2, 6, 6), -1, np.float32)
    expected = onnx_session(model, optimize=False).run(None, {"x": x})[0]
    assert expected[0, 0, 0, 0] == 0  # the zero of the border is larger than -1
    np.testing.assert_array_equal(onnx_session(model).run(None, {"x": x})[0], expected)
