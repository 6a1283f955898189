"""Constants of a graph that end the process, or take all memory, when a library computes them.

The divisions run in a child process: a kernel that divides the smallest integer by -1 ends it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from ocr_trt.convert.guard_divisions import guard_divisions
from ocr_trt.convert.passes import fold_constants as folding
from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.large_weights import Exported
from ocr_trt.errors import ConversionError, InputFileError, SpecError

from .division_graphs import FLOATS, divisions, model_of, spec_of
from .helpers import graph


def test_divisions_do_not_end_the_process(tmp_path: Path) -> None:
    script = Path(__file__).with_name("division_graphs.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines() == list(divisions()), done.stderr[-2000:]
    assert done.returncode == 0


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_constant_divisor_of_0_is_refused(op: str, tmp_path: Path) -> None:
    body = f"i = Cast <to = 7> (x) d = {op} (i, b) {FLOATS}"
    onnx.save(model_of(body, b=np.int64([3, 0])), tmp_path / "m.onnx")
    spec = spec_of(tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match=rf"at d \({op}\) has the constant divisor 0"):
        convert(open_source(spec.source), spec)


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_guarded_divisions_return_the_same(op: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-50, 50, (200,))
    b = rng.integers(-3, 3, (200,))
    b[b == 0] = 1
    text = f"""g (int64[200] a, int64[200] b) => (int64[200] y) {{ y = {op} (a, b) }}"""
    model = graph(text)
    before = ReferenceEvaluator(ir.to_proto(model)).run(None, {"a": a, "b": b})
    assert guard_divisions(model) == 1
    after = ReferenceEvaluator(ir.to_proto(model)).run(None, {"a": a, "b": b})
    np.testing.assert_array_equal(before, after)


def test_harmless_divisions_stay() -> None:
    text = """g (int64[2] a, float[2] x, uint8[2] u) => (int64[2] y) {
        b = Div (a, seven)
        c = Mod (b, seven)
        y = Add (c, c)
        z = Div (x, x)
        v = Div (u, w)
    }"""
    model = graph(text, seven=np.int64([7]), w=np.uint8([255]))
    assert guard_divisions(model) == 0


def _doubling(first: str, levels: int) -> str:
    steps = [f"a{n + 1} = Concat <axis = 0> (a{n}, a{n})" for n in range(levels)]
    return " ".join([first, *steps, f"d = ReduceSum (a{levels})", FLOATS])


TWICE = (
    ' <domain: "own", opset_import: ["" : 18]> twice (a) => (c) { c = Concat <axis = 0> (a, a) }'
)
CALLS = ["a0 = Identity (one)", *(f"a{n + 1} = own.twice (a{n})" for n in range(30))]
BOMBS = {
    "constant": model_of(_doubling("a0 = Identity (one)", 30), one=np.int64([1])),
    "float": model_of(_doubling("a0 = Identity (one)", 30), one=np.float32([1])),
    "shape": model_of(_doubling("a0 = Shape (x)", 30)),
    "gather": model_of(_doubling("s = Shape (x) a0 = Gather (s, i)", 30), i=np.int64([0])),
    "function": model_of(
        " ".join([*CALLS, "d = ReduceSum (a30)", FLOATS]), TWICE, one=np.int64([1])
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_lists_that_double_are_refused(name: str, tmp_path: Path) -> None:
    onnx.save(BOMBS[name], tmp_path / "m.onnx")
    with pytest.raises(
        InputFileError, match=r"numbers in the lists .* at most 4,000,000"
    ) as caught:
        open_source(spec_of(tmp_path / "m.onnx").source)
    assert "m.onnx" in str(caught.value)


GROWING = {
    "Expand": "r = Expand (one, sizes)",
    "Tile": "c = Reshape (one, ones) r = Tile (c, sizes)",
    "ConstantOfShape": "r = ConstantOfShape (sizes)",
    "Pad": "c = Reshape (one, ones) r = Pad (c, pads)",
    "Resize": 'c = Reshape (one, four) r = Resize <mode = "nearest"> (c, , , large)',
    "Range": "r = Range (first, last, step)",
    "OneHot": "r = OneHot (index, last, values)",
    "MatMul": "r = MatMul (column, row)",
}
CONSTANTS = {
    "one": np.float32([1]),
    "sizes": np.int64([4096, 4096]),
    "ones": np.int64([1, 1]),
    "four": np.int64([1, 1, 1, 1]),
    "pads": np.int64([0, 0, 4095, 4095]),
    "large": np.int64([1, 1, 4096, 4096]),
    "first": np.int64(0),
    "last": np.int64(1 << 24),
    "step": np.int64(1),
    "index": np.int64([1]),
    "values": np.int64([0, 1]),
    "column": np.ones((4096, 1), np.float32),
    "row": np.ones((1, 4096), np.float32),
}


@pytest.mark.parametrize("op", GROWING)
def test_folding_adds_a_bounded_amount_of_memory(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def folded() -> list[str]:
        text = (
            f"g (float[1] x) => (float[1] y) {{ {GROWING[op]} m = ReduceMax <keepdims = 0> (r) "
            "n = Cast <to = 1> (m) y = Add (x, n) }"
        )
        model = graph(text, **CONSTANTS)
        fold_constants(model)
        return [node.op_type for node in model.graph]

    assert folded() == ["Add"]  # 64 or 128 MiB are added and freed
    monkeypatch.setattr(folding, "_LARGEST_GROWTH", 1 << 20)
    assert op in folded()
    monkeypatch.setattr(folding, "_LARGEST_GROWTH", 1 << 40)
    monkeypatch.setattr(folding, "available_memory", lambda: 64 << 20)
    assert op in folded()


def test_constants_that_only_change_their_form_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_LARGEST_GROWTH", 0)
    text = """g (float[1, 512] x) => (float[1, 256] y) {
        t = Transpose <perm = [1, 0]> (w)
        y = MatMul (x, t)
    }"""
    model = graph(text, w=np.ones((256, 512), np.float32))
    fold_constants(model)
    assert [node.op_type for node in model.graph] == ["MatMul"]


def test_output_that_no_model_has_is_refused(tmp_path: Path) -> None:
    body = "r = ConvTranspose <strides = [1, 65535]> (x, w) y = Sigmoid (r)"
    onnx.save(model_of(body, w=np.ones((3, 1, 1, 1), np.float32)), tmp_path / "m.onnx")
    spec = spec_of(tmp_path / "m.onnx")
    with pytest.raises(SpecError, match=r"\[1, 1, 8, 458746\].*\[1, 3, 8, 8\].*1000"):
        convert(open_source(spec.source), spec)


def test_export_is_guarded_wherever_it_is_run() -> None:
    model = model_of(f"i = Cast <to = 7> (x) d = Div (i, b) {FLOATS}", b=np.int64([-1]))
    ops = [node.op_type for node in Exported(model=model).whole().graph]
    assert "Where" in ops


def test_flag_that_is_neither_0_nor_1_is_refused(tmp_path: Path) -> None:
    body = "m = ReduceMax <keepdims = 127> (one) y = Add (x, m)"
    onnx.save(model_of(body, one=np.float32([1])), tmp_path / "m.onnx")
    spec = spec_of(tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match=r"keepdims of ReduceMax at m is 127.* 0 or 1"):
        convert(open_source(spec.source), spec)
