"""Check whether a plan can be loaded, and load it.

A plan is native code for one GPU and one version of TensorRT. The bundle's manifest states how it
was built, so that a wrong plan is refused before it is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InputFileError
from ..base import BuiltWith
from .device import Gpu
from .features import Features
from .logger import errors_since, logger_of

_REBUILD = "build the bundle again here"


def check_built_with(
    built: BuiltWith, version: str, gpu: Gpu, features: Features, *, is_trusted: bool = False
) -> None:
    """Refuse a plan for another GPU or from another version of TensorRT.

    Args:
        built: how the plan was built, from the manifest.
        version: version of TensorRT on this machine.
        gpu: the GPU of this machine.
        features: features of TensorRT on this machine.
        is_trusted: host code in the plan may run.

    Raises:
        InputFileError: the message states how it was built, what is here, and what to do.
    """
    options = _mapping(built.settings.get("options"))
    if not _runs_in(version, built.version, is_compatible=bool(options.get("version_compatible"))):
        raise InputFileError(
            f"the plan was built by version {built.version or 'unknown'}, but this machine has "
            f"{version}; install that version, or {_REBUILD}"
        )
    if options.get("version_compatible") and not is_trusted:
        raise InputFileError(
            "the plan is version-compatible, so it contains code that runs on this machine; add "
            "--trust if you trust its origin (in Python load_bundle(..., is_trusted=True))"
        )
    if not features.names_gpus:  # TensorRT-RTX checks the GPU itself, from the plan's header
        reason = _why_not_on(gpu, _mapping(built.settings.get("gpu")), options.get("hardware"))
        if reason is not None:
            raise InputFileError(f"{reason}; {_REBUILD}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _runs_in(here: str, built: str, *, is_compatible: bool) -> bool:
    if not is_compatible:
        return here == built
    try:
        own, other = ([int(part) for part in text.split(".")[:2]] for text in (here, built))
    except ValueError:
        return False
    return own >= other  # a version-compatible plan runs in its own version and in later ones


def _why_not_on(gpu: Gpu, built: Mapping[str, Any], hardware: Any) -> str | None:
    name, capability = str(built.get("name", "")), str(built.get("compute_capability", ""))
    if not name:
        return "the bundle's manifest does not state which GPU its plan is for"
    try:
        own, other = (
            tuple(map(int, text.split("."))) for text in (gpu.compute_capability, capability)
        )
    except ValueError:
        return f"the bundle's manifest states the compute capability {capability!r:.20}"
    # Which GPUs a plan is for is the build option "hardware"; by default, only the same model.
    fits = {
        "same-compute-capability": own == other,
        "ampere-plus": own >= (8, 0),
    }.get(str(hardware), gpu.name == name and own == other)
    if fits:
        return None
    return (
        f"the plan is for {name} (compute capability {capability}), but this machine has "
        f"{gpu.name} ({gpu.compute_capability})"
    )


def check_header(trt: Any, runtime: Any, plan: bytes, features: Features) -> None:
    """Let TensorRT-RTX check a plan's header.

    Raises:
        InputFileError: the plan will not load; the message has TensorRT-RTX's reasons.
    """
    if not features.checks_headers:
        return
    validity, bits = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return
    known = trt.EngineInvalidityDiagnostics  # bits, of which several may be set
    names = [
        name.lower().replace("_", " ")
        for name in dir(known)
        if name.isupper() and int(bits) & int(getattr(known, name))
    ]
    raise InputFileError(
        f"TensorRT-RTX cannot load the plan here: {', '.join(names) or 'no reason given'}; "
        f"{_REBUILD}; if --option compute-capability names other GPUs, add this one"
    )


def engine_from_plan(trt: Any, plan: bytes, features: Features, *, is_trusted: bool) -> Any:
    """Load a plan; return TensorRT's engine.

    Args:
        trt: NVIDIA's module.
        plan: the plan's bytes.
        features: of the module.
        is_trusted: allow host code in a version-compatible plan.

    Raises:
        InputFileError: it is not a plan for this GPU and this version.
    """
    logger = logger_of(trt)
    count = len(logger.errors)
    runtime = trt.Runtime(logger)
    check_header(trt, runtime, plan, features)
    if is_trusted:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        reasons = errors_since(logger, count) or "no reason given"
        raise InputFileError(f"TensorRT cannot load the plan: {reasons}; {_REBUILD}")
    return engine


def refit_from_model(trt: Any, engine: Any, model: Path | None) -> None:
    """Load the weights of a stripped plan from the graph that it was built from.

    Raises:
        InputFileError: there is no graph, or its weights do not match the plan.
    """
    if not hasattr(trt, "EngineStat"):  # TensorRT has it since 10.9
        return
    if engine.get_engine_stat(trt.EngineStat.STRIPPED_WEIGHTS_SIZE) <= 0:
        return
    if model is None:
        raise InputFileError(f"the plan has no weights, and its ONNX file is missing; {_REBUILD}")
    logger = logger_of(trt)
    count = len(logger.errors)
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not (parser.refit_from_file(str(model)) and refitter.refit_cuda_engine()):
        reasons = errors_since(logger, count) or "no reason given"
        raise InputFileError(f"{model}: TensorRT refuses its weights: {reasons}; {_REBUILD}")
