"""The rule of each op that channels pass. Other ops keep the channels that they read."""

from __future__ import annotations

from ..convert.analysis.axes import BROADCASTING, UNARY
from . import channel_rules_layers as layers
from . import channel_rules_maps as maps
from . import channel_rules_moves as moves
from . import channel_rules_norms as norms
from .channel_walk import Rule

_REDUCTIONS = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
)
_POOLS = (
    *("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
)
RULES: dict[tuple[str, str], Rule] = {
    **{
        ("", op): moves.same
        for op in (*UNARY, "Identity", "Celu", "ThresholdedRelu", "Tan", "Atan")
    },
    **{("", op): layers.elementwise for op in (*BROADCASTING, "Sum", "Mean", "Mod", "Xor")},
    **{("", op): moves.mixing for op in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")},
    **{("", op): moves.reduce for op in _REDUCTIONS},
    **{("", op): moves.arg_max for op in ("ArgMax", "ArgMin")},
    **{("", op): maps.pool for op in _POOLS},
    **{("", op): moves.reshape for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")},
    **{("", op): maps.sizes_kept for op in ("Expand", "Tile")},
    **{("", op): norms.recurrent for op in ("LSTM", "GRU", "RNN")},
    ("", "Conv"): layers.conv,
    ("", "ConvTranspose"): layers.conv_transpose,
    ("", "Gemm"): layers.gemm,
    ("", "MatMul"): layers.matmul,
    ("", "BatchNormalization"): norms.per_channel(1, 2, 3, 4),
    ("", "InstanceNormalization"): norms.per_channel(1, 2),
    ("", "LayerNormalization"): norms.layer_norm,
    ("", "Concat"): moves.concat,
    ("", "Split"): moves.split,
    ("", "Slice"): moves.take_slice,
    ("", "Gather"): moves.gather,
    ("", "Transpose"): moves.transpose,
    ("", "Pad"): maps.pad,
    ("", "Resize"): maps.resize,
    ("", "DepthToSpace"): maps.depth_to_space,
    ("", "SpaceToDepth"): maps.space_to_depth,
    ("", "GridSample"): maps.grid_sample,
    ("ocr_trt", "MaxPoolArgmax2d"): moves.same,
    ("ocr_trt", "MaxUnpool2d"): maps.unpool,
}
"""The rule of each op, by domain and op type."""
