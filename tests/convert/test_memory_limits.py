"""A spec whose model does not fit the memory is refused before anything runs the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.convert.analysis.activations import Step, peak_of, peak_of_model
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.errors import SpecError
from ocr_trt.spec import spec_from_dict

from .helpers import graph

MIB = 1 << 20


def _peak(text: str, **weights: np.ndarray) -> float:
    return peak_of_model(graph(text, **weights)).bytes / MIB


def test_values_live_until_they_are_read_last() -> None:
    # 1 MiB each: x, a and b are alive at Concat, and its result has 2 MiB.
    text = """g (float[1, 256, 1024] x) => (float[1, 512, 1024] y) {
        a = Transpose <perm = [0, 1, 2]> (x)
        b = Transpose <perm = [0, 1, 2]> (a)
        c = Transpose <perm = [0, 1, 2]> (b)
        y = Concat <axis = 1> (b, c)
    }"""
    assert _peak(text) == 1 + 1 + 1 + 2


def test_views_and_ops_in_place_need_no_memory() -> None:
    text = """g (float[1, 256, 1024] x) => (float[1024, 256] y) {
        a = Transpose <perm = [0, 1, 2]> (x)
        b = Relu (a)
        c = Reshape (b, shape)
        d = Sigmoid (c)
        y = Identity (d)
    }"""
    assert _peak(text, shape=np.array([1024, 256])) == pytest.approx(2, abs=1e-4)


def test_view_keeps_the_memory_of_its_source() -> None:
    text = """g (float[1, 256, 1024] x) => (float[1024, 256] y) {
        a = Transpose <perm = [0, 1, 2]> (x)
        b = Reshape (a, shape)
        c = Transpose <perm = [1, 0]> (b)
        d = Transpose <perm = [1, 0]> (c)
        y = Add (b, d)
    }"""
    assert _peak(text, shape=np.array([1024, 256])) == pytest.approx(4, abs=1e-4)  # x, a, c, d


def test_result_that_nothing_reads_is_freed() -> None:
    steps = [
        Step(name="one", reads=["x"], results={"a": 5, "unread": 100}),
        Step(name="two", reads=["a"], results={"y": 7}, inner=3),
    ]
    peak = peak_of(steps, {"x": 1}, ["y"])
    assert (peak.bytes, peak.at) == (106, "one")
    assert peak_of(steps[1:], {"a": 5}, ["y"]).bytes == 15


def test_more_images_need_more_memory_and_weights_do_not() -> None:
    text = """g (float[1, 256, 1024] x) => (float[1, 256, 1024] y) {
        a = Add (x, w)
        s = Shape (a)
        b = Expand (w, s)
        y = Mul (a, b)
    }"""
    model = graph(text, w=np.ones((1, 256, 1024), np.float32))
    assert peak_of_model(model).bytes / MIB == pytest.approx(4, abs=1e-4)
    # 1 MiB each: w and b stay, x and a become four times as large.
    assert peak_of_model(model, 4).bytes / MIB == pytest.approx(1 + 1 + 4 + 4, abs=1e-4)


def test_unknown_shapes_count_as_nothing() -> None:
    text = """g (float[N, 256] x) => (float[N, 256] y) { y = Relu (x) }"""
    assert _peak(text) == 0


MODEL = """<ir_version: 9, opset_import: ["" : 18]>
    g (float[1, 3, h, w] x) => (float[1, 1, h, w] y) {
        a = Conv (x, w1)
        b = Sigmoid (a)
        y = Conv (b, w2)
    }"""


def _convert(folder: Path, side: int, max_batch: int = 1) -> None:
    model = onnx.parser.parse_model(MODEL)
    for name, shape in {"w1": (64, 3, 1, 1), "w2": (1, 64, 1, 1)}.items():
        weight = onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
        model.graph.initializer.append(weight)
    onnx.save(model, folder / "model.onnx")
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": folder / "model.onnx"},
            "input": {
                "name": "x",
                "shape": [1, 3, side, side],
                "layout": "NCHW",
                "max_batch": max_batch,
            },
            "output": {"name": "y"},
        }
    )
    convert(open_source(spec.source), spec)


def test_spec_that_needs_more_than_there_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocr_trt.convert.memory_limits.available_memory", lambda: 60 << 30)
    # 64 channels of 16384 x 16384 floats have 64 GiB; the input has 3 GiB, and the output 1 GiB.
    with pytest.raises(SpecError) as caught:
        _convert(tmp_path, 16384)
    free, shape = "60.0 GiB are available", "[1, 3, 16384, 16384]"
    for fact in ("68.0 GiB", free, shape, "Conv", "input.shape", "max_batch"):
        assert fact in str(caught.value)
    monkeypatch.setattr("ocr_trt.convert.memory_limits.available_memory", lambda: 70 << 30)
    _convert(tmp_path, 16384)  # nothing is as large as the tensors of the model
    with pytest.raises(SpecError, match=r"544\.0 GiB.*\[8, 3, 16384, 16384\]"):
        _convert(tmp_path, 16384, max_batch=8)


def test_real_memory_is_compared(tmp_path: Path) -> None:
    _convert(tmp_path, 256)
