"""The role object of a spec."""

from __future__ import annotations

from ..spec import DetectorSpec, ModelSpec, RecognizerSpec
from .classifier import ClassifierRole
from .detector import DetectorRole
from .recognizer import RecognizerRole
from .role import OcrRole


def role_of(spec: ModelSpec) -> OcrRole:
    """Return what the role of a model means for its samples, inputs and outputs."""
    if isinstance(spec, DetectorSpec):
        return DetectorRole(spec)
    return RecognizerRole(spec) if isinstance(spec, RecognizerSpec) else ClassifierRole(spec)
