"""Quantization-aware fine-tuning of the reference recognizer.

    python examples/quantization_aware_training.py --output runs/qat --steps 300
    ocr-trt build runs/qat/recognizer.yaml --everywhere

Every convolution and every dense layer, including the first and the last, reads rounded activations
and rounded weights. A short training from the shipped weights adapts the weights to the rounding.
The result is a SavedModel with a spec beside it, and ``build --everywhere`` uses its ranges. It
needs ``make fonts``, for the training images.

The layers use the straight-through estimator (Bengio et al., 2013): the forward pass rounds, the
backward pass treats rounding as the identity.
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

import keras
from keras import layers, ops

from ocr_trt.models.losses import recognizer_loss
from ocr_trt.models.reference_models import spec_path, trained_model
from ocr_trt.models.training_batches import prefetched, recognizer_batch

_BATCH = 64
_FIRST_BATCH = 1_000_000
"""Number of the first training batch, above those that the shipped weights were trained on."""
_RANGE_BATCHES = 20
"""Number of batches that only set the ranges, before the first training step."""
LEVELS = 127
"""The largest rounded activation."""


def straight_through(value: Any, rounded: Any) -> Any:
    """Return ``rounded``, with the gradient of ``value``."""
    return value + ops.stop_gradient(rounded - value)


@keras.saving.register_keras_serializable("ocr_trt")
class FakeQuantize(layers.Layer):
    """Rounds activations to int8 with one scale, from a moving average of the largest |x|.

    In training the range follows the batches. An exported model contains TensorFlow's own
    ``fake_quant_with_min_max_vars`` with constant bounds, which converters support.
    """

    def __init__(self, momentum: float = 0.95, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        self.peak = self.add_weight(
            name="peak", shape=(), initializer="zeros", trainable=False, dtype="float32"
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            seen = ops.cast(ops.max(ops.abs(inputs)), "float32")
            kept = self.momentum * self.peak + (1 - self.momentum) * seen
            # The first batch sets the range; 0 is its initial value.
            self.peak.assign(ops.where(self.peak > 0, kept, seen))
        scale = ops.maximum(self.peak / LEVELS, 1e-7)
        low, high = -(LEVELS + 1) * scale, LEVELS * scale
        if not training and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)
        inside = ops.clip(inputs, low, high)
        return straight_through(inside, ops.round(inside / scale) * scale)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}


class _RoundedKernel:
    """Rounds a layer's kernel on each read, with one scale per output.

    ``levels``: 127, or 63 for processors that sum two products in 16 bits.
    """

    levels = 127

    @property
    def kernel(self) -> Any:
        kernel = super().kernel  # type: ignore[misc]
        axes = tuple(range(len(kernel.shape) - 1))  # all but the output axis, the last one
        scale = ops.maximum(ops.max(ops.abs(kernel), axes, keepdims=True) / self.levels, 1e-7)
        return straight_through(kernel, ops.round(kernel / scale) * scale)


class RoundedConv2D(_RoundedKernel, layers.Conv2D):
    """Conv2D with a rounded kernel."""


class RoundedDense(_RoundedKernel, layers.Dense):
    """Dense with a rounded kernel."""


class RoundedEinsumDense(_RoundedKernel, layers.EinsumDense):
    """EinsumDense, which projects in attention, with a rounded kernel."""


ROUNDED: dict[type, type] = {
    layers.Conv2D: RoundedConv2D,
    layers.Dense: RoundedDense,
    layers.EinsumDense: RoundedEinsumDense,
}


def rounding_model(model: Any, levels: int) -> Any:
    """Return a copy of a Keras model that rounds weights and the inputs of weighted layers.

    Args:
        model: a functional model; layers in ``ROUNDED`` and attention are rounded.
        levels: the largest rounded weight, 127 or 63.
    """
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
    from rich.progress import track

    keras.utils.set_random_seed(0)
    model = rounding_model(trained_model("recognizer"), levels)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, max(1, steps))
    model.compile(keras.optimizers.Adam(schedule, clipnorm=5.0), recognizer_loss, jit_compile=False)
    numbers = range(_FIRST_BATCH, _FIRST_BATCH + _RANGE_BATCHES + steps)
    losses: list[float] = []
    batches = prefetched(partial(recognizer_batch, seed=0, size=_BATCH), numbers)
    for number, (images, labels) in enumerate(track(batches, "fine-tune", len(numbers))):
        if number < _RANGE_BATCHES:
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
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
