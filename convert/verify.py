"""Find the pass that changed the numbers, by running the graph after every pass.

The first pass after which the output differs is reported, with the first inner value that differs
from the graph before that pass. Values keep their names through a pass unless it replaces them, and
their names come from TensorFlow's nodes. Removing fake quantization changes every number on
purpose, so later graphs are compared with the graph after it. The export of a model that computes
in 16 bits does not round as the model does, so later graphs are compared with the export.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.inner_tensors import GraphSession, read_tensors
from ..errors import ConversionError
from ..spec import InputSpec, ModelSpec
from .passes.remove_fake_quantization import remove_fake_quantization
from .pipeline import FLOAT_TYPE, convert
from .rounding import Rounding, rounded
from .sources import Source
from .sources.pixels import pixel_noise
from .tensorflow_names import tensorflow_node

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PassCheck:
    """The largest absolute difference between the model and the graph after one pass."""

    name: str
    difference: float
    allowed: float
    """The largest difference that is allowed: ``accuracy.max_difference``, or more for the export
    of a model that computes in 16 bits."""
    value: str = ""
    """First value that differs from the graph before the pass; "" if the pass is correct."""
    node: str = ""
    """TensorFlow node that computes ``value``, or the next node that kept TensorFlow's name."""
    rounds: bool = False
    """Whether the graph still contains the model's fake quantization. Such a pass is not judged,
    because rounding can turn a tiny difference into a whole quantization step.
    """


class _Watcher:
    """Runs the graph after every pass on the same images, in the layout that it requires."""

    def __init__(self, settings: InputSpec, model: Callable[[Array], Array], limit: float) -> None:
        self.settings, self.model, self.tolerance = settings, model, limit
        self.checks: list[PassCheck] = []
        self.before: onnx.ModelProto | None = None
        # (N, C, H, W), and the model's output for them; set at each export.
        self.images = self.expected = np.zeros(0, np.float32)

    def _begin(self, batch: int) -> None:
        """Draw images for the batch size that the model is traced at; forget earlier traces."""
        rng = np.random.default_rng(0)
        self.images = pixel_noise(self.settings, batch, self.settings.size, rng)
        self.checks, self.before, self.expected = [], None, self.model(self.images)
        check_numbers(self.expected, "the model")

    def __call__(self, name: str, model: ir.Model) -> None:
        """Compare the graph after a pass."""
        proto = ir.to_proto(model)
        accepted = _batch_of(proto)
        if name == "export":
            self._begin(accepted)
        elif 0 < accepted < len(self.images):  # from here on, the graph accepts fewer images
            self.images, self.expected = self.images[:accepted], self.expected[:accepted]
            self.before = None
        if name == remove_fake_quantization.__name__ and _rounds(self.before):
            self.expected = _result(proto, self.images)  # from here on: without rounding
        difference = self._difference(proto)
        last, rounds = self.checks[-1] if self.checks else None, _rounds(proto)
        was_right = (
            last is None
            or last.rounds
            or last.difference <= self.tolerance
            or (last.name == "export" and FLOAT_TYPE in model.meta)
        )
        is_wrong = not rounds and not difference <= self.tolerance  # true for NaN too
        value, node = "", ""
        if was_right and is_wrong and self.before is not None:
            value = first_difference(self.before, proto, self.images, self.tolerance)
            node = tensorflow_node(proto, value)
        self.checks.append(
            PassCheck(
                name=name,
                difference=difference,
                allowed=self.tolerance,
                value=value,
                node=node,
                rounds=rounds,
            )
        )
        self.before = proto
        if name == "export" and FLOAT_TYPE in model.meta:
            self.expected = _result(proto, self.images)  # from here on: without its rounding

    def allow_rounding(self, name: str) -> None:
        """Allow the export to differ by the rounding of a model in a 16-bit type."""
        assert self.before is not None
        exact, other = (
            _result(proto, self.images) for proto in (self.before, rounded(self.before, name))
        )
        limit = Rounding.of([np.abs(exact - other)]).limit(self.tolerance)
        self.checks[0] = replace(self.checks[0], allowed=limit)

    def _difference(self, proto: onnx.ModelProto) -> float:
        result = _result(proto, self.images)
        expected = _in_layout(self.expected, result.shape)
        return float(np.abs(result - expected).max())


def check_numbers(output: Array, label: str) -> None:
    """Check that a model returns numbers, which a graph or an engine can be compared with.

    Args:
        output: for random pixels.
        label: what ran the model.

    Raises:
        ConversionError: a value is NaN.
    """
    if count := int(np.isnan(output).sum()):
        raise ConversionError(
            f"the model itself returns NaN for random pixels ({count} of {output.size} values, in "
            f"{label}), so that no engine can be compared with it; check its weights for NaN, and "
            "input.mean and input.scale in the spec, which decide what values its layers get"
        )


def _batch_of(proto: onnx.ModelProto) -> int:
    """Return the batch size of a graph's input; 0 if it is free."""
    return proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value


def _rounds(proto: onnx.ModelProto | None) -> bool:
    return proto is not None and any(n.op_type == "QuantizeLinear" for n in proto.graph.node)


def _in_layout(array: Array, shape: tuple[int, ...]) -> Array:
    """Transpose an output of the model to the layout of a graph between two passes.

    Layouts: NHWC or NCHW of maps, TNC or NTC of classes.
    """
    for perm in (range(array.ndim), (0, 3, 1, 2), (0, 2, 3, 1), (1, 0, 2)):
        if len(perm) == array.ndim and tuple(array.shape[i] for i in perm) == shape:
            return array.transpose(*perm)
    raise AssertionError(
        f"the output after a pass has shape {shape}, that of the model {array.shape}"
    )


def _as_accepted(proto: onnx.ModelProto, images: Array) -> Array:
    """Return NCHW images in the layout of the graph's input: NCHW, or NHWC before the passes."""
    sizes = [axis.dim_value for axis in proto.graph.input[0].type.tensor_type.shape.dim]
    return images if tuple(sizes[1:]) == images.shape[1:] else images.transpose(0, 2, 3, 1)


def _result(proto: onnx.ModelProto, images: Array) -> Array:
    """Run the graph as it is written, without onnxruntime's own rewriting."""
    session = GraphSession(proto, optimize=False)
    return session.run(_as_accepted(proto, images))[proto.graph.output[0].name]


def first_difference(
    before: onnx.ModelProto, after: onnx.ModelProto, images: Array, tolerance: float
) -> str:
    """Return the first common value, in the order of ``after``, that differs between two graphs.

    Args:
        before: the graph before a pass.
        after: the graph after it.
        images: (N, C, H, W).
        tolerance: largest difference, relative to the largest number of a tensor above 1.

    Returns:
        The value's name, or "" if no value but the output differs.
    """
    known = {name for node in before.graph.node for name in node.output if name}
    names = [name for node in after.graph.node for name in node.output if name in known]
    if not names:
        return ""
    old, new = (
        read_tensors(proto, names, _as_accepted(proto, images), optimize=False)
        for proto in (before, after)
    )
    for name in names:
        left, right = old[name], new[name]
        if left.dtype.kind != "f" or left.shape != right.shape or not left.size:
            continue
        finite = np.abs(left[np.isfinite(left)])
        # Inner tensors can be much larger than the output, so they may differ by more.
        limit = tolerance * max(1.0, float(finite.max(initial=0.0)))
        if not np.allclose(left, right, rtol=0, atol=limit, equal_nan=True):
            return name
    return ""


def verify(
    source: Source, spec: ModelSpec, model: Callable[[Array], Array]
) -> tuple[PassCheck, ...]:
    """Convert a model, and compare the graph with it after every pass.

    Args:
        source: the model.
        spec: its spec; ``accuracy.max_difference`` is the tolerance.
        model: runs the model in TensorFlow, from (N, C, H, W) to its output in the layout of
            converted graphs.
    """
    watcher = _Watcher(spec.input, model, spec.accuracy.max_difference)
    converted = convert(source, spec, watch=watcher)
    if (name := converted.float_types.coarsest) is not None:
        watcher.allow_rounding(name)
    return tuple(watcher.checks)
