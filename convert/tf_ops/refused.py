"""Why the ops without a rule are refused, and what to do instead."""

from __future__ import annotations

import re

_TRAINING = "only training needs it: export the model for inference"
_SPECIAL = "ONNX has no such function: approximate it by a polynomial, or by a small dense network"
_LINEAR = (
    "engines have no linear algebra: compute it outside the model if its input is constant, or end "
    "the model before it"
)
_FILES = "it reads files or text: begin the model after it (input.name in the spec)"
_SHAPE = "the size of its result depends on the image: use a mask or top_k of a fixed size instead"
_BITS = "it depends on how numbers are stored: use arithmetic instead"
_FUSED = "a tool that optimizes graphs for TensorFlow fused it: convert the model without that step"
_INTEGER = "it computes on integers: convert the float model, and let ocr-trt quantize it"
_RANDOM = "it draws random numbers: export the model for inference, or replace it by a constant"
_STATE = "it keeps a state between calls: export the model for inference"

_FLOW = (
    "it belongs to a loop or a branch that no rule recognizes: use tf.where in place of branches; "
    "freeze a loop with lower_control_flow=False, or convert the SavedModel of the frozen graph"
)
_LIST = (
    "it belongs to a loop that no rule recognizes: freeze the model with lower_control_flow=False, "
    "or convert the SavedModel of the frozen graph"
)

_REASONS: dict[str, tuple[str, ...]] = {
    "its windows are drawn at random: use a pooling of a fixed size": (r"Fractional\w+Pool",),
    _TRAINING: (
        r"\w*(Grad|GradV2|Backprop\w*)",
        r"(Resource|Sparse)*(Apply|Scatter)[A-Z]\w*",
        r"(CTCLoss|Isotonic|Assign|Accumulat|Boosted|Sdca)\w*",
    ),
    _SPECIAL: (
        r"Lgamma|Digamma|Polygamma|Zeta|Igammac?|Betainc|Dawsn|Expint|Fresnel\w+|Spence|Bessel\w+",
    ),
    _LINEAR: (
        r"(Batch)?Matrix(Inverse|Solve|SolveLs|TriangularSolve|Exponential|Logarithm|SquareRoot)",
        r"(Batch)?(Cholesky|SelfAdjointEig(V2)?|Eig|Svd|Qr|Lu)|LogMatrixDeterminant",
        r"Tridiagonal\w+|BandedTriangularSolve",
    ),
    _FILES: (
        r"(Decode|Encode|Parse|Read|Write|String|Unicode|Regex|Matching|Lookup|Hash|Substr)\w*",
    ),
    _SHAPE: (
        r"(Unique|ListDiff|DynamicPartition|Ragged|Sparse|NonMaxSuppression|Set)\w*",
        r"GenerateBoundingBoxProposals|DenseToSparse\w+",
    ),
    _BITS: (r"Bitcast|NextAfter|PopulationCount",),
    _FUSED: (r"_?Fused\w+",),
    _INTEGER: (r"(Quantize|Uniform|Requantiz|Dequantize)\w*",),
    _RANDOM: (
        r"(Random|Stateless(Random|Truncated|Multinomial|Shuffle)|Stateful|TruncatedNormal)\w*",
        r"Parameterized\w+|Stateless(Sample|Parameterized)\w+|AllCandidateSampler",
    ),
    _STATE: (
        r"\w*(Variable|VarHandle|Queue|Stack|Barrier|Iterator|Stage|Mutex|Session|Summary)\w*",
        r"\w*(Dataset|TPU|Collective|Nccl|Outfeed|Infeed|XlaSparse)\w*",
    ),
    _FLOW: (r"_?Switch\w*|Merge|Ref\w+|Enter|Exit|NextIteration|LoopCond|(Stateless)?Case",),
    _LIST: (r"(TensorList|EmptyTensorList)\w*",),
    "use tf.nn.conv2d or tf.nn.conv3d, which are other ops": (r"Conv",),
    "use tf.image.crop_and_resize": (r"ExtractGlimpse(V2)?",),
    "it draws on the image: end the model before it": (r"DrawBoundingBoxes(V2)?",),
    "it runs Python code: write the layer with TensorFlow ops": (r"\w*PyFunc\w*",),
    "use tf.one_hot of the bin numbers, and sum it": (r"HistogramFixedWidth",),
}
"""What to do -> patterns of op names; the first that matches counts."""


NAMED_LIKE_ONNX = ("Conv", "NonMaxSuppression", "Unique", "UniqueWithCounts")
"""Refused ops that would become ONNX' ops of such names: the first two compute something else, and
OpenVINO 2026.4.1 returns the values of a Unique in another order than onnxruntime."""


def reason_of(op: str) -> str | None:
    """Return why an op is refused and what to do; None if nothing is known about it."""
    for reason, patterns in _REASONS.items():
        if any(re.fullmatch(pattern, op) for pattern in patterns):
            return reason
    return None
