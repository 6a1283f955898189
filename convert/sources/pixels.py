"""Change the image input of a model to float32; draw random images for comparisons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from ...common.input_size import InputSize
from ...errors import SpecError
from ...spec import InputSpec

_FLOATS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def with_float_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Change the first input of a model to float32.

        x (uint8) -> f   ->   x (float32) -> Round -> Cast<uint8> -> f       integer types
        x (fp16) -> f    ->   x (float32) -> Cast<fp16> -> f                 float types

    Changes the model. ``remove_pixel_casts`` removes Round and Cast if a Cast to float follows.
    """
    entry = model.graph.input[0].type.tensor_type
    if (dtype := entry.elem_type) == TensorProto.FLOAT:
        return model
    entry.elem_type = TensorProto.FLOAT
    name = model.graph.input[0].name
    taken, rounded = (_free(model.graph, f"{name}_{what}") for what in ("taken", "rounded"))
    rename(model.graph, {name: taken})
    model.graph.input[0].name = name
    nodes = [onnx.helper.make_node("Cast", [rounded], [taken], to=dtype)]
    if dtype in _FLOATS:  # fractions are valid pixels there, so nothing is rounded
        nodes[0].input[0] = name
    else:
        nodes.insert(0, onnx.helper.make_node("Round", [name], [rounded]))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values, also in inner graphs, but not the graph's own inputs and outputs."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for item in node.attribute:
            if item.type == onnx.AttributeProto.GRAPH:
                rename(item.g, names)
                for value in item.g.output:
                    value.name = names.get(value.name, value.name)


def _free(graph: onnx.GraphProto, expected: str) -> str:
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    while expected in taken:
        expected += "_"
    return expected


def _requires_whole_pixels(model: onnx.ModelProto) -> bool:
    """Whether a model's input was of an integer type before ``with_float_input``."""
    name = model.graph.input[0].name
    rounded = {node.output[0] for node in model.graph.node if _is(node, "Round", {name})}
    return any(_is(node, "Cast", rounded) for node in model.graph.node)


def check_pixels(raw: onnx.ModelProto, settings: InputSpec) -> None:
    """Check that a spec does not scale pixels for a model of an integer input type.

    Raises:
        SpecError: it does.
    """
    is_unscaled = not any(settings.mean) and all(scale == 1 for scale in settings.scale)
    if _requires_whole_pixels(raw) and not is_unscaled:
        raise SpecError(
            f"the model requires integers at {settings.name}, so pixels must not be scaled: "
            f"expected mean [0] and scale [1], got {list(settings.mean)} and {list(settings.scale)}"
        )


def _is(node: onnx.NodeProto, op_type: str, inputs: set[str]) -> bool:
    return node.op_type == op_type and node.input[0] in inputs


def pixel_noise(
    settings: InputSpec, batch: int, size: InputSize, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return random images, (batch, C, *size) float32: pixels 0..255, normalized by the spec."""
    pixels = rng.integers(0, 256, (batch, settings.channels, *size))
    mean, scale = np.array(settings.mean, np.float32), np.array(settings.scale, np.float32)
    centered = pixels.astype(np.float32) - mean.reshape(-1, 1, 1)  # (N, C, H, W) - (C, 1, 1)
    return centered * scale.reshape(-1, 1, 1)
