"""Training batches. Batch number ``step`` depends only on the seed and ``step``, for resumption."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..common.child_python import python_command
from ..ocr.preprocess import fit_line, line_width, normalize, to_gray
from .ctc_recognizer import CHARSET, HEIGHT, STRIDE
from .shrunk_maps import shrunk_map
from .synthetic import Word, scene, word

Batch = tuple[npt.NDArray[np.float32], npt.NDArray]

MEAN, SCALE = 127.5, 1 / 127.5
PAD = 127
MAX_WIDTH = 512
_WIDTH_STEP = 64
_GROUP = 16  # batches that share their words, which are sorted by width


def detector_batch(step: int, *, seed: int, size: int = 8, side: int = 384) -> Batch:
    """Return images (N, S, S, 3) float32 and truth (N, S, S, 2) float32, see :func:`shrunk_map`."""
    scenes = [
        scene(step * size + i, split="train", seed=seed, height=side, width=side)
        for i in range(size)
    ]
    images = np.stack([normalize(s.image, MEAN, SCALE) for s in scenes])
    return images, np.stack([shrunk_map(s.boxes, side, side) for s in scenes])


def _fits(sample: Word) -> bool:
    """Whether CTC has a time step for each character and for a blank between equal ones."""
    repeats = sum(a == b for a, b in zip(sample.text, sample.text[1:], strict=False))
    steps = min(MAX_WIDTH, line_width(sample.image, HEIGHT)) // STRIDE
    return len(sample.text) + repeats <= steps


@lru_cache(maxsize=1)
def _word_group(group: int, seed: int, size: int) -> tuple[tuple[Word, ...], ...]:
    first = group * size * _GROUP
    words = [word(first + i, split="train", seed=seed) for i in range(size * _GROUP)]
    words = [w for w in words if _fits(w)]
    # Repeat some words in place of those that do not fit, so that all batches have their size.
    words += words[: size * _GROUP - len(words)]
    # Sorted by width, the words of a batch need little padding; the batches' order is random.
    words.sort(key=lambda w: line_width(w.image, HEIGHT))
    order = np.random.default_rng([seed, group]).permutation(_GROUP)
    return tuple(tuple(words[i * size : (i + 1) * size]) for i in order)


def recognizer_batch(step: int, *, seed: int, size: int = 64) -> Batch:
    """Return images (N, 32, W, 1) float32, W a multiple of 64, and 0-padded labels (N, L) int32.

    Three in ten batches are 64 pixels wider than needed.
    """
    words = _word_group(step // _GROUP, seed, size)[step % _GROUP]
    widest = max(line_width(w.image, HEIGHT) for w in words)
    spare = int(np.random.default_rng([seed, step, 1]).random() < 0.3)
    width = min(MAX_WIDTH, _WIDTH_STEP * (-(-widest // _WIDTH_STEP) + spare))
    lines = [fit_line(to_gray(w.image), HEIGHT, width, PAD) for w in words]
    labels = np.zeros((size, max(len(w.text) for w in words)), np.int32)
    for row, sample in zip(labels, words, strict=True):
        # Class 0 is the blank.
        row[: len(sample.text)] = [1 + CHARSET.index(c) for c in sample.text]
    return np.stack([normalize(line, MEAN, SCALE) for line in lines]), labels


def prefetched(make: Callable[[int], Batch], steps: range) -> Iterator[Batch]:
    """Yield ``make(step)`` for each step; another process computes a few batches ahead.

    ``make`` is a function that can be pickled.
    """
    # multiprocessing would import modules from the current folder when its child starts.
    command = python_command("ocr_trt.models.batch_child")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with child.stdin:
                pickle.dump((make, steps), child.stdin)
            for _ in steps:
                yield pickle.load(child.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise RuntimeError(
                "the process that computes training batches ended unexpectedly; run the command "
                "again"
            ) from None
        finally:
            child.kill()
