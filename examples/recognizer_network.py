"""The reference recognizer, written layer by layer with TensorRT's API.

    cd examples
    python recognizer_network.py

builds ``recognizer.plan`` without a GPU; it needs ``pip install 'ocr-trt[rtx,tf]'``.

The network is CNN -> sinusoidal positions -> transformer encoder -> CTC logits. Layers have the
names of the Keras model whose weights they use (models/ctc_recognizer.py), and sizes come from the
weights. Strides and the number of time steps are in no weight, so they are written here.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.network import building_blocks as layers
from ocr_trt.engines.network.named_weights import named_weights
from ocr_trt.engines.network.network import Network
from ocr_trt.engines.network.network_child import NetworkSettings
from ocr_trt.engines.network.plan_from_network import plan_from_network
from ocr_trt.errors import InputFileError

INPUT, OUTPUT = "image", "output_0"
"""The names that Keras gives an exported SavedModel's input and output."""
LAYER_NORM = 1e-5  # epsilon, as in the Keras model
STEPS = 2  # CTC time steps per column of 4 pixels
CNN = (
    ("stem", (2, 2)),
    ("stage1", (1, 1)),
    ("stage2a", (2, 2)),
    ("stage2b", (1, 1)),
    ("stage3a", (2, 1)),
    ("stage3b", (1, 1)),
)
"""The stages of the CNN, and their strides (down, along)."""
_DOWN, _ALONG = 8, 4  # the products of these strides


def define(net: Network, shape: tuple[int, int, int]) -> None:
    """Add the layers for images of ``shape`` (C, H, W), W a multiple of 4.

    Input ``image`` (N, C, H, W) float32, output ``output_0`` (N, W/2, classes) float32.

    Raises:
        InputFileError: the weights belong to another network, or to images of another shape.
        EngineBuildError: TensorRT refuses a layer.
    """
    _check_shape(net, shape)
    x = net.input(INPUT, (-1, *shape))
    for stage, strides in CNN:
        x = layers.convolution(
            net, x, f"{stage}_conv", strides=strides, padding="same", norm=f"{stage}_norm"
        )
        x = layers.relu(net, x, f"{stage}_relu")
    x = layers.convolution(net, x, "collapse")  # (N, C, 1, T), T = W/4
    # (N, C, 1, T) -> (N, T, C, 1) -> (N, T, C): one row of channels per column of the image.
    x = layers.rearrange(net, x, "sequence", (0, 3, 1, 2), (0, x.shape[3], x.shape[1]))
    x = layers.sinusoidal_positions(net, x, "positions")
    for number in count(1):  # the weights state how many blocks there are
        if not net.has(f"block{number}_norm1/gamma"):
            break
        x = _encoder_block(net, x, f"block{number}")
    x = layers.layer_norm(net, x, "norm", epsilon=LAYER_NORM)
    # As in the Keras model, the last layer stays in fp32 where all others are fp16.
    x = net.cast(x, "fp32", "classes_cast")
    x = layers.dense(net, x, "classes")
    # (N, T, 2 classes) -> (N, 2 T, classes)
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
            f"the network requires images ({channels}, {height}, W), W a multiple of {_ALONG}, "
            f"got {shape}"
        )


def main() -> None:
    """Build a plan for lines 320 pixels wide, for one kind of GPU."""
    from ocr_trt.models.reference_models import weights_path

    plan = Path(sys.argv[1] if len(sys.argv) > 1 else "recognizer.plan")
    plan_from_network(
        "tensorrt-rtx",
        named_weights(weights_path("recognizer")),
        plan,
        NetworkSettings(shape=(1, 32, 320), definition="recognizer_network:define"),
        BuildSettings(max_batch=16, options={"compute-capability": "8.9"}),
    )
    print(f"{plan}: {plan.stat().st_size} bytes")


if __name__ == "__main__":
    main()
