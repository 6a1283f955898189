"""The fastest numbers of streams and threads for a bundle on this machine, from the cache.

``ocr-trt optimize`` measures it; :meth:`.engine.Engine.from_bundle` uses it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..common.cache import key_from, named_cache
from ..common.cores import usable_cores
from ..common.cpu import cpu_features
from ..common.files import check_writable, write_whole
from ..common.frozen_model import StrictModel
from ..common.json_files import read_model
from ..errors import InputFileError, TargetMissingError
from .bundle import Bundle
from .targets import backend

LARGEST_CHOICE = 4096
"""Larger values cannot be useful on any machine, so they are refused."""
_FILE, _LARGEST = "tuning.json", 1 << 16

Mode = Literal["latency", "throughput"]
"""``latency``: shortest time for one batch; ``throughput``: most images per second."""


class Choice(StrictModel):
    """How to run an engine: ``streams`` batches at once, on ``threads`` CPU threads in total.

    0: the target's default.
    """

    streams: int = Field(0, ge=0, le=LARGEST_CHOICE)
    threads: int = Field(0, ge=0, le=LARGEST_CHOICE)


class Tuning(StrictModel):
    """The choice for each mode."""

    latency: Choice
    throughput: Choice


def choice_for(bundle: Bundle, mode: Mode) -> Choice:
    """Return the choice measured for a bundle on this machine, or else the default."""
    tuning = saved_tuning(bundle)
    if tuning is not None:
        return tuning.latency if mode == "latency" else tuning.throughput
    # Not tuned. GPU targets choose their own number of streams.
    if not backend(bundle.manifest.target).runs_on_cpu:
        return Choice()
    return Choice(streams=1 if mode == "latency" else usable_cores())


def saved_tuning(bundle: Bundle) -> Tuning | None:
    """Return the choices measured for a bundle on this machine; None if it was not tuned."""
    entry = named_cache("tuning").get(_key(bundle))
    with contextlib.suppress(InputFileError):  # written by another version of ocr-trt
        return read_model(entry.folder / _FILE, Tuning, limit=_LARGEST) if entry else None
    return None


def check_tunable(bundle: Bundle) -> None:
    """Check that a bundle can run here, and that the cache can be written.

    Raises:
        TargetMissingError: its target cannot run it here.
        OutputError: the cache cannot be written.
    """
    target = backend(bundle.manifest.target)
    if not target.can_run_built(bundle.manifest.settings):
        availability = target.availability()
        why = availability.reason or "it was built for other GPUs"
        raise TargetMissingError(f"{bundle.folder}: cannot run here: {why}; {availability.hint}")
    check_writable(named_cache("tuning").folder)


def save_tuning(bundle: Bundle, tuning: Tuning) -> Path:
    """Write the measured choices to the cache; return the file.

    Raises:
        OutputError: the cache cannot be written.
    """
    cache, key = named_cache("tuning"), _key(bundle)
    check_writable(cache.folder)
    text = tuning.model_dump_json(indent=2) + "\n"
    cache.put(key, lambda folder: write_whole(folder / _FILE, text), replace=True)
    return cache.folder / key / _FILE


def _key(bundle: Bundle) -> str:
    """Return a key that depends on the plans, the version of their target, and this machine."""
    manifest = bundle.manifest
    return key_from(
        {
            "plans": sorted(manifest.files[entry.plan].sha256 for entry in manifest.engines),
            "target": [manifest.target, backend(manifest.target).availability().version],
            "cpu": cpu_features(),
            "cores": usable_cores(),
        }
    )
