"""Training losses, in plain ``keras.ops``."""

from __future__ import annotations

from typing import Any

from keras import ops


def detector_loss(truth: Any, probability: Any) -> Any:
    """Return cross-entropy plus dice loss, both weighted by pixel: a scalar.

    ``truth``: (N, H, W, 2), target and pixel weight. ``probability``: (N, H, W, 1).
    """
    target, weight = truth[..., :1], truth[..., 1:]
    probability = ops.clip(probability, 1e-6, 1 - 1e-6)
    entropy = -(target * ops.log(probability) + (1 - target) * ops.log(1 - probability))
    # The ones avoid a division by zero where all pixels have the weight 0.
    entropy = ops.sum(entropy * weight) / (ops.sum(weight) + 1.0)
    overlap = ops.sum(probability * target * weight, axis=(1, 2, 3))
    total = ops.sum((probability + target) * weight, axis=(1, 2, 3))
    dice = 1 - (2 * overlap + 1.0) / (total + 1.0)
    return entropy * 2 + ops.mean(dice)


def recognizer_loss(truth: Any, logits: Any) -> Any:
    """Return the mean CTC loss.

    ``truth``: (N, L) int32 class indices, 0 = padding. ``logits``: (N, T, C).
    """
    labels = ops.sum(ops.cast(ops.not_equal(truth, 0), "int32"), axis=1)
    steps = ops.full((ops.shape(logits)[0],), ops.shape(logits)[1], dtype="int32")
    return ops.mean(ops.ctc_loss(truth, logits, labels, steps, mask_index=0))
