"""Compare a graph of a fixed batch size with one whose batch axis is free."""

from __future__ import annotations

import numpy as np
import onnx

from .regions import evaluate

_TOLERANCE = 1e-4
_SIZES = (1, 3)


def agree_on_batches(fixed: onnx.ModelProto, free: onnx.ModelProto, batch: int) -> bool:
    """Whether the free graph computes for each image what the fixed graph computes.

    The fixed graph gets ``batch`` copies of the image.
    """
    entry = fixed.graph.input[0]
    shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    # 1 and 3 are both unlike the 2 of the trace, so a 2 left in a shape shows.
    for size in _SIZES:
        images = rng.uniform(-1, 1, (size, *shape[1:])).astype(np.float32)
        got = evaluate(free, {entry.name: images})
        for number, image in enumerate(images):
            expected = evaluate(fixed, {entry.name: np.repeat(image[None], batch, 0)})
            if got is None or expected is None or got.shape != (size, *expected.shape[1:]):
                return False
            if not np.allclose(got[number], expected[0], rtol=_TOLERANCE, atol=_TOLERANCE):
                return False
    return True
