"""draft_spec: what it reads off a graph, its outputs and some runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.spec import DetectorSpec, RecognizerSpec, SourceSpec

HEAD = '<ir_version: 8, opset_import: ["" : 18]>'


class Notes(SilentReporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes = list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)


def drafted(
    folder: Path, role: Any, text: str, charset: str | None = None, **weights: np.ndarray
) -> tuple[Any, str]:
    """Write a model as ONNX text and draft its spec; return it and all notes."""
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    onnx.save(model, folder / "m.onnx")
    hints, reporter = Hints(source=SourceSpec(path=folder / "m.onnx"), charset=charset), Notes()
    return draft_spec(role, hints, reporter), "; ".join(reporter.notes)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def reader(folder: Path, tail: str, shape: str, batch: str = "N", **more: Any) -> tuple[Any, str]:
    """Draft a recognizer: scores ``s`` (N, 12, 11) of an image (N, 1, 8, 12), then ``tail``."""
    text = f"""g (float[{batch},1,8,12] image) => (float[{shape}] y) <int64[1] one = {{1}}> {{
        q = Squeeze(image, one) t = Transpose <perm = [0, 2, 1]> (q) m = MatMul(t, w)
        s = Add(m, bias) {tail} }}"""
    constants = {"w": weights(8, 11), "bias": np.zeros(11, np.float32), **more}
    return drafted(folder, "recognizer", text, "0123456789", **constants)


@pytest.mark.parametrize(
    ("tail", "shape", "layout", "kind"),
    [
        ("y = Identity(s)", "N,12,11", "NTC", "logits"),
        ("y = Transpose <perm = [1, 0, 2]> (s)", "12,N,11", "TNC", "logits"),
        ("p = Softmax(s) y = Transpose <perm = [1, 0, 2]> (p)", "T,B,11", "TNC", "probabilities"),
        ("y = LogSoftmax(s)", "T,B,11", "NTC", "logits"),
        # A softmax that is written with other ops.
        ("e = Exp(s) d = ReduceSum(e, last) y = Div(e, d)", "N,12,11", "NTC", "probabilities"),
    ],
)
def test_layout_and_kind_are_measured(
    tail: str, shape: str, layout: str, kind: str, tmp_path: Path
) -> None:
    more = {"last": np.array([2])} if "last" in tail else {}
    spec, _ = reader(tmp_path, tail, shape, **more)
    assert isinstance(spec, RecognizerSpec)
    assert (spec.output.layout, spec.output.kind) == (layout, kind)
    assert spec.input.max_batch == 16


def test_layout_of_one_batch_size_is_that_of_the_shape(tmp_path: Path) -> None:
    tail = "r = Reshape(s, to) y = Transpose <perm = [1, 0, 2]> (r)"
    spec, _ = reader(tmp_path, tail, "12,1,11", batch="1", to=np.array([1, 12, 11]))
    assert spec.output.layout == "TNC"
    assert spec.input.max_batch == 1


@pytest.mark.parametrize(("blank", "is_noted"), [(0, True), (10, True), (4, False)])
def test_blank_is_the_class_of_empty_images(blank: int, is_noted: bool, tmp_path: Path) -> None:
    bias = np.zeros(11, np.float32)
    bias[blank] = 100
    spec, notes = reader(tmp_path, "y = Identity(s)", "N,12,11", bias=bias)
    assert spec.blank == (blank if is_noted else 0)
    assert (f"the blank is class {blank}" in notes) is is_noted


def test_batch_that_cannot_be_freed_is_drafted_as_1(tmp_path: Path) -> None:
    # The mean over the batch: one image changes the result of another one.
    tail = "c = ReduceMean <keepdims = 1> (s, zero) y = Sub(s, c)"
    spec, notes = reader(tmp_path, tail, "N,12,11", zero=np.array([0]))
    assert spec.input.max_batch == 1
    assert "max_batch is 1: the batch size cannot be made variable" in notes


def test_scores_that_fit_the_charset_are_chosen(tmp_path: Path) -> None:
    text = """g (float[N,1,8,12] image) => (float[N,12,8] states, float[N,12,11] y)
        <int64[1] one = {1}> {
        q = Squeeze(image, one) t = Transpose <perm = [0, 2, 1]> (q) states = Relu(t)
        y = MatMul(states, w) }"""
    spec, notes = drafted(tmp_path, "recognizer", text, "0123456789", w=weights(8, 11))
    assert spec.output.name == "y"
    assert "the spec uses the output y; to use another one (states), change output.name" in notes


def maps(folder: Path, outputs: dict[str, str], shapes: dict[str, int]) -> tuple[Any, str]:
    """Draft a detector (N, 3, 16, 16) whose outputs are expressions of a convolution."""
    declared = ", ".join(f"float[N,{shapes[name]},16,16] {name}" for name in outputs)
    body = " ".join(
        f"{name}0 = Conv(image, w{shapes[name]}) {name} = {op}({name}0)"
        for name, op in outputs.items()
    )
    text = f"g (float[N,3,16,16] image) => ({declared}) {{ {body} }}"
    constants = {f"w{count}": weights(count, 3, 1, 1) for count in set(shapes.values())}
    return drafted(folder, "detector", text, **constants)


@pytest.mark.parametrize(
    ("outputs", "shapes", "chosen"),
    [
        ({"geometry": "Relu", "score": "Sigmoid"}, {"geometry": 5, "score": 1}, "score + geometry"),
        (
            {"output_0": "Relu", "output_1": "Sigmoid"},
            {"output_0": 5, "output_1": 1},
            "output_1 + output_0",
        ),
        ({"geometry": "Relu", "score": "Sigmoid"}, {"geometry": 4, "score": 1}, "score"),
        (
            {"threshold": "Sigmoid", "binary": "Sigmoid", "shrink": "Sigmoid"},
            {"threshold": 1, "binary": 1, "shrink": 1},
            "shrink",
        ),
        ({"kernels": "Sigmoid", "text": "Sigmoid"}, {"kernels": 6, "text": 1}, "text"),
    ],
)
def test_text_map_is_chosen(
    outputs: dict[str, str], shapes: dict[str, int], chosen: str, tmp_path: Path
) -> None:
    spec, notes = maps(tmp_path, outputs, shapes)
    assert isinstance(spec, DetectorSpec)
    assert (spec.output.name, spec.output.activation) == (chosen, "none")
    assert (spec.input.layout, spec.input.color) == ("NCHW", "RGB")
    verb = "joins the outputs" if "+" in chosen else "uses the output"
    assert f"the spec {verb} {chosen}" in notes
    assert all(name in notes for name in outputs)


@pytest.mark.parametrize(
    ("op", "channels", "channel", "activation"),
    [
        ("Sigmoid", 1, 0, "none"),
        ("Identity", 1, 0, "sigmoid"),
        ("Identity", 7, 0, "sigmoid"),
        ("Identity", 2, 0, "none"),
        ("Softmax <axis = 1> ", 2, 1, "none"),
    ],
)
def test_values_of_a_map_decide_channel_and_activation(
    op: str, channels: int, channel: int, activation: str, tmp_path: Path
) -> None:
    spec, notes = maps(tmp_path, {"y": op}, {"y": channels})
    assert (spec.output.channel, spec.output.activation) == (channel, activation)
    assert ("applies a sigmoid" in notes) is (activation == "sigmoid")


@pytest.mark.parametrize(
    ("front", "scale"),
    [
        ("x = Mul(image, a)", 1.0),
        ("p = Sub(image, b) x = Div(p, c)", 1.0),
        # Pixels are expected from 0 to 1 here.
        ("p = Sub(image, half) x = Div(p, half)", 1 / 255),
        # Nor does a nonlinear function prove anything.
        ("p = Mul(image, a) x = Sqrt(p)", 1 / 255),
    ],
)
def test_scaling_inside_the_model_is_found(front: str, scale: float, tmp_path: Path) -> None:
    text = f"""g (float[1,3,16,16] image) => (float[1,1,16,16] y) {{
        {front} m = Conv(x, w) y = Sigmoid(m) }}"""
    constants = {
        "a": np.float32(1 / 255), "b": np.float32([123, 117, 104]).reshape(3, 1, 1),
        "c": np.float32([58, 57, 57]).reshape(3, 1, 1), "half": np.float32(0.5),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if f" {name})" in front}
    spec, notes = drafted(tmp_path, "detector", text, w=weights(1, 3, 1, 1), **used)
    assert spec.input.scale == (scale,)
    assert ("the model itself computes" in notes) is (scale == 1.0)
