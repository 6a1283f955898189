"""Gathering, scattering, sorting, cumulative sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, cases_of


def indexing_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import keras
    import tensorflow as tf

    m, raw = tf.math, tf.raw_ops
    ids = tf.constant([0, 0, 1, 2, 2, 2, 4, 4])
    mixed = tf.constant([3, 0, -1, 1, 0, 3, 2, 1])
    flat = lambda x: tf.reshape(tf.transpose(x, [1, 0, 2, 3]), [8, 72])  # noqa: E731
    places = tf.constant([[0, 1], [1, 5], [0, 1], [1, 0]])
    upd = tf.range(4 * 36, dtype="float32")
    upd = tf.reshape(upd, [4, 12, 3]) / 10.0

    def signed(x: Any) -> Any:
        """Return 8 ids from -4 to 3."""
        return tf.cast(tf.floor(x[0, :, 0, 0] * 2.0), "int32")

    def index(x: Any) -> Any:
        return tf.cast(tf.abs(x[:, :, :, 0]) * 3.0, "int32")

    return cases_of(
        {
            **{
                f"segment_{n}": (lambda x, n=n: getattr(m, f"segment_{n}")(flat(x), ids))
                for n in ("sum", "mean", "max", "min", "prod")
            },
            **{
                f"unsorted_segment_{n}": (
                    lambda x, n=n: getattr(m, f"unsorted_segment_{n}")(flat(x), mixed, 5)
                )
                for n in ("sum", "max", "min", "prod")
            },
            **{
                f"unsorted_segment_{n}.row": (
                    lambda x, n=n: getattr(m, f"unsorted_segment_{n}")(flat(x), signed(x), 4)
                )
                for n in ("sum", "mean", "max", "min", "prod")
            },
            **{
                f"segment_{n}.computed": (
                    lambda x, n=n: getattr(m, f"segment_{n}")(flat(x), tf.sort(tf.abs(signed(x))))
                )
                for n in ("sum", "mean", "max", "min", "prod")
            },
            "unsorted_segment_max.computed": lambda x: m.unsorted_segment_max(
                x[:, 0], index(x)[:, 0], 6
            ),
            "unsorted_segment_mean": lambda x: m.unsorted_segment_mean(flat(x), mixed, 4),
            "unsorted_segment_sum.computed": lambda x: m.unsorted_segment_sum(
                x[:, 0], tf.cast(tf.abs(x[:, 0, :, 0]), "int32"), 5
            ),
            "scatter_nd": lambda x: tf.scatter_nd(places, upd, [2, 8, 12, 3]) + x,
            "scatter_nd.shape": lambda x: tf.scatter_nd(
                [[0], [2], [2], [1]], x[0, :4], [4, *tf.unstack(tf.shape(x[0])[1:])]
            ),
            "scatter_nd.data": lambda x: tf.scatter_nd([[0], [2], [2], [1]], x[0, :4], [4, 12, 3]),
            **{
                f"tensor_scatter_{n}": (
                    lambda x, n=n: getattr(tf, f"tensor_scatter_nd_{n}")(
                        x, [[0, 1], [1, 5], [1, 0]], upd[:3]
                    )
                )
                for n in ("add", "sub", "max", "min", "update")
            },
            "tensor_scatter_add.twice": lambda x: tf.tensor_scatter_nd_add(x, places, upd),
            "gather": lambda x: tf.gather(x, [2, 0, 1, 1], axis=1),
            "gather.computed": lambda x: tf.gather(x, index(x)[0, 0], axis=1),
            "gather.batch": lambda x: tf.gather(x, index(x)[:, 0], axis=1, batch_dims=1),
            "gather.batch2": lambda x: tf.gather(
                x, tf.cast(tf.abs(x[..., :2]) * 0.9, "int32"), axis=3, batch_dims=3
            ),
            "gather_nd": lambda x: tf.gather_nd(x, [[0, 1], [1, 2]]),
            "gather_nd.batch": lambda x: tf.gather_nd(x, index(x)[:, :5, :2], batch_dims=1),
            "one_hot": lambda x: tf.one_hot(index(x), 5),
            "one_hot.axis": lambda x: tf.one_hot(index(x), 5, 2.0, -1.0, axis=1),
            "top_k": lambda x: m.top_k(x[..., 0], 3)[0],
            "top_k.indices": lambda x: tf.cast(m.top_k(x[..., 0], 3)[1], "float32"),
            "in_top_k": lambda x: tf.cast(
                m.in_top_k(
                    index(x)[0, 0], x[0, :, :, 0][:4] if False else tf.transpose(x[0, :, :, 0]), 3
                ),
                "float32",
            ),
            "in_top_k.raw": lambda x: tf.cast(
                raw.InTopK(predictions=x[0, :, :, 0], targets=index(x)[0, :, 0], k=3), "float32"
            ),
            "nth_element": lambda x: raw.NthElement(input=x, n=1),
            "sort": lambda x: tf.sort(x, 2),
            "sort.down": lambda x: tf.sort(x, 2, "DESCENDING"),
            "argsort": lambda x: tf.cast(tf.argsort(x, 2), "float32"),
            "argmax.keras": lambda x: tf.cast(keras.ops.argmax(tf.nn.relu(x) * -1.0, 2), "float32"),
            "argmax": lambda x: tf.cast(tf.argmax(x, 2), "float32"),
            "argmin": lambda x: tf.cast(tf.argmin(x, 1), "float32"),
            "unique": lambda x: tf.cast(tf.unique(index(x)[0, 0])[0], "float32"),
            "unique.indices": lambda x: tf.cast(tf.unique(index(x)[0, 0])[1], "float32"),
            "dynamic_partition": lambda x: tf.dynamic_partition(x, [0, 1], 2)[1],
            "dynamic_stitch": lambda x: tf.dynamic_stitch([[0, 2], [1, 3]], [x, x * 2.0]),
            "boolean_mask": lambda x: tf.boolean_mask(
                x, [True, False, True] * 2 + [True, True], axis=1
            ),
            "searchsorted": lambda x: tf.cast(
                tf.searchsorted(tf.sort(x[:, 0, :, 0]), x[:, 0, :, 1]), "float32"
            ),
            "searchsorted.right": lambda x: tf.cast(
                tf.searchsorted(tf.sort(x[:, 0, :, 0]), x[:, 0, :, 1], side="right"), "float32"
            ),
            "cumsum": lambda x: tf.cumsum(x, 2),
            "cumsum.exclusive": lambda x: tf.cumsum(x, 2, exclusive=True),
            "cumsum.reverse": lambda x: tf.cumsum(x, 1, reverse=True, exclusive=True),
            "cumprod": lambda x: m.cumprod(x, 2),
            "cumprod.exclusive": lambda x: m.cumprod(x, 2, exclusive=True),
            "cumprod.reverse": lambda x: m.cumprod(x, 1, reverse=True),
            "cumprod.both": lambda x: m.cumprod(x, 1, exclusive=True, reverse=True),
            "cumulative_logsumexp": lambda x: m.cumulative_logsumexp(x, 1),
            "embedding": lambda x: tf.nn.embedding_lookup(
                tf.constant(np.eye(7, dtype="float32")), index(x)
            ),
            "bincount": lambda x: tf.cast(
                m.bincount(index(x)[0, 0], minlength=7, maxlength=7), "float32"
            ),
            "invert_permutation": lambda x: tf.gather(x, m.invert_permutation([2, 0, 1]), axis=3),
            "lookup.slice_computed": lambda x: x[:, :, : tf.shape(x)[2] // 2],
            "confusion": lambda x: tf.cast(
                m.confusion_matrix(index(x)[0, 0], index(x)[1, 0], 7), "float32"
            ),
            "sequence_mask": lambda x: tf.sequence_mask(index(x)[:, 0, 0], 9, dtype="float32"),
            "reverse_sequence": lambda x: tf.reverse_sequence(x, [3, 5], seq_axis=2),
            "approx_top_k": lambda x: tf.math.approx_max_k(x[..., 0], 3)[0],
            "inplace_update": lambda x: raw.InplaceUpdate(x=x * 1.0, i=[1], v=x[:1]),
            "list_diff": lambda x: tf.gather(
                x, tf.sets.difference([[0, 1, 2]], [[1]]).values, axis=1
            ),
            "unravel_index": lambda x: tf.cast(tf.unravel_index(index(x)[0, 0], [3, 4]), "float32"),
            "sparse_to_dense": lambda x: raw.SparseToDense(
                sparse_indices=[[0, 1], [2, 3]],
                output_shape=[4, 5],
                sparse_values=x[0, 0, :2, 0],
                default_value=0.5,
            ),
            "strided_update": lambda x: raw.TensorStridedSliceUpdate(
                input=x,
                begin=[0, 1, 2, 0],
                end=[2, 3, 4, 3],
                strides=[1, 1, 1, 1],
                value=x[:, :2, :2] * 3.0,
            ),
        }
    )
