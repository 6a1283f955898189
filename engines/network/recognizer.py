"""A recognizer, layer by layer: CNN -> sinusoidal positions -> transformer encoder -> CTC logits.

Names of layers are those of the Keras model whose weights it takes. Sizes come from the weights;
what no weight tells, strides and the time steps of a column, is written here.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from ...errors import InputFileError
from . import building_blocks as layers
from .network import Network

INPUT, OUTPUT = "image", "output_0"
"""As in the SavedModel that Keras exports."""
LAYER_NORM = 1e-5
STEPS = 2  # time steps that a column of 4 pixels gives
CNN = (
    ("stem", (2, 2)),
    ("stage1", (1, 1)),
    ("stage2a", (2, 2)),
    ("stage2b", (1, 1)),
    ("stage3a", (2, 1)),
    ("stage3b", (1, 1)),
)
"""Stages, and their strides (down, along)."""
_DOWN, _ALONG = 8, 4


def define(net: Network, shape: tuple[int, int, int]) -> None:
    """Write the network for images of ``shape`` (C, H, W), W a multiple of 4.

    Input ``image`` (N, C, H, W) float32, output ``output_0`` (N, W/2, classes) float32.

    Raises:
        InputFileError: the weights are not those of such a network, or it takes other images.
        EngineBuildError: TensorRT refuses a layer.
    """
    _check_shape(net, shape)
    x = net.input(INPUT, (-1, *shape))
    for stage, strides in CNN:
        x = layers.convolution(
            net, x, f"{stage}_conv", strides=strides, padding="same", norm=f"{stage}_norm"
        )
        x = layers.relu(net, x, f"{stage}_relu")
    x = layers.convolution(net, x, "collapse")  # (N, C, 1, T)
    x = layers.rearrange(net, x, "sequence", (0, 3, 1, 2), (0, x.shape[3], x.shape[1]))
    x = layers.sinusoidal_positions(net, x, "positions")
    for number in count(1):
        if not net.has(f"block{number}_norm1/gamma"):
            break
        x = _encoder_block(net, x, f"block{number}")
    x = layers.layer_norm(net, x, "norm", epsilon=LAYER_NORM)
    x = net.cast(x, "fp32", "classes_cast")
    x = layers.dense(net, x, "classes")
    logits = (0, STEPS * x.shape[1], x.shape[2] // STEPS)
    net.output(layers.rearrange(net, x, "logits", (0, 1, 2), logits), OUTPUT)


def _encoder_block(net: Network, x: Any, name: str) -> Any:
    """Pre-norm transformer encoder block, (N, T, C) -> (N, T, C)."""
    y = layers.layer_norm(net, x, f"{name}_norm1", epsilon=LAYER_NORM)
    y = layers.attention(net, y, f"{name}_attention")
    x = layers.add(net, x, y, f"{name}_add1")
    y = layers.layer_norm(net, x, f"{name}_norm2", epsilon=LAYER_NORM)
    y = layers.dense(net, y, f"{name}_expand")
    y = layers.gelu(net, y, f"{name}_gelu")
    y = layers.dense(net, y, f"{name}_project")
    return layers.add(net, x, y, f"{name}_add2")


def _check_shape(net: Network, shape: tuple[int, int, int]) -> None:
    channels = net.weight("stem_conv/kernel", None, None, None, None).shape[2]
    height = _DOWN * net.weight("collapse/kernel", None, None, None, None).shape[0]
    if shape[:2] != (channels, height) or shape[2] < _ALONG or shape[2] % _ALONG:
        raise InputFileError(
            f"the network takes images ({channels}, {height}, W), W a multiple of {_ALONG}, "
            f"got {shape}"
        )
