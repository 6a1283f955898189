"""Comparisons of bundles with their models: the systems, their labels and their results."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.bench.compare_bundles import Extras, compare
from ocr_trt.bench.systems import engine_system, grouped, labels_of
from ocr_trt.builder import BuildRequest, build
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow import competitors
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.measure.load import LoadSettings
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec, RecognizerSpec

pytest.importorskip("tensorflow")

COMPETITORS = Extras(competitors=True)
QUICK = LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3)


def built(spec: DetectorSpec | RecognizerSpec, output: Path, target: str = "onnxruntime") -> Bundle:
    request = BuildRequest(
        spec=spec, targets=(target,), precision="fp32", output=output, latency=QUICK
    )
    return load_bundle(build(request)[0].folder)


def copied(bundle: Bundle, folder: Path) -> Bundle:
    """Return a copy of a bundle in another folder."""
    return load_bundle(Path(shutil.copytree(bundle.folder, folder)))


@pytest.fixture(scope="module")
def detector(detector_spec: DetectorSpec, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An fp32 bundle for onnxruntime, which tests only read."""
    return built(detector_spec, tmp_path_factory.mktemp("detectors"))


@pytest.fixture(scope="module")
def recognizer(recognizer_spec: RecognizerSpec, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An fp32 bundle for onnxruntime, which tests only read."""
    return built(recognizer_spec, tmp_path_factory.mktemp("recognizers"))


@pytest.fixture
def onnx_bundle(build_request: BuildRequest) -> Bundle:
    """An fp32 bundle of three convolutions, whose model is an ONNX file."""
    spec = build_request.spec
    assert isinstance(spec, DetectorSpec)
    return built(spec, build_request.output)


def test_without_labels_agreement_with_the_model_is_measured(
    recognizer: Bundle, images: Path
) -> None:
    (images / "labels.json").unlink()
    (model,) = compare([recognizer], load_dataset(images), QUICK, SilentReporter()).models
    assert model.accuracy_against == "model"
    baseline, reference, engine = model.systems
    assert reference.accuracy is None
    for row in (baseline, engine):
        assert row.accuracy is not None
        assert (row.accuracy.cer, row.accuracy.loose_word_accuracy) == (0.0, None)
    assert [(d.measure, d.value) for d in engine.differences] == [
        ("cer", 0.0), ("word_accuracy", 0.0),
    ]  # fmt: skip
    assert engine.changes is not None
    assert (engine.changes.changed, engine.changes.samples) == (0, 3)
    assert (baseline.changes, baseline.differences) == (None, ())
    assert [sum(row.samples for row in table.strata) for table in model.breakdowns] == [3] * 3
    assert model.worst == ()


def test_missing_labels_and_model_leave_a_note(onnx_bundle: Bundle, images: Path) -> None:
    (images / "labels.json").unlink()
    onnx_bundle.spec.source.path.unlink()
    report = compare([onnx_bundle], load_dataset(images), QUICK, SilentReporter())
    assert report.models[0].systems[0].accuracy is None
    assert any("no baseline" in note for note in report.notes)
    assert any("has no labels, and the model is not available" in n for n in report.notes)


def test_equal_labels_get_the_path_and_other_input_sizes_are_another_group(
    onnx_bundle: Bundle,
) -> None:
    folder = onnx_bundle.folder
    again = copied(onnx_bundle, folder.with_name("again"))
    manifest = onnx_bundle.manifest
    narrow_spec = manifest.spec.model_copy(
        update={"input": manifest.spec.input.model_copy(update={"max_batch": 2})}
    )
    narrow = replace(onnx_bundle, manifest=manifest.model_copy(update={"spec": narrow_spec}))
    groups = grouped([onnx_bundle, narrow, again])
    assert [[bundle.folder for bundle in group] for group in groups] == [
        [folder, again.folder], [folder],
    ]  # fmt: skip
    name = "m onnxruntime fp32"
    assert labels_of(groups[0]) == [f"{name} ({bundle.folder})" for bundle in groups[0]]
    assert labels_of(groups[1]) == [name]
    (model,) = compare(groups[0], None, QUICK, SilentReporter()).models
    assert [row.label for row in model.engines] == labels_of(groups[0])


def test_source_may_be_a_link(build_request: BuildRequest) -> None:
    link = build_request.output.parent / "latest.onnx"
    link.symlink_to(build_request.spec.source.path)
    source = build_request.spec.source.model_copy(update={"path": link})
    spec = build_request.spec.model_copy(update={"source": source})
    report = compare([built(spec, build_request.output)], None, QUICK, SilentReporter())
    assert report.notes == ()
    assert [row.kind for row in report.models[0].systems] == ["baseline", "reference", "engine"]


def test_detector_and_recognizer_are_compared_together(
    detector: Bundle, recognizer: Bundle, images: Path
) -> None:
    report = compare([detector, recognizer], load_dataset(images), QUICK, SilentReporter())
    both = report.end_to_end
    assert both is not None
    assert both.name == "small-detector + small-recognizer"
    assert [(row.kind, row.latencies) for row in both.systems] == [("baseline", ()), ("engine", ())]
    assert both.systems[1].label == "onnxruntime fp32"
    for row in both.systems:
        assert row.accuracy is not None
        assert (row.accuracy.e2e_hmean, row.accuracy.hmean) == (0.0, None), "they are untrained"


@pytest.mark.full
def test_without_labels_both_agree_with_the_models(
    detector: Bundle, recognizer: Bundle, images: Path
) -> None:
    (images / "labels.json").unlink()
    report = compare([detector, recognizer], load_dataset(images), QUICK, SilentReporter())
    agreement = report.end_to_end
    assert agreement is not None
    assert agreement.accuracy_against == "model"
    assert agreement.systems[1].accuracy is not None
    assert agreement.systems[1].accuracy.e2e_hmean == 1.0


def test_comparison_without_timed_systems_is_no_error(onnx_bundle: Bundle) -> None:
    onnx_bundle.spec.source.path.unlink()
    manifest = onnx_bundle.manifest.model_copy(update={"target": "tensorrt"})
    bundle = replace(onnx_bundle, manifest=manifest)
    (model,) = compare([bundle], None, QUICK, SilentReporter()).models
    assert [row.latencies for row in model.systems] == [()]


def test_quantized_graph_has_the_accuracy_of_the_build(
    detector_spec: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    """The fallback precision of an int8 graph for NVIDIA is fp16, which both emulate alike."""
    pytest.importorskip("tensorrt_rtx")
    budget = detector_spec.accuracy.model_copy(update={"max_loss": 100.0})
    request = BuildRequest(
        spec=detector_spec.model_copy(update={"accuracy": budget}), targets=("tensorrt-rtx",),
        precision="int8", output=tmp_path / "out", latency=QUICK, samples=load_dataset(images),
        calibration=load_calibration(images, detector_spec),
    )  # fmt: skip
    (result,) = build(request)
    assert result.bundle is not None
    verdict = result.bundle.manifest.verdict
    assert verdict is not None
    assert verdict.metric is not None
    bundle = load_bundle(result.folder)
    (model,) = compare([bundle], load_dataset(images), QUICK, SilentReporter()).models
    accuracy = model.systems[-1].accuracy
    assert accuracy is not None
    assert accuracy.hmean == verdict.metric.engine
    opened = engine_system(bundle, "x").engine.runner()
    image = np.random.default_rng(0).uniform(0, 1, (1, *opened.shape)).astype(np.float32)
    exact = runner_from_model(
        onnx.load(bundle.path(bundle.manifest.engines[0].model)), label="x", max_batch=1
    )
    assert not np.array_equal(opened.run(image), exact.run(image)), "fp16 is rounded"


def test_competitors_are_timed_and_those_that_fail_leave_a_note(
    detector: Bundle, images: Path
) -> None:
    dataset = load_dataset(images)
    report = compare([detector], dataset, QUICK, SilentReporter(), COMPETITORS)
    (model,) = report.models
    assert [row.kind for row in model.systems] == [
        "baseline", "reference", "competitor", "competitor", "engine",
    ]  # fmt: skip
    eager, openvino = (row for row in model.systems if row.kind == "competitor")
    assert eager.label == "tensorflow eager"
    assert openvino.label.startswith("openvino as it is (")
    for row in (eager, openvino):
        assert row.difference is not None
        assert row.difference < (0.05 if "(bf16)" in row.label else 1e-4)
        assert row.note.startswith("its output differs from the model's by ")
        assert (row.accuracy, row.load) == (None, None)
        assert model.speedup(row, 1) is not None
    (note,) = (note for note in report.notes if "XLA" in note)
    assert note.startswith("small-detector: tensorflow XLA cannot run the model: ")
    assert "MaxPoolWithArgmax" in note
    assert len(note) < 260
    assert "\n" not in note


def test_competitor_with_other_numbers_is_labeled(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO runs the model, and 0.5 is added to its output."""

    def wrong(self: Any, feed: Any) -> Any:
        return execute(self, feed) + 0.5

    execute = competitors._OpenVinoRunner._execute
    monkeypatch.setattr(competitors._OpenVinoRunner, "_execute", wrong)
    (model,) = compare([onnx_bundle], None, QUICK, SilentReporter(), COMPETITORS).models
    (other,) = (row for row in model.systems if row.kind == "competitor")
    assert other.label.endswith(", different output")
    assert other.difference == pytest.approx(0.5, abs=0.1 if "(bf16)" in other.label else 1e-4)
    assert "an fp32 engine may differ by 0.001" in other.note


@pytest.mark.full
def test_all_competitors_compute_the_numbers_of_the_recognizer(recognizer: Bundle) -> None:
    (model,) = compare([recognizer], None, QUICK, SilentReporter(), COMPETITORS).models
    labels = [row.label for row in model.systems if row.kind == "competitor"]
    assert len(labels) == 3
    assert all("other" not in label for label in labels if "(bf16)" not in label)


def test_model_and_engines_are_put_under_load(onnx_bundle: Bundle) -> None:
    load = LoadSettings(clients=(1, 3), rates=(40.0,))
    settings = QUICK.model_copy(update={"duration_s": 0.1})
    (model,) = compare([onnx_bundle], None, settings, SilentReporter(), Extras(load=load)).models
    assert [row.kind for row in model.systems if row.load] == ["baseline", "engine"]
    for row in model.systems:
        if row.load:
            assert [each.clients for each in row.load.closed] == [1, 3]
            assert [each.rate for each in row.load.open] == [40.0]
