"""Elementwise functions.

    Erfc(x)          ->  1 - Erf(x)                          less exact where Erfc is near 0
    TFL_GELU(x)      ->  x (Erf(x / sqrt(2)) / 2 + 1/2),  or with Tanh if it is the approximate one

``raise_activations`` later recognizes both forms of GELU.
"""

from __future__ import annotations

import math

from .emitter import Emitter, Rule, Tensor

_A = math.sqrt(2 / math.pi)
_B = 0.044715 * _A  # both from the tanh approximation of GELU (Hendrycks and Gimpel, 2016)


def _erfc(e: Emitter) -> Tensor:
    return 1 - e.op("Erf", e[0])


def _tfl_gelu(e: Emitter) -> Tensor:
    x = e[0]
    if e.attribute("approximate", 0):
        curve = e.op("Tanh", x * (x * x * _B + _A))
    else:
        curve = e.op("Erf", x * math.sqrt(0.5))
    return x * (curve * 0.5 + 0.5)


RULES: dict[str, Rule] = {"Erfc": _erfc, "TFL_GELU": _tfl_gelu}
