"""Bundles against their models: what is compared with what, and what it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from ocr_trt.bench.compare import Extras, compare
from ocr_trt.bench.systems import engine_system
from ocr_trt.builder import BuildRequest, build
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow import competitors as competitors
from ocr_trt.engines.tensorflow.baseline import TensorFlowRunner
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.measure.load import LoadSettings
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec, RecognizerSpec

pytest.importorskip("tensorflow")

QUICK = LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3)


def built(spec: DetectorSpec | RecognizerSpec, output: Path, target: str = "onnxruntime") -> Bundle:
    expected = BuildRequest(
        spec=spec, targets=(target,), precision="fp32", output=output, latency=QUICK
    )
    return load_bundle(build(expected)[0].folder)


def test_without_labels_agreement_with_the_model_is_measured(
    recognizer_spec: RecognizerSpec, images: Path, tmp_path: Path
) -> None:
    (images / "labels.json").unlink()
    bundle = built(recognizer_spec, tmp_path / "a")
    (model,) = compare([bundle], load_dataset(images), QUICK, SilentReporter()).models
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


def test_no_labels_and_no_model_leave_a_note(
    recognizer_spec: RecognizerSpec, images: Path, tmp_path: Path
) -> None:
    (images / "labels.json").unlink()
    bundle = built(recognizer_spec, tmp_path / "a")
    moved = Path(bundle.folder.rename(tmp_path / "moved-away-from-its-model"))
    report = compare([load_bundle(moved)], load_dataset(images), QUICK, SilentReporter())
    assert report.models[0].systems[0].accuracy is None
    assert any("no baseline" in note for note in report.notes)
    assert any("has no labels, and the model is not available" in n for n in report.notes)


def test_bundles_of_one_name_are_told_apart_and_other_sizes_stand_alone(
    recognizer_spec: RecognizerSpec, tmp_path: Path
) -> None:
    narrow = recognizer_spec.model_copy(
        update={"input": recognizer_spec.input.model_copy(update={"shape": (1, 32, 48, 1)})}
    )
    bundles = [
        built(recognizer_spec, tmp_path / "a"),
        built(recognizer_spec, tmp_path / "b"),
        built(narrow, tmp_path / "c"),
    ]
    report = compare(bundles, None, QUICK, SilentReporter())
    assert [model.input_shape for model in report.models] == [(1, 32, 64), (1, 32, 48)]
    labels = [row.label for row in report.models[0].systems if row.kind == "engine"]
    name = "small-recognizer onnxruntime fp32"
    assert labels == [f"{name} ({b.folder})" for b in bundles[:2]]
    (alone,) = (row.label for row in report.models[1].systems if row.kind == "engine")
    assert alone == name


def test_source_may_be_a_link(recognizer_spec: RecognizerSpec, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(recognizer_spec.source.path)
    source = recognizer_spec.source.model_copy(update={"path": link})
    bundle = built(recognizer_spec.model_copy(update={"source": source}), tmp_path / "a")
    report = compare([bundle], None, QUICK, SilentReporter())
    assert report.notes == ()
    assert [row.kind for row in report.models[0].systems] == ["baseline", "reference", "engine"]


def test_detector_and_recognizer_are_compared_together(
    detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec, images: Path, tmp_path: Path
) -> None:
    bundles = [built(detector_spec, tmp_path / "a"), built(recognizer_spec, tmp_path / "b")]
    dataset = load_dataset(images)
    assert compare(bundles[:1], dataset, QUICK, SilentReporter()).end_to_end is None
    both = compare(bundles, dataset, QUICK, SilentReporter()).end_to_end
    assert both is not None
    assert both.name == "small-detector + small-recognizer"
    assert [(row.kind, row.latencies) for row in both.systems] == [("baseline", ()), ("engine", ())]
    assert both.systems[1].label == "onnxruntime fp32"
    for row in both.systems:
        assert row.accuracy is not None
        assert (row.accuracy.e2e_hmean, row.accuracy.hmean) == (0.0, None), "they are untrained"
    (images / "labels.json").unlink()
    agreement = compare(bundles, load_dataset(images), QUICK, SilentReporter()).end_to_end
    assert agreement is not None
    assert agreement.accuracy_against == "model"
    assert agreement.systems[1].accuracy is not None
    assert agreement.systems[1].accuracy.e2e_hmean == 1.0


def test_nothing_that_can_be_timed_is_no_error(detector_spec: DetectorSpec, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    bundle = built(detector_spec, tmp_path / "a", "tensorrt-rtx")
    moved = bundle.folder.rename(tmp_path / "moved")
    (model,) = compare([load_bundle(moved)], None, QUICK, SilentReporter()).models
    assert [row.latencies for row in model.systems] == [()]


def test_quantized_graphs_give_what_the_build_found(
    detector_spec: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    """The rest of an int8 graph for NVIDIA is fp16, and is rounded here as it was there."""
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


def test_competitors_are_timed_beside_the_model_and_what_cannot_run_it_is_a_note(
    detector_spec: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    bundle, dataset = built(detector_spec, tmp_path / "a"), load_dataset(images)
    report = compare([bundle], dataset, QUICK, SilentReporter(), Extras(competitors=True))
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


def test_a_competitor_with_other_numbers_is_seen(
    recognizer_spec: RecognizerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: TensorFlowRunner, feed: object) -> np.ndarray:
        return execute(self, feed) + (0.5 if self.label == "tensorflow eager" else 0.0)

    execute = competitors.TensorFlowRunner.execute
    monkeypatch.setattr(TensorFlowRunner, "execute", wrong)
    bundle = built(recognizer_spec, tmp_path / "a")
    (model,) = compare([bundle], None, QUICK, SilentReporter(), Extras(competitors=True)).models
    found = {row.label: row for row in model.systems if row.kind == "competitor"}
    assert len(found) == 3
    other = found["tensorflow eager, other numbers"]
    assert other.difference == pytest.approx(0.5, abs=1e-4)
    assert other.note.endswith("by at most 5.0e-01; an fp32 engine may differ by 0.001")
    exact = [label for label in found if "eager" not in label and "(bf16)" not in label]
    assert all("other" not in label for label in exact)


def test_model_and_engines_are_put_under_load(
    recognizer_spec: RecognizerSpec, tmp_path: Path
) -> None:
    bundle = built(recognizer_spec, tmp_path / "a")
    load = LoadSettings(clients=(1, 3), rates=(40.0,))
    settings = QUICK.model_copy(update={"duration_s": 0.1})
    (model,) = compare([bundle], None, settings, SilentReporter(), Extras(load=load)).models
    assert [row.kind for row in model.systems if row.load] == ["baseline", "engine"]
    for row in model.systems:
        if row.load:
            assert [each.clients for each in row.load.closed] == [1, 3]
            assert [each.rate for each in row.load.open] == [40.0]
