"""The input and the output of a plan: names and shapes, from the graph that it was built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from ..common.onnx_limits import load_limited
from ..errors import InputFileError


class Port(StrictModel):
    """An input or an output of a plan, float32. Every target keeps the names of the graph."""

    name: str
    shape: tuple[int, ...]
    """-1 for an axis of any size: the batch, or a side of the input of a plan for many sizes."""

    @property
    def has_free_batch(self) -> bool:
        """Whether the first axis is free."""
        return self.shape[0] == -1

    @property
    def has_free_sides(self) -> bool:
        """Whether the height or width of an input (N, C, H, W) is free."""
        return -1 in self.shape[2:]

    def fits(self, size: InputSize) -> bool:
        """Whether an input (N, C, H, W) accepts images of a size."""
        return all(own in (-1, side) for own, side in zip(self.shape[2:], size, strict=True))


def ports_of(model: Path) -> tuple[Port, Port]:
    """Return the input and the first output of a quantized graph; its weights are not read.

    Raises:
        InputFileError: the graph has no such input or output, or one of unknown rank.
    """
    graph = load_limited(model, load_weights=False).graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    if len(inputs) != 1 or not graph.output:
        raise InputFileError(
            f"{model}: has {len(inputs)} inputs and {len(graph.output)} outputs, expected one of "
            "each; build the bundle again"
        )
    return _port(model, inputs[0]), _port(model, graph.output[0])


def _port(model: Path, value: Any) -> Port:
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT or not tensor.shape.dim:
        raise InputFileError(
            f"{model}: {value.name} is not a float32 tensor of known rank; build the bundle again"
        )
    shape = tuple(axis.dim_value or -1 for axis in tensor.shape.dim)
    return Port(name=value.name, shape=shape)
