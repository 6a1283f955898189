"""The values of options that accept a fixed set: shown by --help and by shell completion.

The libraries behind the commands define the same sets as ``Literal`` types, but importing those
takes longer than the start of the program may. Tests compare the two.
"""

from __future__ import annotations

from enum import Enum


class RoleChoice(str, Enum):
    """What a model does."""

    DETECTOR = "detector"
    RECOGNIZER = "recognizer"


class TargetChoice(str, Enum):
    """A runtime that engines are built for."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


class PrecisionChoice(str, Enum):
    """The precision of an engine."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"
    BEST = "best"


class MethodChoice(str, Enum):
    """How int8 ranges are chosen."""

    AUTO = "auto"
    MINMAX = "minmax"
    AVERAGE = "average"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"


class CorrectionChoice(str, Enum):
    """How weights are adjusted before quantization."""

    EQUALIZE = "equalize"
    BIAS = "bias"


class TilesChoice(str, Enum):
    """Which images are searched in tiles."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"
