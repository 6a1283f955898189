"""Quantization-aware fine-tuning of the reference recognizer, as an example.

    python -m ocr_trt.models.qat --output runs/qat --steps 300

Every convolution and every dense layer, including the first and the last, reads rounded activations
and rounded weights. A short training from the shipped weights adapts the weights to the rounding.
The result is a SavedModel with a spec beside it; ``ocr-trt build SPEC --everywhere`` uses its
ranges.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_BATCH = 64
_FIRST_STEP = 1_000_000
"""The first training batch, beyond all that the shipped weights were trained on."""
_SETTLE = 20
"""Batches before the first step that only set the ranges."""


def rounding_model(model: Any, levels: int) -> Any:
    """Return a copy of a Keras model that rounds weights and the inputs of weighted layers.

    Args:
        model: a functional model; layers in ``qat_layers.ROUNDED`` and attention are rounded.
        levels: the largest rounded weight, 127 or 63.
    """
    import keras

    from .qat_layers import ROUNDED, FakeQuantize

    weighted = (*ROUNDED, keras.layers.MultiHeadAttention)
    made: dict[int, Any] = {}

    def rounded(tensor: Any) -> Any:
        if id(tensor) not in made:  # query, key and value of a block read the same tensor
            made[id(tensor)] = FakeQuantize()(tensor)
        return made[id(tensor)]

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        if isinstance(layer, weighted):
            inputs = tuple(rounded(tensor) for tensor in inputs)
        return layer(*inputs, **options)

    copy = keras.models.clone_model(model, call_function=call)
    for layer in copy._flatten_layers():
        if type(layer) in ROUNDED:
            # Attention creates its dense layers itself, so they can only be changed afterwards.
            layer.__class__ = ROUNDED[type(layer)]
            layer.levels = levels
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # its statistics will be folded into the rounded weights
    for layer in model.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def fine_tune(output: Path, *, steps: int, levels: int, learning_rate: float) -> Path:
    """Fine-tune from the shipped weights; return the spec of the SavedModel that was written."""
    import keras
    from rich.progress import track

    from .losses import recognizer_loss
    from .reference_models import spec_path, trained_model
    from .training_batches import prefetched, recognizer_batch

    keras.utils.set_random_seed(0)
    model = rounding_model(trained_model("recognizer"), levels)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, max(1, steps))
    model.compile(keras.optimizers.Adam(schedule, clipnorm=5.0), recognizer_loss, jit_compile=False)
    numbers = range(_FIRST_STEP, _FIRST_STEP + _SETTLE + steps)
    losses: list[float] = []
    batches = prefetched(partial(recognizer_batch, seed=0, size=_BATCH), numbers)
    for number, (images, labels) in enumerate(track(batches, "fine-tune", len(numbers))):
        if number < _SETTLE:
            model(images, training=True)
        else:
            losses.append(float(model.train_on_batch(images, labels)))
    output.mkdir(parents=True, exist_ok=True)
    model.export(output / "recognizer", format="tf_saved_model", verbose=False)
    shutil.copyfile(spec_path("recognizer"), output / "recognizer.yaml")
    # Means of 20 steps each, as in the logs of ``ocr-trt train``.
    rows = [round(sum(losses[i : i + 20]) / 20, 5) for i in range(0, len(losses) - 19, 20)]
    (output / "losses.json").write_text(json.dumps(rows) + "\n", "utf-8")
    return output / "recognizer.yaml"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m ocr_trt.models.qat")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--levels", type=int, default=127, choices=(63, 127))
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    options = parser.parse_args(arguments)
    print(
        fine_tune(
            options.output,
            steps=options.steps,
            levels=options.levels,
            learning_rate=options.learning_rate,
        )
    )


if __name__ == "__main__":
    main()
