"""sink_views: Transposes move down until they cancel, and stay where that would cost more."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.convert.analysis.axes import Axes
from ocr_trt.convert.passes.collapse_views import collapse_views
from ocr_trt.convert.passes.sink_views import sink_views

from .helpers import check_does_not_fire, check_fires, graph, ops, run, used

RNG = np.random.default_rng(6)


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


BETWEEN = {
    "elementwise with a constant per channel": "b = Mul(a, c) ",
    "constant on the left": "b = Sub(c, a) ",
    "several": "p = Relu(a) q = Add(p, c) b = Sigmoid(q) ",
    "the value twice": "p = Sigmoid(a) b = Mul(a, p) ",
    "padding": "b = Pad(a, pads) ",
    "slice": "b = Slice(a, start, end, axis) ",
    "softmax over channels": "b = Softmax <axis = -1> (a) ",
    "mean that keeps its axes": "p = ReduceMean(a, axes) b = Sub(a, p) ",
    "resize": 'b = Resize <mode = "nearest"> (a, , scales) ',
    "joined with itself": "p = Relu(a) b = Concat <axis = 3> (a, p) ",
    "tile": "b = Tile(a, repeats) ",
    "a constant with infinities": "b = Max(a, floor) ",
    "clip to infinity": "b = Clip(a, low) ",
}
CONSTANTS = {
    "c": weights(3), "pads": np.array([0, 1, 2, 0, 0, 0, 1, 0]), "start": np.array([1]),
    "end": np.array([4]), "axis": np.array([2]), "axes": np.array([1, 2]),
    "scales": np.float32([1, 2, 3, 1]), "repeats": np.array([1, 1, 2, 1]),
    "floor": np.float32([-np.inf, 0, 0.5]), "low": np.float32(-np.inf),
}  # fmt: skip


@pytest.mark.parametrize("shape", ["1,3,8,1", "2,3,1,1", "2,1,8,1"])
def test_reshape_of_axes_of_size_one_cancels_a_transpose(shape: str) -> None:
    n, h, w, c = shape.split(",")
    model = graph(
        f"""
        agraph (float[{n},{c},{h},{w}] x) => (float[A,B,C,D] y) {{
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            b = Mul(a, c)
            r = Reshape(b, back)
            y = Relu(r)
        }}
        """,
        c=weights(1),
        back=np.array([int(n), int(c), int(h), int(w)]),
    )
    check_fires(model, sink_views, atol=0)
    assert ops(model) == {"Mul": 1, "Relu": 1}


def test_reshape_that_moves_more_than_ones_stays() -> None:
    model = graph(
        """
        agraph (float[1,2,3,4] x) => (float[A,B,C,D] y) {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            b = Relu(a)
            y = Reshape(b, back)
        }
        """,
        back=np.array([1, 2, 3, 4]),
    )
    check_does_not_fire(model, sink_views)


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
def test_transposes_meet_and_cancel(between: str) -> None:
    model = graph(
        f"""
        agraph (float[1,3,4,5] x) => (float[A,B,C,D] y) {{
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            {between}
            t = Transpose <perm = [0, 3, 1, 2]> (b)
            y = Abs(t)
        }}
        """,
        **used(between, CONSTANTS),
    )
    check_fires(model, sink_views, atol=1e-6)
    assert ops(model)["Transpose"] == 0


def test_squeeze_excite_keeps_no_transpose() -> None:
    model = graph(
        """
        agraph (float[2,3,4,5] x) => (float[2,3,4,5] y) {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            m = ReduceMean <keepdims = 0> (a, axes)
            d = MatMul(m, w)
            g = Sigmoid(d)
            r = Reshape(g, shape)
            s = Mul(a, r)
            y = Transpose <perm = [0, 3, 1, 2]> (s)
        }
        """,
        axes=np.array([1, 2]), w=weights(3, 3), shape=np.array([2, 1, 1, 3]),
    )  # fmt: skip
    check_fires(model, sink_views, atol=1e-6)
    assert ops(model)["Transpose"] == 0


def test_one_dimensional_convolutions_stay_in_four_dimensions() -> None:
    model = graph(
        """
        agraph (float[1,3,1,8] x) => (float[1,3,1,8] y) {
            s = Squeeze(x, two)
            b = Add(s, shift)
            t = Transpose <perm = [0, 2, 1]> (b)
            p = Relu(t)
            u = Unsqueeze(p, one)
            c = Transpose <perm = [0, 3, 1, 2]> (u)
            y = Abs(c)
        }
        """,
        two=np.array([2]), one=np.array([1]), shift=weights(1, 3, 1),
    )  # fmt: skip
    check_fires(model, sink_views, atol=1e-6)
    assert ops(model) == {"Add": 1, "Relu": 1, "Abs": 1}


def test_two_branches_that_meet_lose_both_transposes() -> None:
    model = graph(
        """
        agraph (float[1,3,4,5] x, float[1,3,4,5] z) => (float[1,3,4,5] y) {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            b = Transpose <perm = [0, 2, 3, 1]> (z)
            s = Add(a, b)
            y = Transpose <perm = [0, 3, 1, 2]> (s)
        }
        """
    )
    check_fires(model, sink_views, atol=1e-6)
    collapse_views(model)
    assert ops(model) == {"Add": 1}


@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("m = MatMul(a, w) y = Relu(m)", {"w": weights(3, 3)}),
        ("r = Relu(a) m = MatMul(r, w) y = Abs(m)", {"w": weights(3, 3)}),
        ("r = Relu(a) s = Sigmoid(a) y = Concat <axis = 2> (r, s)", {}),
        ("r = Reshape(a, flat) y = Relu(r)", {"flat": np.array([1, 60])}),
    ],
    ids=["product over channels", "nothing to cancel with", "one would be as good", "reshape"],
)
def test_transposes_that_are_needed_stay(body: str, constants: dict[str, np.ndarray]) -> None:
    text = f"""
        agraph (float[1,3,4,5] x) => (float[A,B,C,D] y) {{
            a = Transpose <perm = [0, 2, 3, 1]> (x) {body}
        }}
    """
    check_does_not_fire(graph(text, **constants), sink_views)


def test_resize_of_a_part_of_the_image_keeps_its_transposes() -> None:
    model = graph(
        """
        agraph (float[1,3,4,5] x) => (float[1,3,8,10] y) {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            b = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize">
                (a, roi, , sizes)
            y = Transpose <perm = [0, 3, 1, 2]> (b)
        }
        """,
        roi=np.float32([0, 0.1, 0.2, 0, 1, 0.8, 0.9, 1]), sizes=np.array([1, 8, 10, 3]),
    )  # fmt: skip
    check_does_not_fire(model, sink_views)


def test_mean_over_everything_is_read_through_a_view() -> None:
    model = graph(
        """
        agraph (float[1,3,4,5] x) => (float[1,3,4,5] y) {
            a = Transpose <perm = [0, 2, 3, 1]> (x)
            m = ReduceMean <keepdims = 0> (a, none)
            b = Sub(a, m)
            y = Transpose <perm = [0, 3, 1, 2]> (b)
        }
        """,
        none=np.array([], np.int64),
    )
    check_fires(model, sink_views, atol=1e-6)


def test_value_squeezed_to_rank_zero_keeps_its_numbers() -> None:
    model = graph(
        """
        agraph (float[1,1,4,5] x) => (float y) {
            m = ReduceMean(x, axes) q = Squeeze(m, all) y = Mul(q, two)
        }
        """,
        axes=np.array([2, 3]), all=np.array([0, 1, 2, 3]), two=np.float32(2),
    )  # fmt: skip
    before = run(model)
    sink_views(model)
    np.testing.assert_allclose(run(model)[0], before[0], atol=1e-6)


def test_values_may_have_any_names() -> None:
    """New constants get names that neither values nor inputs of the model have."""
    model = graph(
        """
        agraph (float[3,4,1] shape) => (float[3,4] y) {
            constant = Squeeze(shape, axes)
            t = Transpose(constant)
            b = Add(t, w)
            y = Transpose(b)
        }
        """,
        axes=np.array([2]), w=weights(4, 3),
    )  # fmt: skip
    check_fires(model, sink_views, atol=1e-6)


def test_axes_turn_constants() -> None:
    nhwc = Axes(source=(0, 2, 3, 1), rank=4)
    assert nhwc.in_stored_axes(np.arange(3)).shape == (1, 3, 1, 1)
    assert nhwc.stored_shape((2, 4, 5, 3)) == (2, 3, 4, 5)
    array = RNG.standard_normal((2, 4, 5, 3))
    assert np.array_equal(nhwc.in_stored_axes(array), array.transpose(0, 3, 1, 2))
    assert nhwc.moves((2, 4, 5, 3))
    assert not nhwc.moves((2, 1, 1, 3))
