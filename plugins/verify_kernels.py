"""Whether what stands in for an op is the op: its function body and its kernels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser

from ..common.onnx_session import onnx_session
from ..errors import EngineBuildError
from .cuda.nvrtc import ptx_from_source
from .cuda.on_device import DeviceKernels
from .cuda.on_host import HostKernels, Watch
from .hwc8 import in_hwc8
from .onnx_function import DOMAIN
from .plugin import Array, Example, Launch, Plugin

_TYPES = {
    np.dtype(np.float32): "float",
    np.dtype(np.float16): "float16",
    np.dtype(np.uint8): "uint8",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How an op's stand-in did on its examples. ``wrong``: what was not the reference, each."""

    plugin: str
    stand_in: str
    examples: int
    wrong: tuple[str, ...]


def difference(found: Sequence[Array], expected: Sequence[Array], tolerance: float) -> str | None:
    """Return what is wrong about outputs, or None."""
    for number, (own, other) in enumerate(zip(found, expected, strict=True)):
        if own.shape != other.shape or own.dtype != other.dtype:
            return f"output {number}: {own.dtype} {own.shape}, not {other.dtype} {other.shape}"
        near = tolerance if np.issubdtype(other.dtype, np.floating) else 0.0
        if near:  # what was rounded to a coarser dtype may be its neighbor
            near = max(near, float(np.finfo(other.dtype).eps))
        wrong = ~np.isclose(own, other, rtol=near, atol=near, equal_nan=True)
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            return (
                f"output {number}: {wrong.sum()} of {wrong.size} wrong, first at {where}: "
                f"{own[where]}, not {other[where]}"
            )
    return None


def body_model(plugin: Plugin, example: Example) -> onnx.ModelProto:
    """Return a model of one call of the op, as its function body."""
    names = [f"in{i}" for i in range(len(example.inputs))]
    inputs = ", ".join(
        f"{_TYPES[array.dtype]}[{','.join(map(str, array.shape))}] {name}"
        for name, array in zip(names, example.inputs, strict=True)
    )
    header = plugin.body[plugin.body.index(plugin.name) : plugin.body.index("{")]
    results = [f"out{i}" for i in range(header.split("=>")[1].count(",") + 1)]
    outputs = ", ".join(f"float {name}" for name in results)
    attributes = ", ".join(f"{name} = {value}" for name, value in example.attributes.items())
    call = f"{DOMAIN}.{plugin.name} {f'<{attributes}> ' if attributes else ''}({', '.join(names)})"
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 20, "{DOMAIN}" : 1]>
        agraph ({inputs}) => ({outputs}) {{ {", ".join(results)} = {call} }}
        {plugin.body}"""
    )
    for output in model.graph.output:
        output.ClearField("type")
    return model


def verify_body(plugin: Plugin) -> Finding:
    """Run the function body in onnxruntime."""

    def run(example: Example) -> Sequence[Array]:
        feeds = {f"in{i}": array for i, array in enumerate(example.inputs)}
        found: Sequence[Array] = onnx_session(body_model(plugin, example)).run(None, feeds)
        return found

    examples = [example for example in plugin.examples() if not example.kernel_only]
    return _compare(plugin, "function body in onnxruntime", examples, run)


def verify_on_host(plugin: Plugin, watch: Watch = "memory") -> Finding:
    """Run the kernels on the CPU, with sanitizers.

    Raises:
        TargetMissingError: there is no C++ compiler.
        EngineBuildError: it refuses the kernels, or a sanitizer saw something.
    """
    with tempfile.TemporaryDirectory(prefix="ocr-trt-") as folder:
        kernels = HostKernels(plugin.source, plugin.entries, Path(folder), watch)
        return _compare_kernels(plugin, f"kernels on the CPU, {watch} watched", kernels.run)


def verify_on_device(plugin: Plugin, floor: int, name: str) -> Finding:
    """Run the kernels on a GPU, whose context is current in this thread.

    Args:
        plugin: the op.
        floor: of its PTX, see :data:`cuda.nvrtc.FLOORS`.
        name: of the GPU.

    Raises:
        TargetMissingError: NVRTC is not installed.
    """
    kernels = DeviceKernels(ptx_from_source(plugin.source, floor))
    return _compare_kernels(plugin, f"kernels on {name}", kernels.run)


def _compare_kernels(
    plugin: Plugin, stand_in: str, run: Callable[[Launch, Sequence[Array]], Sequence[Array]]
) -> Finding:
    """Compare the kernels for all formats that there are."""

    def compare(op: Plugin) -> Finding:
        return _compare(
            op, stand_in, op.examples(), lambda e: run(op.launch(e.inputs, e.attributes), e.inputs)
        )

    linear = compare(plugin)
    if plugin.launch_hwc8 is None:
        return linear
    other = compare(in_hwc8(plugin))
    wrong, examples = linear.wrong + other.wrong, linear.examples + other.examples
    return replace(linear, examples=examples, wrong=wrong)


def _compare(
    plugin: Plugin,
    stand_in: str,
    examples: Sequence[Example],
    run: Callable[[Example], Sequence[Array]],
) -> Finding:
    wrong = []
    for example in examples:
        expected = plugin.reference(example.inputs, example.attributes)
        try:
            text = difference(run(example), expected, plugin.tolerance)
        except EngineBuildError as error:
            raise EngineBuildError(f"on {example.name}: {error}") from None
        if text is not None:
            wrong.append(f"{example.name}: {text}")
    return Finding(
        plugin=plugin.name, stand_in=stand_in, examples=len(examples), wrong=tuple(wrong)
    )
