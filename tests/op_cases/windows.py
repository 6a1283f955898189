"""Convolutions, poolings and other sliding windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, cases_of


def _of_unknown_size(x: Any) -> Any:
    """Return 2.25 x behind a loop that could change its size."""
    import tensorflow as tf

    free = tf.TensorShape([None, None, None, 3])
    _, y = tf.while_loop(
        lambda i, _: i < 2, lambda i, v: (i + 1, 1.5 * v), (0, x), (tf.TensorShape([]), free)
    )
    return y


def windows_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    nn = tf.nn

    def w(*shape: int) -> Any:
        return tf.constant(np.random.default_rng(1).standard_normal(shape), "float32")

    def volume(x: Any) -> Any:
        return tf.reshape(x, [2, 2, 4, 6, 6])[..., :3]

    def first(x: Any) -> Any:
        return tf.transpose(x, [0, 3, 1, 2])

    patches = tf.image.extract_patches
    found = {}
    for pad in ("SAME", "VALID"):
        for k, s, r in ((3, 2, 1), (3, 1, 2), (2, 2, 1), (4, 3, 1), (2, 3, 2), (1, 2, 1)):
            found[f"extract_patches.{pad}{k}{s}{r}"] = lambda x, a=(k, s, r, pad): patches(
                x, [1, a[0], a[0] + (a[0] > 3), 1], [1, a[1], a[1], 1], [1, a[2], a[2], 1], a[3]
            )
        found[f"extract_volume_patches.{pad}"] = lambda x, pad=pad: tf.extract_volume_patches(
            tf.reshape(x, [2, 4, 4, 6, 3]), [1, 2, 2, 3, 1], [1, 1, 2, 2, 1], pad
        )
        found[f"dilation2d.{pad}"] = lambda x, pad=pad: nn.dilation2d(
            x, w(3, 2, 3), (1, 1, 1, 1), pad, "NHWC", (1, 2, 1, 1)
        )
        found[f"dilation2d.stride.{pad}"] = lambda x, pad=pad: nn.dilation2d(
            x, w(3, 3, 3), (1, 2, 2, 1), pad, "NHWC", (1, 1, 1, 1)
        )
        found[f"erosion2d.{pad}"] = lambda x, pad=pad: nn.erosion2d(
            x, w(3, 3, 3), (1, 1, 1, 1), pad, "NHWC", (1, 1, 1, 1)
        )
        found[f"conv.{pad}"] = lambda x, pad=pad: nn.conv2d(x, w(3, 3, 3, 4), 2, pad)
        found[f"conv.dilated.{pad}"] = lambda x, pad=pad: nn.conv2d(
            x, w(3, 3, 3, 4), 1, pad, dilations=2
        )
        found[f"atrous.{pad}"] = lambda x, pad=pad: nn.atrous_conv2d(x, w(3, 3, 3, 4), 2, pad)
        found[f"depthwise.{pad}"] = lambda x, pad=pad: nn.depthwise_conv2d(
            x, w(3, 3, 3, 2), [1, 2, 2, 1], pad
        )
        found[f"depthwise.dilated.{pad}"] = lambda x, pad=pad: nn.depthwise_conv2d(
            x, w(3, 3, 3, 2), [1, 1, 1, 1], pad, dilations=[2, 2]
        )
        found[f"conv_transpose.{pad}"] = lambda x, pad=pad: nn.conv2d_transpose(
            x, w(3, 3, 4, 3), [2, 16, 24, 4] if pad == "SAME" else [2, 17, 25, 4], 2, pad
        )
        found[f"max_pool.{pad}"] = lambda x, pad=pad: nn.max_pool2d(x, 3, 2, pad)
        found[f"avg_pool.{pad}"] = lambda x, pad=pad: nn.avg_pool2d(x, 3, 2, pad)
        found[f"max_pool3d.{pad}"] = lambda x, pad=pad: nn.max_pool3d(
            tf.reshape(x, [2, 4, 4, 6, 3]), 2, 2, pad
        )
        found[f"avg_pool3d.{pad}"] = lambda x, pad=pad: nn.avg_pool3d(
            tf.reshape(x, [2, 4, 4, 6, 3]), 3, 2, pad
        )
        found[f"conv3d.{pad}"] = lambda x, pad=pad: nn.conv3d(
            tf.reshape(x, [2, 4, 4, 6, 3]), w(2, 3, 3, 3, 4), [1, 1, 2, 2, 1], pad
        )
        found[f"argmax_pool.{pad}"] = lambda x, pad=pad: tf.cast(
            nn.max_pool_with_argmax(x, 2, 2, pad)[1], "float32"
        )
    found |= {
        "conv.explicit": lambda x: nn.conv2d(x, w(3, 3, 3, 4), 2, [[0, 0], [1, 0], [2, 1], [0, 0]]),
        "depthwise.explicit": lambda x: nn.depthwise_conv2d(
            x, w(3, 3, 3, 2), [1, 2, 2, 1], [[0, 0], [1, 0], [2, 1], [0, 0]]
        ),
        "max_pool.explicit": lambda x: nn.max_pool2d(x, 3, 2, [[0, 0], [1, 0], [1, 1], [0, 0]]),
        "conv_transpose.explicit": lambda x: nn.conv2d_transpose(
            x, w(3, 3, 4, 3), [2, 16, 24, 4], 2, [[0, 0], [1, 0], [1, 0], [0, 0]]
        ),
        "conv.pad_and_dilation": lambda x: nn.conv2d(
            tf.pad(x, [[0, 0], [0, 0], [1, 0], [0, 0]]), w(3, 1, 3, 4), 1, "SAME", dilations=(1, 2)
        ),
        "conv.atrous_behind_pad": lambda x: nn.atrous_conv2d(
            tf.pad(x, [[0, 0], [0, 1], [1, 0], [0, 0]]), w(3, 3, 3, 4), 2, "SAME"
        ),
        "conv.pad_and_explicit": lambda x: nn.conv2d(
            tf.pad(x, [[0, 0], [1, 0], [1, 0], [0, 0]]),
            w(3, 3, 3, 4),
            1,
            [[0, 0], [1, 1], [0, 1], [0, 0]],
        ),
        "conv.pad_and_valid": lambda x: nn.conv2d(
            tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), w(3, 3, 3, 4), 2, "VALID"
        ),
        "conv_transpose.unknown_size": lambda x: nn.conv2d_transpose(
            _of_unknown_size(x), w(3, 3, 4, 3), [2, 16, 12, 4], (2, 1), "SAME"
        ),
        "conv_transpose.unknown_size_valid": lambda x: nn.conv2d_transpose(
            _of_unknown_size(x), w(3, 2, 4, 3), [2, 18, 13, 4], (2, 1), "VALID"
        ),
        "conv_transpose.gaps": lambda x: nn.conv2d_transpose(
            x, w(1, 2, 4, 3), [2, 16, 36, 4], [2, 3], "SAME"
        ),
        "conv_transpose.more": lambda x: nn.conv2d_transpose(
            x, w(3, 2, 4, 3), [2, 18, 36, 4], [2, 3], "VALID"
        ),
        "conv_transpose.gaps_and_bias": lambda x: nn.bias_add(
            nn.conv2d_transpose(x, w(1, 3, 4, 3), [2, 16, 14, 4], (2, 1), "VALID"), w(4)
        ),
        "conv_transpose.dilated": lambda x: nn.conv2d_transpose(
            x, w(3, 3, 4, 3), [2, 8, 12, 4], 1, "SAME", dilations=2
        ),
        "conv3d.dilated": lambda x: nn.conv3d(
            tf.reshape(x, [2, 4, 4, 6, 3]),
            w(2, 2, 2, 3, 4),
            [1] * 5,
            "SAME",
            dilations=[1, 1, 2, 2, 1],
        ),
        "conv3d_transpose": lambda x: nn.conv3d_transpose(
            tf.reshape(x, [2, 4, 4, 6, 3]), w(2, 2, 2, 4, 3), [2, 8, 8, 12, 4], 2, "SAME"
        ),
        "conv3d_transpose.gaps": lambda x: nn.conv3d_transpose(
            volume(x), w(2, 2, 2, 4, 3), [2, 6, 12, 18, 4], 3, "SAME"
        ),
        "conv3d_transpose.gaps_valid": lambda x: nn.conv3d_transpose(
            volume(x), w(2, 2, 2, 4, 3), [2, 6, 12, 18, 4], 3, "VALID"
        ),
        "conv_transpose.gaps_first": lambda x: nn.bias_add(
            nn.conv2d_transpose(
                first(x), w(2, 2, 4, 3), [2, 4, 24, 36], 3, "SAME", data_format="NCHW"
            ),
            [0.1, 0.2, 0.3, 0.4],
            data_format="NCHW",
        ),
        "conv3d_transpose.gaps_first": lambda x: nn.conv3d_transpose(
            tf.transpose(volume(x), [0, 4, 1, 2, 3]),
            w(2, 2, 2, 4, 3),
            [2, 4, 6, 12, 18],
            3,
            "SAME",
            data_format="NCDHW",
        ),
        "conv1d": lambda x: nn.conv1d(x[:, 0], w(3, 3, 4), 1, "SAME"),
        "conv1d_transpose": lambda x: nn.conv1d_transpose(
            x[:, 0], w(3, 4, 3), [2, 24, 4], 2, "SAME"
        ),
        "separable": lambda x: nn.separable_conv2d(
            x, w(3, 3, 3, 2), w(1, 1, 6, 4), [1, 1, 1, 1], "SAME"
        ),
        "conv.grouped": lambda x: nn.conv2d(x, w(3, 3, 1, 6), 1, "SAME"),
        "conv.dynamic": lambda x: nn.conv2d(
            x, tf.reshape(x[:1, :3, :3, :], [3, 3, 3, 1]), 1, "SAME"
        ),
        "raw_conv": lambda x: tf.raw_ops.Conv(
            input=x, filter=w(3, 3, 3, 4), strides=[1, 2, 2, 1], padding="SAME"
        ),
        "fused_resize_pad_conv": lambda x: tf.raw_ops.FusedResizeAndPadConv2D(
            input=x,
            size=[12, 18],
            paddings=[[0, 0], [1, 1], [1, 1], [0, 0]],
            filter=w(3, 3, 3, 4),
            mode="REFLECT",
            strides=[1, 1, 1, 1],
            padding="VALID",
        ),
        "fused_pad_conv": lambda x: tf.raw_ops.FusedPadConv2D(
            input=x,
            paddings=[[0, 0], [1, 1], [1, 1], [0, 0]],
            filter=w(3, 3, 3, 4),
            mode="REFLECT",
            strides=[1, 1, 1, 1],
            padding="VALID",
        ),
        "lrn": lambda x: nn.local_response_normalization(
            tf.tile(x, [1, 1, 1, 3]), 2, 1.0, 0.5, 0.6
        ),
        "batch_norm": lambda x: nn.batch_normalization(
            x, tf.constant([0.1] * 3), tf.constant([0.5] * 3), 0.2, 1.5, 1e-3
        ),
        "fused_batch_norm": lambda x: tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=[1.0] * 3,
            offset=[0.5] * 3,
            mean=[0.2] * 3,
            variance=[1.5] * 3,
            is_training=False,
        )[0],
        "fused_batch_norm.training": lambda x: tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=[1.0] * 3,
            offset=[0.5] * 3,
            mean=[0.2] * 3,
            variance=[1.5] * 3,
            is_training=True,
        )[0],
        "bias_add": lambda x: nn.bias_add(x, [0.1, 0.2, 0.3]),
        "fractional_max_pool": lambda x: nn.fractional_max_pool(x, 1.5, seed=3)[0],
        "fractional_avg_pool": lambda x: nn.fractional_avg_pool(x, [1.0, 1.5, 1.5, 1.0], seed=3)[0],
        "with_space_to_batch": lambda x: tf.batch_to_space(
            nn.conv2d(tf.space_to_batch(x, [2, 2], [[2, 2], [2, 2]]), w(3, 3, 3, 4), 1, "VALID"),
            [2, 2],
            [[0, 0], [0, 0]],
        ),
        "pool.dilated": lambda x: nn.pool(x, [2, 2], "MAX", [1, 1], "VALID", dilations=[2, 2]),
        "max_pool_v2": lambda x: tf.raw_ops.MaxPoolV2(
            input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"
        ),
        "dilation2d.grad": lambda x: tf.gradients(nn.max_pool2d(x, 2, 2, "SAME"), x)[0],
        "avg_pool.grad": lambda x: tf.gradients(nn.avg_pool2d(x, 2, 2, "SAME"), x)[0],
    }
    return cases_of(found)
