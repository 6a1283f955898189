"""Whether a plan may be loaded here. A plan is native code for one GPU and one version of TensorRT.

Nothing in the plan itself is read for that: what it was built with is in the bundle's manifest.
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
    """Refuse a plan that another version of TensorRT made, or that is for another GPU.

    Args:
        built: what the manifest says.
        version: of TensorRT, here.
        gpu: the one it would run on.
        features: of TensorRT, here.
        is_trusted: code in the plan may run.

    Raises:
        InputFileError: says what it was built with, what is here, and what to do.
    """
    options = _mapping(built.settings.get("options"))
    if not _runs_in(version, built.version, is_compatible=bool(options.get("version_compatible"))):
        raise InputFileError(
            f"the plan is of version {built.version or 'unknown'}, here is {version}; install "
            f"that version, or {_REBUILD}"
        )
    if options.get("version_compatible") and not is_trusted:
        raise InputFileError(
            "the plan is version-compatible, and so has code in it that runs on this machine; say "
            "--trust if you trust where it comes from (in Python load_bundle, is_trusted=True)"
        )
    if not features.names_gpus:  # those say for themselves which GPUs they take
        reason = _why_not_on(gpu, _mapping(built.settings.get("gpu")), options.get("hardware"))
        if reason is not None:
            raise InputFileError(f"{reason}; {_REBUILD}")


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _runs_in(here: str, built: str, *, is_compatible: bool) -> bool:
    if not is_compatible:
        return here == built
    try:
        own, other = ([int(part) for part in text.split(".")[:2]] for text in (here, built))
    except ValueError:
        return False
    return own >= other


def _why_not_on(gpu: Gpu, built: Mapping[str, Any], hardware: Any) -> str | None:
    name, capability = str(built.get("name", "")), str(built.get("compute_capability", ""))
    if not name:
        return "the bundle does not say which GPU its plan is for"
    try:
        own, other = (
            tuple(map(int, text.split("."))) for text in (gpu.compute_capability, capability)
        )
    except ValueError:
        return f"the bundle names a compute capability {capability!r:.20}"
    fits = {
        "same-compute-capability": own == other,
        "ampere-plus": own >= (8, 0),
    }.get(str(hardware), gpu.name == name and own == other)
    if fits:
        return None
    return (
        f"the plan is for {name} (compute capability {capability}), here is {gpu.name} "
        f"({gpu.compute_capability})"
    )


def check_header(trt: Any, runtime: Any, plan: bytes, features: Features) -> None:
    """Let TensorRT-RTX look at a plan's header.

    Raises:
        InputFileError: it will not load; says why, as far as TensorRT-RTX does.
    """
    if not features.tells_validity:
        return
    validity, bits = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return
    known = trt.EngineInvalidityDiagnostics
    names = [
        name.lower().replace("_", " ")
        for name in dir(known)
        if name.isupper() and int(bits) & int(getattr(known, name))
    ]
    raise InputFileError(
        f"TensorRT-RTX will not load the plan here: {', '.join(names) or 'it does not say why'}; "
        f"{_REBUILD}, with --option compute-capability if that names other GPUs than this one"
    )


def engine_from_plan(trt: Any, plan: bytes, features: Features, *, is_trusted: bool) -> Any:
    """Load a plan. Returns the engine; TensorRT's runtime goes with it.

    Args:
        trt: NVIDIA's module.
        plan: the plan's bytes.
        features: of the module.
        is_trusted: let host code in a version-compatible plan run.

    Raises:
        InputFileError: it is no plan for this GPU and this version.
    """
    logger = logger_of(trt)
    count = len(logger.errors)
    runtime = trt.Runtime(logger)
    check_header(trt, runtime, plan, features)
    if is_trusted:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        said = errors_since(logger, count) or "it does not say why"
        raise InputFileError(f"TensorRT cannot load the plan: {said}; {_REBUILD}")
    return engine


def refit_from_model(trt: Any, engine: Any, model: Path | None) -> None:
    """Give a plan whose weights were left out those of the graph it was built from.

    Raises:
        InputFileError: there is no graph, or its weights are not those that are missing.
    """
    if not hasattr(trt, "EngineStat"):  # before TensorRT 10.9
        return
    if engine.get_engine_stat(trt.EngineStat.STRIPPED_WEIGHTS_SIZE) <= 0:
        return
    if model is None:
        raise InputFileError(f"the plan's weights were left out, and its ONNX is gone; {_REBUILD}")
    logger = logger_of(trt)
    count = len(logger.errors)
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not (parser.refit_from_file(str(model)) and refitter.refit_cuda_engine()):
        said = errors_since(logger, count) or "it does not say why"
        raise InputFileError(f"{model}: TensorRT does not take its weights: {said}; {_REBUILD}")
