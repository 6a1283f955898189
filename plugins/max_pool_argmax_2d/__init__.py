"""MaxPoolArgmax2d: 2x2 max-pooling that also returns each maximum's place. See README.md."""

from __future__ import annotations

from ..onnx_function import DOMAIN
from ..plugin import Plugin
from . import tensorrt_plugin
from .kernel import KERNELS, SOURCE, launch, launch_hwc8
from .reference import examples, max_pool_argmax_2d

NAME = "MaxPoolArgmax2d"

# The places result from comparing the window's values with each other, not with ``pooled``. So they
# stay right if a runtime computes the pooling and the slices in different precisions.
BODY = """
<opset_import: ["" : 20], domain: "ocr_trt">
MaxPoolArgmax2d (x) => (pooled, place) {
    pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
    axes = Constant <value_ints = [2, 3]> ()
    steps = Constant <value_ints = [2, 2]> ()
    ends = Constant <value_ints = [9223372036854775807, 9223372036854775807]> ()
    from_00 = Constant <value_ints = [0, 0]> ()
    from_01 = Constant <value_ints = [0, 1]> ()
    from_10 = Constant <value_ints = [1, 0]> ()
    from_11 = Constant <value_ints = [1, 1]> ()
    x00 = Slice (x, from_00, ends, axes, steps)
    x01 = Slice (x, from_01, ends, axes, steps)
    x10 = Slice (x, from_10, ends, axes, steps)
    x11 = Slice (x, from_11, ends, axes, steps)
    f00 = Constant <value_float = 0.0> ()
    p00 = CastLike (f00, x)
    f01 = Constant <value_float = 1.0> ()
    p01 = CastLike (f01, x)
    f10 = Constant <value_float = 2.0> ()
    p10 = CastLike (f10, x)
    f11 = Constant <value_float = 3.0> ()
    p11 = CastLike (f11, x)
    top = Max (x00, x01)
    bottom = Max (x10, x11)
    top_left = GreaterOrEqual (x00, x01)
    bottom_left = GreaterOrEqual (x10, x11)
    is_top = GreaterOrEqual (top, bottom)
    in_top = Where (top_left, p00, p01)
    in_bottom = Where (bottom_left, p10, p11)
    place = Where (is_top, in_top, in_bottom)
}
"""

PLUGIN = Plugin(
    name=NAME,
    body=BODY,
    reference=lambda inputs, attributes: max_pool_argmax_2d(*inputs),
    source=SOURCE,
    entries=KERNELS.entries,
    launch=launch,
    examples=examples,
    register=tensorrt_plugin.register,
    launch_hwc8=launch_hwc8,
)

__all__ = ["BODY", "DOMAIN", "NAME", "PLUGIN", "max_pool_argmax_2d"]
