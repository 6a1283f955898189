"""Training of the reference models on synthetic images: seeded, and resumable at any checkpoint.

``ocr-trt train`` runs it. The same code runs on every Keras backend (``KERAS_BACKEND=jax``); the
weights it writes are the same ``.weights.h5`` for all of them. A run's folder contains
``last.weights.h5`` (weights and optimizer), ``log.jsonl`` (one line per ``LOG_EVERY`` steps) and,
at the end, ``<role>.weights.h5``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .reference_models import ReferenceRole, untrained_model

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

LOG_EVERY = 20
SAVE_EVERY = 250


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One training run. The learning rate warms up, then falls to zero along a cosine.

    ``bfloat16``: activations in bfloat16, weights in float32: faster on a CPU with avx512_bf16,
    slower on one without it.
    """

    role: ReferenceRole
    output: Path
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    bfloat16: bool = True
    seed: int = 0

    @property
    def warmup(self) -> int:
        """Steps over which the learning rate rises."""
        return min(300, self.steps // 10)


_SHIPPED: Mapping[ReferenceRole, tuple[int, int, float, float]] = {
    "detector": (7000, 8, 2e-3, 1e-3),
    "recognizer": (17000, 64, 1e-3, 1e-2),
}
"""Steps, batch, learning rate and weight decay of the shipped weights."""


def settings_for(
    role: ReferenceRole,
    output: Path,
    *,
    steps: int | None = None,
    bfloat16: bool = True,
    seed: int = 0,
) -> TrainSettings:
    """Return the settings that the shipped weights were trained with."""
    shipped_steps, batch, learning_rate, weight_decay = _SHIPPED[role]
    return TrainSettings(
        role=role,
        output=output,
        steps=steps or shipped_steps,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        bfloat16=bfloat16,
        seed=seed,
    )


def _model(role: ReferenceRole, policy: str) -> Any:
    """Build the untrained model; its layers compute in the dtypes of a Keras ``policy``."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        # The window form gives the same numbers as the native one and is faster to train with.
        return untrained_model(role, "window")
    finally:
        keras.config.set_dtype_policy(before)


def _batches(settings: TrainSettings) -> Callable[[int], Any]:
    from .training_batches import detector_batch, recognizer_batch

    make = detector_batch if settings.role == "detector" else recognizer_batch
    return partial(make, seed=settings.seed, size=settings.batch)


def compiled_model(settings: TrainSettings) -> Any:
    """Build the Keras model of a run, with its loss, schedule and optimizer."""
    import keras

    from .losses import detector_loss, recognizer_loss

    keras.utils.set_random_seed(settings.seed)
    model = _model(settings.role, "mixed_bfloat16" if settings.bfloat16 else "float32")
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        settings.steps - settings.warmup,
        warmup_target=settings.learning_rate,
        warmup_steps=settings.warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    loss = detector_loss if settings.role == "detector" else recognizer_loss
    # XLA on a CPU is slower for these shapes and compiles anew for every width.
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() != "tensorflow")
    # The optimizer's variables must exist before a checkpoint can be loaded into them.
    optimizer.build(model.trainable_variables)
    return model


def _save(model: Any, path: Path) -> None:
    """Write the weights whole or not at all."""
    partial_path = path.with_name(f"partial-{path.name}")
    model.save_weights(partial_path)
    partial_path.replace(path)


def _drop_rows_after(step: int, log: Path) -> None:
    """Drop the log's rows after a checkpoint: a resumed run repeats these steps."""
    if log.exists():
        rows = log.read_text("utf-8").splitlines()
        kept = [row for row in rows if json.loads(row)["step"] <= step]
        log.write_text("".join(f"{row}\n" for row in kept), "utf-8")


def _progress() -> Any:
    """Return a progress bar on stderr; stdout is for the command's result."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def train(settings: TrainSettings) -> Path:
    """Train, or resume the run in ``settings.output``; return the weights' path."""
    from .training_batches import prefetched

    settings.output.mkdir(parents=True, exist_ok=True)
    last, log = settings.output / "last.weights.h5", settings.output / "log.jsonl"
    model = compiled_model(settings)
    if last.exists():
        model.load_weights(last)
    start = int(model.optimizer.iterations)
    _drop_rows_after(start, log)
    began, losses = time.monotonic(), []
    with _progress() as progress:
        bar = progress.add_task(settings.role, total=settings.steps, completed=start)
        batches = prefetched(_batches(settings), range(start, settings.steps))
        for step, (inputs, truth) in enumerate(batches, start + 1):
            losses.append(float(model.train_on_batch(inputs, truth)))
            mean = sum(losses[-LOG_EVERY:]) / len(losses[-LOG_EVERY:])
            progress.update(bar, completed=step, description=f"{settings.role} loss {mean:.4f}")
            if step % LOG_EVERY == 0:
                seconds = round(time.monotonic() - began, 1)
                row = {"step": step, "loss": round(mean, 5), "seconds": seconds}
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            if step % SAVE_EVERY == 0 or step == settings.steps:
                _save(model, last)
    weights = settings.output / f"{settings.role}.weights.h5"
    bare = _model(settings.role, "float32")  # without the optimizer's state
    bare.set_weights(model.get_weights())
    _save(bare, weights)
    return weights
