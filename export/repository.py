"""Write a Triton model repository: the plans of two bundles, and the pipeline around them."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ..common.files import whole_folder
from ..common.frozen_model import StrictModel
from ..common.json_files import read_model
from ..common.version import __version__
from ..engines.bundle import Bundle, check_plan
from ..errors import InputFileError, SpecError, UserError
from ..ocr.curved_text import POINTS
from ..spec import Role, has_polygon_boxes
from .export_settings import ExportSettings
from .model_config import NAME as CONFIG
from .model_config import config_text, string_parameters
from .pipeline_file import NAME as PIPELINE
from .pipeline_file import WARM_UP, PipelineFile, RemoteEngine
from .plan_backends import backend_fields, backend_notes, check_exportable
from .plan_model import LABELS, PlanModel, version_fields
from .served_stand_in import NAME as STAND_IN
from .served_stand_in import StandInFile

INDEX = "export.json"
"""Lists the files of a repository; Triton ignores files outside the folders of models."""
_LARGEST_INDEX = 1 << 20
_MODEL_FILE = Path(__file__).with_name("model_file.py")
_QUEUE = 64
"""Images that wait at most; Triton refuses further ones as unavailable."""
# Only names that an export gives, because an index of unknown origin must not let an export
# remove files of the user.
_OWN_NAME = re.compile(
    r"export\.json|[A-Za-z0-9._-]+/(config\.pbtxt|labels\.txt|warmup/image|[0-9]+/(model\.py|pipeline\.json"
    r"|stand_in\.json|(model|plan)_[\w.]+))"
)


class Index(StrictModel):
    """``export.json``: what an export wrote."""

    schema_version: Literal[1] = 1
    ocr_trt: str
    pipeline: str
    """The name of the model that reads images."""
    files: tuple[str, ...]
    """Paths below the repository."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A repository that was written."""

    folder: Path
    pipeline: str
    """The name of the model that reads images."""
    models: tuple[str, ...]
    """The names of the models that it calls."""
    notes: tuple[str, ...]
    """What users of the repository must know about the backends."""


def export_triton(
    detector: Bundle | None,
    recognizer: Bundle,
    folder: Path,
    settings: ExportSettings,
    *,
    classifier: Bundle | None = None,
) -> Exported:
    """Write a model repository for Triton, completely or not at all.

    Args:
        detector: a bundle from :func:`load_bundle`; None: each image is one line of text.
        recognizer: likewise.
        folder: where to write; may be missing, empty, or the result of an earlier export.
        settings: names, batches and parameters.
        classifier: a bundle that finds lines that are turned.

    Raises:
        SpecError: a bundle has another role.
        UserError: Triton has no backend for the plans, or no bundle accepts a batch as large as
            requested.
        InputFileError: a file of a bundle was changed after it was loaded.
        OutputError: the folder contains other files, or cannot be written.
        ModuleNotFoundError: tritonclient is not installed.
    """
    bundles = _checked({"detector": detector, "recognizer": recognizer, "classifier": classifier})
    _check_batch(bundles, settings)
    models = [model for bundle in bundles for model in PlanModel.all_of(bundle, settings)]
    with whole_folder(folder, own_files) as scratch:
        for model in models:
            _write_plan_model(scratch / model.name, model, settings)
        _write_pipeline(scratch / settings.name, models, settings)
        files = sorted(p.relative_to(scratch).as_posix() for p in scratch.rglob("*") if p.is_file())
        index = Index(ocr_trt=__version__, pipeline=settings.name, files=tuple(files))
        _write_json(scratch / INDEX, index)
    # A note per bundle is enough: its plans differ in their input size only.
    notes = [note for model in models for note in backend_notes(model, settings)]
    return Exported(
        folder=folder,
        pipeline=settings.name,
        models=tuple(model.name for model in models),
        notes=tuple(dict.fromkeys(notes)),
    )


def own_files(folder: Path) -> set[str]:
    """Return the paths of the files below ``folder`` that an export or its server wrote."""
    try:
        names = {INDEX, *read_model(folder / INDEX, Index, limit=_LARGEST_INDEX).files}
    except InputFileError:
        return set()
    own = {name for name in names if _OWN_NAME.fullmatch(name)}
    # A server that has loaded a Python model leaves its bytecode.
    models = [folder / name for name in own if name.endswith("/model.py")]
    compiled = [path for each in models for path in each.parent.glob("__pycache__/model.*.pyc")]
    return own | {path.relative_to(folder).as_posix() for path in compiled}


def _checked(by_role: Mapping[Role, Bundle | None]) -> list[Bundle]:
    bundles = []
    for role, bundle in by_role.items():
        if bundle is None:
            continue
        if bundle.spec.role != role:
            raise SpecError(f"{bundle.folder} is a {bundle.spec.role}, expected a {role}")
        check_exportable(bundle)
        bundles.append(bundle)
    return bundles


def _check_batch(bundles: Sequence[Bundle], settings: ExportSettings) -> None:
    """Check that a bundle accepts the largest batch that is requested."""
    largest, requested = max(each.spec.input.max_batch for each in bundles), settings.max_batch
    if requested is not None and requested > largest:
        names = ", ".join(str(each.folder) for each in bundles)
        raise UserError(
            f"the largest batch is {requested}, but {largest} images at once is the most that was "
            f"built for: {names}; enter {largest} or less, or build again with a larger "
            "input.max_batch"
        )


def _write_plan_model(folder: Path, model: PlanModel, settings: ExportSettings) -> None:
    version = folder / str(settings.version)
    version.mkdir(parents=True)
    bundle, manifest = model.bundle, model.bundle.manifest
    check_plan(bundle, model.entry.plan)  # another build may have replaced the bundle
    fields = {**model.common_fields(settings), **backend_fields(model, settings)}
    sha256 = manifest.files[model.entry.plan].sha256
    notes = [
        f"{bundle.label}, input (C, H, W): {model.described_input()}",
        f"Written by ocr-trt {__version__}. SHA-256 of {model.entry.plan}: {sha256}",
    ]
    (folder / CONFIG).write_text(config_text(fields, notes), "utf-8")
    if manifest.spec.role == "recognizer":
        (folder / LABELS).write_text(model.labels(), "utf-8")
    if not settings.is_stand_in:
        files = model.files(model.entry.plan)
    elif manifest.target == "tensorrt":  # needs a GPU: onnxruntime runs the graph in its place
        files = model.files(model.entry.model)
        _write_stand_in(version, model, target=None)
    else:
        files = model.files(model.entry.plan)
        _write_stand_in(version, model, target=manifest.target)
    for path in files:
        shutil.copyfile(path, version / path.name)


def _write_stand_in(version: Path, model: PlanModel, *, target: str | None) -> None:
    shutil.copyfile(_MODEL_FILE, version / "model.py")
    file = StandInFile(
        label=model.bundle.label,
        spec=model.bundle.manifest.spec,
        target=target,
        entries=model.entries,
        input=model.input,
        output=model.output,
    )
    _write_json(version / STAND_IN, file)


def _write_pipeline(folder: Path, models: list[PlanModel], settings: ExportSettings) -> None:
    version = folder / str(settings.version)
    version.mkdir(parents=True)
    (folder / CONFIG).write_text(config_text(_pipeline_fields(settings, models)), "utf-8")
    shutil.copyfile(_MODEL_FILE, version / "model.py")
    engines: dict[Role, RemoteEngine] = {}
    for model in models:
        spec = model.bundle.manifest.spec
        own = [each.remote() for each in models if each.bundle is model.bundle]
        engines[spec.role] = RemoteEngine(label=model.bundle.label, spec=spec, models=tuple(own))
    file = PipelineFile(
        ocr_trt=__version__,
        detector=engines.get("detector"),
        recognizer=engines["recognizer"],
        classifier=engines.get("classifier"),
    )
    _write_json(version / PIPELINE, file)
    sample = folder / WARM_UP
    sample.parent.mkdir()
    content = _sample_image()
    # Triton's format of a text: its length as 4 bytes, little-endian, and its bytes.
    sample.write_bytes(struct.pack("<I", len(content)) + content)


def _pipeline_fields(settings: ExportSettings, models: list[PlanModel]) -> dict[str, Any]:
    def port(name: str, data_type: str, *dims: int) -> dict[str, Any]:
        return {"name": name, "data_type": data_type, "dims": dims}

    has_polygons = any(has_polygon_boxes(model.bundle.manifest.spec) for model in models)
    polygons = [port("polygons", "TYPE_FP32", -1, POINTS, 2)] if has_polygons else []
    image = {"data_type": "TYPE_STRING", "dims": [1], "input_data_file": Path(WARM_UP).name}
    return {
        "name": settings.name,
        "backend": "python",
        # Images have different numbers of lines, so requests cannot be batched. The instance
        # reads several images at once, and their lines share batches in the other models.
        "max_batch_size": 0,
        "input": [
            port("image", "TYPE_STRING", 1),
            {**port("page", "TYPE_INT32", 1), "optional": True},
        ],
        "output": [
            port("quads", "TYPE_FP32", -1, 4, 2),
            *polygons,
            port("texts", "TYPE_STRING", -1),
            port("box_scores", "TYPE_FP32", -1),
            port("text_scores", "TYPE_FP32", -1),
            port("size", "TYPE_INT32", 2),
            port("pages", "TYPE_INT32", 1),
            port("warnings", "TYPE_STRING", -1),
        ],
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        # Only for its queue, which is unlimited by default.
        "dynamic_batching": {
            "default_queue_policy": {"max_queue_size": _QUEUE, "allow_timeout_override": True}
        },
        "model_warmup": [{"name": "image", "batch_size": 1, "inputs": {"image": image}}],
        "parameters": string_parameters(settings.parameters.model_dump()),
        **version_fields(),
    }


def _sample_image() -> bytes:
    """Return a PNG file of a line of text, for the warm-up."""
    pixels = np.full((96, 320, 3), 255, np.uint8)
    cv2.putText(pixels, "warm-up 123", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
    return cv2.imencode(".png", pixels)[1].tobytes()


def _write_json(path: Path, model: StrictModel) -> None:
    path.write_text(model.model_dump_json(indent=2, exclude_none=True) + "\n", "utf-8")
