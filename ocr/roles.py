"""The role object of a spec."""

from __future__ import annotations

from ..spec import DetectorSpec, ModelSpec
from .detector import DetectorRole
from .recognizer import RecognizerRole
from .role import OcrRole


def role_of(spec: ModelSpec) -> OcrRole:
    """Return what the role of a model means for its samples, inputs and outputs."""
    return DetectorRole(spec) if isinstance(spec, DetectorSpec) else RecognizerRole(spec)
