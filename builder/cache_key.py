"""The key of the build cache: a hash of everything that a build depends on.

The key covers all fields of the request, including fields added later; a path is replaced by a hash
of its contents. It also covers the code of ocr-trt, every installed package, the processor, and the
environment variables that the libraries read.

Not in the key: system libraries that belong to no Python package, and settings that a library keeps
in its own files, except those of Keras. docs/cache.md describes the cache for users.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from ..common.cache import key_from
from ..common.cpu import cpu_features
from ..convert.sources import source_format
from ..engines.base import Backend, BuildSettings
from ..engines.bundle import tree_sha256
from ..engines.target_groups import TargetGroup
from ..measure.machine import machine
from .request import BuildRequest

_ROOT = Path(__file__).parent.parent
"""The folder of the package."""
_NOT_IN_KEY = ("output", "cache", "targets")
"""Fields of a request that do not affect a bundle. Targets have separate keys."""
_PREFIXES = (
    *("TF_", "KERAS_", "XLA_", "TF2ONNX_", "ONNX", "ORT_", "OV_", "OPENVINO_", "ONEDNN_", "DNNL_"),
    *("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "TBB_", "CUDA_", "NVIDIA_", "TRT_", "OPENCV_"),
    *("LD_", "GLIBC_", "PYTHON"),
)
"""Environment variables that TensorFlow, ONNX, the targets and their math libraries read."""
_NO_EFFECT = ("TF_CPP_", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
"""Exceptions: variables that change messages or cached bytecode, but no result."""
_CODE = frozenset({".py", ".jinja", ".cu", ".cuh", ".hpp"})
"""Suffixes of the files of ocr-trt that affect a bundle."""
_EXTERNAL_WEIGHTS = {"onnx": ".onnx", "checkpoint": ".meta"}
"""Formats whose weights may be in other files, and the suffix of the file that locates them."""
_KERAS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
"""The defaults that Keras writes into its settings file when there is none."""


def cache_keys(request: BuildRequest, groups: Sequence[TargetGroup]) -> dict[str, str]:
    """Return a key for each group of targets, 64 hexadecimal digits, by the group's name.

    The key of ``auto`` depends on all targets that it compares.
    """
    # Computed once for all targets, since hashing the images and the model is slow.
    shared = request_facts(request), environment_facts()
    keys = {}
    for group in groups:
        keys[group.name] = key_from([*shared, *map(target_facts, group.members)])
    return keys


def request_facts(request: BuildRequest) -> dict[str, Any]:
    """Return everything in a request that a bundle depends on, as JSON data."""
    facts, known = dict[str, Any](), dict[Path, str]()
    for field in dataclasses.fields(request):
        if field.name not in _NOT_IN_KEY:
            facts[field.name] = _plain(getattr(request, field.name), known)
    source = request.spec.source
    # The format may be guessed from the name, which the hash of the contents does not cover.
    facts["format"] = [source_format(source), source.path.suffix]
    if request.calibration is not None and request.calibration.skip_bad:
        # The manifest lists skipped images with messages that contain their paths.
        facts["calibration folder"] = str(request.calibration.dataset.folder)
    return facts


def target_facts(target: Backend) -> dict[str, Any]:
    """Return the properties of a target on this machine that a bundle depends on."""
    return {
        "name": target.name,
        "availability": _plain(target.availability(), {}),
        "built with": _plain(target.built_with(BuildSettings()), {}),
        "needs": _plain(target.needs(), {}),
    }


def environment_facts() -> dict[str, Any]:
    """Return the installed software and the processor, driver and environment that it runs on."""
    system = machine()
    return {
        "code": code_sha256(),
        "python": [sys.version, platform.machine(), *platform.libc_ver()],
        "packages": _packages(),
        "processor": [system["processor"], system["cores"], cpu_features()],
        "gpu": _text(Path("/proc/driver/nvidia/version")),
        "variables": _variables(),
        "keras": _keras_settings(),
    }


def why_not_cached(request: BuildRequest, target: Backend) -> str | None:
    """Return why the cache cannot be used for a build; None if it can."""
    source = request.spec.source
    suffix = _EXTERNAL_WEIGHTS.get(source_format(source))
    samples = (request.samples, request.calibration and request.calibration.dataset)
    folders = [source.path, *(data.folder for data in samples if data)]
    linked = next((link for folder in folders for link in _linked_folders(folder)), None)
    # In each of these cases the hash would not cover everything that the build reads.
    if source.custom or source.allow_lambda:
        return "the model runs its own Python code"
    if request.ranges is not None and not request.ranges.exists():
        return f"this build writes {request.ranges}"
    if suffix and (source.path.is_symlink() or source.path.suffix != suffix):
        return (
            f"{source.path} is a link or does not end in {suffix}: its weights may be stored "
            "elsewhere"
        )
    if linked is not None:
        return f"{linked} is a link to a folder"
    return f"{target.name} chooses kernels by timing them" if target.times_kernels else None


def _plain(value: Any, known: dict[Path, str]) -> Any:
    """Return a value as JSON data. ``known``: hashes of paths, so that each is read only once.

    Raises:
        TypeError: the value has a type that is not handled here; it must not be left out silently.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        if value not in known:
            known[value] = tree_sha256(value) if value.exists() else "missing"
        return known[value]
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(value.tobytes()).hexdigest()
        return [value.dtype.str, list(value.shape), digest]
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name), known) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name), known) for field in fields}
    if isinstance(value, Mapping):
        return [[_plain(key, known), _plain(item, known)] for key, item in value.items()]
    if isinstance(value, Sequence):
        return [_plain(item, known) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be part of a key of the build cache")


def _linked_folders(folder: Path) -> Iterator[Path]:
    """Yield links to folders below a folder: ``tree_sha256`` does not follow them."""
    return (path for path in folder.rglob("*") if path.is_symlink() and path.is_dir())


def code_sha256(root: Path = _ROOT) -> str:
    """Return a hash of ocr-trt's code: a checkout can change without a new version."""
    digest = hashlib.sha256()
    for package in sorted(path.parent for path in _packages_below(root)):
        for file in sorted(file for file in package.iterdir() if file.suffix in _CODE):
            digest.update(f"{file.relative_to(root)}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _packages_below(folder: Path) -> Iterator[Path]:
    """Yield the ``__init__.py`` of all packages except tests; other folders are ignored."""
    if (folder / "__init__.py").is_file() and folder.name != "tests":
        yield folder / "__init__.py"
        for inner in folder.iterdir():
            if inner.is_dir():
                yield from _packages_below(inner)


def _packages() -> list[str]:
    """Return names and versions of installed packages, from the names of their metadata folders."""
    places = (Path(place or ".") for place in sys.path)
    names = (path.name for place in places if place.is_dir() for path in place.glob("*-info"))
    return sorted(set(names))


def _variables() -> dict[str, str]:
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_PREFIXES) and not name.startswith(_NO_EFFECT)
    }
    # Importing OpenCV prepends its own folder, which may then be listed twice.
    if "LD_LIBRARY_PATH" in variables:
        places = filter(None, variables["LD_LIBRARY_PATH"].split(":"))
        variables["LD_LIBRARY_PATH"] = ":".join(dict.fromkeys(places))
    return variables


def _keras_settings() -> Any:
    home = os.environ.get("KERAS_HOME")
    text = _text((Path(home) if home else Path.home() / ".keras") / "keras.json")
    try:
        settings = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
    return {**_KERAS, **settings} if isinstance(settings, dict) else text


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
