"""U-Nets on every kind of encoder of keras.applications, as SavedModel and as Keras file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.spec import spec_from_dict

from .families.backbones import SIZE, unet

ONE = (1 / 127.5, -1)
"""From pixels to -1 .. 1, for encoders that do not preprocess their input."""

LARGE = (96, 96)
"""Height and width for encoders that refuse 64 x 96 pixels."""

# The smallest encoder of each kind of block, and its options.
QUICK: dict[str, tuple[tuple[float, float] | None, dict[str, Any]]] = {
    "MobileNet": (ONE, {"alpha": 0.25}),
    "MobileNetV3Small": (None, {"minimalistic": True}),
}
SLOW: dict[str, tuple[tuple[float, float] | None, dict[str, Any]]] = {
    "ConvNeXtTiny": (None, {}),
    "DenseNet121": (ONE, {}),
    "EfficientNetB0": (None, {}),
    "EfficientNetV2B0": (None, {}),
    "InceptionResNetV2": (ONE, {"size": LARGE}),
    "InceptionV3": (ONE, {"size": LARGE}),
    "MobileNetV2": (ONE, {"alpha": 0.35}),
    "MobileNetV3Large": (None, {"include_preprocessing": True}),
    "NASNetMobile": (ONE, {}),
    "ResNet50": (ONE, {}),
    "ResNet50V2": (ONE, {}),
    "VGG16": (ONE, {}),
    "Xception": (ONE, {"size": LARGE}),
}
AS_KERAS_FILE = ("MobileNetV3Small", "EfficientNetB0", "ResNet50")
CASES = [
    *(pytest.param(name, "", id=name) for name in QUICK),
    *(pytest.param(name, "", id=name, marks=pytest.mark.full) for name in SLOW),
    *(
        pytest.param(name, ".keras", id=f"{name}-keras", marks=pytest.mark.full)
        for name in AS_KERAS_FILE
    ),
]
"""Name of the encoder, and the suffix of the file; "" is a SavedModel."""


def test_every_family_of_keras_applications_is_here() -> None:
    """Each module of ``keras.applications`` that defines an encoder has one in this file."""
    import keras
    from keras.src.applications import imagenet_utils

    def module(name: str) -> str:
        # VGG16 and VGG19 differ in depth only, and have a module each.
        own = getattr(keras.applications, name).__module__
        return own.replace("vgg19", "vgg16")

    encoders = {
        name
        for name, each in vars(keras.applications).items()
        if inspect.isfunction(each) and each.__module__ != imagenet_utils.__name__
    }
    assert {*map(module, encoders)} == {*map(module, (*QUICK, *SLOW))}


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_unet_equals_tensorflow(name: str, suffix: str, tmp_path: Path) -> None:
    import keras

    rescaling, options = {**QUICK, **SLOW}[name]
    height, width = options.get("size", SIZE)
    keras.utils.set_random_seed(1)
    model, path = unet(name, rescaling, **options), tmp_path / f"model{suffix}"
    if suffix:
        model.save(path)
    else:
        model.export(path, format="tf_saved_model", verbose=False)
    spec = spec_from_dict(
        {
            "name": "unet",
            "role": "detector",
            "source": {"path": path},
            "input": {"name": "image", "shape": [1, height, width, 3], "color": "RGB"},
            "output": {"name": model.output_names[0] if suffix else "output_0"},
        }
    )
    source = open_source(spec.source)
    converted = convert(source, spec)
    assert not converted.ops["Transpose"] or name.startswith("ConvNeXt")
    ours = runner_from_model(converted.model, label="onnxruntime", max_batch=1)
    theirs = baseline_runner(source, spec)
    images = np.random.default_rng(0).uniform(0, 255, (1, *ours.shape)).astype(np.float32)
    expected = theirs.run(images)
    assert expected.std() > 1e-3, "a constant map would prove nothing"
    np.testing.assert_allclose(ours.run(images), expected, atol=2e-5)
