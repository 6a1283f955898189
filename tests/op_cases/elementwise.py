"""Functions of each element."""

from __future__ import annotations

from dataclasses import replace

from .case import IMAGE, Case, cases_of


def elementwise_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    m, nn = tf.math, tf.nn
    names = [
        "abs",
        "asinh",
        "atan",
        "cos",
        "cosh",
        "erf",
        "erfc",
        "exp",
        "expm1",
        "negative",
        "rint",
        "round",
        "sign",
        "sin",
        "sinh",
        "square",
        "tan",
        "tanh",
        "sigmoid",
        "softplus",
        "softsign",
        "ceil",
        "floor",
        "sinh",
        "is_finite",
        "is_inf",
        "is_nan",
        "digamma",
    ]
    found = {name: (lambda x, name=name: tf.cast(getattr(m, name)(x), "float32")) for name in names}
    found |= {
        "elu": nn.elu,
        "selu": nn.selu,
        "gelu.exact": lambda x: nn.gelu(x, approximate=False),
        "gelu.tanh": lambda x: nn.gelu(x, approximate=True),
        "relu": nn.relu,
        "relu6": nn.relu6,
        "leaky_relu": lambda x: nn.leaky_relu(x, 0.3),
        "crelu": nn.crelu,
        "silu": nn.silu,
        "mish": lambda x: x * tf.tanh(tf.math.softplus(x)),
        "celu": lambda x: tf.maximum(x, 0.0) + tf.minimum(0.0, 1.5 * m.expm1(x / 1.5)),
        "hard_sigmoid": lambda x: nn.relu6(x + 3.0) / 6.0,
        "hard_tanh": lambda x: tf.clip_by_value(x, -1.0, 1.0),
        "hard_shrink": lambda x: tf.where(tf.abs(x) > 0.5, x, 0.0),
        "soft_shrink": lambda x: tf.where(x > 0.5, x - 0.5, tf.where(x < -0.5, x + 0.5, 0.0)),
        "thresholded_relu": lambda x: x * tf.cast(x > 1.0, "float32"),
        "log_sigmoid": m.log_sigmoid,
        "log_softmax": nn.log_softmax,
        "softmax": nn.softmax,
        "softmax.axis": lambda x: nn.softmax(x, axis=1),
        "logsumexp": lambda x: tf.reduce_logsumexp(x, axis=[1, 2]),
        "divide_no_nan": lambda x: m.divide_no_nan(x, nn.relu(tf.reverse(x, [2]))),
        "multiply_no_nan": lambda x: m.multiply_no_nan(1.0 / nn.relu(x), nn.relu(x)),
        "xdivy": lambda x: m.xdivy(nn.relu(x), nn.relu(tf.reverse(x, [2])) + nn.relu(-x)),
        "xlogy": lambda x: m.xlogy(nn.relu(x), nn.relu(x)),
        "xlog1py": lambda x: m.xlog1py(nn.relu(x), nn.relu(x) - 1.0),
        "atan2": lambda x: m.atan2(x, tf.reverse(x, [2])),
        "atan2.signs": lambda x: m.atan2(tf.floor(x), tf.floor(tf.reverse(x, [2]))),
        "squared_difference": lambda x: m.squared_difference(x, tf.reverse(x, [1])),
        "addn": lambda x: tf.add_n([x, x * 2.0, tf.reverse(x, [1])]),
        "accumulate_n": lambda x: tf.raw_ops.AccumulateNV2(inputs=[x, x * 2.0], shape=IMAGE),
        "floormod": lambda x: m.floormod(x, 0.7),
        "floormod.negative": lambda x: m.floormod(x, -0.7),
        "floordiv": lambda x: m.floordiv(x, 0.7),
        "truncatemod": lambda x: tf.raw_ops.TruncateMod(x=x, y=tf.constant(0.7)),
        "mod": lambda x: (
            tf.raw_ops.Mod(x=x, y=tf.constant(-0.7)) if hasattr(tf.raw_ops, "Mod") else x
        ),
        "pow": lambda x: tf.pow(x, 3.0),
        "pow.square": lambda x: tf.pow(x, 2.0),
        "next_after": lambda x: m.nextafter(x, x + 1.0),
        "clip": lambda x: tf.clip_by_value(x, -0.5, 0.7),
        "clip_norm": lambda x: tf.clip_by_norm(x, 3.0, [1]),
        "l2_normalize": lambda x: m.l2_normalize(x, -1),
        "check_numerics": lambda x: tf.debugging.check_numerics(x, "m"),
        "stop_gradient": tf.stop_gradient,
        "identity_n": lambda x: tf.identity_n([x, x * 2.0])[1],
        "bessel_i0e": m.bessel_i0e,
        "bessel_i1e": m.bessel_i1e,
        "bessel_i0": m.bessel_i0,
        "bessel_i1": m.bessel_i1,
        "inv": lambda x: tf.raw_ops.Inv(x=x + 3.0),
        "prevent_gradient": lambda x: tf.raw_ops.PreventGradient(input=x),
        "ensure_shape": lambda x: tf.ensure_shape(x, [None, 8, 12, 3]),
        "approximate_equal": lambda x: tf.cast(
            tf.raw_ops.ApproximateEqual(x=x, y=x * 1.1, tolerance=0.1), "float32"
        ),
        "cast.int": lambda x: tf.cast(tf.cast(x * 3.0, "int32"), "float32"),
        "cast.uint8": lambda x: tf.cast(tf.cast(tf.abs(x) * 100.0, "uint8"), "float32"),
        "saturate_cast": lambda x: tf.cast(tf.saturate_cast(x * 200.0, "uint8"), "float32"),
        "float16": lambda x: tf.cast(tf.cast(x, "float16") * 2.0, "float32"),
        "float64": lambda x: tf.cast(tf.sin(tf.cast(x, "float64")), "float32"),
        "quantize_dequantize": lambda x: (
            tf.quantization.quantize_and_dequantize_v2(x, -2.0, 2.0, range_given=True) * 2.0
        ),
        "quantize_dequantize_v3": lambda x: (
            tf.raw_ops.QuantizeAndDequantizeV3(
                input=x, input_min=-2.0, input_max=2.0, num_bits=8, range_given=True
            )
            * 2.0
        ),
        "quantize_v2": lambda x: tf.quantization.dequantize(
            *tf.quantization.quantize(x, -2.0, 2.0, tf.qint8, mode="SCALED"), mode="SCALED"
        ),
        "reciprocal_no_nan": lambda x: m.reciprocal_no_nan(nn.relu(x)),
        "sigmoid_cross_entropy": lambda x: nn.sigmoid_cross_entropy_with_logits(
            tf.round(tf.sigmoid(x)), x
        ),
        "softmax_cross_entropy": lambda x: nn.softmax_cross_entropy_with_logits(nn.softmax(x), x),
        "sparse_cross_entropy": lambda x: nn.sparse_softmax_cross_entropy_with_logits(
            tf.cast(tf.abs(x[..., 0]), "int32"), x
        ),
        "l2_loss": lambda x: nn.l2_loss(x)[None],
        "bitcast": lambda x: tf.cast(tf.bitcast(x, "int32"), "float32"),
        "dropout.off": lambda x: nn.dropout(x, 0.0),
        "tan_grad": lambda x: tf.gradients(tf.tanh(x), x)[0],
        "sig_grad": lambda x: tf.gradients(tf.sigmoid(x), x)[0],
        "bucketize": lambda x: tf.cast(
            tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5]), "float32"
        ),
        "histogram": lambda x: tf.cast(tf.histogram_fixed_width(x, [-2.0, 2.0], 7), "float32"),
    }
    # The float32 graph does not round: numbers up to 4 differ by half a float16 step, 2^-11 of 1.
    wide = {"float16": 2.0**-11}
    # Quantization with a range is removed, so numbers up to 4 differ by half of 2 * 2 / 127.
    wide |= dict.fromkeys(("quantize_dequantize", "quantize_dequantize_v3"), 0.5 / 127)
    cases = cases_of(found)
    return cases | {name: replace(cases[name], tolerance=limit) for name, limit in wide.items()}


def positive_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    m = tf.math
    names = [
        "sqrt",
        "rsqrt",
        "log",
        "log1p",
        "reciprocal",
        "lgamma",
        "erfinv",
        "acos",
        "asin",
        "atanh",
        "ndtri",
        "bessel_k0e",
        "bessel_k1e",
        "digamma",
        "bessel_j0",
        "bessel_y0",
        "spence",
        "expint",
        "dawsn",
        "fresnel_cos",
    ]
    sp = tf.math.special
    found = {
        f"{name}.positive": (
            lambda x, name=name: (
                getattr(m, name, None)(x) if hasattr(m, name) else getattr(sp, name)(x)
            )
        )
        for name in names
    }
    found |= {
        "acosh": lambda x: m.acosh(x + 1.0),
        "pow.tensor": lambda x: tf.pow(x, tf.reverse(x, [1])),
        "igamma": lambda x: m.igamma(x, x * 2.0),
        "igammac": lambda x: m.igammac(x, x * 2.0),
        "betainc": lambda x: m.betainc(x, x * 2.0, x),
        "zeta": lambda x: m.zeta(x + 1.5, x),
        "polygamma": lambda x: m.polygamma(tf.ones_like(x), x + 0.5),
    }
    return cases_of(found, low=0.05, high=0.95)
