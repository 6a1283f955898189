"""The spec of a model: its role, its file, its input and output, and its accuracy budget.

A spec is a YAML file. ``load_spec`` reads it, ``dump_spec`` writes it, ``ocr-trt init`` drafts it.
Paths in it are relative to the file.
"""

from .classifier_spec import Angle, ClassifierSpec, DirectionOutput
from .common_spec import AccuracyBudget
from .detector_spec import (
    BoxSettings,
    CraftOutput,
    DetectorOutput,
    DetectorSpec,
    EastOutput,
    MapOutput,
    has_polygon_boxes,
)
from .input_spec import InputSpec
from .recognizer_spec import PRINTABLE_ASCII, RecognizerSpec, SequenceOutput
from .source_spec import SourceSpec
from .spec_files import (
    LARGEST_SPEC,
    ModelSpec,
    Role,
    dump_spec,
    load_spec,
    spec_beside,
    spec_from_dict,
    spec_seen_from,
    with_max_batch,
)

__all__ = [
    "LARGEST_SPEC",
    "PRINTABLE_ASCII",
    "AccuracyBudget",
    "Angle",
    "BoxSettings",
    "ClassifierSpec",
    "CraftOutput",
    "DetectorOutput",
    "DetectorSpec",
    "DirectionOutput",
    "EastOutput",
    "InputSpec",
    "MapOutput",
    "ModelSpec",
    "RecognizerSpec",
    "Role",
    "SequenceOutput",
    "SourceSpec",
    "dump_spec",
    "has_polygon_boxes",
    "load_spec",
    "spec_beside",
    "spec_from_dict",
    "spec_seen_from",
    "with_max_batch",
]
