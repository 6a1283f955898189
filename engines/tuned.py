"""What was found to be fastest for a bundle on this machine, kept in the cache.

``ocr-trt optimize`` measures and writes it; whoever opens the bundle afterwards takes it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..common.cores import usable_cores
from ..common.cpu import cpu_features
from ..common.files import cache_root, check_writable, write_whole
from ..errors import TargetMissingError
from .bundle import Bundle
from .targets import backend

_MOST = 4096
"""Streams and threads; a file that names more was not written by us."""

Mode = Literal["latency", "throughput"]
"""Least time for one batch, or most images per second."""


class Choice(BaseModel):
    """How to run an engine: ``streams`` batches at once, on ``threads`` of the CPU in all.

    0: the target's own choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: int = Field(0, ge=0)
    threads: int = Field(0, ge=0)


class Tuning(BaseModel):
    """The choice for each mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency: Choice
    throughput: Choice


def choice_for(bundle: Bundle, mode: Mode) -> Choice:
    """Return what was measured for a bundle on this machine, or else what is usual."""
    found = kept_tuning(bundle)
    if found is not None:
        return found.latency if mode == "latency" else found.throughput
    if not backend(bundle.manifest.target).runs_on_cpu:
        return Choice()
    return Choice(streams=1 if mode == "latency" else usable_cores())


def kept_tuning(bundle: Bundle) -> Tuning | None:
    """Return what was measured for a bundle on this machine; None if nothing was."""
    try:
        found = Tuning.model_validate_json(_path(bundle).read_bytes())
    except (OSError, ValidationError):
        return None
    numbers = (
        n for each in (found.latency, found.throughput) for n in (each.streams, each.threads)
    )
    return found if max(numbers) <= _MOST else None


def check_tunable(bundle: Bundle) -> None:
    """Check that a bundle can run here, and that what is measured for it can be kept.

    Raises:
        TargetMissingError: its target cannot run it here.
        OutputError: the cache cannot be written.
    """
    target = backend(bundle.manifest.target)
    if not target.can_run_built(bundle.manifest.settings):
        availability = target.availability()
        why = availability.reason or "it was built for other GPUs"
        raise TargetMissingError(f"{bundle.folder}: cannot run here: {why}; {availability.hint}")
    check_writable(_path(bundle).parent)


def keep_tuning(bundle: Bundle, tuning: Tuning) -> Path:
    """Keep what was measured; return the file.

    Raises:
        OutputError: the cache cannot be written.
    """
    path = _path(bundle)
    check_writable(path.parent)
    write_whole(path, tuning.model_dump_json(indent=2) + "\n")
    return path


def _path(bundle: Bundle) -> Path:
    """The file of a bundle's plans, the version of its target, and this machine."""
    manifest = bundle.manifest
    told = {
        "plans": sorted(manifest.files[entry.plan].sha256 for entry in manifest.engines),
        "target": [manifest.target, backend(manifest.target).availability().version],
        "cpu": cpu_features(),
        "cores": usable_cores(),
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return cache_root() / "tuning" / f"{digest}.json"
