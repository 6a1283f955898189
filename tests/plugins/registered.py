"""Registers the ops with TensorRT's own bindings and prints the resulting launches as JSON.

TensorRT's libraries are replaced by empty ones, which test_tensorrt.py builds: the real ones are a
gigabyte and need a GPU. So expressions of shapes are plain integers here, and nothing enters
TensorRT's registry.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

tensorrt: Any = import_module("tensorrt_bindings")
sys.modules["tensorrt"] = tensorrt


class Number:
    """In place of trt.IDimensionExpr: a constant."""

    def __init__(self, value: int) -> None:
        self.value = value


class Builder:
    """In place of trt.IExprBuilder."""

    def constant(self, value: int) -> Number:
        return Number(value)

    def operation(self, operation: Any, first: Number, second: Number) -> Number:
        a, b = first.value, second.value
        done = {
            "SUM": lambda: a + b,
            "SUB": lambda: a - b,
            "PROD": lambda: a * b,
            "FLOOR_DIV": lambda: a // b,
            "CEIL_DIV": lambda: -(-a // b),
            "MAX": lambda: max(a, b),
        }
        return Number(done[operation.name]())


def main() -> None:
    import numpy as np

    tensorrt.IDimensionExpr = Number
    trtp: Any = import_module("tensorrt.plugin")
    library: Any = import_module("tensorrt.plugin._lib")
    parts: Any = import_module("tensorrt.plugin._tensor")
    library._register_plugin_creator = lambda *_: None

    from ocr_trt.plugins.registration import register_plugins
    from ocr_trt.plugins.registry import PLUGINS

    types = {np.dtype(np.float32): tensorrt.float32, np.dtype(np.float16): tensorrt.float16}
    names = {tensorrt.float32: "float32", tensorrt.float16: "float16"}
    registered = register_plugins(75)
    parts.SymIntExpr._exprBuilder = Builder()

    def described(shape: tuple[int, ...], dtype: Any, seen: tuple[int, ...]) -> Any:
        desc = trtp.from_shape_expr(tuple(parts.ShapeExpr(size) for size in shape), dtype)
        desc.shape = parts.Shape(seen)
        return desc

    def free(shape: tuple[int, ...], axes: list[int]) -> tuple[int, ...]:
        return tuple(-1 if axis in axes else size for axis, size in enumerate(shape))

    def launch_of(implementation: Any) -> dict[str, Any]:
        entry, ptx, launch, numbers = implementation
        return {
            "entry": entry,
            "in_ptx": entry.encode() in ptx,
            "blocks": launch.grid_x._expr.value,
            "threads": launch.block_x._expr.value,
            "numbers": [number._expr.value for number in numbers],
            "are_int32": all(isinstance(n, trtp.SymInt32) for n in numbers),
        }

    launches, packed = [], []
    for name in registered:
        plugin = PLUGINS[name]
        definition = library.QDP_REGISTRY[f"ocr_trt::{name}"]
        for example in plugin.examples():
            for axes in ([], [0], [0, 3]):
                inputs = [
                    described(a.shape, types[a.dtype], free(a.shape, axes)) for a in example.inputs
                ]
                attributes = example.attributes.values()
                outputs = definition.register_func(*inputs, *attributes)
                outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                shapes = [[e._expr.value for e in o.shape_expr] for o in outputs]
                for output, shape in zip(outputs, shapes, strict=True):
                    output.shape = parts.Shape(free(tuple(shape), axes))
                implementation = definition.aot_impl_func(*inputs, *attributes, outputs, 0)
                launches.append({
                    "plugin": name,
                    "example": example.name,
                    "free": axes,
                    "outputs": [
                        [shape, names[o.dtype]] for o, shape in zip(outputs, shapes, strict=True)
                    ],
                    **launch_of(implementation),
                })  # fmt: skip
                if plugin.launch_hwc8 is None or inputs[0].dtype != tensorrt.float16:
                    continue
                for desc in (*inputs, *outputs):
                    desc.format = tensorrt.TensorFormat.HWC8
                implementation = definition.aot_impl_func(*inputs, *attributes, outputs, 0)
                packed.append(
                    {"plugin": name, "example": example.name, **launch_of(implementation)}
                )
    formats = {
        name: [[c.io_types, c.layouts] for c in definition.autotune_func(*[None] * count)]
        for name, definition in library.QDP_REGISTRY.items()
        if definition.autotune_func is not None
        for count in [len(definition.input_tensor_names) + 1]
    }
    everything = {
        "registered": registered,
        "launches": launches,
        "packed": packed,
        "formats": formats,
    }
    print(json.dumps(everything))


if __name__ == "__main__":
    main()
