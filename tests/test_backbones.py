"""U-Nets on every kind of encoder of keras.applications, as SavedModel and as Keras file."""

from __future__ import annotations

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

from .families.backbones import unet

ONE = (1 / 127.5, -1)
"""From pixels to -1 .. 1, for encoders that do not preprocess their input."""

# The smallest encoder of each kind of block.
QUICK: dict[str, tuple[str, tuple[float, float] | None, dict[str, Any]]] = {
    "mobilenet": ("MobileNet", ONE, {"alpha": 0.25}),
    "mobilenet-v3-minimalistic": ("MobileNetV3Small", None, {"minimalistic": True}),
}
SLOW: dict[str, tuple[str, tuple[float, float] | None, dict[str, Any]]] = {
    "mobilenet-v2": ("MobileNetV2", ONE, {"alpha": 0.35}),
    "mobilenet-v3-small": ("MobileNetV3Small", None, {}),
    "mobilenet-v3-large": ("MobileNetV3Large", None, {"include_preprocessing": False}),
    "efficientnet": ("EfficientNetB0", None, {}),
    "efficientnet-v2": ("EfficientNetV2B0", None, {}),
    "resnet": ("ResNet50", ONE, {}),
    "resnet-v2": ("ResNet50V2", ONE, {}),
    "vgg": ("VGG16", ONE, {}),
    "densenet": ("DenseNet121", ONE, {}),
    "convnext": ("ConvNeXtTiny", None, {}),
}
CASES = [
    *(pytest.param(*case, id=name) for name, case in QUICK.items()),
    *(pytest.param(*case, id=name, marks=pytest.mark.full) for name, case in SLOW.items()),
]


@pytest.mark.parametrize(("name", "rescaling", "options"), CASES)
@pytest.mark.parametrize("suffix", ["", pytest.param(".keras", marks=pytest.mark.full)])
def test_unet_equals_tensorflow(
    name: str, rescaling: Any, options: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
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
            "input": {"name": "image", "shape": [1, 64, 96, 3], "color": "RGB"},
            "output": {"name": model.output_names[0] if suffix else "output_0"},
        }
    )
    source = open_source(spec.source)
    converted = convert(source, spec)
    assert not converted.ops["Transpose"] or name.startswith("ConvNeXt")
    ours = runner_from_model(converted.model, label="onnxruntime", max_batch=1)
    theirs = baseline_runner(source, spec, spec.input.width)
    images = np.random.default_rng(0).uniform(0, 255, (1, *ours.shape)).astype(np.float32)
    expected = theirs.run(images)
    assert expected.std() > 1e-3, "a constant map would prove nothing"
    np.testing.assert_allclose(ours.run(images), expected, atol=2e-5)
