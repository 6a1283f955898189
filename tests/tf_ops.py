"""Convert one TensorFlow function per op, and compare it with TensorFlow on every runtime.

python tests/tf_ops.py [NAME ...]       prints what does not convert, or differs
"""

from __future__ import annotations

import sys
import traceback
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.invariants import check_graph
from ocr_trt.convert.pass_order import PASSES, PREPARE
from ocr_trt.convert.pipeline import _upgraded
from ocr_trt.convert.sources.tf_graph import onnx_from_function
from ocr_trt.engines.targets import backend
from ocr_trt.errors import ConversionError

if __package__:
    from .op_cases import cases
    from .op_cases.case import Case
else:
    from op_cases import cases
    from op_cases.case import Case


REFUSED: dict[str, str] = {
    "avg_pool.grad": "does not depend on the input", "bessel_i0": "BesselI0", "bessel_i0e":
    "BesselI0e", "bessel_i1": "BesselI1", "bessel_i1e": "BesselI1e", "bessel_j0.positive":
    "BesselJ0", "bessel_k0e.positive": "BesselK0e", "bessel_k1e.positive": "BesselK1e",
    "bessel_y0.positive": "BesselY0", "betainc": "Betainc", "bitcast": "Bitcast", "case":
    "Merge", "cholesky": "Cholesky", "dawsn.positive": "Dawsn", "digamma": "Digamma",
    "digamma.positive": "Digamma", "dilation2d.grad": "MaxPoolGrad", "draw_bounding_boxes":
    "DrawBoundingBoxesV2", "eigh": "SelfAdjointEigV2", "expint.positive": "Expint", "expm":
    "MatrixSolve", "extract_glimpse": "ExtractGlimpseV2", "fractional_avg_pool":
    "FractionalAvgPool", "fractional_max_pool": "FractionalMaxPool", "fresnel_cos.positive":
    "FresnelCos", "fused_batch_norm.training": "training mode",
    "fused_pad_conv": "FusedPadConv2D", "fused_resize_pad_conv":
    "FusedResizeAndPadConv2D", "histogram": "HistogramFixedWidth", "igamma": "Igamma",
    "igammac": "Igammac", "inplace_update": "InplaceUpdate", "inverse": "MatrixInverse",
    "lgamma.positive": "Lgamma", "logdet": "Cholesky", "lu": "Lu", "next_after": "NextAfter",
    "polygamma": "Polygamma", "population_count": "PopulationCount",
    "projective_transform.wrap": "ImageProjectiveTransformV3", "qr": "Qr", "quantize_v2":
    "QuantizeV2", "raw_conv": "Conv",
    "sig_grad": "SigmoidGrad", "solve": "MatrixSolve", "spence.positive": "Spence", "ssim":
    "Conv", "strided_update": "TensorStridedSliceUpdate", "svd": "Svd", "tan_grad":
    "TanhGrad", "triangular_solve": "MatrixTriangularSolve", "tridiagonal_matmul":
    "TridiagonalMatMul", "unique": "Unique",
    "unique.indices": "Unique", "unravel_index": "UnravelIndex", "zeta": "Zeta",
    **{f"segment_{n}.computed": f"Segment{n.title()}" for n in ("sum", "mean", "max", "min")},
    "segment_prod.computed": "SegmentProd",
}  # fmt: skip
"""Cases that are refused -> the op that the message must name, or the reason."""

NOT_ON_TENSORRT = frozenset({
    "add.uint8", "argmax_pool.SAME", "argmax_pool.VALID", "bitwise_and", "bitwise_or",
    "bitwise_xor", "cast.uint8", "invert", "where.indices", "nms",
    "nms.padded", "saturate_cast", "convert_image_dtype", "right_shift.u8", "tensor_scatter_max",
    "tensor_scatter_min", "dynamic_partition", "bincount", "confusion", "roll.computed",
    "pad.symmetric", "pad.symmetric_large",
})  # fmt: skip
"""Cases that onnxruntime and OpenVINO run, and TensorRT-RTX refuses by the name of the node."""


COMPLETE_OPENVINO = (2026, 4)
"""The oldest version of OpenVINO that runs all cases. OpenVINO 2025.1 refuses some, such as a
ReduceLogSumExp of all axes, a resize of the channels, and a ScatterND with a reduction."""


def converted(case: Case) -> onnx.ModelProto:
    """Convert a case, with the passes that every model gets."""
    model = _upgraded(onnx_from_function(lambda x: case.function(x), "x", case.shape, "y"))
    for rewrite in (*PREPARE, *PASSES):
        rewrite(model)
        check_graph(model, rewrite.__name__)
    return ir.to_proto(model)


def difference(result: Any, expected: Any) -> float:
    """Return the largest difference, relative to the size of the expected numbers."""
    result, expected = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    if result.shape != expected.shape:
        return float("inf")
    if not result.size:
        return 0.0
    special = ~np.isfinite(expected)
    if not np.array_equal(result[special], expected[special], equal_nan=True):
        return float("nan")
    scale = max(1.0, float(np.abs(expected[~special]).max(initial=0)))
    return float(np.abs(result - expected)[~special].max(initial=0)) / scale


def on_openvino(model: onnx.ModelProto, x: np.ndarray) -> Any:
    """Run a graph in OpenVINO as the backend reads it, in float32."""
    import openvino as ov

    network = backend("openvino")._read(model)
    compiled = ov.Core().compile_model(
        network, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    return compiled([x])[0]


def refused_by_tensorrt(model: onnx.ModelProto) -> str:
    """Return the first reason why TensorRT-RTX's parser refuses a graph; "" if it does not.

    It runs in this process: one child process per case would take most of the time.
    """
    if not backend("tensorrt-rtx").availability().can_build:
        return ""
    import tensorrt_rtx as trt

    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if parser.parse(model.SerializeToString()):
        return ""
    return f"{parser.get_error(0).node_name()}: {parser.get_error(0).desc()}"


def refusal(case: Case) -> str:
    """Return the message with which a case is refused; "" if it converts."""
    try:
        converted(case)
    except ConversionError as error:
        return str(error)
    return ""


def examine(case: Case, *, others: bool, name: str = "") -> str:
    """Return "" if a case is right, or what is wrong."""
    import tensorflow as tf

    x = np.random.default_rng(5).uniform(case.low, case.high, case.shape).astype(np.float32)
    expected = tf.function(lambda x: case.function(x))(tf.constant(x)).numpy()
    try:
        model = converted(case)
    except ConversionError as error:
        return f"refused: {error}"
    found = difference(onnx_session(model).run(None, {"x": x})[0], expected)
    if not found <= case.tolerance:
        return f"onnxruntime differs by {found}"
    if others:
        try:
            found = difference(on_openvino(model, x), expected)
            if not found <= case.tolerance:
                return f"OpenVINO differs by {found}"
        except RuntimeError as error:
            if tuple(map(int, version("openvino").split(".")[:2])) >= COMPLETE_OPENVINO:
                return f"OpenVINO: {str(error)[:500]}"
        if name not in NOT_ON_TENSORRT and (reason := refused_by_tensorrt(model)):
            return f"TensorRT-RTX: {reason}"
    return ""


def main() -> None:
    """Examine all cases, or those whose names begin with an argument."""
    others = "-o" not in sys.argv
    names = [a for a in sys.argv[1:] if a != "-o"]
    chosen = {n: c for n, c in cases().items() if not names or any(n.startswith(a) for a in names)}
    good = 0
    for name, case in chosen.items():
        try:
            found = examine(case, others=others, name=name)
        except Exception as error:
            found = "ERROR " + "".join(traceback.format_exception(error)[-2:])[-500:]
        good += not found
        if found:
            print(f"{name}: {found}"[:700], flush=True)
    print(f"{good} of {len(chosen)} are right")


if __name__ == "__main__":
    main()
