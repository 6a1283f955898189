"""Checkpoints of TensorFlow 1 with their meta graph: model.ckpt.meta, .index and .data-*."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...common.error_text import check_memory, first_line
from ...errors import InputFileError, OcrTrtError
from ...spec import SourceSpec
from .constants import read_constants
from .graph_def_source import GraphDefSource, ends_of
from .graph_limits import check_graph_limits
from .graph_nodes import upstream
from .tf_graph import import_tensorflow
from .unsafe_ops import check_graph

_VARIABLES = ("VariableV2", "Variable", "VarHandleOp", "ReadVariableOp")
_SCOPES = re.compile(r"(save|gradients(_\d+)?)/")
"""Name scopes of the nodes that a Saver and an optimizer add to a graph."""
_WRITES = re.compile(
    r"(Resource)?(Sparse)?Apply\w+|Assign\w*|ResourceScatter\w+"
    r"|Scatter(Add|Sub|Mul|Div|Min|Max|Update)"
)
"""Ops that write variables: optimizers, counters and moving averages."""


def _frozen(path: Path) -> Any:
    """Restore the variables, and return the GraphDef with constants in their place."""
    v1 = import_tensorflow().compat.v1
    meta = v1.MetaGraphDef()
    meta.ParseFromString(path.read_bytes())
    check_graph_limits(path, meta.graph_def)
    with v1.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        saver = v1.train.import_meta_graph(str(path), clear_devices=True)
        definition = graph.as_graph_def()
        # Restoring and freezing run these ops, and what they depend on.
        variables = [node.name for node in definition.node if node.op in _VARIABLES]
        check_graph(path, definition, [saver.saver_def.restore_op_name, *variables])
        saver.restore(session, str(path.with_suffix("")))
        # Nodes of a Saver or optimizer are ends of the graph too, but no outputs of the model.
        # Those that write variables cannot be imported once their variables are constants.
        ends = [
            name
            for name in ends_of(definition)
            if not _SCOPES.match(name) and not _writes(definition, name)
        ]
        return v1.graph_util.convert_variables_to_constants(session, definition, ends)


def _writes(definition: Any, end: str) -> bool:
    """Whether a node writes variables, or runs nodes that do."""
    nodes = upstream(definition.node, [end], control=True)
    return any(_WRITES.fullmatch(node.op) for node in nodes)


def open_source(source: SourceSpec) -> GraphDefSource:
    """Open the meta graph of a checkpoint: it is frozen, and read like a frozen graph."""
    path = source.path
    try:
        definition = _frozen(path)
    except OcrTrtError:
        raise
    except Exception as error:  # TensorFlow raises half a dozen unrelated types here
        check_memory(error, path)
        raise InputFileError(
            f"{path}: TensorFlow cannot restore it: {first_line(error)}; the files "
            f"{path.stem}.index and {path.stem}.data-* must be in the same folder"
        ) from error
    return GraphDefSource(path, definition, read_constants(source))
