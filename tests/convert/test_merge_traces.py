"""merge_traces: the constants that two traces of one model do not share depend on the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.passes.merge_traces import merge_traces

from .helpers import graph, ops, traced, used

RNG = np.random.default_rng(7)
WEIGHTS = RNG.standard_normal((3, 3)).astype(np.float32)


def made(text: str, batch: int, constants: dict[str, Any]) -> ir.Model:
    return graph(text.replace("BATCH", str(batch)), **used(text, constants))


def check_merges(two: ir.Model, three: ir.Model, *, shape: tuple[int, ...]) -> ir.Model:
    """Merge traces at 2 and 3; the result must compute what the trace at 3 computes."""
    fixed = ir.to_proto(three)
    assert merge_traces(two, three).changed == 1
    merged = ir.to_proto(two)
    onnx.checker.check_model(merged, full_check=True)
    x = RNG.standard_normal((3, *shape)).astype(np.float32)
    (expected,) = onnx_session(fixed).run(None, {"x": x})
    # With onnxruntime's own optimizations, which trust the shapes in the graph.
    (result,) = onnx_session(merged).run(None, {"x": x})
    np.testing.assert_allclose(result, expected, atol=1e-5)
    (one,) = onnx_session(merged).run(None, {"x": x[:1]})
    np.testing.assert_allclose(one, expected[:1], atol=1e-5)
    assert expected.std() > 0.1
    return two


def batches(**constants: Callable[[int], Any]) -> Callable[[int], dict[str, Any]]:
    return lambda n: {name: np.asarray(of(n)) for name, of in constants.items()}


@pytest.mark.parametrize(
    ("body", "constants", "op"),
    [
        # Batch indices: (n, t) for each image n.
        (
            "y = GatherND(x, places)",
            batches(places=lambda n: [[[i, t] for t in (3, 1, 0, 2)] for i in range(n)]),
            "Range",
        ),
        # The rows of all images in one list: image n begins at row 4 n.
        (
            """f = Reshape(x, rows) g = Gather(f, places)
               y = Reshape(g, back)""",
            batches(
                rows=lambda n: [4 * n, 3], back=lambda n: [n, 4, 3],
                places=lambda n: [4 * i + t for i in range(n) for t in (3, 1, 0, 2)],
            ),
            "Range",
        ),
        # Tokens repeated for each image, in front of an op that does not broadcast.
        (
            "c = Concat <axis = 1> (token, x) y = Relu(c)",
            batches(token=lambda n: np.repeat(WEIGHTS[None, :2], n, 0)),
            "Expand",
        ),
        # A size that is computed from the batch, which no Reshape can infer.
        (
            "e = Expand(w, sizes) y = Add(e, x)",
            batches(sizes=lambda n: [n, 4, 3], w=lambda n: WEIGHTS[:1]),
            "Expand",
        ),
        # A mask of the same steps of each image, as ragged tensors of constant lengths have.
        (
            "y = Where(mask, x, zero)",
            batches(
                mask=lambda n: np.arange(4)[None, :, None].repeat(n, 0) < 3,
                zero=lambda n: np.float32(0),
            ),
            "Expand",
        ),
    ],
    ids=["indices", "offsets", "tokens", "sizes", "mask"],
)  # fmt: skip
def test_constants_of_the_batch_become_functions_of_it(
    body: str, constants: Callable[[int], dict[str, Any]], op: str
) -> None:
    text = f"agraph (float[BATCH,4,3] x) => (float[BATCH,T,3] y) {{ {body} }}"
    two, three = (made(text, n, constants(n)) for n in (2, 3))
    model = check_merges(two, three, shape=(4, 3))
    assert ops(model)[op] == 1
    assert str(model.graph.inputs[0].shape[0]) == "N"


def test_constants_in_a_loop_are_found() -> None:
    text = """agraph (float[BATCH,3] x) => (float[BATCH,3] y) <int64 m = {3}, bool c = {1}> {
        y = Loop(m, c, x) <body = b (int64 i, bool go, float[BATCH,3] s)
            => (bool on, float[BATCH,3] t) {
            on = Identity(go) u = MatMul(s, w) v = Tanh(u) a = Concat <axis = 1> (v, tokens)
            t = MatMul(a, back) }> }"""
    back = RNG.standard_normal((5, 3)).astype(np.float32)
    two, three = (
        made(text, n, {"w": WEIGHTS, "back": back, "tokens": np.repeat(WEIGHTS[:1, :2], n, 0)})
        for n in (2, 3)
    )
    check_merges(two, three, shape=(3,))


def test_gather_of_tensorflow_with_batch_dimensions_is_freed() -> None:
    tf = pytest.importorskip("tensorflow")

    def function(x: Any) -> Any:
        order = tf.tile(tf.range(4)[None, ::-1], [tf.shape(x)[0], 1])
        return tf.gather(tf.nn.relu(x) - x, order, batch_dims=1)

    check_merges(*(traced(function, (n, 4, 3)) for n in (2, 3)), shape=(4, 3))


@pytest.mark.parametrize(
    ("bodies", "constants", "reason"),
    [
        # Each image has a constant of its own.
        (
            ("y = Add(x, w)",) * 2,
            batches(w=lambda n: np.random.default_rng(0).standard_normal((n, 4, 3), np.float32)),
            "differs between the images",
        ),
        # A mean over the batch.
        (
            ("y = Mul(x, w)",) * 2,
            batches(w=lambda n: np.float32(1 / n)),
            "depends on the batch size, and no rule frees it in this Mul",
        ),
        # Other nodes.
        (("y = Relu(x)", "y = Sin(x)"), batches(), "differ: Relu and Sin"),
        (("y = Relu(x)", "r = Relu(x) y = Relu(r)"), batches(), "1 nodes at one batch size and 2"),
        # The graphs correspond, but the result of an image depends on other images.
        (
            ("s = ReduceSum(x, zero) y = Mul(s, x)",) * 2,
            batches(zero=lambda n: [0]),
            "differs from the graph at the fixed batch size",
        ),
    ],
)
def test_other_differences_keep_the_batch(
    bodies: tuple[str, str], constants: Callable[[int], dict[str, Any]], reason: str
) -> None:
    text = "agraph (float[BATCH,4,3] x) => (float[BATCH,4,3] y) {{ {} }}"
    two, three = (
        made(text.format(body), n, constants(n)) for body, n in zip(bodies, (2, 3), strict=True)
    )
    before = ir.to_proto(two).SerializeToString(deterministic=True)
    outcome = merge_traces(two, three)
    assert outcome.changed == 0
    assert reason in outcome.skipped[0].reason
    assert ir.to_proto(two).SerializeToString(deterministic=True) == before
