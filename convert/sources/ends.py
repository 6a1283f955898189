"""Find the tensors at which the network inside a TensorFlow graph begins and ends.

Models for serving often accept encoded files (strings) and return text: ops in front of the network
decode images, and a CTC decoder, lookup tables and string joins follow it. An engine runs only the
network, and ocr-trt decodes images and text itself, so a model is cut at these two tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..float_types import OTHER_FLOATS
from . import Cut, TensorInfo
from .side_effects import layer_of

_IMAGE_RANK = 4
_FLOATS = ("float32", *OTHER_FLOATS)
_PLUMBING = ("Const", "Identity", "NoOp", "Pack", "Placeholder", "Shape", "StridedSlice")
_BEFORE_LOG = ("Add", "AddV2", "Maximum")
"""Ops with a constant that keep the argument of a logarithm above 0."""


def find_cut(graph: Any, feeds: Sequence[str], fetches: Sequence[str], rank: int) -> Cut | None:
    """Find the network in a graph.

    Args:
        graph: a ``tf.Graph``.
        feeds: names of its inputs.
        fetches: names of its outputs.
        rank: how many axes the network's output has.

    Returns:
        The output is the float32 tensor of that rank nearest to the graph's outputs. The input is
        the image nearest to the graph's inputs on which that output depends, if it depends on
        the inputs through this image only. None if there is no such pair.
    """
    ends = [graph.get_tensor_by_name(port_of(name)) for name in fetches]
    result = next((t for t in _upstream(ends) if _is_image(t, rank, _FLOATS)), None)
    if result is None:
        return None
    result, layout, blank = _before_decoder(result)
    entries = {graph.get_tensor_by_name(port_of(name)).op for name in feeds}
    entry = _first_image(result, entries)
    if entry is None:
        return None
    network = {entry.op, *_ops([result], stop=entry.op)}
    in_front = _ops(entry.op.inputs)
    return Cut(
        input=_info(entry),
        output=_info(result),
        layout=layout,
        is_probability=result.op.type == "Softmax",
        blank=blank,
        in_front=_kinds([op for op in in_front if op not in entries]),
        behind=_kinds([op for op in _ops(ends) if op not in {*network, *in_front}]),
    )


def _kinds(ops: Sequence[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(op.type for op in ops if op.type not in _PLUMBING))


def _upstream(tensors: Sequence[Any]) -> Iterator[Any]:
    """Yield tensors and all tensors that they depend on, nearest first."""
    seen, todo = set[str](), list(tensors)
    for tensor in todo:  # the loop appends to the list: breadth first
        if tensor.name not in seen:
            seen.add(tensor.name)
            yield tensor
            todo += tensor.op.inputs


def _ops(tensors: Sequence[Any], stop: Any = None) -> list[Any]:
    """Return the ops that tensors depend on, nearest first, without ``stop`` and ops before it."""
    found: dict[Any, None] = {}
    todo = [tensor.op for tensor in tensors]
    for op in todo:
        if op not in found and op is not stop:
            found[op] = None
            todo += [tensor.op for tensor in op.inputs]
    return list(found)


def _is_image(tensor: Any, rank: int, dtypes: Sequence[str]) -> bool:
    return tensor.shape.rank == rank and tensor.dtype.name in dtypes


def _before_decoder(tensor: Any) -> tuple[Any, str, int | None]:
    """Skip the ops that prepare scores for a CTC decoder: a logarithm and a transposition.

    Returns:
        The scores, their layout (TensorFlow's CTC decoders require TNC), and the blank's class.
    """
    decoder = next((op for op in tensor.consumers() if op.type.startswith("CTC")), None)
    if decoder is None:
        return tensor, "NTC", None
    blank, classes = None, tensor.shape[-1]
    if classes is not None:
        # The beam search decoder has no such attribute: its blank is the last class.
        index = decoder.get_attr("blank_index") if decoder.type == "CTCGreedyDecoder" else -1
        blank = index % classes
    time_first, logged = True, False
    while True:
        op = tensor.op
        constant = all(t.op.type == "Const" for t in op.inputs[1:])
        if op.type == "Transpose" and _constant(op.inputs[1]) == [1, 0, 2]:
            time_first = not time_first
        elif op.type == "Log":
            logged = True
        elif op.type != "Identity" and not (logged and op.type in _BEFORE_LOG and constant):
            return tensor, "TNC" if time_first else "NTC", blank
        tensor = op.inputs[0]


def _constant(tensor: Any) -> Any:
    from tensorflow import get_static_value

    value = get_static_value(tensor)
    return None if value is None else value.tolist()


def _first_image(result: Any, entries: set[Any]) -> Any:
    """Return the image nearest to the inputs that every path from them to ``result`` passes."""
    images = [
        tensor
        for tensor in _upstream([result])
        if _is_image(tensor, _IMAGE_RANK, (*_FLOATS, "uint8"))
    ]
    for image in reversed(images):
        above = {op for op in _ops([image]) if op in entries}
        # Without the image, the result must not depend on any input.
        without = set(_ops([result], stop=image.op))
        if above and not without & entries:
            return image
    return None


def readers_of_inputs(entry: Any, result: Any) -> dict[str, list[str]]:
    """Return the inputs besides ``entry`` that a tensor depends on, with their readers."""
    ops = _ops([result], stop=entry.op)
    found: dict[str, list[str]] = {}
    for op in (each for each in ops if each.type in ("Placeholder", "PlaceholderWithDefault")):
        todo, seen, layers = list(op.outputs), set[str](), dict[str, None]()
        for tensor in todo:
            for reader in tensor.consumers():
                if reader not in ops or reader.name in seen:
                    continue
                seen.add(reader.name)
                if reader.type == "Identity":
                    todo += reader.outputs
                else:
                    layers[layer_of(reader.name)] = None
        found[op.name] = list(layers)
    return found


def tensor_of_layer(graph: Any, name: str) -> Any:
    """Return the output of the layer of a name; None if no layer or several have it.

    A layer's nodes have its name as a scope. Keras appends a number to scopes that exist already.
    """
    if not name or "/" in name or ":" in name:
        return None
    scopes: dict[str, list[Any]] = {}
    for op in graph.get_operations():
        parts = op.name.split("/")
        for index, part in enumerate(parts[:-1]):
            if re.fullmatch(rf"{re.escape(name)}(_\d+)?", part):
                scopes.setdefault("/".join(parts[: index + 1]), []).append(op)
    exact = [scope for scope in scopes if scope.split("/")[-1] == name]
    chosen = exact if len(exact) == 1 else list(scopes)
    if len(chosen) != 1:
        return None
    ops = set(scopes[chosen[0]])
    ends = [
        tensor
        for op in scopes[chosen[0]]
        for tensor in op.outputs
        if op.inputs and tensor.consumers() and not ops & {*tensor.consumers()}
    ]
    return ends[0] if len(ends) == 1 else None


def _info(tensor: Any) -> TensorInfo:
    return TensorInfo.of_tensorflow(tensor.name.removesuffix(":0"), tensor)


def port_of(name: str) -> str:
    """Return a tensor name with its port: ":0" is added to the name of a node."""
    return name if ":" in name else f"{name}:0"
