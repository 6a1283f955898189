"""Bodies of MaxPoolArgmax2d and MaxUnpool2d against NumPy, TensorFlow and all runtimes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx.reference import ReferenceEvaluator

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.plugins import max_pool_argmax_2d, max_unpool_2d


def model_with(body: str, inputs: str, outputs: str, call: str, dtype: str) -> onnx.ModelProto:
    """A model of one call of one function."""
    text = f"""
        <ir_version: 10, opset_import: ["" : 20, "ocr_trt" : 1]>
        agraph ({inputs}) => ({outputs}) {{ {call} }}
        {body}
    """
    return onnx.parser.parse_model(text.replace("T[", f"{dtype}["))


def pool_model(dtype: str = "float") -> onnx.ModelProto:
    return model_with(
        max_pool_argmax_2d.BODY,
        "T[N,C,H,W] x",
        "T[N,C,h,w] pooled, T[N,C,h,w] place",
        "pooled, place = ocr_trt.MaxPoolArgmax2d(x)",
        dtype,
    )


def unpool_model(dtype: str = "float") -> onnx.ModelProto:
    return model_with(
        max_unpool_2d.BODY,
        "T[N,C,h,w] values, T[N,C,h,w] place",
        "T[N,C,H,W] x",
        "x = ocr_trt.MaxUnpool2d(values, place)",
        dtype,
    )


def run_ort(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnx_session(model).run(None, feeds)


# Ties and signed zeros are what goes wrong: few values, often equal.
IMAGES = hnp.arrays(
    np.float32,
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 4),
        st.integers(1, 5).map(lambda n: 2 * n),
        st.integers(1, 5).map(lambda n: 2 * n),
    ),
    elements=st.sampled_from([0.0, -0.0, 1.0, 1.0, -1.0, 2.5, 2.0**99, -(2.0**99), float("inf")]),
)


@settings(deadline=None, max_examples=60)
@given(x=IMAGES)
def test_bodies_equal_the_references_bit_for_bit(x: np.ndarray) -> None:
    pooled, place = run_ort(pool_model(), {"x": x})
    expected_pooled, expected_place = max_pool_argmax_2d.max_pool_argmax_2d(x)
    assert np.array_equal(pooled, expected_pooled)
    assert np.array_equal(place, expected_place)
    values = np.arange(1, place.size + 1, dtype=np.float32).reshape(place.shape)
    (spread,) = run_ort(unpool_model(), {"values": values, "place": place})
    assert np.array_equal(spread, max_unpool_2d.max_unpool_2d(values, place))


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_bodies_run_in_the_onnx_reference(dtype: str, rng: np.random.Generator) -> None:
    kind = np.float16 if dtype == "float16" else np.float32
    x = rng.integers(-2, 3, (2, 3, 6, 8)).astype(kind)
    pooled, place = ReferenceEvaluator(pool_model(dtype)).run(None, {"x": x})
    assert (pooled.dtype, place.dtype) == (kind, kind)
    expected = max_pool_argmax_2d.max_pool_argmax_2d(x)
    assert np.array_equal(pooled, expected[0])
    assert np.array_equal(place, expected[1])
    feeds = {"values": pooled, "place": place}
    (spread,) = ReferenceEvaluator(unpool_model(dtype)).run(None, feeds)
    assert np.array_equal(spread, max_unpool_2d.max_unpool_2d(pooled, place))


def test_pooling_equals_tensorflow_first_maximum_wins(rng: np.random.Generator) -> None:
    tf = pytest.importorskip("tensorflow")
    x = rng.integers(0, 2, (2, 8, 10, 3)).astype(np.float32)
    maxima, indices = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")
    pooled, place = max_pool_argmax_2d.max_pool_argmax_2d(x.transpose(0, 3, 1, 2))
    assert np.array_equal(pooled.transpose(0, 2, 3, 1), maxima.numpy())
    rows = 2 * np.arange(4)[:, None, None] + place.transpose(0, 2, 3, 1) // 2
    columns = 2 * np.arange(5)[:, None] + place.transpose(0, 2, 3, 1) % 2
    flat = (rows * 10 + columns) * 3 + np.arange(3)
    assert np.array_equal(flat, indices.numpy())


def test_bodies_run_in_openvino_once_inlined(rng: np.random.Generator) -> None:
    import openvino as ov

    x = rng.integers(-2, 3, (1, 4, 8, 8)).astype(np.float32)
    model: Any = onnx.inliner.inline_local_functions(pool_model())
    compiled = ov.Core().compile_model(ov.Core().read_model(model.SerializeToString()), "CPU")
    found = compiled([x])
    expected = max_pool_argmax_2d.max_pool_argmax_2d(x)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_wrong_place_changes_the_result() -> None:
    values = np.ones((1, 1, 1, 1), np.float32)
    spread = [max_unpool_2d.max_unpool_2d(values, np.full_like(values, p)) for p in range(4)]
    assert len({s.tobytes() for s in spread}) == 4
    assert all(s.sum() == 1 for s in spread)
