"""Pairs of a detector and a recognizer, and which lines count as correct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocr_trt.bench import both_models as module
from ocr_trt.bench.both_models import ComparedModel, end_to_end
from ocr_trt.bench.results import ModelReport
from ocr_trt.bench.systems import System
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.engine import Engine
from ocr_trt.measure.detector_result import DetectorResult
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.pipeline.text_lines import TextLine
from ocr_trt.spec import DetectorSpec, RecognizerSpec


def measured(spec: DetectorSpec | RecognizerSpec, folder: Path, *kinds: str) -> ComparedModel:
    """Systems named "baseline" or by target and precision; detectors detect the labels."""

    def refuse(width: int) -> Any:
        raise AssertionError("nothing is run here")

    systems = tuple(
        System(
            engine=Engine(
                label="tf" if kind == "baseline" else f"{spec.name} {kind}", spec=spec,
                open_runner=refuse,
            ),
            kind="baseline" if kind == "baseline" else "engine",
        )
        for kind in kinds
    )  # fmt: skip
    scenes = load_dataset(folder).scenes
    boxes = DetectorResult(scenes=scenes, boxes=tuple(s.quads for s in scenes), matchings=())
    report = ModelReport(name=spec.name, role=spec.role, input_shape=(3, 64, 96), systems=())
    return ComparedModel(
        report=report, systems=systems, results=dict.fromkeys(range(len(kinds)), boxes)
    )


@pytest.fixture
def fixed_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline reads "" and all other systems read "WORD1"; nothing is timed."""

    def read(recognizer: Engine, image: Any, quads: Any, scores: Any) -> list[TextLine]:
        assert len(scores) == len(quads)
        if recognizer.label == "tf":
            return []
        return [TextLine(quad=q, text="WORD1", box_score=1.0, text_score=1.0) for q in quads]

    monkeypatch.setattr(module, "read_boxes", read)
    monkeypatch.setattr(module, "pipeline_speeds", lambda pairs, *_: [()] * len(pairs))


@pytest.mark.usefixtures("fixed_reading")
@pytest.mark.parametrize(
    ("finders", "readers", "pairs", "why"),
    [
        (["baseline", "a int8"], ["baseline", "a int8"], ["tf", "a int8"], "one of each"),
        (["a int8"], ["b fp32"], ["a int8 + b fp32"], "one engine of each, whatever they are"),
        (["a int8", "b int8"], ["b int8", "a int8"], ["a int8", "b int8"], "by their names"),
        (["a int8", "b int8"], ["a int8"], ["a int8"], "what has no partner is left out"),
        (["a int8", "b int8"], ["c int8"], None, "no pair at all"),
        (["baseline"], ["baseline"], None, "no engine"),
    ],
)
def test_engines_are_paired(
    finders: list[str],
    readers: list[str],
    pairs: list[str] | None,
    why: str,
    detector_spec: DetectorSpec,
    recognizer_spec: RecognizerSpec,
    images: Path,
) -> None:
    models = [
        measured(detector_spec, images, *finders),
        measured(recognizer_spec, images, *readers),
    ]
    compared = end_to_end(models, load_dataset(images), 0.01, SilentReporter(), [])
    assert (compared and [row.label for row in compared.systems]) == pairs, why
    two = [*models, models[0]]
    assert end_to_end(two, load_dataset(images), 0.01, SilentReporter(), []) is None, (
        "two detectors"
    )


@pytest.mark.usefixtures("fixed_reading")
def test_line_counts_if_its_text_is_correct(
    detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec, images: Path
) -> None:
    names = ("baseline", "a int8")
    models = [
        measured(detector_spec, images, *names),
        measured(recognizer_spec, images, *names),
    ]
    compared = end_to_end(models, load_dataset(images), 0.01, SilentReporter(), [])
    assert compared is not None
    baseline, engine = (row.accuracy for row in compared.systems)
    assert baseline is not None
    assert engine is not None
    assert (baseline.e2e_precision, baseline.e2e_recall, baseline.e2e_hmean) == (0, 0, 0)
    assert engine.e2e_hmean == pytest.approx(1 / 3)
    changes = compared.systems[1].changes
    assert changes is not None
    assert (changes.better, changes.worse) == (1, 2)
    assert changes.shown[-1].truth == "word1"
    assert changes.shown[-1].baseline == "- (0 of 1 read, 0 wrong)"
    assert changes.shown[-1].engine == "WORD1 (1 of 1 read, 0 wrong)"


def test_labels_without_texts_leave_a_note(
    detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec, images: Path
) -> None:
    labels = images / "labels.json"
    labels.write_text(labels.read_text().replace('"text"', '"other"'))
    models = [
        measured(detector_spec, images, "a int8"),
        measured(recognizer_spec, images, "a int8"),
    ]
    notes: list[str] = []
    assert end_to_end(models, load_dataset(images), 0.01, SilentReporter(), notes) is None
    assert "has a box with text" in notes[0]
