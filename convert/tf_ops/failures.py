"""Find the nodes that tf2onnx could not convert.

tf2onnx logs the exception of a node's handler and goes on, which leaves the node half converted in
the graph. This module reads its log, so that such a model is refused by the name of the layer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...common.error_text import first_line
from ...errors import ConversionError
from .emitter import RefusalError
from .refused import reason_of

_FAILED = "Failed to convert node"
_QUANTIZED = (11, 12, 13, 15, 16)
"""DT_QINT8, DT_QUINT8, DT_QINT32, DT_QINT16 and DT_QUINT16 of TensorFlow's types.proto."""
_INTEGERS = "it computes on integers: convert the float model, and let ocr-trt quantize it"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A node whose handler raised an exception."""

    node: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} at {self.node}: {self.reason}"


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failures: list[Failure] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not str(record.msg).startswith(_FAILED) or not record.exc_info:
            return
        name, _, summary = record.args if isinstance(record.args, tuple) else ("?", "", "")
        # The summary begins with "OP=Conv2D\nName=...".
        op = str(summary).partition("OP=")[2].splitlines()
        error = record.exc_info[1]
        reason = (
            str(error) if isinstance(error, RefusalError) else first_line(error or Exception("?"))
        )
        self.failures.append(Failure(node=str(name), op=op[0] if op else "op", reason=reason))


@contextmanager
def recorded_failures() -> Iterator[list[Failure]]:
    """Yield a list to which failures are added; tf2onnx prints nothing meanwhile."""
    logger, recorder = logging.getLogger("tf2onnx.tfonnx"), _Recorder()
    before, disabled = (logger.level, logger.propagate), logging.root.manager.disable
    # A program that disables logging would hide the failures, too.
    logging.disable(logging.NOTSET)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(recorder)
    try:
        yield recorder.failures
    finally:
        logger.removeHandler(recorder)
        logger.level, logger.propagate = before
        logging.disable(disabled)


def quantized_nodes(graph: Any) -> list[Failure]:
    """Return the nodes of a GraphDef that compute on TensorFlow's quantized integers.

    tf2onnx ends at the first of them with an error that does not name it.
    """
    found = []
    for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
        types = [t for a in node.attr.values() for t in (a.type, *a.list.type)]
        # A reference to a type has its number + 100; no ONNX type corresponds to either.
        if any(t % 100 in _QUANTIZED for t in types):
            reason = reason_of(node.op) or _INTEGERS
            found.append(Failure(node=node.name, op=node.op, reason=reason))
    return found


def check_failures(failures: list[Failure]) -> None:
    """Refuse a model in which a node failed.

    Raises:
        ConversionError: lists the nodes with the reasons.
    """
    if failures:
        listed = "; ".join(map(str, failures[:3]))
        raise ConversionError(
            f"these ops cannot be converted: {listed}. Rewrite the layers with other ops, or end "
            "the model before them (output.name in the spec)"
        )
