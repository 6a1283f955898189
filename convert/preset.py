"""Presets: what a family of models requires besides what a file states.

A preset is a YAML file in ``convert/presets``, or any other one that ``init --preset`` names. It
contains entries of a spec for each role. ``input.size`` is used where the model leaves its height
or width open, and ``charsets`` where the number of classes fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize
from ..common.safe_yaml import load_yaml
from ..errors import InputFileError, SpecError
from ..spec import AccuracyBudget, Angle, BoxSettings, Role

_FOLDER = Path(__file__).parent / "presets"
_LARGEST = 1 << 18  # bytes


class PresetInput(StrictModel):
    """Entries of ``InputSpec`` that a family shares."""

    size: tuple[int, int] | None = None
    """Height and width, where the model leaves them open."""
    color: str | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    pad: int | None = None


class PresetRole(StrictModel):
    """The entries for one role."""

    input: PresetInput = PresetInput()
    output: dict[str, Any] = {}
    boxes: BoxSettings | None = None
    sizes: tuple[InputSize, ...] | None = None
    """Of a detector: further input sizes, where the model leaves height and width open."""
    limit_side: int | None = None
    limit_type: str | None = None
    min_text_height: float | None = None
    buckets: tuple[int, ...] | None = None
    width_step: int | None = None
    charsets: tuple[str, ...] = ()
    """Charsets of the family, in the order of the classes and without the blank."""
    blank: int | None = None
    """Class of the blank; negative numbers count from the end."""
    angles: tuple[Angle, ...] | None = None
    threshold: float | None = None
    fit: Literal["pad", "stretch"] | None = None
    accuracy: AccuracyBudget | None = None


class Preset(StrictModel):
    """The entries for the models of a family."""

    about: str
    """The family, and what the values were taken from."""
    detector: PresetRole | None = None
    recognizer: PresetRole | None = None
    classifier: PresetRole | None = None

    def of(self, role: Role) -> PresetRole:
        """Return the entries for a role; empty ones if the family has no such model."""
        found: PresetRole | None = getattr(self, role)
        return found or PresetRole()


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_preset(name: str) -> Preset:
    """Read a preset by its name, or from a YAML file of the user.

    Raises:
        InputFileError: there is no such preset or file.
        SpecError: the file is not a valid preset.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in preset_names():
            close = get_close_matches(name, preset_names(), n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputFileError(
                f"no preset {name!r}; {hint}there are {', '.join(preset_names())}; a file of your "
                "own must end in .yaml"
            )
        path = _FOLDER / f"{name}.yaml"
    try:
        if path.stat().st_size > _LARGEST:
            raise InputFileError(f"{path}: larger than {_LARGEST} bytes, the limit for a preset")
        data = load_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read as a preset: {error}") from None
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'preset'}: {item['msg']}"
            for item in error.errors()
        )
        raise SpecError(f"{path}: {wrong}") from None


def plain_entries(preset: PresetRole) -> Mapping[str, dict[str, Any]]:
    """Return the entries that go into a spec as they are, by section."""
    return {
        "input": preset.input.model_dump(exclude_none=True, exclude={"size"}),
        "output": dict(preset.output),
        "boxes": preset.boxes.model_dump(exclude_unset=True) if preset.boxes else {},
        "accuracy": preset.accuracy.model_dump(exclude_unset=True) if preset.accuracy else {},
    }
