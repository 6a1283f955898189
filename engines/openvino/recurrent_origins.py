"""Find the ONNX nodes that OpenVINO's recurrent layers come from.

The importer turns an LSTM, GRU or RNN into several ops of its own, such as ``Transpose_97 ->
GRUSequence_128 -> GRU_1_GRU_1``. Only the last of them has the name of the ONNX node, and the names
of its tensors. The compiler then splits a bidirectional op into two, with names that the plan does
not contain. Both are found from the first named tensor that reads their result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

KINDS = frozenset({"RNNSeq", "RNNCell", "TensorIterator"})
"""Kinds of executed layers that run a recurrent op; a TensorIterator runs it step by step."""


def onnx_names(plan: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of the ONNX nodes that the ops of a plan belong to, by the op's name.

    An op without a named tensor belongs to the node of the first named tensor that it leads to.
    """
    names: dict[str, tuple[str, ...]] = {}
    # Backwards, so that the readers of an op are known before it.
    for op in reversed(plan.get_ordered_ops()):
        own = tuple(dict.fromkeys(_own_names(op)))
        inherited = (names.get(reader.get_friendly_name(), ()) for reader in _readers(op))
        names[op.get_friendly_name()] = own or next(filter(None, inherited), ())
    return names


def _own_names(op: Any) -> Iterator[str]:
    for port in op.outputs():
        for tensor in sorted(port.get_names()):
            yield tensor
            # The importer appends the name of the tensor if a node has several outputs.
            yield op.get_friendly_name().removesuffix(f"_{tensor}")


def origin_of(
    layer: Any, names: Mapping[str, tuple[str, ...]], originals: Callable[[Any], tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the names of the ONNX node that an executed recurrent layer computes.

    Args:
        layer: an op of the executed graph.
        names: of :func:`onnx_names`.
        originals: returns the names of the ops of the plan that an executed layer states.
    """
    waiting, seen = deque([layer]), {layer.get_friendly_name()}
    while waiting:
        op = waiting.popleft()
        for name in originals(op):
            # "LSTMSequence_72.0" is output 0 of the op that was split.
            if found := names.get(name) or names.get(name.rpartition(".")[0]):
                return found
        for reader in _readers(op):
            if reader.get_friendly_name() not in seen:
                seen.add(reader.get_friendly_name())
                waiting.append(reader)
    return ()


def _readers(op: Any) -> list[Any]:
    return [entry.get_node() for port in op.outputs() for entry in port.get_target_inputs()]
