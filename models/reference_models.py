"""The trained reference models: weights, specs, and their export as SavedModels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import InputFileError

if TYPE_CHECKING:
    from .keras_layers import Form

ReferenceRole = Literal["detector", "recognizer"]
REFERENCE_ROLES: tuple[ReferenceRole, ...] = get_args(ReferenceRole)

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
SAMPLES = HERE / "samples"


def spec_path(role: ReferenceRole) -> Path:
    """Return the path of a reference model's spec."""
    return HERE / f"{role}.yaml"


def weights_path(role: ReferenceRole) -> Path:
    """Return the path of a reference model's trained weights."""
    return WEIGHTS / f"{role}.weights.h5"


def untrained_model(role: ReferenceRole, form: Form) -> Any:
    """Return the Keras model of a role; ``form`` is that of the detector's pooling."""
    # Keras and TensorFlow take seconds to import, so only code that needs a model pays for them.
    from .ctc_recognizer import build_recognizer
    from .unet_detector import build_detector

    return build_detector(form) if role == "detector" else build_recognizer()


def trained_model(role: ReferenceRole, weights: Path | None = None) -> Any:
    """Return the Keras model with its weights, with the pooling ops that users' models have.

    Raises:
        InputFileError: there is no weights file.
    """
    path = weights or weights_path(role)
    if not path.is_file():
        raise InputFileError(
            f"{path}: no such weights file; train one with: ocr-trt train {role} --output FOLDER"
        )
    model = untrained_model(role, "native")
    model.load_weights(path)
    return model


def export_reference(role: ReferenceRole, folder: Path) -> Path:
    """Write ``folder/<role>`` (a SavedModel with free sizes) and its spec; return the spec's path.

    Raises:
        InputFileError: there is no weights file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained_model(role).export(folder / role, format="tf_saved_model", verbose=False)
    spec = folder / f"{role}.yaml"
    shutil.copyfile(spec_path(role), spec)
    return spec
