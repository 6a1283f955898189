"""Refuse OpenVINO plans that would exhaust its parser or the memory.

OpenVINO reads the whole text into a tree and walks through it with recursion: 32,000 elements
within each other overflow its stack, which ends the process. So the text is first read element by
element, which needs no memory for what was read.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from ...common.limits import (
    LARGEST_NESTING,
    LARGEST_NODES,
    LARGEST_PLAN_TEXT,
    LARGEST_XML_ATTRIBUTE,
    LARGEST_XML_ELEMENTS,
    bytes_text,
    check_limit,
)
from ...common.memory import available_memory
from ...errors import InputFileError

_REBUILD = "build the bundle again"
_PART = 1 << 16
"""Bytes that are parsed at once, so that an attribute is refused before it is complete."""


def check_plan_text(plan: Path) -> None:
    """Check size, nesting, layers and attributes of the .xml file of a plan.

    Raises:
        InputFileError: it is not XML, declares entities, or exceeds a limit.
    """
    check_limit(plan, "bytes", plan.stat().st_size, LARGEST_PLAN_TEXT, _REBUILD)
    reader = _Reader(plan)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    # Entities can expand to gigabytes. OpenVINO's own plans have no document type.
    parser.StartDoctypeDeclHandler = reader.refuse_document_type
    try:
        with plan.open("rb") as file:
            while part := file.read(_PART):
                parser.Parse(part, False)
                # The parser keeps an unfinished element, such as one with a huge attribute.
                waiting = file.tell() - max(parser.CurrentByteIndex, 0)
                what = "characters in one element"
                check_limit(plan, what, waiting, LARGEST_XML_ATTRIBUTE + _PART, _REBUILD)
            parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # LookupError: the encoding
        raise InputFileError(f"{plan}: openvino cannot load it: {error}; {_REBUILD}") from None


_DIVISIONS = frozenset({"Divide", "Mod"})
"""Ops that end the process; the kernel of FloorMod computes in floating point."""


class _Reader:
    """Counts what the parser reports."""

    def __init__(self, plan: Path) -> None:
        self._plan, self._depth, self._elements, self._layers = plan, 0, 0, 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Count an element and everything around it."""
        self._depth += 1
        self._elements += 1
        self._layers += name == "layer"
        longest = max(map(len, attributes.values()), default=0)
        for what, seen, allowed in (
            ("or more elements within each other", self._depth, LARGEST_NESTING),
            ("or more elements", self._elements, LARGEST_XML_ELEMENTS),
            ("or more layers", self._layers, LARGEST_NODES),
            (f"characters in an attribute of {name[:40]!r}", longest, LARGEST_XML_ATTRIBUTE),
        ):
            if seen > allowed:
                check_limit(self._plan, what, seen, allowed, _REBUILD)

    def end(self, name: str) -> None:
        """Leave an element."""
        self._depth -= 1

    def refuse_document_type(self, name: str, *_: object) -> None:
        """Refuse a document type, which can declare entities."""
        raise InputFileError(
            f"{self._plan}: declares a document type ({name!r:.60}), expected none; {_REBUILD}"
        )


def check_plan_graph(graph: Any, plan: Path) -> None:
    """Check a graph that OpenVINO has read, before it is compiled.

    Raises:
        InputFileError: its largest tensor does not fit the memory (free dimensions count as 1), or
            it divides integer constants by 0, -1 or a computed number.
    """
    _check_divisions(graph, plan)
    free = available_memory()
    for op in graph.get_ops():
        for port in op.outputs():
            shape = port.get_partial_shape()
            if shape.rank.is_dynamic:
                continue
            sizes = [max(1, dim.get_min_length()) for dim in shape]
            needed = prod(sizes) * port.get_element_type().bitwidth // 8
            if needed > free:
                raise InputFileError(
                    f"{plan}: its layer {op.get_friendly_name()!r:.80} returns a tensor of shape "
                    f"{sizes}, which needs {bytes_text(needed)} of memory, but {bytes_text(free)} "
                    "are available; use a machine or container with more memory, or build the "
                    "bundle for a smaller input"
                )


def _check_divisions(graph: Any, plan: Path) -> None:
    """Refuse divisions of integer constants that OpenVINO cannot compute when it compiles a plan.

    The smallest integer divided by -1 ends the process, and so does a remainder by 0. Plans of a
    build divide sizes of weights by numbers of groups.
    """
    varying = set[str]()  # the ops that depend on the image
    for op in graph.get_ordered_ops():
        sources = [port.get_source_output().get_node() for port in op.inputs()]
        if op.get_type_name() == "Parameter" or any(each.get_name() in varying for each in sources):
            varying.add(op.get_name())
            continue
        if op.get_type_name() not in _DIVISIONS:
            continue
        if not op.output(0).get_element_type().is_integral():
            continue
        divisor = sources[1]
        if divisor.get_type_name() != "Constant" or np.isin(divisor.data, (0, -1)).any():
            raise InputFileError(
                f"{plan}: its layer {op.get_friendly_name()!r:.80} divides integer constants, "
                f"expected constant divisors other than 0 and -1; {_REBUILD}"
            )
