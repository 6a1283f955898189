"""Where a TensorFlow graph's network begins and ends.

Served models often take encoded files (strings) and give text: images are decoded in front of the
network, and behind it stand a CTC decoder, lookup tables and joined strings. An engine runs the
network alone, and ocr-trt decodes itself, so a model is cut at these two tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import Cut, TensorInfo

_IMAGE_RANK = 4
_PLUMBING = ("Const", "Identity", "NoOp", "Pack", "Placeholder", "Shape", "StridedSlice")
_BEFORE_LOG = ("Add", "AddV2", "Maximum")
"""With a constant, what keeps a logarithm from zero."""


def find_cut(graph: Any, feeds: Sequence[str], fetches: Sequence[str], rank: int) -> Cut | None:
    """Find the network in a graph.

    Args:
        graph: a ``tf.Graph``.
        feeds: names of its inputs.
        fetches: names of its outputs.
        rank: how many axes the network's output has.

    Returns:
        The nearest float32 tensor of that rank in front of the outputs, and the first image
        behind the inputs that the tensor depends on through nothing else; None if there are none.
    """
    ends = [graph.get_tensor_by_name(port_of(name)) for name in fetches]
    result = next((t for t in _upstream(ends) if _is_image(t, rank, ("float32",))), None)
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
    """Yield tensors and all that they are made of, nearest first."""
    seen, todo = set[str](), list(tensors)
    for tensor in todo:
        if tensor.name not in seen:
            seen.add(tensor.name)
            yield tensor
            todo += tensor.op.inputs


def _ops(tensors: Sequence[Any], stop: Any = None) -> list[Any]:
    """Return the ops that make tensors, nearest first, not past ``stop``."""
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
    """Step back over what is done for a CTC decoder: a logarithm, and time brought to the front.

    Returns the scores, their layout (TensorFlow's CTC decoders take time first), and the blank.
    """
    decoder = next((op for op in tensor.consumers() if op.type.startswith("CTC")), None)
    if decoder is None:
        return tensor, "NTC", None
    blank, classes = None, tensor.shape[-1]
    if classes is not None:
        told = decoder.get_attr("blank_index") if decoder.type == "CTCGreedyDecoder" else -1
        blank = told % classes
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
    """Return the image nearest to the inputs that ``result`` depends on through nothing else."""
    images = [
        tensor
        for tensor in _upstream([result])
        if _is_image(tensor, _IMAGE_RANK, ("float32", "uint8"))
    ]
    for image in reversed(images):
        above = {op for op in _ops([image]) if op in entries}
        without = set(_ops([result], stop=image.op))
        if above and not without & entries:
            return image
    return None


def _info(tensor: Any) -> TensorInfo:
    return TensorInfo.of_tensorflow(tensor.name.removesuffix(":0"), tensor)


def port_of(name: str) -> str:
    """Return the name of a node's first output, or of the output that is named already."""
    return name if ":" in name else f"{name}:0"
