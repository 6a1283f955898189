"""How Triton runs the plans of each target: its backend, and the backend's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.onnx_session import crashes_in_fusion
from ..engines.bundle import Bundle
from ..errors import UserError
from .export_settings import ExportSettings
from .model_config import string_parameters
from .plan_model import PlanModel


def check_exportable(bundle: Bundle) -> None:
    """Check that Triton has a backend for the plans of a bundle.

    Raises:
        UserError: it has none, or cannot load them; states why and what to build instead.
    """
    target, settings = bundle.manifest.target, bundle.manifest.settings
    options = settings.get("options")
    options = options if isinstance(options, Mapping) else {}
    again, reason = "build the bundle again without it", ""
    if target == "tensorrt-rtx":
        again = (
            "build a bundle with --target tensorrt on the GPU of the server, or with --target "
            "openvino or onnxruntime"
        )
        reason = (
            "Triton has no backend for TensorRT-RTX plans; its TensorRT backend loads plans of "
            "TensorRT only"
        )
    elif target == "tensorrt" and settings.get("plugins"):
        reason = (
            "build option plugins: its plans contain plugins written in Python, which Triton's "
            "TensorRT backend cannot load"
        )
    elif target == "tensorrt" and options.get("strip"):
        reason = (
            "build option strip: its plans contain no weights, and Triton's TensorRT backend "
            "cannot add them"
        )
    if reason:
        raise UserError(f"{bundle.folder}: {reason}; {again}")


def backend_fields(model: PlanModel, settings: ExportSettings) -> dict[str, Any]:
    """Return the fields of the configuration that select and configure a backend."""
    if settings.is_stand_in:
        return {"backend": "python", "instance_group": _on_cpu(settings)}
    return _FIELDS[model.bundle.manifest.target](model, settings)


def backend_notes(model: PlanModel, settings: ExportSettings) -> list[str]:
    """Return what users of a plan must know about its backend."""
    if settings.is_stand_in:
        return []
    manifest = model.bundle.manifest
    notes = []
    if manifest.target == "openvino":
        notes.append(
            "Triton's OpenVINO backend lets OpenVINO choose the precision of float layers: on "
            "processors with bf16 it is bf16, so accuracy may differ from the bundle's manifest"
        )
        if settings.max_batch is not None and not model.is_batched:
            why = "its width is free" if model.input.has_free_sides else "of --no-padding"
            notes.append(
                f"Triton forms no batches for {model.name}, because {why}: --max-batch "
                f"{settings.max_batch} only limits how many images the pipeline sends at once"
            )
        if model.batch > 1:
            notes.append(
                f"Triton's OpenVINO backend pads every batch to {model.batch} images; with few "
                "clients, --no-padding is faster"
            )
    if manifest.target == "tensorrt":
        version = manifest.versions.get("tensorrt", "unknown")
        notes.append(
            f"the plans were built by TensorRT {version}: use the Triton container with that "
            "version, and the GPU that the bundle was built on"
        )
        if (manifest.settings.get("options") or {}).get("version_compatible"):
            notes.append(
                "the plans are version-compatible: start Triton with "
                "--backend-config=tensorrt,version-compatible=true"
            )
    return notes


def _on_cpu(settings: ExportSettings) -> list[dict[str, Any]]:
    return [{"kind": "KIND_CPU", "count": settings.instances}]


def _openvino(model: PlanModel, settings: ExportSettings) -> dict[str, Any]:
    """Return the fields for OpenVINO: one stream per instance."""
    throughput = settings.instances > 1
    parameters = {
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
        "NUM_STREAMS": settings.instances,
    }
    if model.batch > 1:
        # The backend compiles the plan for exactly ``max_batch_size`` images and refuses others.
        parameters["ENABLE_BATCH_PADDING"] = "YES"
    return {
        "backend": "openvino",
        "default_model_filename": model.entry.plan,
        "instance_group": _on_cpu(settings),
        "parameters": string_parameters(parameters),
    }


def _onnxruntime(model: PlanModel, settings: ExportSettings) -> dict[str, Any]:
    """Return the fields for onnxruntime."""
    fields = {
        "backend": "onnxruntime",
        "default_model_filename": model.entry.plan,
        "instance_group": _on_cpu(settings),
        # 0: one thread per core. With several instances, enter cores / instances.
        "parameters": string_parameters({"intra_op_thread_count": 0}),
    }
    if crashes_in_fusion(str(model.bundle.path(model.entry.plan))):
        # Triton cannot turn off a single rewrite; -1 leaves only the basic ones.
        fields["optimization"] = {"graph": {"level": -1}}
    return fields


def _tensorrt(model: PlanModel, settings: ExportSettings) -> dict[str, Any]:
    """Return the fields for TensorRT: all profiles of the plan, and CUDA graphs for two batches."""
    group: dict[str, Any] = {"kind": "KIND_GPU", "count": settings.instances}
    if model.input.has_free_batch and model.bundle.spec.input.max_batch > 1:
        # One profile for a single image, and one for more; without this, Triton uses the first.
        group["profile"] = ["0", "1"]
    graphs = [
        {
            "batch_size": size if model.is_batched else 0,
            "input": {model.input.name: {"dim": model.image_shape(size, model.entry.size)}},
        }
        for size in model.batch_sizes()
    ]
    return {
        "platform": "tensorrt_plan",
        "default_model_filename": model.entry.plan,
        "instance_group": [group],
        "optimization": {"cuda": {"graphs": True, "graph_spec": graphs}},
    }


_FIELDS = {"onnxruntime": _onnxruntime, "openvino": _openvino, "tensorrt": _tensorrt}
