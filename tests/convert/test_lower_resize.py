"""lower_resize: cubic as matrices, borders between pixels as selections, sizes as scales."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.analysis.resizes import is_safe, repeats, scale_for, step_of
from ocr_trt.convert.passes.lower_resize import lower_resize

from .helpers import check_does_not_fire, check_fires, graph, ops


def resize(old: str, attributes: str, new: str = "?,?,?,?", **sizes: np.ndarray) -> ir.Model:
    (name,) = sizes
    inputs = "x, , s" if name == "scales" else "x, , , s"
    text = f"agraph (float[{old}] x) => (float[{new}] y) {{ y = Resize <{attributes}> ({inputs}) }}"
    return graph(text.replace("?", "N"), s=sizes[name])


CUBIC = 'mode = "cubic", cubic_coeff_a = -0.5, exclude_outside = 1'


@pytest.mark.parametrize(
    "attributes",
    [
        CUBIC,
        'mode = "cubic", coordinate_transformation_mode = "align_corners"',
        'mode = "linear", antialias = 1',
    ],
)
@pytest.mark.parametrize("size", [(12, 14), (5, 3)], ids=str)
def test_weighted_sums_are_matrices(attributes: str, size: tuple[int, int]) -> None:
    model = resize("2,3,6,7", attributes, sizes=np.array([2, 3, *size]))
    check_fires(model, lower_resize, atol=1e-5)
    assert ops(model) == {"MatMul": 2}
    check_does_not_fire(model, lower_resize)


def test_one_changed_axis_is_one_product() -> None:
    model = resize("2,3,6,7", CUBIC, scales=np.float32([1, 1, 1, 2]))
    check_fires(model, lower_resize, atol=1e-5)
    assert ops(model) == {"MatMul": 1}


NEAREST = 'mode = "nearest", coordinate_transformation_mode ='


@pytest.mark.parametrize(
    ("attributes", "size", "expected"),
    [
        (f'{NEAREST} "tf_half_pixel_for_nn", nearest_mode = "floor"', (3, 4), {"Slice": 2}),
        (f'{NEAREST} "asymmetric", nearest_mode = "floor"', (10, 8), {"Gather": 1}),
        (f'{NEAREST} "asymmetric", nearest_mode = "floor"', (12, 16), {"Resize": 1}),
        (f'{NEAREST} "tf_half_pixel_for_nn", nearest_mode = "floor"', (12, 16), {"Resize": 1}),
        (f'{NEAREST} "align_corners", nearest_mode = "round_prefer_ceil"', (1, 8), {"Slice": 1}),
    ],
    ids=["halves", "3 to 5", "whole", "whole, half pixels", "to one row"],
)
def test_positions_between_two_pixels_are_selected(
    attributes: str, size: tuple[int, int], expected: dict[str, int]
) -> None:
    model = resize("1,2,6,8", attributes, sizes=np.array([1, 2, *size]))
    check_fires(model, lower_resize, atol=0)
    assert ops(model) == expected


def test_sizes_of_some_axes_become_scales_that_give_these_sizes() -> None:
    model = resize("2,3,23,38", 'mode = "linear", axes = [2, 3]', sizes=np.array([45, 75]))
    check_fires(model, lower_resize, atol=1e-4)
    (node,) = model.graph
    assert "axes" not in node.attributes
    products = np.float32([2, 3, 23, 38]) * node.inputs[2].const_value.numpy()
    np.testing.assert_array_equal(np.floor(products), [2, 3, 45, 75])
    check_does_not_fire(model, lower_resize)


def test_a_resize_to_the_same_size_is_removed() -> None:
    model = resize("2,3,6,7", CUBIC, sizes=np.array([2, 3, 6, 7]))
    check_fires(model, lower_resize, atol=0)
    assert ops(model) == {"Identity": 1}


@pytest.mark.parametrize(
    ("attributes", "scale"),
    [('mode = "linear"', 2.3), ('mode = "nearest"', 2.3), ('mode = "nearest"', 2.0)],
)
def test_scales_stay(attributes: str, scale: float) -> None:
    """A scale that is not the ratio of the sizes places the pixels, so sizes cannot replace it."""
    model = resize("1,1,3,3", attributes, scales=np.float32([1, 1, scale, scale]))
    check_does_not_fire(model, lower_resize)


def test_helpers() -> None:
    for old, new in ((23, 45), (368, 736), (38, 75), (7, 3), (1, 9), (736, 23)):
        scale = Fraction(float(scale_for(old, new)))
        assert new <= scale * old < new + Fraction(1, 1000)
    assert repeats(np.array([0, 0, 1, 1]), 2)
    assert not repeats(np.array([0, 0, 0, 1]), 2)
    assert step_of(np.array([1, 3, 5])) == 2
    assert step_of(np.array([1])) == 1
    assert step_of(np.array([1, 1, 2])) is None
    assert is_safe(23, 45, "half_pixel")
    assert not is_safe(24, 12, "half_pixel")
    assert not is_safe(6, 10, "asymmetric")
    assert not is_safe(6, 1, "align_corners")
