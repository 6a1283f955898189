"""Matrices, einsum, reductions."""

from __future__ import annotations

from .case import Case, cases_of


def matrices_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    li, e = tf.linalg, tf.einsum
    square = lambda x: x[:, :4, :4, 0] @ tf.transpose(x[:, :4, :4, 0], [0, 2, 1]) + 2.0 * tf.eye(4)  # noqa: E731
    part = lambda x: tf.transpose(x, [0, 3, 1, 2])  # noqa: E731
    return cases_of(
        {
            "band_part": lambda x: li.band_part(part(x), 1, 2),
            "band_part.upper": lambda x: li.band_part(part(x), 0, -1),
            "band_part.lower": lambda x: li.band_part(part(x), -1, 0),
            "band_part.mask": lambda x: part(x)[:, :, :, :8] * li.band_part(tf.ones([8, 8]), -1, 0),
            "diag": lambda x: li.diag(x),
            "diag.k": lambda x: li.diag(x[0, 0, :2], k=1),
            "diag.ks": lambda x: li.diag(x[0, 0, :2, :], k=(0, 1)),
            "diag_part": lambda x: li.diag_part(part(x)),
            "diag_part.k": lambda x: li.diag_part(part(x), k=2),
            "set_diag": lambda x: li.set_diag(
                part(x), x[:, 0, :3, :3][:, :, :1] * tf.ones([1, 1, 8])
            ),
            "tensor_diag": lambda x: tf.linalg.tensor_diag(x[0, 0, :, 0]),
            "tensor_diag_part": lambda x: li.tensor_diag_part(x[0, :8, :8, 0]),
            "trace": lambda x: li.trace(part(x)),
            "matmul": lambda x: tf.matmul(x, x, transpose_a=True),
            "matvec": lambda x: li.matvec(part(x), x[:, 0, :, 0][:, None]),
            "cross": lambda x: li.cross(x, tf.reverse(x, [1])),
            "tensordot": lambda x: tf.tensordot(x, tf.ones([3, 8, 4]) * 0.3, [[3, 1], [0, 1]]),
            "tensordot.outer": lambda x: tf.tensordot(x[0, 0], x[1, 0], 0),
            "einsum.bhwc,cd": lambda x: e("bhwc,cd->bhwd", x, tf.ones([3, 4]) * 0.2),
            "einsum.ellipsis": lambda x: e("...wc,...vc->...wv", x, x * 2.0),
            "einsum.trace": lambda x: e("biic->bc", x[:, :8, :8]),
            "einsum.sum": lambda x: e("bhwc->hc", x),
            "einsum.diag": lambda x: e("biic->bic", x[:, :8, :8]),
            "einsum.three": lambda x: e("bhwc,bhvc,bw->bhv", x, x, x[:, 0, :, 0]),
            "einsum.outer": lambda x: e("i,j->ij", x[0, 0, :, 0], x[0, 0, :, 1]),
            "einsum.hadamard": lambda x: e("bhwc,bhwc->bhwc", x, x),
            "einsum.dot": lambda x: e("bhwc,bhwc->b", x, x),
            "einsum.rel": lambda x: e("bhwc,whc->bwh", x, tf.ones([12, 8, 3])),
            "det": lambda x: li.det(square(x)),
            "det.two": lambda x: li.det(x[:, :2, :2, 0]),
            "det.three": lambda x: li.det(x[:, 0, :3, :]),
            "inverse": lambda x: li.inv(square(x)),
            "cholesky": lambda x: li.cholesky(square(x)),
            "solve": lambda x: li.solve(square(x), x[:, :4, :4, 1]),
            "triangular_solve": lambda x: li.triangular_solve(
                li.band_part(square(x), -1, 0), x[:, :4, :4, 1]
            ),
            "svd": lambda x: li.svd(square(x), compute_uv=False),
            "eigh": lambda x: li.eigvalsh(square(x)),
            "expm": lambda x: li.expm(square(x) * 0.1),
            "logdet": lambda x: li.logdet(square(x)),
            "norm": lambda x: li.norm(x, axis=[1, 2]),
            "norm.euclidean": lambda x: tf.norm(x, axis=-1),
            "qr": lambda x: tf.abs(li.qr(square(x))[1]),
            "adjoint": lambda x: li.adjoint(part(x)),
            "lu": lambda x: li.lu(square(x))[0],
            "tridiagonal_matmul": lambda x: li.tridiagonal_matmul(
                x[:, :3, :8, 0], x[:, :8, :4, 1], diagonals_format="compact"
            ),
            "matrix_diag.old": lambda x: tf.raw_ops.MatrixDiag(diagonal=x),
            "sparse_matmul": lambda x: tf.raw_ops.SparseMatMul(
                a=x[0, 0], b=x[1, 0], transpose_a=True
            ),
        }
    )


def reductions_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    names = ["sum", "mean", "max", "min", "prod", "logsumexp", "std", "variance", "euclidean_norm"]
    return cases_of(
        {
            **{
                f"reduce_{n}": (lambda x, n=n: getattr(tf.math, f"reduce_{n}")(x, [1, 2]))
                for n in names
            },
            **{
                f"reduce_{n}.keep": (
                    lambda x, n=n: getattr(tf.math, f"reduce_{n}")(x, -1, keepdims=True)
                )
                for n in names
            },
            **{
                f"reduce_{n}.all": (lambda x, n=n: getattr(tf.math, f"reduce_{n}")(x)[None])
                for n in names
            },
            "moments": lambda x: tf.concat(tf.nn.moments(x, [1, 2]), -1),
            "zero_fraction": lambda x: tf.nn.zero_fraction(tf.nn.relu(x))[None],
            "weighted_moments": lambda x: tf.nn.weighted_moments(x, [1, 2], tf.sigmoid(x))[1],
        }
    )
