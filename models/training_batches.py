"""Training batches: batch number ``step`` depends on the seed and ``step`` alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from functools import lru_cache
from queue import Empty, Full

import numpy as np
import numpy.typing as npt

from ..ocr.preprocess import fit_line, line_width, normalize, to_gray
from .ctc_recognizer import CHARSET, HEIGHT, STRIDE
from .shrunk_maps import shrunk_map
from .synthetic import Word, scene, word

Batch = tuple[npt.NDArray[np.float32], npt.NDArray]

MEAN, SCALE = 127.5, 1 / 127.5
PAD = 127
MAX_WIDTH = 512
_WIDTH_STEP = 64
_GROUP = 16  # batches whose words are sorted by width together


def detector_batch(step: int, *, seed: int, size: int = 8, side: int = 384) -> Batch:
    """Return images (N, S, S, 3) float32 and truth (N, S, S, 2) float32."""
    scenes = [
        scene(step * size + i, split="train", seed=seed, height=side, width=side)
        for i in range(size)
    ]
    images = np.stack([normalize(s.image, MEAN, SCALE) for s in scenes])
    return images, np.stack([shrunk_map(s.boxes, side, side) for s in scenes])


def _fits(sample: Word) -> bool:
    """Whether CTC has a time step for every character, and a blank between equal ones."""
    repeats = sum(a == b for a, b in zip(sample.text, sample.text[1:], strict=False))
    steps = min(MAX_WIDTH, line_width(sample.image, HEIGHT)) // STRIDE
    return len(sample.text) + repeats <= steps


@lru_cache(maxsize=1)
def _word_group(group: int, seed: int, size: int) -> tuple[tuple[Word, ...], ...]:
    first = group * size * _GROUP
    words = [word(first + i, split="train", seed=seed) for i in range(size * _GROUP)]
    words = [w for w in words if _fits(w)]
    words += words[: size * _GROUP - len(words)]
    words.sort(key=lambda w: line_width(w.image, HEIGHT))
    order = np.random.default_rng([seed, group]).permutation(_GROUP)
    return tuple(tuple(words[i * size : (i + 1) * size]) for i in order)


def recognizer_batch(step: int, *, seed: int, size: int = 64) -> Batch:
    """Return images (N, 32, W, 1) float32, W a multiple of 64, and 0-padded labels (N, L) int32."""
    words = _word_group(step // _GROUP, seed, size)[step % _GROUP]
    widest = max(line_width(w.image, HEIGHT) for w in words)
    spare = int(np.random.default_rng([seed, step, 1]).random() < 0.3)
    width = min(MAX_WIDTH, _WIDTH_STEP * (-(-widest // _WIDTH_STEP) + spare))
    lines = [fit_line(to_gray(w.image), HEIGHT, width, PAD) for w in words]
    labels = np.zeros((size, max(len(w.text) for w in words)), np.int32)
    for row, sample in zip(labels, words, strict=True):
        row[: len(sample.text)] = [1 + CHARSET.index(c) for c in sample.text]
    return np.stack([normalize(line, MEAN, SCALE) for line in lines]), labels


def _fill(queue: multiprocessing.Queue, make: Callable[[int], Batch], steps: range) -> None:
    import cv2

    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    for step in steps:
        batch = make(step)
        while True:
            try:
                queue.put(batch, timeout=30)
                break
            except Full:
                if parent is None or not parent.is_alive():  # killed, so nobody ends this process
                    queue.cancel_join_thread()
                    return


def prefetched(make: Callable[[int], Batch], steps: range, depth: int = 8) -> Iterator[Batch]:
    """Yield ``make(step)`` for each step, made ahead in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue = context.Queue(depth)
    worker = context.Process(target=_fill, args=(queue, make, steps), daemon=True)
    worker.start()
    try:
        for _ in steps:
            while True:
                try:
                    yield queue.get(timeout=60)
                    break
                except Empty:
                    if not worker.is_alive():
                        raise RuntimeError("the process that makes batches has died") from None
    finally:
        worker.terminate()
