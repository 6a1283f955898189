"""Compile a plan for this processor, or load what was compiled before.

Compiling takes several times as long as loading, so the result is cached. Its hash is checked,
because OpenVINO would run a damaged one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ...common.cache import builds_limit, key_from, named_cache
from ...common.cores import limited_cores
from ...common.cpu import cpu_features, has_bf16
from ...common.files import file_sha256
from ...errors import InputFileError
from ..base import RunSettings
from .library import import_openvino, openvino_core
from .plan_limits import check_plan_graph


def compile_config(settings: RunSettings, plan: Path | None = None) -> dict[str, Any]:
    """Return OpenVINO's properties, including all that affect numbers or threads.

    By default OpenVINO computes in bf16 wherever the processor has it; here a plan runs in bf16
    only if its graph contains bf16. All streams share the threads.
    """
    streams = max(1, settings.streams)
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if plan and _contains_bf16(plan) else "f32",
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": settings.threads or limited_cores(),
        # With pinning, all engines of a process would use the same first cores.
        "ENABLE_CPU_PINNING": False,
    }


def compiled_plan(plan: Path, settings: RunSettings, batch: int | None = None) -> Any:
    """Return OpenVINO's compiled model of a plan.

    Args:
        plan: the .xml file, with its .bin beside it.
        settings: threads and streams.
        batch: the batch size that its free batch axis gets; None leaves it free.

    Raises:
        InputFileError: the plan computes in bf16, and this processor does not; or a tensor of it
            does not fit the memory.
        RuntimeError: OpenVINO cannot read or compile the plan.
    """
    ov = import_openvino()
    if _contains_bf16(plan) and not has_bf16():  # OpenVINO would run it in fp32 or emulate it
        raise InputFileError(
            "it computes in bf16, which this processor has no instructions for; build it again "
            "with --precision fp32 or int8"
        )
    core, config = openvino_core(), compile_config(settings, plan)
    cache, key = named_cache("openvino"), ""
    if settings.built is not None and builds_limit():  # not for plans of trials in a build
        key = _key(plan, batch, config, ov.__version__)
    if key and (blob := cache.read(key)) is not None:
        # OpenVINO refuses what another build of the same version compiled; compile again then.
        with contextlib.suppress(Exception):
            return core.import_model(blob, "CPU", config)
    graph = core.read_model(plan)  # finds the .bin beside the .xml
    if batch is not None:
        graph.reshape([batch, *list(graph.input(0).partial_shape)[1:]])  # (N, C, H, W)
    check_plan_graph(graph, plan)
    compiled = core.compile_model(graph, "CPU", config)
    if key:
        cache.write(key, compiled.export_model().getvalue())
    return compiled


def _contains_bf16(plan: Path) -> bool:
    return b'precision="BF16"' in plan.read_bytes()


def _key(plan: Path, batch: int | None, config: dict[str, Any], version: str) -> str:
    files = [file_sha256(file) for file in (plan, plan.with_suffix(".bin"))]
    return key_from([version, cpu_features(), batch, config, files])
