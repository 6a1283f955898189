"""Cases of ``fuzz.py``: ONNX files."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from fuzz_damage import damaged, edited_message

from ocr_trt.spec import dump_spec, spec_from_dict

Case = Callable[[np.random.Generator], None]

DETECTOR: dict[str, Any] = {
    "name": "det", "role": "detector",
    "source": {"path": "m.onnx", "format": "onnx", "tags": ["serve"]},
    "input": {"name": "image", "shape": [1, 3, 32, 32], "layout": "NCHW", "mean": [1, 2, 3],
              "max_batch": 4},
    "output": {"name": "map", "activation": "sigmoid"},
    "boxes": {"threshold": 0.25, "shrink_ratio": 0.4},
}  # fmt: skip
_GRAPH = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,32,32] image) => (float[N,1,32,32] map)
    <float scale = {0.02}, int8 zero = {0}>
    {
        q = QuantizeLinear(image, scale, zero)
        x = DequantizeLinear(q, scale, zero)
        a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w0)
        b = BatchNormalization(a, g0, g0, g0, g0)
        c = Relu(b)
        s = Shape(c)
        d = Reshape(c, s)
        e = ConvTranspose <strides = [2, 2]> (d, w1)
        f = Transpose <perm = [0, 2, 3, 1]> (e)
        h = MatMul(f, w2)
        i = Transpose <perm = [0, 3, 1, 2]> (h)
        map = Sigmoid(i)
    }"""


def small_model() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(_GRAPH)
    shapes = (("w0", (4, 3, 3, 3)), ("g0", (4,)), ("w1", (4, 4, 2, 2)), ("w2", (4, 1)))
    for name, shape in shapes:
        array = rng.random(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


_INTEGER_GRAPH = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,32,32] image) => (float[N,1,h,w] map)
    <int64[2] two = {2, 2}, int64[1] one = {1}, int64[1] axes = {2}, int64[4] pads = {0, 0, 1, 1},
     int64 zero = {0}, int64 steps = {8}, int64 unit = {1}, float[1] half = {0.5}>
    {
        s = Shape(image)
        sides = Slice(s, axes, four)
        quarter = Div(sides, two)
        rest = Mod(sides, two)
        r = Range(zero, steps, unit)
        t = Tile(r, one)
        e = Expand(half, quarter)
        c = ConstantOfShape <value = float[1] {0.25}> (quarter)
        p = Pad(c, pads)
        o = OneHot(t, steps, values)
        total = ReduceSum(o)
        shift = Cast <to = 1> (total)
        both = Concat <axis = 0> (quarter, quarter)
        b = Cast <to = 1> (both)
        m = ReduceMax <keepdims = 0> (b)
        i = Cast <to = 7> (image)
        d = Div(i, i)
        j = Cast <to = 1> (d)
        k = ReduceMean <axes = [1]> (j)
        u = Resize <mode = "nearest"> (k, , scales)
        v = Add(u, shift)
        w = Mul(v, m)
        x = ReduceSum(e)
        y = ReduceSum(p)
        z = Add(x, y)
        a = Add(w, z)
        map = Sigmoid(a)
    }"""


_INTEGERS = (*range(-3, 9), 127, 255, 65535, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))
_REALS = (0.0, -1.0, 0.5, 3.0, 1e4, 1e9, 1e30, float("inf"), float("nan"))


def _with_other_numbers(good: onnx.ModelProto, data: bytes, rng: np.random.Generator) -> bytes:
    """Change numbers in one to three constants; in some cases damage the whole file."""
    if rng.random() < 0.2:
        return _damaged_model(good, data, rng)
    model = onnx.ModelProto()
    model.CopyFrom(good)
    for _ in range(rng.integers(1, 4)):
        tensor = model.graph.initializer[rng.integers(len(model.graph.initializer))]
        array = onnx.numpy_helper.to_array(tensor).copy()
        numbers: tuple[float, ...] = _INTEGERS if array.dtype.kind == "i" else _REALS
        array.reshape(-1)[rng.integers(array.size)] = numbers[rng.integers(len(numbers))]
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return model.SerializeToString()


def integer_models(folder: Path) -> Case:
    """Graphs whose integers state sizes, divisors and positions, through the whole conversion."""
    good = onnx.parser.parse_model(_INTEGER_GRAPH)
    arrays = {
        "four": np.int64([4]), "values": np.int64([0, 1]), "scales": np.float32([1, 1, 2, 2]),
    }  # fmt: skip
    for name, array in arrays.items():
        good.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return _inspected(good, folder, _with_other_numbers)


def _damaged_model(good: onnx.ModelProto, data: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.3:
        return damaged(data, rng, [data])
    model = onnx.ModelProto()
    model.CopyFrom(good)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        graph = model.graph
        places = [model, graph, *graph.node, *graph.node, *graph.initializer, *graph.input]
        edited_message(places[rng.integers(len(places))], rng)
    return model.SerializeToString()


def models(folder: Path) -> Case:
    """ONNX files, through ``ocr-trt inspect``, by themselves or named in a spec."""
    return _inspected(small_model(), folder, _damaged_model)


Damage = Callable[[onnx.ModelProto, bytes, np.random.Generator], bytes]


def _inspected(good: onnx.ModelProto, folder: Path, damage: Damage) -> Case:
    from ocr_trt.cli.calibration_options import CalibrationOptions
    from ocr_trt.cli.inspect import inspect
    from ocr_trt.cli.shared_options import DisplayOptions

    data, path, spec = good.SerializeToString(), folder / "m.onnx", folder / "spec.yaml"
    spec.write_text(dump_spec(spec_from_dict(DETECTOR)), "utf-8")

    def case(rng: np.random.Generator) -> None:
        path.write_bytes(damage(good, data, rng))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model = spec if rng.random() < 0.6 else path
            inspect(model, calibration=CalibrationOptions(), display=DisplayOptions())

    return case


CASES: dict[str, Callable[[Path], Case]] = {"models": models, "integer_models": integer_models}
