"""The search for the fastest precision in budget: which layers it gives back, and its choice."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ocr_trt.builder import build
from ocr_trt.builder.compare import is_within_budget
from ocr_trt.builder.search import search
from ocr_trt.builder.trial_log import TrialLog
from ocr_trt.builder.trials import Candidate, PrecisionTrial, TrialRecord, TrialRunner
from ocr_trt.calibration.calibrator import Calibrator, QuantizationSettings
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.manifest import OcrMetric
from ocr_trt.errors import OutputError
from ocr_trt.spec import DetectorSpec
from tests.builder.small_build import quick_request, small_spec, write_model

LAYERS = 8
"""Convolutions of the model; the six inner ones have equal work and may run in int8."""


def write_deep_model(path: Path) -> None:
    """Write a chain of 3x3 convolutions with 32 channels."""
    layer = "c{0} = Conv <pads = [1, 1, 1, 1]> (r{0}, w{0})\nr{1} = Relu(c{0})\n"
    nodes = "".join(layer.format(n, n + 1) for n in range(LAYERS))
    nodes = nodes.replace("(r0,", "(image,").replace(f"r{LAYERS} = Relu", "map = Sigmoid")
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,3,32,32] image) => (float[1,1,32,32] map) {{ {nodes} }}"""
    weights = {
        f"w{n}": (1 if n == LAYERS - 1 else 32, 3 if n == 0 else 32, 3, 3) for n in range(LAYERS)
    }
    write_model(path, text=text, weights=weights, scale=0.1)


@dataclass
class FakeRunner:
    """A trial runner whose candidates have given losses and times per int8 layer."""

    costs: dict[str, float]
    spec: DetectorSpec
    feeds: list[Any]
    can_time: bool = True
    int8_ms: float = 10.0
    gains: dict[str, float] = field(default_factory=dict)
    precisions: tuple[str, ...] = ("fp32", "int8")
    tried: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.target = SimpleNamespace(name="fake", precisions=self.precisions)
        self.reporter = SilentReporter()

    def measure(self, candidate: Candidate) -> PrecisionTrial:
        self.tried.append(candidate.label)
        lost = sum(cost for node, cost in self.costs.items() if self.has(candidate, node)) / 100
        metric = OcrMetric(
            name="hmean", engine=0.9 - lost, baseline=0.9, samples=1, labeled=True,
            engine_run_by="fake",
        )  # fmt: skip
        return PrecisionTrial(candidate=candidate, metric=metric, distance=lost)

    def has(self, candidate: Candidate, node: str) -> bool:
        return candidate.precision == "int8" and node not in candidate.quantized.exceptions

    def is_within(self, trial: PrecisionTrial) -> bool:
        return is_within_budget(trial.loss, self.spec)

    def timed(self, trials: list[PrecisionTrial]) -> list[PrecisionTrial]:
        if not self.can_time:
            return list(trials)
        return [replace(trial, latency=self.time(trial.candidate)) for trial in trials]

    def time(self, candidate: Candidate) -> float:
        gained = sum(ms for node, ms in self.gains.items() if self.has(candidate, node))
        return 20 - candidate.int8_share * (20 - self.int8_ms) - gained


@pytest.fixture(scope="module")
def calibrator(tmp_path_factory: pytest.TempPathFactory, shared_images: Path) -> Calibrator:
    """The calibrator of eight convolutions; all tests share what it observes on images."""
    folder = tmp_path_factory.mktemp("deep")
    spec = small_spec(folder, max_loss=0.5)
    write_deep_model(spec.source.path)
    graph = convert(open_source(spec.source), spec).model
    images = load_calibration(shared_images, spec)
    return Calibrator({spec.input.size: graph}, images, SilentReporter())


def fake_runner(calibrator: Calibrator, costs: dict[str, float], **change: Any) -> FakeRunner:
    spec, nodes = calibrator.images.spec, calibrator.ops()
    assert isinstance(spec, DetectorSpec)
    feeds = list(calibrator.batches())[:1]
    return FakeRunner(
        costs={**dict.fromkeys(nodes, 0.0), **costs}, spec=spec, feeds=feeds, **change
    )


def run(calibrator: Calibrator, runner: FakeRunner, **quantization: Any) -> Any:
    build_request = QuantizationSettings(precision="int8", method="minmax", **quantization)
    return search(runner, calibrator, build_request, ("minmax",))


def ranking(calibrator: Calibrator) -> list[str]:
    """Return the layers in the order in which the search gives them back; all have equal work."""
    choice = run(calibrator, fake_runner(calibrator, {}))
    nodes = [each.node for each in sorted(choice.sensitivities, key=lambda each: -each.alone)]
    assert len(nodes) == LAYERS - 2
    return nodes


def test_all_in_int8_if_that_is_within_budget(calibrator: Calibrator) -> None:
    runner = fake_runner(calibrator, {})
    choice = run(calibrator, runner)
    assert choice.chosen.precision == "int8"
    assert choice.chosen.excluded == ()
    assert {each.node for each in choice.sensitivities} == calibrator.ops()
    labels = [trial.candidate.label for trial in choice.trials]
    assert labels.count("int8, including the first and the last layer") == 1
    assert "fp32" in labels, "the plot shows what more float would cost"
    assert any("layers in float" in label for label in labels)


@pytest.mark.parametrize("rank", range(LAYERS - 3))
def test_one_layer_that_loses_too_much_is_returned_alone(rank: int, calibrator: Calibrator) -> None:
    guilty = ranking(calibrator)[rank]
    choice = run(calibrator, fake_runner(calibrator, {guilty: 2.0}))
    assert set(choice.chosen.excluded) == {guilty}, "others that were excluded with it came back"
    assert "to keep the metric within budget" in choice.chosen.quantized.exceptions[guilty]


def test_if_only_the_layer_that_ranks_last_loses_too_much_all_are_returned(
    calibrator: Calibrator,
) -> None:
    """Only giving back all layers is enough in this order, which is fp32."""
    *_, guilty = ranking(calibrator)
    choice = run(calibrator, fake_runner(calibrator, {guilty: 2.0}))
    assert choice.chosen.precision == "fp32"
    assert choice.chosen.excluded == ()
    tried = [trial.candidate for trial in choice.trials if trial.candidate.precision == "int8"]
    assert all(guilty not in candidate.excluded for candidate in tried)
    assert max(len(candidate.excluded) for candidate in tried) == LAYERS - 3
    assert "loses 0.00 points, 0.5 may be lost" in choice.reason


@pytest.mark.parametrize("edges", [0.0, 1.0], ids=["harmless", "over budget"])
def test_first_and_last_layer_are_in_int8_if_the_metric_holds(
    edges: float, calibrator: Calibrator
) -> None:
    first = calibrator.layers()[0]
    choice = run(calibrator, fake_runner(calibrator, {first: edges}, gains={first: 5.0}))
    assert (first in choice.chosen.quantized.exceptions) == bool(edges)


def test_of_equally_fast_candidates_the_nearest_to_float_is_chosen(calibrator: Calibrator) -> None:
    first = calibrator.layers()[0]
    gains = {**dict.fromkeys(calibrator.ops(), 1.0), first: 0.1}
    choice = run(calibrator, fake_runner(calibrator, {first: 0.1}, gains=gains, int8_ms=20.0))
    assert choice.chosen.precision == "int8"
    assert first in choice.chosen.quantized.exceptions
    assert "within 2 % of the fastest on fake" in choice.reason


def test_no_more_layers_are_returned_to_float_than_the_budget_needs(calibrator: Calibrator) -> None:
    nodes = sorted(calibrator.ops())
    choice = run(calibrator, fake_runner(calibrator, dict.fromkeys(nodes, 0.2)))  # budget: 0.5
    assert len(nodes) - len(choice.chosen.excluded) == 2


def test_fp32_if_nothing_else_is_within_budget(calibrator: Calibrator) -> None:
    nodes = sorted(calibrator.ops())
    choice = run(calibrator, fake_runner(calibrator, dict.fromkeys(nodes, 3.0)))
    assert choice.chosen.precision == "fp32"


def test_int8_that_is_not_faster_is_not_chosen(calibrator: Calibrator) -> None:
    choice = run(calibrator, fake_runner(calibrator, {}, int8_ms=22.0))
    assert choice.chosen.precision == "fp32"
    assert "int8 takes" in choice.reason
    assert "this engine 20.00 ms" in choice.reason


def test_bf16_is_tried_alone_and_beside_int8(calibrator: Calibrator) -> None:
    runner = fake_runner(calibrator, {}, precisions=("fp32", "bf16", "int8"))
    run(calibrator, runner)
    assert "bf16" in runner.tried
    assert runner.tried[-1] == "fp32", "the choice if nothing is within the budget"
    assert any(label.endswith("other ops in bf16") for label in runner.tried)
    without = fake_runner(calibrator, {})
    run(calibrator, without)
    assert not any("bf16" in label for label in without.tried)


def test_most_int8_is_chosen_if_the_target_cannot_run(calibrator: Calibrator) -> None:
    runner = fake_runner(
        calibrator, {}, can_time=False, precisions=("fp32", "bf16", "fp16", "int8")
    )
    choice = run(calibrator, runner, fallback="fp16")
    assert choice.chosen.precision == "int8"
    assert choice.chosen.excluded == ()
    assert not any("first and last" in trial.candidate.label for trial in choice.trials)
    assert "not timed here" in choice.reason
    labels = [trial.candidate.label for trial in choice.trials]
    assert "fp16" in labels
    assert "fp32" not in labels, "fp16 is within budget"


def test_search_is_the_same_each_time(calibrator: Calibrator) -> None:
    guilty = sorted(calibrator.ops())[1]
    runs = [fake_runner(calibrator, {guilty: 1.0}) for _ in range(2)]
    chosen = [run(calibrator, runner).chosen for runner in runs]
    assert runs[0].tried == runs[1].tried
    assert chosen[0].excluded == chosen[1].excluded


METRIC = OcrMetric(name="cer", engine=0.1, baseline=0.1, samples=3, labeled=True, engine_run_by="x")


def test_log_continues_after_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trials.jsonl"
    first = TrialLog(path, TrialRecord)
    assert first.get("a") is None
    first.add(TrialRecord(key="a", metric=METRIC, distance=0.5))
    first.add(TrialRecord(key="b", metric=None, distance=0.0))
    again = TrialLog(path, TrialRecord)
    assert again.get("a") == TrialRecord(key="a", metric=METRIC, distance=0.5)
    assert again.get("b") is not None
    again.remove()
    assert not path.exists()
    again.remove()


def test_damaged_lines_of_a_log_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    TrialLog(path, TrialRecord).add(TrialRecord(key="a", metric=None, distance=1.0))
    with path.open("ab") as file:
        file.write(b'{"key": "b", "metr\n[]\n' + b"[" * 100_000 + b"\n")
    assert TrialLog(path, TrialRecord).get("a") is not None
    assert TrialLog(path, TrialRecord).get("c") is None
    path.write_bytes(b"\xff\xfe\x00\n" + path.read_bytes() + b'{"key": "d", "me')
    log = TrialLog(path, TrialRecord)
    assert log.get("a") is not None, "a damaged byte costs one record"
    log.add(TrialRecord(key="e", metric=None, distance=2.0))
    assert TrialLog(path, TrialRecord).get("e") is not None, (
        "a record follows the beginning of another one"
    )
    path.write_text('{"key": "f", "metric": null, "distance": NaN}\n')
    assert TrialLog(path, TrialRecord).get("f") is None


def test_place_of_a_log_that_is_no_file(tmp_path: Path) -> None:
    path, other = tmp_path / "trials.jsonl", tmp_path / "notes"
    other.write_text("of the user\n")
    for make in (lambda: os.mkfifo(path), path.mkdir, lambda: path.symlink_to(other)):
        make()
        with pytest.raises(OutputError, match=r"trials\.jsonl: is "):
            TrialLog(path, TrialRecord)
        (path.rmdir if path.is_dir() else path.unlink)()
    assert other.read_text() == "of the user\n"


def test_an_interrupted_search_measures_nothing_twice(
    onnx_detector: DetectorSpec,
    shared_images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = quick_request(onnx_detector, shared_images, tmp_path, method="auto")
    opened: list[str] = []
    original = TrialRunner._open

    def counted(self: Any, candidate: Candidate) -> Any:
        opened.append(candidate.label)
        if len(opened) == 4:
            raise KeyboardInterrupt
        return original(self, candidate)

    monkeypatch.setattr(TrialRunner, "_open", counted)
    with pytest.raises(KeyboardInterrupt):
        build(request)
    logs = list(tmp_path.glob("*.trials.jsonl"))
    assert len(logs) == 1
    assert len(logs[0].read_text().splitlines()) == 3
    (result,) = build(request)
    assert result.error is None
    assert result.bundle is not None
    assert len(opened) == len(set(opened)) + 1, "only the one that was interrupted came twice"
    assert result.bundle.manifest.calibration is not None
    assert result.bundle.manifest.calibration.method != "auto"
    assert {path.name for path in tmp_path.iterdir()} == {result.folder.name}
    assert np.isclose(float(result.bundle.manifest.int8_share or 0), 0.9, atol=0.1)
