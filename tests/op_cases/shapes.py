"""Ops that move values."""

from __future__ import annotations

from .case import IMAGE, Case, cases_of


def shapes_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    raw = tf.raw_ops
    paddings = [[0, 0], [2, 1], [3, 0], [0, 1]]
    return cases_of(
        {
            "roll": lambda x: tf.roll(x, [-2, 3], [1, 2]),
            "roll.one": lambda x: tf.roll(x, 5, 1),
            "roll.twice": lambda x: tf.roll(x, [1, 1], [1, 1]),
            "roll.far": lambda x: tf.roll(x, [-20, 30], [1, 2]),
            "roll.computed": lambda x: tf.roll(x, tf.cast(x[0, 0, 0, 0], "int32"), 1),
            "pad": lambda x: tf.pad(x, paddings),
            "pad.value": lambda x: tf.pad(x, paddings, constant_values=1.5),
            "pad.reflect": lambda x: tf.pad(x, paddings, "REFLECT"),
            "pad.symmetric": lambda x: tf.pad(x, paddings, "SYMMETRIC"),
            "pad.symmetric_large": lambda x: tf.pad(
                x, [[0, 0], [8, 5], [3, 12], [0, 0]], "SYMMETRIC"
            ),
            "pad.reflect_large": lambda x: tf.pad(x, [[0, 0], [7, 5], [3, 11], [0, 0]], "REFLECT"),
            "depth_to_space": lambda x: tf.nn.depth_to_space(tf.tile(x, [1, 1, 1, 4]), 2),
            "space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
            "space_to_batch": lambda x: tf.space_to_batch(x, [2, 3], [[0, 0], [1, 2]]),
            "batch_to_space": lambda x: tf.batch_to_space(
                tf.tile(x, [2, 1, 1, 1]), [2, 2], [[1, 0], [0, 2]]
            ),
            "space_to_batch.old": lambda x: raw.SpaceToBatch(
                input=x, paddings=[[0, 0], [1, 1]], block_size=2
            ),
            "batch_to_space.old": lambda x: raw.BatchToSpace(
                input=tf.tile(x, [2, 1, 1, 1]), crops=[[0, 0], [1, 1]], block_size=2
            ),
            "space_to_batch.1d": lambda x: tf.space_to_batch(x[:, 0], [2], [[0, 0]]),
            "space_to_batch.3d": lambda x: tf.space_to_batch(
                x, [2, 2, 3], [[0, 0], [0, 0], [0, 0]]
            ),
            "concat": lambda x: tf.concat([x, x], 2),
            "split": lambda x: tf.split(x, 3, 2)[1],
            "split_v": lambda x: tf.split(x, [2, 5, 5], 2)[1],
            "stack": lambda x: tf.stack([x, x * 2.0], 2),
            "unstack": lambda x: tf.unstack(x, axis=2)[3],
            "parallel_stack": lambda x: raw.ParallelConcat(
                values=[x[:1], x[1:]], shape=list(IMAGE)
            ),
            "tile": lambda x: tf.tile(x, [1, 2, 1, 3]),
            "repeat": lambda x: tf.repeat(x, 3, 1),
            "broadcast_to": lambda x: tf.broadcast_to(x[:, :1], [2, 8, 12, 3]),
            "repeat.list": lambda x: tf.repeat(x, [1, 0, 2], 3),
            "meshgrid": lambda x: tf.meshgrid(x[0, 0, :, 0], x[0, :, 0, 1])[0],
            "reverse": lambda x: tf.reverse(x, [1, 3]),
            "reverse.old": lambda x: raw.Reverse(tensor=x, dims=[False, True, False, True]),
            "transpose.perm": lambda x: tf.transpose(x, [3, 1, 0, 2]),
            "squeeze": lambda x: tf.squeeze(x[:, :1], 1),
            "expand_dims": lambda x: tf.expand_dims(x, 2),
            "strided_slice": lambda x: x[:, 1:-1:2, ::-1, 0],
            "strided_slice.ellipsis": lambda x: x[..., tf.newaxis, 1:],
            "slice": lambda x: tf.slice(x, [0, 1, 2, 0], [2, -1, 5, 3]),
            "fill": lambda x: x + tf.fill(tf.shape(x), 0.5),
            "zeros_like": lambda x: x + tf.zeros_like(x) + tf.ones_like(x),
            "linspace": lambda x: x[0, 0, :, 0] * tf.linspace(0.0, x[0, 0, 0, 0], 12),
            "range": lambda x: x * tf.range(0.0, 3.0),
            "eye": lambda x: x[0, :, :8, 0] + tf.eye(8),
            "shape_n": lambda x: x * tf.cast(tf.shape_n([x, x])[1][1], "float32"),
            "size": lambda x: x * tf.cast(tf.size(x), "float32"),
            "rank": lambda x: x * tf.cast(tf.rank(x), "float32"),
            "broadcast_args": lambda x: tf.broadcast_to(
                x[:1], raw.BroadcastArgs(s0=tf.shape(x), s1=[1, 8, 12, 3])
            ),
            "data_format": lambda x: tf.transpose(
                x, raw.DataFormatVecPermute(x=[0, 1, 2, 3], src_format="NHWC", dst_format="NCHW")
            ),
            "concat_offset": lambda x: x[
                :, raw.ConcatOffset(concat_dim=1, shape=[[1, 2], [1, 3]])[1][1] :
            ],
            "bias_add.second_axis": lambda x: tf.nn.bias_add(
                x, tf.reduce_mean(x, [0, 2, 3]), data_format="NCHW"
            ),
            "identity": tf.identity,
            "snapshot": lambda x: raw.Snapshot(input=x) * 2.0,
            "guarantee_const": lambda x: tf.guarantee_const(x) * 2.0,
            "tensor_list": lambda x: tf.map_fn(lambda y: y * 2.0, x),
            "case": lambda x: tf.switch_case(
                tf.cast(x[0, 0, 0, 0] > 0, "int32"), [lambda: x, lambda: x * 2.0]
            ),
            "cond": lambda x: tf.cond(x[0, 0, 0, 0] > 0, lambda: x, lambda: x * 2.0),
            "nest": lambda x: tf.where(tf.shape(x)[0] > 1, x, x * 2.0),
        }
    )
