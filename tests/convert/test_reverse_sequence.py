"""Reversals of sequences whose lengths depend on the image."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_trt.convert.passes.free_batch import free_batch
from ocr_trt.convert.passes.lower_reverse_sequence import lower_reverse_sequence

from .helpers import check_does_not_fire, check_fires, evaluated, graph, ops

COUNTED = """p = Greater(x, zero) c = Cast <to = 7> (p)
    s = ReduceMax <keepdims = 0> (c, axes) n = Add(s, one)"""
"""n: 1 or 2 for each sequence."""


@pytest.mark.parametrize(
    ("shape", "axes", "time"),
    [("3,5,4", [0, 2], 0), ("5,3,4", [1, 2], 1), ("5,3,2,4", [1, 2, 3], 1)],
)
def test_computed_lengths_become_a_gather(shape: str, axes: list[int], time: int) -> None:
    model = graph(
        f"""agraph (float[{shape}] x) => (float[{shape}] y) {{ {COUNTED}
            y = ReverseSequence <time_axis = {time}, batch_axis = {1 - time}> (x, n) }}""",
        zero=np.float32(1.5), axes=np.array(axes), one=np.int64(1),
    )  # fmt: skip
    check_fires(model, lower_reverse_sequence, atol=0)
    assert not ops(model)["ReverseSequence"]


def test_constant_lengths() -> None:
    text = """agraph (float[3,5,4] x) => (float[3,5,4] y) {
        y = ReverseSequence <time_axis = 0, batch_axis = 1> (x, n) }"""
    # Not 0: ReverseSequence of onnxruntime 1.22 is wrong for a length of 0.
    some = graph(text, n=np.array([1, 2, 3, 2, 1]))
    check_fires(some, lower_reverse_sequence, atol=0)
    check_does_not_fire(graph(text, n=np.full(5, 3)), lower_reverse_sequence)
    free = graph(text.replace("3,5,4", "T,5,4"), n=np.array([1, 2, 3, 2, 0]))
    check_does_not_fire(free, lower_reverse_sequence)


def test_lengths_beyond_the_sequence_reverse_all_of_it() -> None:
    text = """agraph (float[1,3] x) => (float[1,3] y) {
        y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, n) }"""
    model = graph(text, n=np.array([9]))
    assert lower_reverse_sequence(model).changed == 1
    x = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_array_equal(evaluated(model, x), x[:, ::-1])


def test_batch_is_freed() -> None:
    model = graph(
        f"""agraph (float[2,6,4] x) => (float[2,6,4] y) {{ {COUNTED}
            y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, n) }}""",
        zero=np.float32(1.5), axes=np.array([1, 2]), one=np.int64(3),
    )  # fmt: skip
    lower_reverse_sequence(model)
    assert free_batch(model).changed == 1
    x = np.random.default_rng(0).standard_normal((3, 6, 4)).astype(np.float32)
    x[0] = 0.0  # a sequence of another length
    lengths = 3 + (x > 1.5).any((1, 2))
    assert set(lengths) == {3, 4}
    expected = x.copy()
    for row, length in enumerate(lengths):
        expected[row, :length] = x[row, :length][::-1]
    np.testing.assert_array_equal(evaluated(model, x), expected)
