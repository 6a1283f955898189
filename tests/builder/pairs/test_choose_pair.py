"""The choice of a pair: which pairs are read, which are timed, and which one is chosen.

The engines are functions: bright pixels are text, and shades of gray are letters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from ocr_trt.builder.pairs.built_variants import BuiltVariant
from ocr_trt.builder.pairs.choose_pair import PairChoice, choose_pair, pair_timer
from ocr_trt.builder.pairs.model_trials import ModelTrial, OwnAccuracy
from ocr_trt.builder.pairs.open_variants import OpenVariant
from ocr_trt.builder.pairs.pair_reader import Criterion, PairReader, screened
from ocr_trt.builder.pairs.pair_verdict import PairVerdict
from ocr_trt.builder.pairs.pairs import Pair, default_pair, left_out_pairs, model_front
from ocr_trt.builder.pairs.variants import Variant
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import OcrMetric
from ocr_trt.errors import BudgetError, SpecError
from ocr_trt.ocr.dataset import Dataset, load_dataset
from ocr_trt.ocr.metrics.metric import RoleMetric
from tests.pipeline.functions import (
    Function,
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)

ROWS = 10
"""Images of the folder; an image has one line."""


@pytest.fixture
def samples(tmp_path: Path) -> Dataset:
    """Images with one bright line each, labeled "c"."""
    rows = []
    for number in range(ROWS):
        image = np.zeros((64, 64, 3), np.uint8)
        image[4:12, 4:20] = 200 + number
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        rows.append(
            {"file": f"{number}.png",
             "boxes": [{"polygon": [4, 4, 20, 4, 20, 12, 4, 12], "text": "c"}]}
        )  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(rows))
    return load_dataset(tmp_path)


def wrong_from(limit: int) -> Function:
    """Return a recognizer that reads "a" where a line is as bright as ``limit`` or brighter."""

    def read(feed: np.ndarray) -> np.ndarray:
        return brightness_as_letter(np.where(feed.max((1, 2, 3), keepdims=True) >= limit, 0, feed))

    return read


def first_wrong(feed: np.ndarray) -> np.ndarray:
    """Read "a" where a line has the brightness of the first image."""
    top = feed.max((1, 2, 3), keepdims=True)
    return brightness_as_letter(np.where(np.round(top) == 200, 0, feed))


def blind(feed: np.ndarray) -> np.ndarray:
    """A detector that finds nothing."""
    return np.zeros_like(bright_is_text(feed))


def trial(
    way: str, function: Function, milliseconds: float, *, loss: float = 0.0, inputs: str = ""
) -> ModelTrial:
    """A variant with a given time; a detector if its function is one of a detector."""
    is_detector = function in (bright_is_text, blind)
    spec = detector_spec() if is_detector else recognizer_spec()
    name: RoleMetric = "hmean" if is_detector else "cer"
    sign = 1 if is_detector else -1
    metric = OcrMetric(
        name=name, engine=0.5 - sign * loss / 100, baseline=0.5, samples=ROWS, labeled=True,
        engine_run_by="function",
    )  # fmt: skip
    # Only its way and its inputs are read here.
    variant = Variant(way=way, request=cast(Any, SimpleNamespace(spec=spec)), inputs=inputs)
    built = BuiltVariant(variant=variant, bundle=cast(Any, None))
    return ModelTrial(
        open=OpenVariant(built=built, engine=engine(spec, function)[0]),
        accuracy=OwnAccuracy(metric=metric, agreement=metric),
        milliseconds=milliseconds,
        lines=1.0 if is_detector else 0.0,
    )


class Times:
    """Returns the predicted time of each pair, or another one that a test gives."""

    def __init__(self, **other: float) -> None:
        self.timed: list[str] = []
        self._other = other

    def __call__(self, pairs: Sequence[Pair]) -> tuple[dict[Pair, float], float]:
        self.timed = [pair.label for pair in pairs]
        times = {each: self._other.get(each.recognizer.label, each.predicted) for each in pairs}
        return times, 100.0


def reader_of(samples: Dataset, budget: float) -> PairReader:
    models = (
        engine(detector_spec(), bright_is_text)[0],
        engine(recognizer_spec(), brightness_as_letter)[0],
    )
    return PairReader(models, samples, Criterion(budget=budget), SilentReporter())


@dataclass(frozen=True)
class Outcome:
    """A choice, the verdicts of all pairs that were read, and what passed the screen."""

    choice: PairChoice
    verdicts: dict[str, PairVerdict]
    kept: list[OpenVariant]
    timed: list[str]

    @property
    def chosen(self) -> str:
        return self.choice.chosen.label


def choose(
    recognizers: Sequence[ModelTrial],
    reader: PairReader,
    *,
    detectors: Sequence[ModelTrial] = (),
    times: Times | None = None,
) -> Outcome:
    """Screen variants and choose a pair, as the command does. ``detectors``: besides the exact."""
    finders, timer = [trial("fp32", bright_is_text, 10.0), *detectors], times or Times()
    kept = screened([each.open for each in finders], [each.open for each in recognizers], reader)
    fronts = (
        [each for each in finders if each.open in kept[0]],
        [each for each in recognizers if each.open in kept[1]],
    )
    left_out = left_out_pairs((finders, recognizers), kept)
    choice = choose_pair(fronts, default_pair(finders, recognizers), reader, timer, left_out)
    verdicts = {
        f"{one.label} + {other.label}": verdict for (one, other), verdict in reader.verdicts.items()
    }
    return Outcome(choice, verdicts, [*kept[0], *kept[1]], timer.timed)


def test_fastest_pair_within_the_budget_is_chosen(samples: Dataset) -> None:
    exact, equal = trial("fp32", brightness_as_letter, 9.0), trial("int8", wrong_from(999), 2.0)
    wrong = trial("bf16", wrong_from(205), 1.0)
    choice = choose([exact, equal, wrong], reader_of(samples, 1.0))
    assert choice.chosen == "fp32 + int8"
    assert wrong.open not in choice.kept, "it reads half of the lines wrong"
    verdicts = choice.verdicts
    assert verdicts["fp32 + bf16"].verdict == "over"
    assert verdicts["fp32 + bf16"].loss == pytest.approx(50.0)
    assert verdicts["fp32 + int8"].verdict == "shown"
    assert verdicts["fp32 + int8"].agreement == 1.0
    assert choice.timed == ["fp32 + int8", "fp32 + fp32"], "not the one over the budget"
    labels = ["fp32 + bf16", "fp32 + int8", "fp32 + fp32"]
    assert [pair.label for pair in choice.choice.pairs] == labels, "also what the screen left out"
    assert choice.choice.pairs[1].predicted == pytest.approx(12.0)


def test_measured_time_decides_and_equal_ones_by_loss(samples: Dataset) -> None:
    exact, equal = trial("fp32", brightness_as_letter, 9.0), trial("int8", wrong_from(999), 2.0)
    slower = choose([exact, equal], reader_of(samples, 1), times=Times(int8=50.0, fp32=20.0))
    assert slower.chosen == "fp32 + fp32", "predictions only select what is timed"
    # One of ten lines is wrong, which a budget of 40 points allows.
    one_wrong = trial("int8", wrong_from(209), 2.0)
    close = choose([exact, one_wrong], reader_of(samples, 40), times=Times(int8=19.8, fp32=20.0))
    assert close.chosen == "fp32 + fp32", "within 2 %, the one that loses less"


def test_default_pair_is_chosen_if_it_is_faster_than_predicted(samples: Dataset) -> None:
    finder = trial("int8", bright_is_text, 1.0)
    recognizers = [
        trial("fp32", brightness_as_letter, 9.0),
        trial("int8", brightness_as_letter, 3.0),
        trial("int8", brightness_as_letter, 2.0, inputs="widths"),
    ]
    fast, slow = Times(int8=1.0), Times(int8=30.0)
    choice = choose(recognizers, reader_of(samples, 1), detectors=[finder], times=fast)
    assert "int8 + int8" in choice.timed, "it is not on the front, but compared"
    assert choice.chosen == "int8 + int8"
    choice = choose(recognizers, reader_of(samples, 1), detectors=[finder], times=slow)
    assert choice.chosen == "int8 + int8, widths"


def test_agreement_decides_what_the_labels_cannot(samples: Dataset) -> None:
    exact, one_wrong = trial("fp32", brightness_as_letter, 9.0), trial("int8", wrong_from(209), 2.0)
    choice = choose([exact, one_wrong], reader_of(samples, 15))
    verdict = choice.verdicts["fp32 + int8"]
    assert verdict.loss == pytest.approx(10.0)
    assert verdict.interval is not None
    assert verdict.interval.high > 15, "one of ten lines may be three of ten in other images"
    assert verdict.verdict == "agrees", "a tenth of the lines differs, which is within 15 points"
    assert choice.chosen == "fp32 + int8"


def test_unsure_pairs_are_accepted_on_request(samples: Dataset) -> None:
    # The models themselves read one line wrong that the variant reads right, and the other way
    # around: no loss, but two of ten lines differ.
    exact = trial("fp32", wrong_from(209), 9.0)
    other = trial("int8", first_wrong, 2.0)
    for accepts, label in ((False, "fp32 + fp32"), (True, "fp32 + int8")):
        reader = PairReader(
            (engine(detector_spec(), bright_is_text)[0],
             engine(recognizer_spec(), wrong_from(209))[0]),
            samples, Criterion(budget=5.0, accepts_unsure=accepts), SilentReporter(),
        )  # fmt: skip
        choice = choose([exact, other], reader)
        assert choice.chosen == label
        verdict = choice.verdicts["fp32 + int8"]
        assert verdict.verdict == "unsure"
        assert verdict.loss == pytest.approx(0.0)
        assert verdict.agreement == pytest.approx(0.8)
        assert verdict.images_needed is not None
        assert verdict.images_needed > ROWS


def test_no_pair_within_the_budget_names_the_nearest(samples: Dataset) -> None:
    exact, worse = trial("fp32", wrong_from(208), 9.0), trial("int8", wrong_from(202), 2.0)
    with pytest.raises(BudgetError) as raised:
        choose([exact, worse], reader_of(samples, 1.5))
    text = str(raised.value)
    for fact in (
        "1.5 points",
        "fp32 + fp32",
        "20.00",
        "80.00 against 100.00",
        "--budget 20 or more",
    ):
        assert fact in text
    assert "--accept-unsure" not in text, "the loss is certain"
    assert raised.value.exit_code == 4


def test_models_that_read_nothing_are_refused(samples: Dataset) -> None:
    models = (engine(detector_spec(), blind)[0], engine(recognizer_spec(), brightness_as_letter)[0])
    with pytest.raises(SpecError, match=r"hmean 0\.00"):
        PairReader(models, samples, Criterion(budget=1.0), SilentReporter())
    PairReader(models, samples, Criterion(budget=100.0), SilentReporter())


def test_detector_over_the_budget_is_not_paired(samples: Dataset) -> None:
    finder = trial("int8", blind, 1.0)
    recognizers = [
        trial("fp32", brightness_as_letter, 9.0),
        trial("int8", brightness_as_letter, 2.0),
    ]
    choice = choose(recognizers, reader_of(samples, 1), detectors=[finder])
    assert finder.open not in choice.kept
    assert choice.chosen == "fp32 + int8"
    assert {pair.label for pair in choice.choice.pairs} == {
        "fp32 + fp32",
        "fp32 + int8",
        "int8 + fp32",  # the one pair that the screen read with it
        "int8 + int8",
    }, "the default pair is over the budget, but it is read and timed for comparison"
    assert "int8 + fp32" not in choice.timed
    assert choice.verdicts["int8 + int8"].verdict == "over"
    assert "int8 + int8" in choice.timed


def test_pairs_slower_than_those_within_the_budget_are_not_read(samples: Dataset) -> None:
    recognizers = [trial("fp32", brightness_as_letter, 9.0)] + [
        trial("int8", brightness_as_letter, 1.0 + number, inputs=f"widths {number}")
        for number in range(3)
    ]
    finders = [
        trial("int8", bright_is_text, 1.0 + number, inputs=f"input {number}") for number in range(3)
    ]
    choice = choose(recognizers, reader_of(samples, 1), detectors=finders)
    assert choice.chosen == "int8, input 0 + int8, widths 0"
    pairs = choice.choice.pairs
    assert len(pairs) == 16
    unread = [pair for pair in pairs if pair.label not in choice.verdicts]
    assert len(unread) == 16 - 7 - 4, "7 of the screen, and the fastest 4"
    assert min(each.predicted for each in unread) >= max(each.predicted for each in pairs[:4])


def test_exact_variant_stays_on_the_front() -> None:
    exact = trial("fp32", brightness_as_letter, 9.0, loss=0.0)
    better, beaten = (
        trial("int8", brightness_as_letter, 2.0, loss=-0.5),
        trial("bf16", brightness_as_letter, 3.0, loss=0.1),
    )
    assert model_front([exact, better, beaten]) == [exact, better]


def test_unlabeled_images_are_judged_by_agreement(samples: Dataset) -> None:
    scenes = tuple(
        replace(scene, quads=np.zeros((0, 4, 2), np.float32), texts=(), ignore=())
        for scene in samples.scenes
    )
    unlabeled = replace(samples, scenes=scenes, crops=(), labeled=False)
    exact, one_wrong = trial("fp32", brightness_as_letter, 9.0), trial("int8", wrong_from(209), 2.0)
    choice = choose([exact, one_wrong], reader_of(unlabeled, 5))
    verdicts = choice.verdicts
    assert choice.chosen == "fp32 + fp32"
    assert verdicts["fp32 + fp32"].verdict == "agrees"
    assert (verdicts["fp32 + int8"].verdict, verdicts["fp32 + int8"].baseline) == ("over", 1.0)
    assert verdicts["fp32 + int8"].loss == pytest.approx(10.0)
    assert choose([exact, one_wrong], reader_of(unlabeled, 10)).chosen == "fp32 + int8"


def test_whole_pipelines_are_timed(samples: Dataset) -> None:
    models: tuple[Engine, Engine] = (
        engine(detector_spec(), bright_is_text)[0],
        engine(recognizer_spec(), brightness_as_letter)[0],
    )
    pair = Pair(
        detector=trial("fp32", bright_is_text, 1.0),
        recognizer=trial("int8", brightness_as_letter, 1.0),
    )
    files = [scene.image for scene in samples.scenes]
    times, baseline = pair_timer(models, files, 0.01, SilentReporter())([pair])
    assert list(times) == [pair]
    assert 0 < times[pair] < 1000
    assert 0 < baseline < 1000
