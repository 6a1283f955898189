"""The values of options that accept a fixed set: shown by --help and by shell completion.

The libraries behind the commands define the same sets as ``Literal`` types, but importing them
would delay the start of every command. A test checks that both agree.
"""

from __future__ import annotations

from enum import Enum


class RoleChoice(str, Enum):
    """What a model does."""

    DETECTOR = "detector"
    RECOGNIZER = "recognizer"
    CLASSIFIER = "classifier"


class ReferenceRoleChoice(str, Enum):
    """A reference model that `train` can train."""

    DETECTOR = "detector"
    RECOGNIZER = "recognizer"


class TargetChoice(str, Enum):
    """A runtime that engines are built for."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


class RequestedTarget(str, Enum):
    """The target that a user requests; ``auto`` stands for the fastest one here."""

    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


class RequestedPrecision(str, Enum):
    """The precision that a user requests; ``best`` stands for a search."""

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
