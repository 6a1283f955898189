"""Quantization-aware fine-tuning of the reference recognizer, as an example.

    python -m ocr_trt.models.qat --output runs/qat --steps 300

Every convolution and every dense layer, the first and the last too, reads rounded activations and
rounded weights; a short training from the shipped weights lets the others make up for it. The
result is a SavedModel with a spec beside it; ``ocr-trt build SPEC --everywhere`` takes the ranges
over.
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
"""Of the training images: none that the shipped weights saw."""
_SETTLE = 20
"""Batches that only ranges are taken from, before the first step."""


def rounding_model(model: Any, levels: int) -> Any:
    """Return a Keras model with the weights of another, and rounding in front of its layers.

    Args:
        model: functional, of the layers that ``qat_layers.ROUNDED`` knows, attention among them.
        levels: of rounded weights, to each side: 127 or 63.
    """
    import keras

    from .qat_layers import ROUNDED, FakeQuantize

    weighted = (*ROUNDED, keras.layers.MultiHeadAttention)
    made: dict[int, Any] = {}

    def rounded(tensor: Any) -> Any:
        if id(tensor) not in made:  # query, key and value of a block are one tensor
            made[id(tensor)] = FakeQuantize()(tensor)
        return made[id(tensor)]

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        if isinstance(layer, weighted):
            inputs = tuple(rounded(tensor) for tensor in inputs)
        return layer(*inputs, **options)

    copy = keras.models.clone_model(model, call_function=call)
    for layer in copy._flatten_layers():
        if type(layer) in ROUNDED:
            layer.__class__ = ROUNDED[type(layer)]
            layer.levels = levels
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # its statistics are folded into weights that are rounded
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
    rows = [round(sum(losses[i : i + 20]) / 20, 5) for i in range(0, len(losses) - 19, 20)]
    (output / "losses.json").write_text(json.dumps(rows) + "\n", "utf-8")
    return output / "recognizer.yaml"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module's text."""
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
