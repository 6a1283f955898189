"""free_batch: a graph traced at batch 2 runs at any batch, or stays as it is."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.free_batch import free_batch

from .helpers import check_does_not_fire, check_fires, graph, ops, run

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


def test_constant_that_differs_per_image_keeps_the_batch() -> None:
    model = graph(
        "agraph (float[2,8] x) => (float[2,8] y) { y = Add(x, shift) }", shift=weights(2, 8)
    )
    outcome = check_does_not_fire(model, free_batch)
    assert [skip.value for skip in outcome.skipped] == ["shift"]
    assert "differs between the images" in outcome.skipped[0].reason


@pytest.mark.parametrize(("difference", "is_freed"), [(1e-7, True), (1e-4, False)])
def test_slices_of_a_constant_that_differ_by_rounding_are_one(
    difference: float, is_freed: bool
) -> None:
    """The product of learned queries and weights, folded at batch 2, can round in two ways."""
    row = RNG.uniform(0.5, 1, (1, 8)).astype(np.float32)
    shift = np.concatenate([row, row + np.float32(difference)])
    assert not np.array_equal(shift[0], shift[1])
    model = graph("agraph (float[2,8] x) => (float[2,8] y) { y = Add(x, shift) }", shift=shift)
    if is_freed:
        check_fires(model, free_batch, atol=2 * difference)
        assert [int(d) for d in next(iter(model.graph)).inputs[1].shape] == [1, 8]
    else:
        outcome = check_does_not_fire(model, free_batch)
        assert [skip.value for skip in outcome.skipped] == ["shift"]


def test_batch_behind_other_axes_is_freed() -> None:
    """Queries, keys and values cut from one product: (N,T,3,H,D) -> (3,N,H,T,D)."""
    model = graph(
        """
        agraph (float[2,6,24] x) => (float[2,6,8] y) {
            r = Reshape(x, cut)
            t = Transpose <perm = [2, 0, 3, 1, 4]> (r)
            f = Reshape(t, flat)
            q, k, v = Split <axis = 0, num_outputs = 3> (f)
            s = Add(q, k)
            m = Mul(s, v)
            u = Reshape(m, heads)
            b = Transpose <perm = [0, 2, 1, 3]> (u)
            y = Reshape(b, back)
        }
        """,
        cut=np.array([2, 6, 3, 2, 4]), flat=np.array([3, 2, 48]), heads=np.array([2, 2, 6, 4]),
        back=np.array([2, 6, 8]),
    )  # fmt: skip
    assert free_batch(model).changed == 1
    shapes = {v.name: [str(d) for d in v.shape] for node in model.graph for v in node.outputs}
    assert shapes["t"] == ["3", "N", "2", "6", "4"]
    assert shapes["f"] == ["3", "N", "48"]


def test_matrix_of_each_image_is_one_matrix() -> None:
    """Queries of a decoder that were tiled by the batch size: (N, 4, 5) x (N, 5, 3)."""
    queries = np.repeat(weights(1, 4, 5), 2, axis=0)
    model = graph(
        "agraph (float[2,5,3] x) => (float[2,4,3] y) { y = MatMul(queries, x) }", queries=queries
    )
    check_fires(model, free_batch, atol=1e-5)
    (product,) = model.graph
    assert [int(d) for d in product.inputs[0].shape] == [1, 4, 5]


def test_rows_of_a_matrix_are_no_batch() -> None:
    text = "agraph (float[2,3] x) => (float[2,2] y) { y = MatMul(x, w) }"
    model = graph(text, w=np.repeat(weights(1, 2), 3, axis=0))
    check_fires(model, free_batch, atol=1e-5)
    assert [int(d) for d in next(iter(model.graph)).inputs[1].shape] == [3, 2]


def test_constant_in_a_concat_grows_with_the_batch() -> None:
    token = np.repeat(weights(1, 1, 4), 2, axis=0)
    model = graph(
        "agraph (float[2,5,4] x) => (float[2,6,4] y) { y = Concat <axis = 1> (token, x) }",
        token=token,
    )
    assert free_batch(model).changed == 1
    assert ops(model) == {"Shape": 1, "Concat": 2, "Expand": 1}


def test_state_of_an_lstm_grows_with_the_batch() -> None:
    model = graph(
        """
        agraph (float[2,5,3] x) => (float[2,5,4] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            l = LSTM <hidden_size = 4> (t, w, r, , , h)
            s = Squeeze(l, one)
            y = Transpose <perm = [1, 0, 2]> (s)
        }
        """,
        w=weights(1, 16, 3), r=weights(1, 16, 4), h=np.repeat(weights(1, 1, 4), 2, axis=1),
        one=np.array([1]),
    )  # fmt: skip
    assert free_batch(model).changed == 1
    assert ops(model)["Expand"] == 1


def test_reshape_across_images_is_reported() -> None:
    model = graph(
        "agraph (float[2,3] x) => (float[3,2] y) { y = Reshape(x, to) }", to=np.array([3, 2])
    )
    outcome = check_does_not_fire(model, free_batch)
    assert "[2, 3] to [3, 2]" in outcome.skipped[0].reason


def test_result_that_mixes_images_keeps_the_batch() -> None:
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


def test_batch_behind_the_time_of_the_output_is_reported() -> None:
    text = "agraph (float[2,5,3] x) => (float[5,2,3] y) { y = Transpose <perm = [1, 0, 2]> (x) }"
    outcome = check_does_not_fire(graph(text), free_batch)
    assert "axis 1 of the output [5, 2, 3] is the batch" in outcome.skipped[0].reason
    assert "output.layout: TNC" in outcome.skipped[0].reason


def test_output_without_the_batch_is_reported() -> None:
    text = "agraph (float[2,5] x) => (float[1,5] y) { y = ReduceMax <keepdims = 1> (x, axis) }"
    outcome = check_does_not_fire(graph(text, axis=np.array([0])), free_batch)
    assert "the output [1, 5] has no axis for the batch" in outcome.skipped[0].reason
