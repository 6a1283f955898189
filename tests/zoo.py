"""The zoo: small models of every family that OCR is done with, and what becomes of them.

    python -m tests.zoo > docs/zoo.md

Each is built in code with seeded random weights, written to disk in a form that users have,
converted, compared with TensorFlow, and built for every target at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

from .families import detectors, graphs, recognizers, transformers

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One model: how it is built, and what its spec says besides the usual."""

    build: Callable[[], Any]
    role: Literal["detector", "recognizer"]
    output: dict[str, Any] = field(default_factory=lambda: {"name": "output_0"})
    input_name: str = "image"
    max_batch: int = 1

    @property
    def name(self) -> str:
        """The function's name."""
        return self.build.__name__.replace("_", "-")

    @property
    def about(self) -> str:
        """The first line of the function's docstring."""
        return (self.build.__doc__ or "").splitlines()[0]


def _read(build: Callable[[], Any], **output: Any) -> Family:
    return Family(
        build=build, role="recognizer", max_batch=3, output={"name": "output_0", **output}
    )


def _find(build: Callable[[], Any], output: str = "output_0", image: str = "image") -> Family:
    return Family(build=build, role="detector", input_name=image, output={"name": output})


FAMILIES: tuple[Family, ...] = (
    _find(detectors.craft),
    _find(detectors.differentiable_binarisation),
    _find(detectors.linknet),
    _find(detectors.mobilenet_v3),
    _find(detectors.efficientnet),
    _find(detectors.segnet),
    _find(detectors.psenet, output="text"),
    _find(detectors.dilated_and_grouped),
    _find(detectors.subclassed, image="args_0"),
    _find(detectors.group_norm),
    _find(detectors.wide_unpool, output="map"),
    _find(graphs.tf1_detector, output="map"),
    _read(recognizers.crnn),
    _read(recognizers.crnn_any_width),
    _read(recognizers.gru),
    _read(recognizers.tdnn),
    _read(recognizers.squeeze_excite, kind="probabilities"),
    _read(recognizers.spatial_transformer),
    _read(recognizers.attention_decoder),
    _read(graphs.tf1_recognizer, name="map", layout="TNC"),
    _read(transformers.vit_str),
    _read(transformers.svtr),
    _read(transformers.post_norm),
    _read(transformers.relative_positions),
    _read(transformers.masked_by_width),
)


def write(family: Family, folder: Path) -> Path:
    """Build a model and write it as a SavedModel folder or a frozen graph."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    model = family.build()
    path = folder / family.name
    if isinstance(model, bytes):
        path = path.with_suffix(".pb")
        path.write_bytes(model)
    elif isinstance(model, keras.Model):
        model.export(path, format="tf_saved_model", verbose=False)
    else:
        tf.saved_model.save(model, path, signatures=model.__call__)
    return path


def spec_of(family: Family, path: Path) -> DetectorSpec | RecognizerSpec:
    """Return the spec of a model that :func:`write` wrote."""
    finds = family.role == "detector"
    return spec_from_dict(
        {
            "name": family.name,
            "role": family.role,
            "source": {"path": path},
            "input": {
                "name": family.input_name,
                "shape": [1, 64, 96, 3] if finds else [1, 32, 96, 1],
                "color": "RGB" if finds else "GREY",
                "mean": [127.5],
                "scale": [1 / 127.5],
                "max_batch": family.max_batch,
            },
            "output": family.output,
            **({} if finds else {"charset": ALPHABET}),
        }
    )
