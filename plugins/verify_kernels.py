"""Compare an op's kernels and its function body with its NumPy reference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float16): "float16"}
"""ONNX text's names of the dtypes that ops with a function body accept."""


@dataclass(frozen=True, kw_only=True)
class KernelMismatch:
    """The result of one comparison with the reference.

    Attributes:
        plugin: the op.
        implementation: what was compared, for people: kernels or function body, and where they ran.
        examples: how many examples were compared.
        wrong: one text for each example whose outputs differ.
    """

    plugin: str
    implementation: str
    examples: int
    wrong: tuple[str, ...]


def difference(results: Sequence[Array], expected: Sequence[Array], tolerance: float) -> str | None:
    """Describe the first output that differs from what is expected; None if none does.

    Args:
        results: the outputs to check.
        expected: the reference's outputs.
        tolerance: see :class:`Plugin`; integers must be equal.
    """
    for number, (result, other) in enumerate(zip(results, expected, strict=True)):
        if result.shape != other.shape or result.dtype != other.dtype:
            return (
                f"output {number} is {result.dtype} {result.shape}, expected {other.dtype} "
                f"{other.shape}"
            )
        near = tolerance if np.issubdtype(other.dtype, np.floating) else 0.0
        if near:
            # Rounding to float16 turns any difference into at least the next float16.
            near = max(near, float(np.finfo(other.dtype).eps))
        wrong = ~np.isclose(result, other, rtol=near, atol=near, equal_nan=True)
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            return (
                f"output {number}: {wrong.sum()} of {wrong.size} values are wrong, first at "
                f"{where}: {result[where]}, expected {other[where]}"
            )
    return None


def body_model(plugin: Plugin, body: str, example: Example) -> onnx.ModelProto:
    """Return a model with one call of the op, which onnxruntime runs by the function body."""
    names = [f"in{i}" for i in range(len(example.inputs))]
    inputs = ", ".join(
        f"{_TYPES[array.dtype]}[{','.join(map(str, array.shape))}] {name}"
        for name, array in zip(names, example.inputs, strict=True)
    )
    # The number of outputs: "Name (x) => (a, b) {" has one comma more per output after "=>".
    header = body[body.index(plugin.name) : body.index("{")]
    outputs = [f"out{i}" for i in range(header.split("=>")[1].count(",") + 1)]
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 20, "{DOMAIN}" : 1]>
        agraph ({inputs}) => ({", ".join(f"float {name}" for name in outputs)}) {{
            {", ".join(outputs)} = {DOMAIN}.{plugin.name} ({", ".join(names)})
        }}
        {body}"""
    )
    # The text syntax requires a type for each output. Without it onnxruntime infers the real one.
    for output in model.graph.output:
        output.ClearField("type")
    return model


def verify_body(plugin: Plugin) -> KernelMismatch:
    """Compare the function body, run by onnxruntime, with the reference.

    Raises:
        ValueError: the op has no function body.
    """
    body = plugin.body
    if body is None:
        raise ValueError(f"{plugin.name} has no function body")

    def run(example: Example) -> Sequence[Array]:
        feeds = {f"in{i}": array for i, array in enumerate(example.inputs)}
        results: Sequence[Array] = onnx_session(body_model(plugin, body, example)).run(None, feeds)
        return results

    compared = [(plugin, example) for example in plugin.examples() if not example.kernel_only]
    return _compare("function body in onnxruntime", compared, lambda _, example: run(example))


def verify_on_host(plugin: Plugin, watch: Watch = "memory") -> KernelMismatch:
    """Run the kernels on the CPU under sanitizers and compare them with the reference.

    Raises:
        TargetMissingError: there is no C++ compiler.
        EngineBuildError: the compiler rejects the kernels, or a sanitizer reports an error.
    """
    with tempfile.TemporaryDirectory(prefix="ocr-trt-") as folder:
        kernels = HostKernels(plugin.source, plugin.entries, Path(folder), watch)
        return _compare_kernels(plugin, f"kernels on the CPU, {watch} watched", kernels.run)


def verify_on_device(plugin: Plugin, floor: int, name: str) -> KernelMismatch:
    """Run the kernels on a GPU, whose context is current in this thread, and compare them.

    Args:
        plugin: the op.
        floor: the compute capability to compile for, see :data:`cuda.nvrtc.FLOORS`.
        name: the GPU's name.

    Raises:
        TargetMissingError: NVRTC is not installed.
    """
    kernels = DeviceKernels(ptx_from_source(plugin.source, floor))
    return _compare_kernels(plugin, f"kernels on {name}", kernels.run)


def _compare_kernels(
    plugin: Plugin, implementation: str, run: Callable[[Launch, Sequence[Array]], Sequence[Array]]
) -> KernelMismatch:
    """Compare the kernels of all formats: linear, and HWC8 where the op has kernels for it."""
    formats = [plugin] if plugin.launch_hwc8 is None else [plugin, in_hwc8(plugin)]
    compared = [(op, example) for op in formats for example in op.examples()]
    return _compare(
        implementation, compared, lambda op, e: run(op.launch(e.inputs, e.attributes), e.inputs)
    )


def _compare(
    implementation: str,
    compared: Sequence[tuple[Plugin, Example]],
    run: Callable[[Plugin, Example], Sequence[Array]],
) -> KernelMismatch:
    # All examples are compared, so that the report shows every one that is wrong.
    wrong = []
    for op, example in compared:
        expected = op.reference(example.inputs, example.attributes)
        try:
            text = difference(run(op, example), expected, op.tolerance)
        except EngineBuildError as error:
            # A sanitizer ends the program, and its report does not name the example.
            raise EngineBuildError(f"on {example.name}: {error}") from None
        if text is not None:
            wrong.append(f"{example.name}: {text}")
    return KernelMismatch(
        plugin=compared[0][0].name,
        implementation=implementation,
        examples=len(compared),
        wrong=tuple(wrong),
    )
