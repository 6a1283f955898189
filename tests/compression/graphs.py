"""Small graphs with known layers, for the tests of compression."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import onnx_ir as ir

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.compression.samples import LayerSampler
from ocr_trt.convert.graph import Graphs
from ocr_trt.plugins.max_pool_argmax_2d import BODY as POOL
from ocr_trt.plugins.max_unpool_2d import BODY as UNPOOL
from ocr_trt.plugins.onnx_function import add_function
from tests.convert.helpers import graph

UNET = """
    t (float[1, 3, {height}, {width}] image) => (y) {{
        a = Conv <pads = [0, 0, 1, 1], strides = [2, 2]> (image, w0, b0)
        ra = Relu (a)
        b = Conv <pads = [2, 1, 2, 1], dilations = [2, 1]> (ra, w1, b1)
        rb = Relu (b)
        p, place = ocr_trt.MaxPoolArgmax2d (rb)
        c = Conv <group = 8, pads = [1, 1, 1, 1]> (p, w2)
        d = Conv <auto_pad = "SAME_LOWER"> (c, w3, b3)
        rd = Relu (d)
        e = Conv (rd, w4)
        u = ocr_trt.MaxUnpool2d (e, place)
        joined = Concat <axis = 1> (u, rb)
        f = Conv <pads = [1, 1, 1, 1]> (joined, w5, b5)
        sum = Add (f, rb)
        g = Conv <pads = [0, 2, 0, 2]> (sum, w6, b6)
        y = Sigmoid (g)
    }}
"""
"""Stride with uneven padding, dilation, pooling places, depthwise, Concat, Add, one tall kernel."""
_UNET_WEIGHTS = {
    **{"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 1, 3, 3), "w3": (16, 8, 4, 3)},
    **{"w4": (8, 16, 1, 1), "w5": (8, 16, 3, 3), "w6": (2, 8, 1, 5)},
    **{"b0": (8,), "b1": (8,), "b3": (16,), "b5": (8,), "b6": (2,)},
}
UNET_LAYERS = ("a", "b", "d", "e", "f", "g")
"""Those that can be factored: all but the depthwise one, c."""

TEXT = """
    t (float[N, 1, 4, {width}] image) => (y) {{
        a = Conv <pads = [0, 1, 0, 1], strides = [1, 2]> (image, w0, b0)
        ra = Relu (a)
        moved = Transpose <perm = [0, 2, 3, 1]> (ra)
        row = Squeeze (moved, axis)
        norm = LayerNormalization (row, scale)
        up = MatMul (norm, w1)
        upb = Add (up, b1)
        gelu = Gelu (upb)
        down = MatMul (gelu, w2)
        sum = Add (down, row)
        last = ReduceMean <keepdims = 0> (sum, axis)
        y = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (last, w3, b3)
    }}
"""
"""A sequence with a free batch: MatMul with and without an Add behind it, and Gemm."""
_TEXT_WEIGHTS = {
    **{"w0": (12, 1, 4, 3), "w1": (12, 24), "w2": (24, 12), "w3": (10, 12)},
    **{"b0": (12,), "b1": (24,), "b3": (10,), "scale": (12,)},
}
TEXT_LAYERS = ("a", "up", "down", "y")


def unet(height: int = 16, width: int = 12) -> onnx.ModelProto:
    """Return the graph ``UNET`` at an input size, whose sides are multiples of 4."""
    return _parsed(UNET.format(height=height, width=width), _UNET_WEIGHTS)


def text_net(width: int = 12) -> onnx.ModelProto:
    """Return the graph ``TEXT`` at an input width."""
    return _parsed(TEXT.format(width=width), _TEXT_WEIGHTS, axis=np.array([1]))


def _parsed(
    text: str, shapes: dict[str, tuple[int, ...]], **constants: np.ndarray
) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    model = graph(text, **weights, **constants)
    for body in (POOL, UNPOOL) if "ocr_trt" in text else ():
        add_function(model, body)
    # Once more with the functions: shapes behind their calls are known only now.
    return onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True)


def images(model: onnx.ModelProto, count: int, batch: int = 1, seed: int = 0) -> list[np.ndarray]:
    """Return smooth random images (batch, C, H, W) for a graph."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    noise = np.random.default_rng(seed).standard_normal((count, batch, *shape[1:]))
    smooth = noise + np.roll(noise, 1, axis=-1) + np.roll(noise, 1, axis=-2)
    return list(smooth.astype(np.float32))


def result(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    """Run a graph with one output."""
    return onnx_session(model).run(None, {"image": image})[0]


def sampled(
    graphs: Graphs, batches: list[np.ndarray], layers: Iterable[str], positions: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return inputs (rows, in * taps) and outputs (rows, out) of layers."""
    sampler = LayerSampler(graphs, layers, positions_per_image=positions, seed=0)
    inputs, outputs = sampler.sample(batches)
    return {name: (inputs[name], outputs[name]) for name in sampler.names}
