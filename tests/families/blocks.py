"""What the families share: layers in a row, and weights that make every op show in the result."""

from __future__ import annotations

from typing import Any

import numpy as np


def conv(x: Any, filters: int, size: Any = 3, *, stride: Any = 1, **options: Any) -> Any:
    """Convolution, batch norm, ReLU."""
    from keras import layers

    x = layers.Conv2D(filters, size, stride, "same", use_bias=False, **options)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def with_random_weights(model: Any, seed: int = 5) -> Any:
    """Give biases, scales and statistics, which begin as zeros and ones, random values."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name, shape = variable.path.split("/")[-1], variable.shape
        if name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.6, 1.4, shape))
        elif name in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.2, shape))
        elif "float" in str(variable.dtype):
            fan_in = int(np.prod(shape[:-1])) or 1
            variable.assign(rng.normal(0, fan_in**-0.5, shape))
    return model
