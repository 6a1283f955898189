"""Measure OpenVINO's highest speed on this machine, with convolutions that suit its kernels.

Each trial is three 3x3 convolutions in a row, each with a ReLU and as many output as input
channels. The fastest layer of all sizes is the peak. A multiply-add counts as two FLOPs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..layer_time import LayerTime
from ..manifest import Precision
from .library import import_openvino, openvino_core
from .profile import layer_times

_SIZES = ((48, 160), (64, 160), (80, 80), (96, 160), (160, 80), (192, 64))
"""Channels and side length in pixels: 0.7 to 4.2 GFLOP a layer, small enough for large caches."""
_IN_A_ROW, _SECONDS = 3, 0.25
# OpenVINO has no hint for int8: it runs layers in int8 where FakeQuantize nodes allow it.
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def convolution_peaks(
    config: Mapping[str, Any], progress: Callable[[float], None] = lambda share: None
) -> dict[Precision, float]:
    """Return the FLOP/s of the fastest convolution of each precision that the processor has.

    Args:
        config: OpenVINO's properties for engines; the precision is set here.
        progress: called with the share of the trials that is done, 0..1.
    """
    capable = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    if "BF16" in capable:
        precisions = ("fp32", "bf16", "int8")
    trials = [(precision, *size) for precision in precisions for size in _SIZES]
    peaks: dict[Precision, float] = {}
    for done, (precision, channels, side) in enumerate(trials, 1):
        hint = {**config, "INFERENCE_PRECISION_HINT": _HINTS[precision]}
        images = np.random.default_rng(0).uniform(-1, 1, (1, channels, side, side))
        graph = _convolutions(channels, side, is_int8=precision == "int8")
        layers = layer_times(graph, images.astype(np.float32), hint, seconds=_SECONDS)
        reached = _fastest(layers, precision, flops=2 * 9 * channels**2 * side**2)
        peaks[precision] = max(reached, peaks.get(precision, 0.0))
        progress(done / len(trials))
    return {precision: peak for precision, peak in peaks.items() if peak}


def _fastest(layers: tuple[LayerTime, ...], precision: Precision, *, flops: int) -> float:
    times = [
        layer.milliseconds
        for layer in layers
        if layer.kind == "Convolution" and layer.precision == precision and layer.milliseconds
    ]
    return 1000 * flops / min(times) if times else 0.0


def _convolutions(channels: int, side: int, *, is_int8: bool) -> Any:
    """Return the model of one trial.

    Weights up to 63 are exact on every processor (docs/decisions/0014).
    """
    ov = import_openvino()
    ops = ov.opset13

    rng = np.random.default_rng(0)
    entry = ops.parameter([1, channels, side, side], np.float32)
    value = entry.output(0)
    for _ in range(_IN_A_ROW):
        steps = rng.integers(-63, 64, (channels, channels, 3, 3)).astype(np.int8)
        scale = np.float32(1 / (63 * 3 * channels**0.5))
        if is_int8:
            value = ops.fake_quantize(value, *map(np.float32, (0, 1, 0, 1)), 256).output(0)
            weights = ops.multiply(ops.convert(ops.constant(steps), np.float32), scale)
        else:
            weights = ops.constant(steps * scale)
        # Strides, pads at both ends, dilations.
        convolved = ops.convolution(value, weights, [1, 1], [1, 1], [1, 1], [1, 1])
        value = ops.relu(convolved).output(0)
    return ov.Model([value], [entry], "convolutions")
