"""Bad inputs of every kind, and the places of command lines where each of them is put.

A *kind* writes something into a folder and returns its path. A *place* is a command line with one
open argument. ``test_bad_inputs.py`` runs every place with every kind.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from ctypes import CDLL, Structure, byref, c_uint32
from pathlib import Path
from typing import Any

import numpy as np

Kind = Callable[[Path], "Path | str"]

DEPTH = 900
"""Nesting that Python's JSON parser accepts and that recursive code may not."""


def deep_json(depth: int = DEPTH) -> str:
    """Return nested lists in JSON."""
    return "[" * depth + "]" * depth


def deep_object(depth: int = DEPTH) -> str:
    """Return nested objects in JSON."""
    return '{"a":' * depth + "1" + "}" * depth


def _file(name: str, content: bytes | str) -> Kind:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


_ENDS = ("", ".yaml", ".onnx", ".png", ".json")


def _png(height: int = 40, width: int = 60) -> bytes:
    import cv2

    return cv2.imencode(".png", np.full((height, width, 3), 255, np.uint8))[1].tobytes()


def _noise(seed: str) -> bytes:
    return np.random.default_rng(list(seed.encode())).bytes(5000)


def _folder(**files: bytes | str) -> Kind:
    """A folder; in a name ``_`` stands for a dot and ``-`` for an underscore."""

    def write(folder: Path) -> Path:
        path = folder / "folder"
        path.mkdir()
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (path / name.replace("_", ".").replace("-", "_")).write_bytes(data)
        return path

    return write


def _pipe(name: str) -> Kind:
    def make(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return make


def _socket(folder: Path) -> Path:
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket is at most 108 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s.sock")
    finally:
        os.chdir(here)
    return folder / "s.sock"


def _link_to(target: str, name: str) -> Kind:
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    return make


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file" / "below"


def _unreadable(name: str, content: str = "x") -> Kind:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_text(content)
        path.chmod(0)
        return path

    return make


def _unreadable_folder(folder: Path) -> Path:
    path = folder / "closed"
    path.mkdir()
    (path / "a.png").write_bytes(_png())
    path.chmod(0)
    return path


def _unwritable_folder(folder: Path) -> Path:
    path = folder / "unwritable"
    path.mkdir(mode=0o555)
    return path


def _folder_with_unreadable(name: str) -> Kind:
    def make(folder: Path) -> Path:
        path = folder / "partly"
        path.mkdir()
        (path / "ok.png").write_bytes(_png())
        (path / name).write_text("[]")
        (path / name).chmod(0)
        return path

    return make


def _labels(content: str) -> Kind:
    return _folder(a_png=_png(), labels_json=content)


def _named(name: bytes) -> Kind:
    """A file of an odd name with useless content."""

    def write(folder: Path) -> str:
        path = os.fsencode(folder) + b"/" + name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.close(descriptor)
        return os.fsdecode(path)

    return write


def _constant(text: str) -> Kind:
    return lambda _: text


LABELS: Mapping[str, str] = {
    "labels nested": deep_json(),
    "labels nested objects": deep_object(),
    "labels nested polygon": f'[{{"file": "a.png", "boxes": [{{"polygon": {deep_json()}}}]}}]',
    "labels nested text": f'[{{"file": "a.png", "text": {deep_object()}}}]',
    "labels nested ignore": '[{"file": "a.png", "boxes": [{"polygon": [1,1,9,1,9,9,1,9], '
    f'"ignore": {deep_json()}}}]}}]',
    "labels nested too deep": deep_json(100_000),
    "labels huge int": f'[{{"file": "a.png", "boxes": [{{"polygon": [1{"0" * 400}]}}]}}]',
    "labels int of 5000 digits": "1" * 5000,
    "labels NaN": '[{"file": "a.png", "boxes": [{"polygon": [NaN,1,9,1,9,9,1,9]}]}]',
    "labels is an object": "{}",
    "labels of numbers": "[1, 2]",
    "labels empty list": "[]",
    "labels null": "null",
    "labels empty": "",
    "labels not UTF-8": "\udcff",
    "labels without file": '[{"boxes": []}]',
    "labels file is a number": '[{"file": 3, "text": "a"}]',
    "labels file is empty": '[{"file": "", "text": "a"}]',
    "labels file is a folder": '[{"file": ".", "text": "a"}]',
    "labels file is missing": '[{"file": "b.png", "text": "a"}]',
    "labels file is itself": '[{"file": "labels.json", "text": "a"}]',
    "labels file with NUL": r'[{"file": "a\u0000.png", "text": "a"}]',
    "labels file is a surrogate": r'[{"file": "\ud800.png", "text": "a"}]',
    "labels file of 5000 bytes": f'[{{"file": "{"x" * 5000}", "text": "a"}}]',
    "labels file outside": '[{"file": "../a.png", "text": "a"}]',
    "labels text is a list": '[{"file": "a.png", "text": ["a"]}]',
    "labels boxes is text": '[{"file": "a.png", "boxes": "a"}]',
    "labels polygon is null": '[{"file": "a.png", "boxes": [{"polygon": null}]}]',
    "labels polygon of objects": '[{"file": "a.png", "boxes": [{"polygon": [{}, {}]}]}]',
    "labels polygon of texts": '[{"file": "a.png", "boxes": [{"polygon": "12345678"}]}]',
    "labels polygon is a point": '[{"file": "a.png", "boxes": [{"polygon": '
    '[1,1,1,1,1,1,1,1], "text": "a"}]}]',
    "labels polygon far outside": '[{"file": "a.png", "boxes": [{"polygon": '
    '[1,1,90000,1,90000,9,1,9], "text": "a"}]}]',
    "labels without text": '[{"file": "a.png", "boxes": [{"polygon": [1,1,9,1,9,9,1,9]}]}]',
    "labels empty text": '[{"file": "a.png", "text": ""}]',
}
"""Contents of ``labels.json``."""


def _nested(folder: Path, name: str) -> Path:
    path = folder / "outer"
    (path / name).mkdir(parents=True)
    (path / "b.png").write_bytes(_png())
    return path


INPUTS: dict[str, Kind] = {
    "missing": lambda folder: folder / "missing",
    "missing .yaml": lambda folder: folder / "missing.yaml",
    "missing .onnx": lambda folder: folder / "missing.onnx",
    "empty text": _constant(""),
    "root": _constant("/"),
    "current folder": _constant("."),
    "null device": _constant("/dev/null"),
    "endless device": _constant("/dev/zero"),
    "/proc": _constant("/proc/self/nothing"),
    "home of nobody": _constant("~nobody/x"),
    "NUL": _constant("a\0b"),
    "too long": lambda folder: folder / ("x" * 300),
    "path too long": lambda folder: str(folder / "x") + "/x" * 3000,
    **{f"255 bytes {end}": _named(b"x" * (255 - len(end)) + end.encode()) for end in _ENDS},
    **{f"newline {end}": _named(b"a\nb" + end.encode()) for end in _ENDS},
    **{f"not UTF-8 {end}": _named(b"\xff" + end.encode()) for end in _ENDS},
    **{f"spaces {end}": _named(b" a b " + end.encode()) for end in _ENDS},
    **{f"pipe {end}": _pipe(f"pipe{end}") for end in _ENDS},
    **{f"endless {end}": _link_to("/dev/zero", f"endless{end}") for end in _ENDS},
    **{f"dangling {end}": _link_to("nowhere", f"dangling{end}") for end in _ENDS},
    **{f"link to itself {end}": _link_to(f"loop{end}", f"loop{end}") for end in _ENDS},
    **{f"unreadable {end}": _unreadable(f"closed{end}") for end in _ENDS},
    **{f"empty {end}": _file(f"empty{end}", b"") for end in _ENDS},
    **{f"noise {end}": _file(f"noise{end}", _noise(end)) for end in _ENDS},
    **{f"text {end}": _file(f"text{end}", "hello\n") for end in _ENDS},
    **{f"image {end}": _file(f"image{end}", _png()) for end in _ENDS},
    **{f"nested {end}": _file(f"deep{end}", deep_json()) for end in _ENDS},
    **{f"nested objects {end}": _file(f"deep{end}", deep_object()) for end in _ENDS},
    **{f"too nested {end}": _file(f"deep{end}", deep_json(100_000)) for end in _ENDS},
    "socket": _socket,
    "below a file": _below_a_file,
    "unreadable folder": _unreadable_folder,
    "file in an unreadable folder": lambda folder: _unreadable_folder(folder) / "a.yaml",
    "folder with an unreadable image": _folder_with_unreadable("a.png"),
    "folder with unreadable labels": _folder_with_unreadable("labels.json"),
    "empty folder": _folder(),
    "tiny image": _file("tiny.png", _png(1, 1)),
    "nested manifest": _folder(manifest_json=deep_json()),
    "nested manifest objects": _folder(manifest_json=deep_object()),
    "too nested manifest": _folder(manifest_json=deep_json(100_000)),
    "nested in manifest": _folder(
        manifest_json=f'{{"schema_version": 2, "spec": {deep_object(890)}}}'
    ),
    "manifest is a list": _folder(manifest_json="[]"),
    "manifest of nothing": _folder(manifest_json='{"schema_version": 2}'),
    "folder of noise images": _folder(a_png=b"\x89PNG" + b"x" * 50, b_jpg=b"\xff\xd8\xff" * 9),
    "folder of a folder named like an image": lambda folder: _nested(folder, "a.png"),
    "labels is a folder": lambda folder: _nested(folder, "labels.json"),
    "saved_model.pb of nothing": _folder(**{"saved-model_pb": b""}),
    "saved_model.pb of noise": _folder(**{"saved-model_pb": _noise("pb")}),
}
"""Inputs that no command can use, or not all commands."""

DATA: dict[str, Kind] = {
    name: _folder(a_png=_png(), labels_json=text.encode("utf-8", "surrogateescape"))
    for name, text in LABELS.items()
}
"""Folders of one image with odd labels."""

OUTPUTS: dict[str, Kind] = {
    "too long": lambda folder: folder / ("x" * 300),
    "newline": lambda folder: folder / "a\nb",
    "not UTF-8": lambda folder: os.fsdecode(os.fsencode(folder) + b"/\xff"),
    "NUL": lambda folder: f"{folder}/a\0b",
    "foreign file": _file("foreign", "the user's file\n"),
    "foreign .svg": _file("foreign.svg", "the user's file\n"),
    "foreign .json": _file("foreign.json", '{"a": 1}'),
    "foreign folder": _folder(a_txt="the user's file"),
    "pipe": _pipe("pipe"),
    "pipe .svg": _pipe("pipe.svg"),
    "link to a pipe": lambda folder: _link_to("pipe", "link")(_pipe("pipe")(folder).parent),
    "link to itself": _link_to("loop", "loop"),
    "dangling": _link_to("nowhere", "dangling"),
    "below a file": _below_a_file,
    "unwritable folder": _unwritable_folder,
    "below an unwritable folder": lambda folder: _unwritable_folder(folder) / "x",
    "file in an unwritable folder": lambda folder: _unwritable_folder(folder) / "x.svg",
}
"""Places that cannot be written, or hold what must not be replaced. All are below the folder:
a program of root could write any other."""

QUICK = (
    *("missing", "missing .yaml", "empty text", "root", "null device", "too long", "NUL"),
    *("newline .onnx", "not UTF-8 .png", "pipe .yaml", "pipe .onnx", "endless .json"),
    *("unreadable .yaml", "unreadable folder", "empty folder", "noise .onnx", "image .yaml"),
    *("nested .json", "nested .yaml", "nested manifest objects", "labels nested polygon"),
    *("labels text is a list", "labels file is a folder", "below a file", "foreign file"),
    *("foreign .json", "foreign folder", "link to a pipe", "unwritable folder", "dangling"),
)
"""Names of kinds that the quick tests use."""


class _Header(Structure):
    _fields_ = [("version", c_uint32), ("pid", c_uint32)]


class _Sets(Structure):
    _fields_ = [("effective", c_uint32), ("permitted", c_uint32), ("inheritable", c_uint32)]


_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def permissions_hold() -> Any:
    """Let permissions of files hold for root too, as CI in a container often runs as root."""
    header, sets, libc = _Header(_VERSION, 0), (_Sets * 2)(), CDLL(None)
    libc.capget(byref(header), sets)
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDES
    libc.capset(byref(header), sets)
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(byref(header), sets)
