"""raise_resize: repeats and TensorFlow's nearest modes as Resize."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.convert.passes.raise_resize import raise_resize

from .helpers import check_does_not_fire, check_fires, graph, ops


def test_repeated_rows_and_columns_are_a_resize() -> None:
    """NHWC, as Keras' UpSampling2D((2, 3)) writes it."""
    model = graph(
        """
        agraph (float[2,4,5,3] x) => (float[2,8,15,3] y) {
            u = Unsqueeze(x, two)
            t = Tile(u, rows)
            r = Reshape(t, tall)
            v = Unsqueeze(r, three)
            s = Tile(v, columns)
            y = Reshape(s, wide)
        }
        """,
        two=np.array([2]), three=np.array([3]), rows=np.array([1, 1, 2, 1, 1]),
        tall=np.array([2, 8, 5, 3]), columns=np.array([1, 1, 1, 3, 1]),
        wide=np.array([2, 8, 15, 3]),
    )  # fmt: skip
    check_fires(model, raise_resize, atol=0)
    assert ops(model) == {"Transpose": 2, "Resize": 1}


@pytest.mark.parametrize(
    ("tile", "shape"),
    [([1, 1, 1, 1, 1], [2, 3, 4, 5]), ([1, 1, 2, 1, 1], [2, 3, 8, 5])],
    ids=["nothing is repeated", "images are put one below the other"],
)
def test_other_tiles_stay(tile: list[int], shape: list[int]) -> None:
    text = f"""
        agraph (float[2,3,4,5] x) => (float[{",".join(map(str, shape))}] y) {{
            u = Unsqueeze(x, two) t = Tile(u, tile) y = Reshape(t, shape)
        }}
    """
    constants = {"two": np.array([2]), "tile": np.array(tile), "shape": np.array(shape)}
    check_does_not_fire(graph(text, **constants), raise_resize)


@pytest.mark.parametrize(
    ("size", "mode"),
    [
        ([1, 1, 8, 15], ("asymmetric", "floor")),
        ([1, 1, 7, 13], ("half_pixel", "round_prefer_ceil")),
        ([1, 1, 3, 4], ("half_pixel", "round_prefer_ceil")),
    ],
    ids=["whole scale", "broken scale", "smaller"],
)
def test_nearest_mode_of_tensorflow(size: list[int], mode: tuple[str, str]) -> None:
    model = graph(
        f"""
        agraph (float[1,1,4,5] x) => (float[{",".join(map(str, size))}] y) {{
            y = Resize <mode = "nearest", nearest_mode = "floor",
                        coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, , , size)
        }}
        """,
        size=np.array(size),
    )
    check_fires(model, raise_resize, atol=0)
    (node,) = model.graph
    assert isinstance(node, ir.Node)
    names = ("coordinate_transformation_mode", "nearest_mode")
    assert tuple(node.attributes[name].value for name in names) == mode


@pytest.mark.parametrize(
    ("mode", "scales", "fires"),
    [("nearest", 2.0, "asymmetric"), ("nearest", 2.3, "half_pixel"), ("linear", 2.0, "")],
)
def test_scales_decide_and_other_modes_stay(mode: str, scales: float, fires: str) -> None:
    model = graph(
        f"""
        agraph (float[1,1,3,3] x) => (float[1,1,6,6] y) {{
            y = Resize <mode = "{mode}", nearest_mode = "floor",
                        coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, , scales)
        }}
        """,
        scales=np.float32([1, 1, scales, scales]),
    )
    if not fires:
        check_does_not_fire(model, raise_resize)
        return
    check_fires(model, raise_resize, atol=0)
    (node,) = model.graph
    assert node.attributes["coordinate_transformation_mode"].value == fires
