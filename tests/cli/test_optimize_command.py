"""``ocr-trt optimize``: input widths of a spec, streams and threads of bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.tuned import Tuning, save_tuning, saved_tuning
from tests.cli.in_process import fails, run, succeeds


def test_widths_are_chosen_and_drawn(
    spec_files: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    command = ["optimize", spec_files["recognizer"], "--data", images, "--max-widths", "2"]
    text = succeeds(*command, "--draw", tmp_path / "b.svg")
    assert re.search(r"^buckets: \[[\d, ]*\]", text, re.M)
    assert (tmp_path / "b.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("role", "options", "facts"),
    [
        ("recognizer", [], ["--data DIR"]),
        ("detector", ["--data", "images"], ["detector", "only recognizers"]),
        ("recognizer", ["--data", "images", "--step", "60"], ["60", "half", "64"]),
        ("recognizer", ["--data", "images", "--draw", "b.png"], ["b.png", ".svg"]),
    ],
)
def test_wrong_options_are_refused(
    role: str, options: list[str], facts: list[str], spec_files: dict[str, Path], images: Path
) -> None:
    done = run("optimize", spec_files[role], *options, cwd=images.parent)
    fails(done, 2, *facts)


def test_options_of_specs_are_refused_for_bundles(
    spec_files: dict[str, Path], bundles: dict[str, Path], images: Path
) -> None:
    mixed = (spec_files["recognizer"], bundles["detector"])
    fails(run("optimize", *mixed, "--data", images), 2, "only bundles or only specs")
    fails(
        run("optimize", bundles["detector"], "--data", images),
        2,
        "--data",
        "need a recognizer's spec",
    )


def test_streams_are_measured_and_used(
    bundles: dict[str, Path],
    engines: tuple[object, ...],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = json.loads(succeeds("optimize", bundles["detector"], "--json"))
    assert list(result) == [str(bundles["detector"])]
    (each,) = result.values()
    tuning, bundle = each["tuning"], load_bundle(bundles["detector"])
    assert Path(each["kept"]).is_file()
    assert saved_tuning(bundle) == Tuning.model_validate(tuning)
    for mode in ("latency", "throughput"):
        tried = [trial for trial in each["trials"] if trial["mode"] == mode]
        assert tuning[mode] in [trial["choice"] for trial in tried]
        assert all(trial["milliseconds"] > 0 for trial in tried)
    three = {"streams": 3, "threads": 3}
    save_tuning(bundle, Tuning.model_validate({**tuning, "throughput": three}))
    alone = json.loads(succeeds("run", images, *engines, "--workers", "1", "--json"))
    together = json.loads(succeeds("run", images, *engines, "--json"))
    for each in (*alone, *together):
        del each["seconds"]
    assert together == alone
    with Engine.from_bundle(bundle, mode="throughput") as engine:
        assert engine.runner().streams == 3
