"""CTC best path decoding of class scores per time step to text (Graves et al., 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .types import Output


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text and its score, the geometric mean of the probabilities of its characters, 0..1."""

    text: str
    score: float


def log_probabilities(scores: Output, *, are_probabilities: bool) -> Output:
    """Return log-probabilities over the last axis (..., C), from logits or from probabilities."""
    scores = scores.astype(np.float32)
    if are_probabilities:
        return np.log(np.clip(scores, 1e-30, None))  # log(0) would be minus infinity
    # The largest logit is subtracted first, so that exp cannot overflow.
    top = scores.max(-1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True))


def _text(labels: npt.NDArray[np.integer], charset: str, blank: int) -> str:
    """Return the text of classes (L,); the blank has none.

    There is no list with the character of each class: to create it for many thousand classes would
    take longer than to find the best classes of a line.
    """
    # The charset does not contain the blank, so the classes above it are one position further left.
    return "".join(charset[each - (each > blank)] for each in labels.tolist() if each != blank)


def readings_from_labels(
    labels: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    charset: str,
    blank: int,
) -> list[Reading]:
    """Turn the outputs of the op CtcGreedyDecode into what :func:`decode_greedy` returns.

    Args:
        labels: (N, T), the first ``lengths`` of each row are classes.
        lengths: (N,).
        scores: (N,), mean log-probabilities; minus infinity for an empty text.
        charset: the characters of the classes in order, without the blank.
        blank: class index of the blank.
    """
    return [
        Reading(text=_text(row[:length], charset, blank), score=float(np.exp(score)))
        for row, length, score in zip(labels, lengths, scores, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class BestClasses:
    """The best class of each frame of a sequence, which is all that greedy decoding needs."""

    classes: npt.NDArray[np.int64]
    """(T,)."""
    logs: npt.NDArray[np.float32]
    """(T,), the log-probability of that class."""


def best_classes(scores: Output, *, are_probabilities: bool = False) -> BestClasses:
    """Return the best classes of one sequence of scores (T, C), logits or probabilities."""
    classes = scores.argmax(-1)
    if are_probabilities:  # one value of each step, which may have many thousand classes
        own = scores[np.arange(len(classes)), classes]
        return BestClasses(classes=classes, logs=log_probabilities(own, are_probabilities=True))
    logs = log_probabilities(scores, are_probabilities=False)
    return BestClasses(classes=classes, logs=logs.max(-1))


def reading_of_classes(best: BestClasses, charset: str, blank: int) -> Reading:
    """Return what :func:`decode_greedy` returns for the scores that ``best`` was taken from."""
    kept = best.classes != blank
    kept[1:] &= best.classes[1:] != best.classes[:-1]
    return Reading(
        text=_text(best.classes[kept], charset, blank),
        score=float(np.exp(best.logs[kept].mean())) if kept.any() else 0.0,
    )


def decode_greedy(
    scores: Output, charset: str, blank: int, *, are_probabilities: bool = False
) -> list[Reading]:
    """Read each sequence: take the best class per step, merge repeats, drop blanks.

    Args:
        scores: (N, T, C) logits or probabilities, C = len(charset) + 1.
        charset: the characters of the classes in order, without the blank.
        blank: class index of the blank.
        are_probabilities: whether a softmax has been applied already.

    Raises:
        ValueError: C does not fit the charset.
    """
    classes = scores.shape[-1]
    if classes != len(charset) + 1:
        raise ValueError(
            f"the output has {classes} classes, but the charset has {len(charset)} characters, "
            f"which with the blank are {len(charset) + 1} classes"
        )
    best = scores.argmax(-1)  # (N, T)
    kept = best != blank
    # Of the same class in consecutive steps, only the first step counts.
    kept[:, 1:] &= best[:, 1:] != best[:, :-1]
    labels, ends = best[kept], kept.sum(1).cumsum()  # sequence i has the labels ends[i-1]:ends[i]
    # The log-probability of the best class of each kept step, (kept,).
    if are_probabilities:  # one value of each step, which may have many thousand classes
        logs = log_probabilities(scores[kept, labels], are_probabilities=True)
    else:  # (kept, C): other steps need not be normalized
        logs = log_probabilities(scores[kept], are_probabilities=False).max(-1)
    return [
        Reading(
            text=_text(labels[start:end], charset, blank),
            score=float(np.exp(logs[start:end].mean())) if end > start else 0.0,
        )
        for start, end in pairwise((0, *ends))
    ]
