"""Layers of a Network, named and parametrized like those of Keras; maps are channels-first.

Each function adds a layer to a network, finds its weights by its name, and returns its output. All
sizes except the batch are known while a network is defined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .network import Network

NORM_EPSILON = 1e-3  # Keras' default for BatchNormalization and LayerNormalization


def convolution(
    net: Network,
    x: Any,
    name: str,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: Literal["same", "valid"] = "valid",
    norm: str | None = None,
) -> Any:
    """2-D convolution, (N, C, H, W) -> (N, D, H', W').

    Weights: ``kernel`` (kH, kW, C, D), and ``bias`` (D,). If ``norm`` names a batch normalization,
    that is folded into the kernel and gives the bias. ``same`` pads like TensorFlow.
    """
    kernel = net.weight(f"{name}/kernel", None, None, x.shape[1], None)
    size, filters = kernel.shape[:2], kernel.shape[3]
    if norm is None:
        bias = net.weight(f"{name}/bias", filters)
    else:
        scale, bias = _batch_norm(net, norm, filters)
        kernel = kernel * scale
    layer, y = net.add(
        "convolution_nd",
        name,
        x,
        filters,
        size,
        # Keras: (kH, kW, C, D); TensorRT: (D, C, kH, kW).
        net.trt.Weights(net.hold(kernel.transpose(3, 2, 0, 1), x, name)),
        net.trt.Weights(net.hold(bias, x, name)),
    )
    layer.stride_nd = strides
    if padding == "same":
        # The odd pixel of padding goes to the end, as in TensorFlow.
        layer.padding_mode = net.trt.PaddingMode.SAME_UPPER
    return y


def _batch_norm(net: Network, name: str, size: int) -> tuple[npt.NDArray, npt.NDArray]:
    """Return scale and shift (D,) of a batch normalization in inference."""
    gamma, beta, mean, variance = (
        net.weight(f"{name}/{role}", size)
        for role in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    # gamma * (x - mean) / sqrt(variance + epsilon) + beta  =  scale * x + shift
    scale = gamma / np.sqrt(np.maximum(variance, 0) + NORM_EPSILON)
    return scale, beta - mean * scale


def layer_norm(net: Network, x: Any, name: str, *, epsilon: float = NORM_EPSILON) -> Any:
    """Layer normalization over the last axis; weights ``gamma`` and ``beta`` (C,).

    TensorRT computes mean and variance in float32 for every type.
    """
    # TensorRT requires scale and shift with the rank of x: (C,) -> (1, ..., 1, C).
    rank = len(x.shape)
    gamma, beta = (
        net.constant(
            net.weight(f"{name}/{role}", x.shape[-1]).reshape([1] * (rank - 1) + [-1]),
            x,
            f"{name}/{role}",
        )
        for role in ("gamma", "beta")
    )
    is_new = hasattr(net.definition, "add_normalization_v2")  # from TensorRT 10.15 on
    kind = "normalization_v2" if is_new else "normalization"
    layer, y = net.add(kind, name, x, gamma, beta, 1 << (rank - 1))  # a bit mask of axes
    layer.epsilon = epsilon
    return y


def dense(net: Network, x: Any, name: str) -> Any:
    """``x @ kernel + bias``, (N, T, C) -> (N, T, D); weights ``kernel`` (C, D), ``bias`` (D,)."""
    kernel = net.weight(f"{name}/kernel", x.shape[-1], None)
    return _affine(net, x, kernel, net.weight(f"{name}/bias", kernel.shape[1]), name)


def _affine(net: Network, x: Any, kernel: npt.NDArray, bias: npt.NDArray, name: str) -> Any:
    # (N, T, C) @ (1, C, D): TensorRT requires equal ranks.
    held = net.constant(kernel[None], x, f"{name}/kernel")
    product = matmul(net, x, held, f"{name}/matmul")
    return add(net, product, net.constant(bias[None, None], x, f"{name}/bias"), name)


def attention(net: Network, x: Any, name: str) -> Any:
    """Multi-head self-attention, (N, T, C) -> (N, T, C), as Keras' MultiHeadAttention.

    Weights: ``query``, ``key`` and ``value``, each ``kernel`` (C, heads, D) and ``bias`` (heads,
    D); ``attention_output``, ``kernel`` (heads, D, C) and ``bias`` (C,). The scale 1/sqrt(D) is
    folded into the query's weights.
    """
    width = x.shape[-1]
    heads, depth = net.weight(f"{name}/query/kernel", width, None, None).shape[1:]
    query = _heads(net, x, f"{name}/query", (heads, depth), 1 / math.sqrt(depth))
    key = _heads(net, x, f"{name}/key", (heads, depth))
    value = _heads(net, x, f"{name}/value", (heads, depth))
    # (N, heads, T, D) @ (N, heads, D, T) -> (N, heads, T, T), softmax over the keys, axis 3.
    scores = matmul(net, query, key, f"{name}/scores", transpose=True)
    layer, shares = net.add("softmax", f"{name}/softmax", scores)
    layer.axes = 1 << 3  # a bit mask
    mixed = matmul(net, shares, value, f"{name}/mix")
    # (N, heads, T, D) -> (N, T, heads, D) -> (N, T, heads * D)
    joined = rearrange(net, mixed, f"{name}/join", (0, 2, 1, 3), (0, x.shape[1], heads * depth))
    kernel = net.weight(f"{name}/attention_output/kernel", heads, depth, width)
    bias = net.weight(f"{name}/attention_output/bias", width)
    return _affine(net, joined, kernel.reshape(-1, width), bias, name)


def _heads(net: Network, x: Any, name: str, heads: tuple[int, int], scale: float = 1.0) -> Any:
    """Project (N, T, C) to the heads of an attention, (N, heads, T, D)."""
    steps, width = x.shape[1:]
    # (C, heads, D) -> (C, heads * D), one matrix product for all heads.
    kernel = net.weight(f"{name}/kernel", width, *heads).reshape(width, -1)
    bias = net.weight(f"{name}/bias", *heads).reshape(-1)
    y = _affine(net, x, scale * kernel, scale * bias, name)
    layer, y = net.add("shuffle", f"{name}/split", y)
    # (N, T, heads * D) -> (N, T, heads, D) -> (N, heads, T, D); 0 keeps the batch.
    layer.reshape_dims = (0, steps, *heads)
    layer.second_transpose = (0, 2, 1, 3)
    return y


def matmul(net: Network, a: Any, b: Any, name: str, *, transpose: bool = False) -> Any:
    """``a @ b``; ``transpose`` swaps the last two axes of ``b`` first."""
    plain, turned = net.trt.MatrixOperation.NONE, net.trt.MatrixOperation.TRANSPOSE
    return net.add("matrix_multiply", name, a, plain, b, turned if transpose else plain)[1]


def add(net: Network, a: Any, b: Any, name: str) -> Any:
    """``a + b``, of equal rank."""
    return net.add("elementwise", name, a, b, net.trt.ElementWiseOperation.SUM)[1]


def relu(net: Network, x: Any, name: str) -> Any:
    """``max(x, 0)``."""
    return net.add("activation", name, x, net.trt.ActivationType.RELU)[1]


def gelu(net: Network, x: Any, name: str) -> Any:
    """The exact GELU, with the error function, as Keras computes it by default."""
    return net.add("activation", name, x, net.trt.ActivationType.GELU_ERF)[1]


def rearrange(net: Network, x: Any, name: str, order: Sequence[int], shape: Sequence[int]) -> Any:
    """Transpose, then reshape; a 0 in ``shape`` keeps the size of its axis."""
    layer, y = net.add("shuffle", name, x)
    layer.first_transpose = tuple(order)
    layer.reshape_dims = tuple(shape)
    return y


def sinusoidal_positions(net: Network, x: Any, name: str) -> Any:
    """Add the fixed positions of "Attention Is All You Need", section 3.5, to (N, T, C).

    The first C/2 channels hold the sines, the last C/2 the cosines.
    """
    steps, channels = x.shape[1:]
    half = channels // 2
    # (T, 1) * (C/2,) -> (T, C/2) angles, then (T, C).
    rates = 10000.0 ** (-np.arange(half) / half)
    angles = np.arange(steps)[:, None] * rates
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return add(net, x, net.constant(table[None], x, f"{name}/table"), name)
