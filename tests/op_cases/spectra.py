"""Complex numbers and Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, cases_of


def complex_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    s, m = tf.signal, tf.math
    last = lambda x: tf.transpose(x, [0, 3, 1, 2])  # noqa: E731
    rng = np.random.default_rng(3)
    filters = tf.constant(
        rng.standard_normal((8, 7)) + 1j * rng.standard_normal((8, 7)), "complex64"
    )

    def parts(z: Any) -> Any:
        return tf.concat([m.real(z), m.imag(z)], -1)

    return cases_of(
        {
            "rfft": lambda x: parts(s.rfft(last(x))),
            "rfft.length": lambda x: parts(s.rfft(last(x), [9])),
            "rfft.longer": lambda x: parts(s.rfft(last(x), [16])),
            "rfft.abs": lambda x: tf.abs(s.rfft(last(x))),
            "rfft2d": lambda x: parts(s.rfft2d(last(x))),
            "rfft2d.abs": lambda x: tf.abs(s.rfft2d(last(x))),
            "irfft2d": lambda x: s.irfft2d(s.rfft2d(last(x))),
            "irfft": lambda x: s.irfft(s.rfft(last(x))),
            "irfft.length": lambda x: s.irfft(s.rfft(last(x)), [11]),
            "gfnet": lambda x: s.irfft2d(s.rfft2d(last(x)) * filters, [8, 12]),
            "fft": lambda x: parts(s.fft(tf.cast(last(x), "complex64"))),
            "fft.abs": lambda x: tf.abs(s.fft(tf.cast(last(x), "complex64"))),
            "fft2d": lambda x: parts(s.fft2d(tf.cast(last(x), "complex64"))),
            "fft3d": lambda x: parts(s.fft3d(tf.cast(last(x), "complex64"))),
            "ifft": lambda x: parts(s.ifft(tf.complex(last(x), last(x) * 2.0))),
            "ifft2d": lambda x: m.real(s.ifft2d(s.fft2d(tf.cast(last(x), "complex64")) * 2.0)),
            "rfft3d": lambda x: parts(s.rfft3d(last(x))),
            "irfft3d": lambda x: s.irfft3d(s.rfft3d(last(x))),
            "complex.shape": lambda x: parts(
                tf.reshape(tf.complex(x, x * 2.0), tf.reverse(tf.shape(tf.complex(x, x)), [0]))
            ),
            "fftshift": lambda x: tf.abs(
                s.fftshift(s.fft2d(tf.cast(last(x), "complex64")), [2, 3])
            ),
            "angle": lambda x: m.angle(tf.complex(x, tf.reverse(x, [2]))),
            "conj": lambda x: parts(m.conj(tf.complex(x, x))),
            "complex.mul": lambda x: parts(tf.complex(x, x + 1.0) * tf.complex(x, 2.0 - x)),
            "complex.div": lambda x: parts(tf.complex(x, x + 1.0) / tf.complex(x + 3.0, 2.0 - x)),
            "complex.exp": lambda x: parts(tf.exp(tf.complex(x, x * 2.0))),
            "complex.slice": lambda x: parts(
                tf.transpose(tf.reshape(tf.complex(x, x * 2.0), [2, 96, 3])[:, 3:50:2], [0, 2, 1])
            ),
            "complex.concat": lambda x: parts(tf.concat([tf.complex(x, -x), tf.complex(-x, x)], 1)),
            "complex.matmul": lambda x: parts(
                tf.matmul(tf.complex(x, x + 1.0), tf.complex(x, 2.0 - x), transpose_b=True)
            ),
            "complex.sum": lambda x: parts(tf.reduce_sum(tf.complex(x, x * 2.0), 1)),
            "complex.add": lambda x: parts(
                tf.complex(x, x) + tf.complex(x * 2.0, x * 3.0) - tf.cast(x, "complex64")
            ),
            "complex.pad": lambda x: parts(
                tf.pad(tf.complex(x, x * 2.0), [[0, 0], [1, 2], [0, 0], [0, 0]])
            ),
            "complex.where": lambda x: parts(
                tf.where(x > 0, tf.complex(x, x), tf.complex(-x, x * 2.0))
            ),
            "stft": lambda x: tf.abs(s.stft(tf.reshape(x, [2, -1]), 16, 8)),
            "stft.inverse": lambda x: s.inverse_stft(s.stft(tf.reshape(x, [2, -1]), 16, 8), 16, 8),
            "dct": lambda x: s.dct(last(x)),
            "dct.ortho": lambda x: s.dct(last(x), norm="ortho"),
            "idct": lambda x: s.idct(last(x)),
            "mdct": lambda x: s.mdct(tf.reshape(x, [2, -1]), 16),
            "hilbert": lambda x: parts(s.ifft(s.fft(tf.cast(last(x), "complex64")))),
            "frame": lambda x: s.frame(tf.reshape(x, [2, -1]), 16, 8),
            "overlap_and_add": lambda x: s.overlap_and_add(x, 2),
        }
    )
