from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ocr_trt.convert.passes.free_batch import free_batch

from .helpers import check_rests, graph, run

RNG = np.random.default_rng(5)


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_batch_is_freed_through_reshapes_and_constants() -> None:
    model = graph(
        """
        agraph (float[2,5,8] x) => (float[2,5,8] y) {
            s = Add(x, shift)
            h = Reshape(s, heads)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            m = MatMul(t, w)
            b = Transpose <perm = [0, 2, 1, 3]> (m)
            y = Reshape(b, back)
        }
        """,
        heads=np.array([2, 5, 4, 2]), back=np.array([2, 5, 8]), w=weights(2, 2),
        shift=np.repeat(weights(1, 5, 8), 2, axis=0),
    )  # fmt: skip
    assert free_batch(model).changed == 1
    assert str(model.graph.inputs[0].shape[0]) == "N"
    assert run(model)[0].shape == (2, 5, 8)


def test_constant_that_differs_per_picture_keeps_the_batch() -> None:
    model = graph(
        "agraph (float[2,8] x) => (float[2,8] y) { y = Add(x, shift) }", shift=weights(2, 8)
    )
    outcome = check_rests(model, free_batch)
    assert "batch 1 and 3" in outcome.skipped[0].reason


def test_result_that_mixes_pictures_keeps_the_batch() -> None:
    model = graph(
        """
        agraph (float[2,4] x) => (float[4,2] y) {
            t = Transpose <perm = [1, 0]> (x)
            y = Reshape(t, to)
        }
        """,
        to=np.array([4, 2]),
    )
    outcome = free_batch(model)
    assert outcome.changed == 0
    assert outcome.skipped
    assert [int(d) for d in model.graph.inputs[0].shape] == [2, 4]
    assert isinstance(model, ir.Model)
