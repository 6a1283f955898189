"""Build graphs from ONNX text and TensorFlow functions; check that a rule fires or does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from onnx_ir.passes import common

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.graph import OPSET
from ocr_trt.convert.outcome import Outcome
from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.pipeline import _upgraded
from ocr_trt.convert.sources.tf_graph import onnx_from_function


def graph(text: str, **weights: np.ndarray) -> ir.Model:
    """Parse ``agraph``; ``weights`` become initializers; shapes are inferred."""
    header = f'<ir_version: 10, opset_import: ["" : {OPSET}, "ocr_trt" : 1]>'
    proto = onnx.parser.parse_model(header + text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    model = ir.from_proto(proto)
    common.ShapeInferencePass()(model)
    return model


def used(text: str, constants: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the constants whose names ``text`` contains."""
    words = set(re.findall(r"\w+", text))
    return {name: np.asarray(array) for name, array in constants.items() if name in words}


def traced(function: Callable[[Any], Any], shape: tuple[int, ...]) -> ir.Model:
    """Convert a TensorFlow function of one input ``x``, as ``pipeline`` does before its passes."""
    model = _upgraded(onnx_from_function(function, "x", shape, "y"))
    fold_constants(model)
    return model


def evaluated(model: ir.Model, x: np.ndarray) -> np.ndarray:
    """Run a model of one input ``x`` and one output."""
    return onnx_session(ir.to_proto(model)).run(None, {"x": x})[0]


def ops(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def run(model: ir.Model, seed: int = 0) -> list[np.ndarray]:
    """Run a model on seeded random numbers, without onnxruntime's own optimizations."""
    session = onnx_session(ir.to_proto(model), optimize=False)
    rng = np.random.default_rng(seed)
    feeds = {}
    for entry in session.get_inputs():
        shape = [d if isinstance(d, int) else 2 for d in entry.shape]
        feeds[entry.name] = rng.standard_normal(shape).astype(np.float32)
    return session.run(None, feeds)


def check_fires(
    model: ir.Model, rule: Callable[[ir.Model], Outcome], *, atol: float, rtol: float = 0.0
) -> Outcome:
    """Apply a rule; it must change the graph, keep it valid, and keep the numbers."""
    before = run(model)
    outcome = rule(model)
    assert outcome.changed > 0
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    after = run(model)
    for left, right in zip(before, after, strict=True):
        assert left.shape == right.shape
        assert np.abs(left).max() > 0, "a graph that computes zeros proves nothing"
        np.testing.assert_allclose(right, left, atol=atol, rtol=rtol)
    return outcome


def check_does_not_fire(model: ir.Model, rule: Callable[[ir.Model], Outcome]) -> Outcome:
    """Apply a rule; it must not change one byte of the graph."""
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    outcome = rule(model)
    assert outcome.changed == 0
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    return outcome
