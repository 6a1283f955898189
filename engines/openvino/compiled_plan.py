"""Compile a plan for this processor, or take what was compiled before.

Compiling takes several times as long as loading, so the result is kept: in a file whose name is the
SHA-256 of all that it depends on, and which begins with the SHA-256 of its content, because
OpenVINO would run a damaged one. All of them together are held below a limit. Plans that a build
only tries are not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ...common.cores import limited_cores
from ...common.cpu import cpu_features, has_bf16
from ...common.files import cache_root, write_cache
from ...errors import InputFileError
from ..base import RunSettings
from ..build_cache import default_cache
from ..bundle import file_entry
from .library import import_openvino

FOLDER = "openvino"
"""In the cache."""
_MOST_BYTES = 512 << 20
_DIGEST_SIZE = 32


def compile_config(settings: RunSettings, plan: Path | None = None) -> dict[str, Any]:
    """Return OpenVINO's properties; explicit about what changes numbers or threads.

    OpenVINO would choose bf16 silently wherever the processor has it; here a plan is run in bf16 if
    its graph is quantized so. A stream is one of OpenVINO's streams, which share the threads.
    """
    streams = max(1, settings.streams)
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if plan and _has_bf16_in_it(plan) else "f32",
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": settings.threads or limited_cores(),
        "ENABLE_CPU_PINNING": False,  # engines of one process would share the first cores
    }


def compiled_plan(plan: Path, settings: RunSettings, batch: int | None = None) -> Any:
    """Return the compiled model of a plan (.xml, with its .bin beside it).

    ``batch``: fix its free batch axis to this.

    Raises:
        InputFileError: it computes in bf16, and this processor cannot.
        RuntimeError: OpenVINO's own, if it cannot read or compile the plan.
    """
    ov = import_openvino()

    if _has_bf16_in_it(plan) and not has_bf16():  # OpenVINO would run it in fp32 or emulate it
        raise InputFileError(
            "it computes in bf16, which this processor has no instructions for; build it here with "
            "--precision fp32 or int8"
        )
    core, config = ov.Core(), compile_config(settings, plan)
    is_kept = settings.built is not None and default_cache() is not None
    kept = _kept_path(plan, batch, config, ov.__version__) if is_kept else None
    blob = _checked(kept) if kept else None
    if blob is not None:
        with contextlib.suppress(Exception):  # compiled by another build of the same version
            return core.import_model(blob, "CPU", config)
    graph = core.read_model(plan)
    if batch is not None:
        graph.reshape([batch, *list(graph.input(0).partial_shape)[1:]])
    compiled = core.compile_model(graph, "CPU", config)
    if kept:
        data = compiled.export_model().getvalue()
        if len(data) > _MOST_BYTES:
            return compiled
        write_cache(kept, hashlib.sha256(data).digest() + data)
        _remove_oldest(kept.parent)
    return compiled


def _has_bf16_in_it(plan: Path) -> bool:
    return b'precision="BF16"' in plan.read_bytes()


def _kept_path(plan: Path, batch: int | None, config: dict[str, Any], version: str) -> Path:
    files = [file_entry(file).sha256 for file in (plan, plan.with_suffix(".bin"))]
    told = json.dumps([version, cpu_features(), batch, config, files], sort_keys=True)
    return cache_root() / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()}.blob"


def _checked(path: Path) -> bytes | None:
    """Return the compiled plan of a file; None if there is none or it is damaged."""
    try:
        whole = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    digest, data = whole[:_DIGEST_SIZE], whole[_DIGEST_SIZE:]
    return data if hashlib.sha256(data).digest() == digest else None


def _remove_oldest(folder: Path) -> None:
    """Remove those unused for longest until all fit; another process may do the same."""
    with contextlib.suppress(OSError):
        files = [(f.stat().st_mtime, f.stat().st_size, f) for f in folder.glob("*.blob")]
        left = sum(size for _, size, _ in files)
        for _, size, file in sorted(files):
            if left <= _MOST_BYTES:
                break
            file.unlink(missing_ok=True)
            left -= size
