"""MaxUnpool2d: puts values back at the places of MaxPoolArgmax2d's maxima. See README.md."""

from __future__ import annotations

from ..onnx_function import DOMAIN
from ..plugin import Plugin
from . import tensorrt_plugin
from .kernel import KERNELS, SOURCE, launch, launch_hwc8
from .reference import examples, max_unpool_2d

NAME = "MaxUnpool2d"

# Channels of ``windows`` are in the order that DepthToSpace's mode DCR expects: all channels of the
# top left, then of the top right, the bottom left and the bottom right.
BODY = """
<opset_import: ["" : 20], domain: "ocr_trt">
MaxUnpool2d (values, place) => (x) {
    f00 = Constant <value_float = 0.0> ()
    p00 = CastLike (f00, place)
    f01 = Constant <value_float = 1.0> ()
    p01 = CastLike (f01, place)
    f10 = Constant <value_float = 2.0> ()
    p10 = CastLike (f10, place)
    f11 = Constant <value_float = 3.0> ()
    p11 = CastLike (f11, place)
    zero = CastLike (f00, values)
    is00 = Equal (place, p00)
    is01 = Equal (place, p01)
    is10 = Equal (place, p10)
    is11 = Equal (place, p11)
    x00 = Where (is00, values, zero)
    x01 = Where (is01, values, zero)
    x10 = Where (is10, values, zero)
    x11 = Where (is11, values, zero)
    windows = Concat <axis = 1> (x00, x01, x10, x11)
    x = DepthToSpace <blocksize = 2, mode = "DCR"> (windows)
}
"""

PLUGIN = Plugin(
    name=NAME,
    body=BODY,
    reference=lambda inputs, attributes: (max_unpool_2d(*inputs),),
    source=SOURCE,
    entries=KERNELS.entries,
    launch=launch,
    examples=examples,
    register=tensorrt_plugin.register,
    launch_hwc8=launch_hwc8,
)

__all__ = ["BODY", "DOMAIN", "NAME", "PLUGIN", "max_unpool_2d"]
