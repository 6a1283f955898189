"""Every command with every kind of bad input: one clear error, the exit code, nothing left behind.

The quick tests use some kinds of ``bad_inputs.py``, the full tests all of them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.cli.bad_inputs import DATA, INPUTS, OUTPUTS, QUICK, Kind, permissions_hold
from tests.cli.in_process import run

FAST = ("--duration", "0.01")
ORT = ("--target", "onnxruntime", "--precision", "fp32", *FAST)
Line = Callable[["Good", object, Path], tuple[object, ...]]
"""Returns a command line, given good inputs, the bad argument, and an empty folder for outputs."""


class Good:
    """Inputs that work."""

    def __init__(self, specs: dict[str, Path], bundles: dict[str, Path], images: Path) -> None:
        self.detector_spec, self.recognizer_spec = specs["detector"], specs["recognizer"]
        self.recognizer_model = specs["recognizer"].with_suffix(".onnx")
        self.detector, self.recognizer = bundles["detector"], bundles["recognizer"]
        self.images = images
        self.engines = ("--detector", self.detector, "--recognizer", self.recognizer)

    def kinds(self) -> dict[str, Kind]:
        """Good inputs in wrong places: a bundle where a spec is expected, and the reverse."""
        return {
            "a spec": lambda _: self.detector_spec,
            "a bundle": lambda _: self.detector,
            "a bundle by a relative link": self._link,
            "a model": lambda _: self.recognizer_model,
            "images": lambda _: self.images,
        }

    def _link(self, folder: Path) -> Path:
        (folder / "link").symlink_to(os.path.relpath(self.recognizer, folder))
        return folder / "link"


MODELS: dict[str, Line] = {
    "init": lambda g, x, out: ("init", x, "--role", "detector", "--output", out / "s.yaml"),
    "init --charset": lambda g, x, out: (
        *("init", g.recognizer_model, "--role", "recognizer", "--input", "image:1x1x32x64"),
        *("--charset", x, "--output", out / "s.yaml"),
    ),
    "init --constant": lambda g, x, out: (
        *("init", g.recognizer_model, "--role", "recognizer", "--input", "image:1x1x32x64"),
        *("--constant", f"image={x}.npy", "--output", out / "s.yaml"),
    ),
    "inspect": lambda g, x, out: ("inspect", x),
    "inspect --detector": lambda g, x, out: (
        *("inspect", g.recognizer_spec, "--calibration", g.images, "--detector", x),
    ),
    "build": lambda g, x, out: ("build", x, *ORT, "--output", out / "b"),
    "build --role": lambda g, x, out: (
        *("build", x, "--role", "detector", *ORT, "--output", out / "b"),
    ),
    "build --ranges": lambda g, x, out: (
        *("build", g.detector_spec, "--target", "onnxruntime", *FAST, "--calibration"),
        *(g.images, "--ranges", x, "--output", out / "b"),
    ),
    "optimize": lambda g, x, out: ("optimize", g.recognizer_spec, x),
    "optimize one": lambda g, x, out: ("optimize", x, "--max-widths", "1"),
    "optimize --detector": lambda g, x, out: (
        *("optimize", g.recognizer_spec, "--max-widths", "1", "--step", "32"),
        *("--data", g.images, "--detector", x),
    ),
    "bench": lambda g, x, out: ("bench", x, *FAST),
    "bench --baseline": lambda g, x, out: (
        *("bench", g.detector, *FAST, "--fail-on", "speedup<0.01x", "--baseline", x),
    ),
    "run": lambda g, x, out: ("run", x, *g.engines),
    "run --detector": lambda g, x, out: (
        *("run", g.images, "--detector", x, "--recognizer", g.recognizer),
    ),
    "run --recognizer": lambda g, x, out: (
        *("run", g.images, "--detector", g.detector, "--recognizer", x),
    ),
    "debug": lambda g, x, out: ("debug", x, "--data", g.images),
    "debug --against": lambda g, x, out: (
        *("debug", g.detector, "--data", g.images, "--against", x),
    ),
    "debug --sample": lambda g, x, out: ("debug", g.detector, "--data", g.images, "--sample", x),
    "bundle show": lambda g, x, out: ("bundle", "show", x),
    "bundle verify": lambda g, x, out: ("bundle", "verify", x),
    "bundle diff": lambda g, x, out: ("bundle", "diff", g.detector, x),
    "bundle layers": lambda g, x, out: ("bundle", "layers", x),
    "schema": lambda g, x, out: ("schema", x),
    "train": lambda g, x, out: ("train", x, "--output", out / "t"),
}
"""Places of files and bundles."""

FOLDERS: dict[str, Line] = {
    "inspect --calibration": lambda g, x, out: ("inspect", g.detector_spec, "--calibration", x),
    "build --data": lambda g, x, out: (
        *("build", g.detector_spec, *ORT, "--data", x, "--output", out / "b"),
    ),
    "build --data of a recognizer": lambda g, x, out: (
        *("build", g.recognizer_spec, *ORT, "--data", x, "--output", out / "b"),
    ),
    "build --calibration": lambda g, x, out: (
        *("build", g.detector_spec, "--target", "onnxruntime", *FAST, "--calibration", x),
        *("--skip-bad", "--output", out / "b"),
    ),
    "optimize --data": lambda g, x, out: (
        *("optimize", g.recognizer_spec, "--max-widths", "1", "--step", "32", "--data", x),
    ),
    "bench --data": lambda g, x, out: ("bench", g.detector, g.recognizer, *FAST, "--data", x),
    "debug --data": lambda g, x, out: ("debug", g.detector, "--data", x),
    "debug --data of a recognizer": lambda g, x, out: ("debug", g.recognizer, "--data", x),
}
"""Places of folders of images."""

RESULTS: dict[str, Line] = {
    "init --output": lambda g, x, out: (
        *("init", g.recognizer_model, "--role", "recognizer", "--input", "image:1x1x32x64"),
        *("--output", x),
    ),
    "inspect --ranges": lambda g, x, out: (
        *("inspect", g.detector_spec, "--calibration", g.images, "--ranges", x),
    ),
    "build --output": lambda g, x, out: ("build", g.detector_spec, *ORT, "--output", x),
    "build --ranges": lambda g, x, out: (
        *("build", g.detector_spec, "--target", "onnxruntime", *FAST, "--method", "minmax"),
        *("--calibration", g.images, "--ranges", x, "--output", out / "b"),
    ),
    "optimize --draw": lambda g, x, out: (
        *("optimize", g.recognizer_spec, "--max-widths", "1", "--step", "32"),
        *("--data", g.images, "--draw", x),
    ),
    "bench --report": lambda g, x, out: ("bench", g.detector, *FAST, "--report", x),
    "run --draw": lambda g, x, out: ("run", g.images / "0.png", *g.engines, "--draw", x),
    "debug --output": lambda g, x, out: (
        *("debug", g.detector, "--data", g.images, "--output", x),
    ),
    "plugins --output": lambda g, x, out: ("plugins", "list", "--output", x),
}
"""Places of results."""


@pytest.fixture(scope="module")
def good(spec_files: dict[str, Path], bundles: dict[str, Path], shared_images: Path) -> Good:
    return Good(spec_files, bundles, shared_images)


def state(folder: Path) -> dict[str, object]:
    """Return type and content of everything below a folder."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        is_read = stat.S_ISREG(mode) and mode & 0o400
        found[str(path)] = (stat.S_IFMT(mode), path.read_bytes() if is_read else None)
    return found


def attack(good: Good, line: Line, kind: Kind, folder: Path, *, is_output: bool) -> str:
    """Run a command with a bad argument; return what is wrong with its answer, or ""."""
    inside, out, work = (folder / name for name in ("inside", "out", "work"))
    for each in (inside, out, work):
        each.mkdir(parents=True)
    bad = kind(inside)
    # A program of root would replace anything: results stay below the folder of the test.
    assert not is_output or str(bad).startswith(f"{inside}/")
    before = state(inside)
    with permissions_hold():
        done = run(*line(good, bad, out), cwd=work)
    errors = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    wrong = ""
    if "internal error" in done.stderr or "Traceback" in done.stderr + done.stdout:
        wrong = done.stderr
    elif done.code not in (0, 2, 3):
        wrong = f"exit code {done.code}: {done.stderr}"
    elif done.code and (not errors or (len(errors) > 1 and line is not MODELS["run"])):
        wrong = f"{len(errors)} errors: {done.stderr}"
    elif not done.stderr.isascii() and not done.stderr.isprintable():
        wrong = f"control characters: {done.stderr!r}"
    elif any(path.name.startswith(".ocr-trt-") for path in folder.rglob("*")):
        wrong = "scratch is left"
    elif changed := [name for name, value in before.items() if state(inside).get(name) != value]:
        wrong = f"changed {changed}"
    return wrong


def check(
    good: Good, line: Line, kinds: Mapping[str, Kind], folder: Path, *, is_output: bool = False
) -> None:
    """Run a command with bad arguments of several kinds; all answers must be right."""
    wrong = {}
    for number, (name, kind) in enumerate(kinds.items()):
        if line is MODELS["run"] and name.startswith("pipe"):
            continue  # an image may come from a pipe, and this one has no writer
        place = folder / str(number)
        try:
            wrong[name] = attack(good, line, kind, place, is_output=is_output)
        finally:
            for path in [place, *place.rglob("*")]:
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)
            shutil.rmtree(place)
    found = {name: text for name, text in wrong.items() if text}
    assert not found, found


def quick(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    return {name: kind for name, kind in kinds.items() if name in QUICK}


@pytest.mark.parametrize("place", MODELS)
def test_files_and_bundles(place: str, good: Good, tmp_path: Path) -> None:
    check(good, MODELS[place], {**quick(INPUTS), **good.kinds()}, tmp_path)


@pytest.mark.parametrize("place", FOLDERS)
def test_folders_of_images(place: str, good: Good, tmp_path: Path) -> None:
    check(good, FOLDERS[place], quick({**INPUTS, **DATA}), tmp_path)


@pytest.mark.parametrize("place", RESULTS)
def test_results(place: str, good: Good, tmp_path: Path) -> None:
    check(good, RESULTS[place], quick(OUTPUTS), tmp_path, is_output=True)


@pytest.mark.full
@pytest.mark.parametrize("place", MODELS)
def test_all_files_and_bundles(place: str, good: Good, tmp_path: Path) -> None:
    check(good, MODELS[place], INPUTS, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("place", FOLDERS)
def test_all_folders_of_images(place: str, good: Good, tmp_path: Path) -> None:
    check(good, FOLDERS[place], {**INPUTS, **DATA, **good.kinds()}, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("place", RESULTS)
def test_all_results(place: str, good: Good, tmp_path: Path) -> None:
    check(good, RESULTS[place], OUTPUTS, tmp_path, is_output=True)
