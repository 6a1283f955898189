"""Normal forms of chains of views, and the number of nodes that they need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_trt.convert.analysis.views import view_of
from ocr_trt.convert.passes.collapse_views import node_count


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[int, ...], np.ndarray]:
    """Draw a shape, and arange of it after random transposes and reshapes."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    moved = numbers(shape)
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            moved = moved.transpose(draw(st.permutations(range(moved.ndim))))
        else:
            factors = [
                f for size in moved.shape for f in ((2, size // 2) if size == 6 else (size,))
            ]
            groups: list[int] = [1]
            for factor in factors:
                if draw(st.booleans()):
                    groups.append(factor)
                else:
                    groups[-1] *= factor
            moved = moved.reshape(groups)
    return shape, moved


@settings(deadline=None, max_examples=300)
@given(chain=chains())
def test_the_normal_form_does_what_the_chain_does(
    chain: tuple[tuple[int, ...], np.ndarray],
) -> None:
    source, moved = chain
    view = view_of(source, moved)
    if view is not None:
        assert np.array_equal(view.apply(numbers(source)), moved)


@pytest.mark.parametrize(
    ("source", "moved", "nodes"),
    [
        ((2, 3, 4), numbers((2, 3, 4)), 0),
        ((2, 3, 4), numbers((6, 4)), 1),
        ((1, 4, 5, 3), numbers((1, 4, 5, 3)).transpose(0, 3, 1, 2), 1),
        ((2, 4, 5, 3), numbers((2, 4, 5, 3)).transpose(0, 3, 1, 2).reshape(2, 3, 20), 2),
        ((2, 80, 12), numbers((2, 80, 4, 3)).transpose(0, 2, 1, 3), 2),
        ((2, 80, 12), numbers((2, 80, 4, 3)).transpose(0, 2, 1, 3).reshape(8, 80, 3), 3),
        ((1, 1, 7), numbers((7, 1, 1)), 1),
    ],
    ids=[
        "nothing", "reshape", "NHWC to NCHW", "transpose, merge", "split heads",
        "split heads, merge batch", "ones move freely",
    ],
)  # fmt: skip
def test_node_counts(source: tuple[int, ...], moved: np.ndarray, nodes: int) -> None:
    view = view_of(source, moved)
    assert view is not None
    assert node_count(source, view) == nodes


def test_a_shuffle_is_no_view() -> None:
    assert view_of((6,), np.array([0, 1, 2, 4, 3, 5])) is None
    assert view_of((4,), np.array([0, 0, 1, 1])) is None
