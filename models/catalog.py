"""The models that can be had without a download: those of this package and of installed wheels."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ..common.frozen_model import StrictModel
from ..common.safe_yaml import load_yaml
from ..errors import InputFileError
from ..spec import Role

_CATALOG = Path(__file__).parent / "catalog.yaml"
_LICENSES = ("LICENSE", "MODEL_LICENSE", "NOTICE", "COPYING")


class WheelModel(StrictModel):
    """A detector, a recognizer and perhaps a classifier inside another Python package."""

    about: str
    package: str
    """Name under which Python imports the package."""
    install: str
    """The command that installs it."""
    preset: str
    """What the models require besides what their files state (``convert.preset``)."""
    detector: str
    recognizer: str
    classifier: str | None = None
    """None: the package contains none."""
    precision: str
    """The precision in which the demo builds them."""


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """The files of a model on this machine."""

    models: dict[Role, Path]
    licenses: tuple[Path, ...]


def wheel_models() -> dict[str, WheelModel]:
    """Return the models of the catalog by name."""
    data = load_yaml(_CATALOG.read_text("utf-8"))
    return {name: WheelModel.model_validate(entry) for name, entry in data.items()}


def installed_files(model: WheelModel) -> ModelFiles | None:
    """Return the files of a model; None if its package is not installed, or lacks one of them."""
    try:
        found = importlib.util.find_spec(model.package)  # does not run the package's code
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    models = dict[Role, Path]()
    patterns: dict[Role, str] = {"detector": model.detector, "recognizer": model.recognizer}
    if model.classifier is not None:
        patterns["classifier"] = model.classifier
    for role, pattern in patterns.items():
        for folder in map(Path, found.submodule_search_locations):
            files = sorted(folder.glob(pattern))
            if files and role not in models:
                models[role] = files[0]
    if len(models) < len(patterns):
        return None
    return ModelFiles(models=models, licenses=_license_files(model.package))


def model_files(name: str) -> ModelFiles:
    """Return the files of a model of the catalog.

    Raises:
        InputFileError: there is no such model, or its package is not installed.
    """
    known = wheel_models()
    if name not in known:
        raise InputFileError(f"no model {name!r}; there are {', '.join(known)}")
    found = installed_files(known[name])
    if found is None:
        raise InputFileError(
            f"{name}: the package {known[name].package} is not installed, or does not contain "
            f"these models; run: {known[name].install}"
        )
    return found


def _license_files(package: str) -> tuple[Path, ...]:
    """Return the license files of the distribution that contains a package."""
    for distribution in importlib.metadata.packages_distributions().get(package, ()):
        files = importlib.metadata.files(distribution) or ()
        paths = [Path(str(file.locate())) for file in files if file.name.startswith(_LICENSES)]
        return tuple(path for path in paths if path.is_file())
    return ()
