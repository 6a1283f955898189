"""onnxruntime sessions on the CPU, with explicit settings for numbers and threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from .cores import limited_cores
from .onnx_files import as_file, is_too_large

_QUIET = 4  # log only fatal messages; errors are raised as exceptions
_PROVIDERS = ("CPUExecutionProvider",)
_MATMUL_FUSION = "MatmulTransposeFusion"
"""onnxruntime's name of the rewrite MatMul(Transpose(x), w) -> FusedMatMul(x, w)."""
_PAD_FUSION = "Pad_Fusion"
"""onnxruntime's name of the rewrite MaxPool(Pad(x)) -> MaxPool<pads>(x), the same for Conv.

Version 1.22 also applies it to zeros in front of a MaxPool, which are then left out of the maximum:
wrong numbers where all of x is negative. Version 1.32 is right; those between were not tried.
"""
_RIGHT_PAD_FUSION = (1, 32)


def onnx_session(
    model: onnx.ModelProto | bytes | str,
    *,
    threads: int = 0,
    optimize: bool = True,
    int8_kernels: bool = False,
) -> Any:
    """Open a session on a model, its bytes or its path.

    Args:
        model: the model, its bytes or its path.
        threads: threads inside an op; 0: one per core, or as many as a container may use.
        optimize: let onnxruntime rewrite the graph. If False, each op runs as written.
        int8_kernels: run Q/DQ pairs as int8 ops. If False, they round in float, and the numbers are
            the same on every processor.
    """
    import onnxruntime as ort

    levels = ort.GraphOptimizationLevel
    options = ort.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads or limited_cores()
    # One op at a time, with all threads inside it.
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    # By default threads spin after a run and take processor time from whatever runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.disable_quant_qdq", "0" if int8_kernels else "1")
    disabled = [_MATMUL_FUSION] if optimize and crashes_in_fusion(model) else []
    if tuple(map(int, ort.__version__.split(".")[:2])) < _RIGHT_PAD_FUSION:
        disabled.append(_PAD_FUSION)
    settings = {"providers": _PROVIDERS, "disabled_optimizers": disabled or None}
    if isinstance(model, onnx.ModelProto):
        if is_too_large(model):  # only a file can refer to external weights
            with as_file(model) as path:
                return ort.InferenceSession(str(path), options, **settings)
        model = model.SerializeToString()
    return ort.InferenceSession(model, options, **settings)


def refusals() -> tuple[type[Exception], ...]:
    """Return the errors with which onnxruntime refuses a graph, or stops while it runs one.

    They have no common base class. All others, such as a type that NumPy does not have, are errors
    of the caller.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (
        *(errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.NotImplemented),
        errors.RuntimeException,
    )


def crashes_in_fusion(model: onnx.ModelProto | bytes | str) -> bool:
    """Whether onnxruntime may crash when it fuses a Transpose and a MatMul of a graph.

    It also moves a Cast between the two, Cast(Transpose(x)) -> Transpose(Cast(x)). If another node
    reads the Cast, the graph is broken afterwards, and the process ends with a segmentation fault
    (onnxruntime 1.32). Other rewrites can move a Transpose in front of a Cast first, so the ops
    need not be neighbors.
    """
    try:
        whole = _without_weights(model)
    except Exception:  # protobuf and onnx have no common base class; onnxruntime reports it
        return False
    bodies = [whole.graph.node, *(function.node for function in whole.functions)]
    ops = {node.op_type for nodes in bodies for node in _deep_nodes(nodes)}
    return {"Cast", "Transpose", "MatMul"} <= ops


def _without_weights(model: onnx.ModelProto | bytes | str) -> onnx.ModelProto:
    """Return a model without reading its external weights."""
    if isinstance(model, str):
        return onnx.load(Path(model), load_external_data=False)
    return model if isinstance(model, onnx.ModelProto) else onnx.ModelProto.FromString(model)


def _deep_nodes(nodes: Any) -> Iterator[onnx.NodeProto]:
    """Yield nodes and those in the graphs of their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _deep_nodes(graph.node)
