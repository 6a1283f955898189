"""Combine what runs of a model show with what its family, its files and the user state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common.progress import Reporter
from ..errors import SpecError
from ..spec import Angle, ClassifierSpec, DetectorSpec, RecognizerSpec, Role
from .draft_charset import Charset, choose_charset
from .draft_outputs import map_entry, scores_entry
from .draft_stated import CharacterList, Stated
from .draft_trials import Trials, try_model
from .hints import Hints
from .preset import PresetRole, load_preset, plain_entries
from .sources import Source

_PIXELS = 0.02
"""The difference of EAST's geometry that is allowed, in pixels of the input."""
_ANGLES: Mapping[int, tuple[Angle, ...]] = {1: (0, 180), 2: (0, 180), 4: (0, 90, 180, 270)}
"""The usual angles of a classifier, by its number of classes."""


def known_entries(
    role: Role, preset: PresetRole, stated: Stated, reporter: Reporter
) -> dict[str, Any]:
    """Return the entries of a spec that do not depend on the graph, by section.

    What the model's own files state replaces what its family usually requires.
    """
    found: dict[str, Any] = {}
    if stated.origin and (names := [k for part in stated.entries.values() for k in part]):
        reporter.note(f"{', '.join(names)}: as {stated.origin} states")
    for section, entries in plain_entries(preset).items():
        found[section] = {**entries, **stated.entries.get(section, {})}
    if role != "detector" or not found["boxes"]:
        del found["boxes"]
    if not found["accuracy"]:
        del found["accuracy"]
    if role == "detector":
        fields = {"sizes", "limit_side", "limit_type", "min_text_height"}
        found.update(preset.model_dump(include=fields, exclude_none=True))
    if role == "recognizer" and preset.buckets is not None:
        found["buckets"] = preset.buckets
    if role == "recognizer" and preset.width_step is not None:
        found["width_step"] = preset.width_step
    return found


def map_entries(
    source: Source,
    spec: DetectorSpec,
    preset: PresetRole,
    known: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Return the output of a detector's spec, as runs and the family show it.

    ``known``: entries that follow from the outputs of the model.
    """
    name = spec.output.name
    trials = try_model(source, spec.input, name, reads_lines=False)
    family = {**known, **preset.output}.get("family", "map")
    found = map_entry(trials, spec.input.layout, family)
    if "activation" in found and "activation" not in preset.output:
        reporter.note(
            f"{name} has values outside 0 to 1, so the spec applies a sigmoid (output.activation)"
        )
    entries = {"name": name, **found, **known, **preset.output}
    if "geometry_scale" in found and "geometry_scale" not in preset.output:
        reporter.note(
            f"{name} has distances from 0 to 1, so the spec multiplies them by "
            f"{found['geometry_scale']:g} (output.geometry_scale)"
        )
    if family == "east" and "activation" in found:  # the values outweigh what is usual
        entries["activation"] = found["activation"]
    return entries


def family_entries(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return boxes and accuracy of a detector whose outputs show that its family is EAST.

    Its geometry is in pixels, up to hundreds of them. float32 has 7 digits, so a difference of
    0.001, the usual limit, is mere rounding there.
    """
    output, found = data["output"], dict[str, Any]()
    if output.get("family") != "east":
        return found
    if "boxes" not in data and (boxes := load_preset("east").of("detector").boxes) is not None:
        found["boxes"] = boxes.model_dump(exclude_unset=True)
    if output.get("geometry_scale", 1.0) == 1.0:
        found["accuracy"] = {"max_difference": _PIXELS, **data.get("accuracy", {})}
    return found


def direction_entries(source: Source, spec: ClassifierSpec, preset: PresetRole) -> dict[str, Any]:
    """Return output, angles and further entries of a classifier's spec.

    Raises:
        SpecError: the number of classes is not 1, 2 or 4, and the preset states no angles.
    """
    name = spec.output.name
    trials = try_model(source, spec.input, name, reads_lines=False)
    classes = None if trials.noise is None else trials.noise.shape[-1]
    angles = preset.angles or _ANGLES.get(classes or 2)
    if angles is None:
        raise SpecError(
            f"{spec.source.path}: the output {name} has {classes} classes; expected 2 (0 and 180 "
            "degrees), 4 (0, 90, 180 and 270), or one score of 180 degrees"
        )
    further = {"threshold": preset.threshold, "fit": preset.fit}
    return {
        **{key: value for key, value in further.items() if value is not None},
        "angles": angles,
        "output": {"name": name, "kind": trials.kind_of_classes, **preset.output},
    }


def score_entries(
    source: Source,
    spec: RecognizerSpec,
    hints: Hints,
    ends: tuple[tuple[int | None, ...] | None, dict[str, Any]],
    stated: Sequence[CharacterList],
    reporter: Reporter,
) -> dict[str, Any]:
    """Return output, charset and blank of a recognizer's spec.

    ``ends``: the shape of the output in the signature, and the entries that a cut states;
    ``stated``: lists of characters in the model's files.
    """
    declared, of_cut = ends
    name = spec.output.name
    trials = try_model(source, spec.input, name, reads_lines=True)
    shape = declared if trials.noise is None else trials.noise.shape
    classes = shape[-1] if shape else None
    known = hints.preset.charsets
    charset = choose_charset(name, classes, given=hints.charset, stated=stated, known=known)
    if charset.note:
        reporter.note(charset.note)
    entries: dict[str, Any] = {}
    if charset.characters is not None:
        entries["charset"] = charset.characters
    if "blank" not in of_cut:
        blank = _blank(charset, trials, hints.preset, classes, reporter)
        entries.update({} if blank is None else {"blank": blank})
    output = {
        "name": name,
        **scores_entry(trials, declared, spec.input.shape[0]),
        **hints.preset.output,
        **of_cut.get("output", {}),
    }
    return {**entries, **of_cut, "output": output}


def _blank(
    charset: Charset, trials: Trials, preset: PresetRole, classes: int | None, reporter: Reporter
) -> int | None:
    """Return the class of the blank: by the list of characters, by the family, or by runs."""
    if charset.blank is not None:
        return charset.blank
    if preset.blank is not None and (preset.blank >= 0 or classes is not None):
        return preset.blank if preset.blank >= 0 else (classes or 0) + preset.blank
    if trials.blank is not None:
        reporter.note(f"the blank is class {trials.blank}: runs on empty images and texts show it")
    return trials.blank
