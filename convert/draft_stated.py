"""Read what the files of a model state in words: characters, normalization, thresholds.

Converters keep such facts in different places: the metadata of an ONNX file, the assets of a
SavedModel, text files in the zip archive of a .keras or .tflite file, and the ``inference.yml``
that PaddleOCR writes beside a model.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from ..common.safe_yaml import load_yaml
from ..spec import SourceSpec

_LARGEST_TEXT = 4 << 20  # bytes
_CHARACTERS = re.compile(r"char|vocab|alphabet|dict|label|class|names|symbol|token", re.I)
"""Names under which a list of characters is stored."""
_PADDLE_FILES = ("inference.yml", "inference.yaml")


@dataclass(frozen=True, kw_only=True)
class CharacterList:
    """Characters in the order of the classes, and where they were found."""

    origin: str
    entries: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stated:
    """The facts that the files of a model state."""

    characters: tuple[CharacterList, ...] = ()
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Entries of a spec, by section: ``input`` and ``boxes``."""
    origin: str = ""
    """The file that ``entries`` come from."""


def stated_facts(source: SourceSpec) -> Stated:
    """Return the facts that a model's files state; files that cannot be read state nothing."""
    path = source.path
    metadata = _onnx_metadata(path) if path.suffix == ".onnx" else {}
    texts = {f"metadata {key!r}": text for key, text in metadata.items() if _CHARACTERS.search(key)}
    texts.update((name, text) for name, text in _text_files(path) if _CHARACTERS.search(name))
    lists = [CharacterList(origin=o, entries=list_entries(t)) for o, t in texts.items()]
    entries, origin = _normalization(metadata), "its metadata"
    for beside in (path.parent / name for name in _PADDLE_FILES):
        config = _yaml(beside)
        if config:
            entries, origin = _paddle_entries(config), str(beside)
            characters = _section(config, "PostProcess").get("character_dict")
            if isinstance(characters, list):
                found = tuple(map(str, characters))
                lists.append(CharacterList(origin=str(beside), entries=found))
            break
    return Stated(characters=tuple(lists), entries=entries, origin=origin)


def list_entries(text: str) -> tuple[str, ...]:
    """Return the entries of a list that is written in one of the usual ways.

    A JSON or Python list, a mapping from numbers to characters or back, one entry in each line, or
    all characters in one line.
    """
    if text.lstrip()[:1] in ("[", "{", "("):
        for parse in (json.loads, ast.literal_eval):
            try:
                data = parse(text.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if entries := _from_data(data):
                return entries
    # Not splitlines: a charset may contain characters that it splits at, such as U+2028.
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    if len(lines) > 1 and not lines[-1]:  # after the last line end
        del lines[-1]
    return tuple(lines) if len(lines) > 1 else tuple(lines[0])


def _from_data(data: Any) -> tuple[str, ...]:
    if isinstance(data, list | tuple):
        return tuple(map(str, data))
    if not isinstance(data, dict):
        return ()
    try:
        # {0: "a", 1: "b"}; the keys of JSON are strings.
        by_number = {int(key): str(value) for key, value in data.items()}
    except (TypeError, ValueError):
        if not all(isinstance(value, int) for value in data.values()):
            return ()
        by_number = {value: str(key) for key, value in data.items()}
    return tuple(by_number[number] for number in sorted(by_number))


def _onnx_metadata(path: Path) -> dict[str, str]:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # open_source reports what is wrong with the file
        return {}
    return {entry.key: entry.value for entry in model.metadata_props}


def _text_files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the text files inside a model."""
    if path.is_dir():
        for file in sorted(path.glob("assets*/*.txt")):
            if file.stat().st_size <= _LARGEST_TEXT:
                yield file.name, file.read_text("utf-8", errors="replace")
        return
    # A .keras file is a zip archive; TFLite appends one to the model ("metadata").
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".txt") and info.file_size <= _LARGEST_TEXT:
                yield info.filename, archive.read(info).decode("utf-8", errors="replace")


def _yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            return {}
        data = load_yaml(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _paddle_entries(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of a spec that PaddleOCR's ``inference.yml`` states."""
    steps = dict[str, Any]()
    for step in _section(config, "PreProcess").get("transform_ops") or ():
        if isinstance(step, dict):
            steps.update(step)
    found = dict[str, Any]()
    color = _section(steps, "DecodeImage").get("img_mode")
    if color in ("RGB", "BGR"):
        found["color"] = color
    if isinstance(steps.get("NormalizeImage"), dict):
        found.update(_mean_and_scale(steps["NormalizeImage"]))
    elif "RecResizeImg" in steps:  # it computes (pixel / 255 - 0.5) / 0.5
        found.update(mean=(127.5,), scale=(1 / 127.5,))
    post = _section(config, "PostProcess")
    names = {"thresh": "threshold", "box_thresh": "box_threshold", "unclip_ratio": "unclip_ratio"}
    boxes = {own: post[name] for name, own in names.items() if isinstance(post.get(name), float)}
    return {"input": found, "boxes": boxes}


def _normalization(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return mean and scale from the metadata ``mean``, ``std`` and ``scale`` of an ONNX file."""
    lower = {key.lower(): value for key, value in metadata.items()}
    numbers = {name: _number_list(lower.get(name, "")) for name in ("mean", "std", "scale")}
    found = _mean_and_scale({name: each for name, each in numbers.items() if each})
    return {"input": found} if found else {}


def _number_list(text: str) -> list[float]:
    try:
        return [float(part) for part in re.split(r"[\s,;]+", text.strip(" []()"))]
    except ValueError:
        return []


def _mean_and_scale(stated: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Turn (pixel * scale - mean) / std into (pixel - mean / scale) * (scale / std).

    Without a scale, deviations of at most 1 mean that pixels are from 0 to 1 there.
    """
    mean, std = (_as_floats(stated.get(name)) for name in ("mean", "std"))
    if not mean or not std or not all(std):
        return {}
    scale = stated.get("scale")
    if isinstance(scale, list) and len(scale) == 1:
        (scale,) = scale
    if isinstance(scale, str):  # PaddleOCR writes the text "1./255."
        top, _, bottom = scale.partition("/")
        try:
            scale = float(top) / float(bottom or 1)
        except (ValueError, ZeroDivisionError):
            return {}
    if not isinstance(scale, float | int) or not scale:
        scale = 1 / 255 if max(map(abs, std)) <= 1 else 1.0
    return {
        "mean": _merged(tuple(value / scale for value in mean)),
        "scale": _merged(tuple(scale / value for value in std)),
    }


def _merged(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return one number for equal numbers, rounded to what a float32 holds."""
    rounded = tuple(float(f"{value:.8g}") for value in values)
    return rounded[:1] if len(set(rounded)) == 1 else rounded


def _as_floats(values: Any) -> tuple[float, ...]:
    values = values if isinstance(values, list) else [values]
    return tuple(map(float, values)) if all(isinstance(v, int | float) for v in values) else ()
