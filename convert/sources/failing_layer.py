"""Find the layer in which an exception of Keras or TensorFlow was raised.

Keras' messages contain the class of the layer at most, never its name. But the traceback passes
through Keras' functions that load and call layers, and their local variables hold the layer.
TensorFlow's messages contain the name of the node, which begins with the layer's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import FrameType

from ...common.error_text import first_line

_NODE = re.compile(r"\{\{node (?:(?:Stateful)?PartitionedCall/)*([^}]+)\}\}")


def reason_with_layer(error: BaseException) -> str:
    """Return why a layer failed, with its name in front if it is known."""
    where = failing_node(error) or _failing_layer(error)
    return f"{where}: {first_line(error)}" if where else first_line(error)


def failing_node(error: BaseException) -> str:
    """Return the name of the graph node that a message of TensorFlow names, or ""."""
    found = _NODE.search(str(error))
    return found[1] if found else ""


def _failing_layer(error: BaseException) -> str:
    """Return "name (class)" of the innermost layer that the exception passed through, or ""."""
    found = ""
    for frame in _frames(error):
        found = _layer_of(frame) or found
    return f"layer {found}" if found else ""


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of an exception, then those of its causes, which lie deeper."""
    seen = set[int]()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        step = each.__traceback__
        while step is not None:
            yield step.tb_frame
            step = step.tb_next
        each = each.__cause__ or each.__context__


def _layer_of(frame: FrameType) -> str:
    """Return the layer that a function of Keras handles."""
    if not str(frame.f_globals.get("__name__", "")).startswith("keras."):
        return ""
    import keras

    names = frame.f_locals
    arguments = names.get("args")
    candidates = (
        names.get("layer"),  # functional_from_config
        arguments[0] if isinstance(arguments, tuple) and arguments else None,  # layer.__call__
        getattr(names.get("fn"), "__self__", None),  # layer.call
    )
    for each in candidates:
        if isinstance(each, keras.Operation) and not isinstance(each, keras.Model):
            return f"{each.name} ({type(each).__name__})"
    data = names.get("layer_data")  # the JSON of a layer that is not built yet
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        return f"{data['name']} ({data.get('class_name', '?')})"
    return ""
