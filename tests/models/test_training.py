"""Synthetic images, training batches and a short training run, with fonts at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ocr_trt.errors import InputFileError
from ocr_trt.models import training
from ocr_trt.models.synthetic import blocks, fonts, scene, text, word
from ocr_trt.models.synthetic.fonts import font_files

keras = pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def few_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts that come with matplotlib, and a vocabulary of a few words."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf")
    monkeypatch.setattr(blocks, "font_files", lambda split: tuple(folder / name for name in names))
    words = ("apple", "Bread", "cheese", "dried", "eggs")
    monkeypatch.setattr(text, "vocabulary", lambda split: words)


def test_an_image_depends_on_seed_split_and_index_alone() -> None:
    first, again = (scene(3, split="train", height=200, width=240) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert [b.text for b in first.boxes] == [b.text for b in again.boxes]
    others = [
        scene(4, split="train", height=200, width=240),
        scene(3, split="held-out", height=200, width=240),
        scene(3, split="train", seed=1, height=200, width=240),
    ]
    assert all(not np.array_equal(first.image, other.image) for other in others)
    assert np.array_equal(word(5, split="train").image, word(5, split="train").image)


def test_boxes_lie_on_their_text() -> None:
    found = [scene(i, split="train", height=320, width=320) for i in range(6)]
    boxes = [(s, b) for s in found for b in s.boxes]
    assert len(boxes) > 10
    for sample, box in boxes:
        assert box.quad.min() >= -2
        assert (box.quad.max(0) <= np.array(sample.image.shape[1::-1]) + 2).all()
        edges = np.diff(np.vstack([box.quad, box.quad[:1]]), axis=0)
        turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
        assert (turns > 0).all(), "clockwise and convex"
        assert box.text


def test_missing_font_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fonts, "_ROOT", tmp_path)
    font_files.cache_clear()
    try:
        with pytest.raises(InputFileError, match=r"apt-get install fonts-\S+"):
            font_files("train")
    finally:
        font_files.cache_clear()


def test_splits_share_no_font() -> None:
    rows = [line.split("\t") for line in fonts._TABLE.read_text().splitlines()]
    families = {split: {r[3] for r in rows if r[0] == split} for split in ("train", "held-out")}
    assert len(families["train"]) > 100
    assert len(families["held-out"]) > 20
    assert not families["train"] & families["held-out"]


def test_targets_come_back_as_boxes() -> None:
    from ocr_trt.models.shrunk_maps import shrunk_map
    from ocr_trt.ocr.boxes import boxes_from_map
    from ocr_trt.ocr.metrics.detection import count_image, detection_score
    from ocr_trt.spec import load_spec

    spec = load_spec(Path(training.__file__).parent / "detector.yaml")
    counts = []
    for index in range(6):
        sample = scene(index, split="train", height=320, width=320)
        target = shrunk_map(sample.boxes, 320, 320)
        assert set(np.unique(target[..., 0])) <= {0.0, 1.0}
        assert set(np.unique(target[..., 1])) <= {0.0, 1.0, 3.0}
        found, _ = boxes_from_map(target[..., 0], spec.boxes)
        truth = np.array([b.quad for b in sample.boxes], np.float32).reshape(-1, 4, 2)
        counts.append(count_image(found, truth, [b.ignore for b in sample.boxes]))
    assert detection_score(counts).hmean > 0.95


def test_batches_depend_on_their_number_alone() -> None:
    from ocr_trt.models.training_batches import detector_batch, recognizer_batch

    images, truth = detector_batch(2, seed=0, size=2, side=96)
    assert (images.shape, truth.shape) == ((2, 96, 96, 3), (2, 96, 96, 2))
    assert np.array_equal(images, detector_batch(2, seed=0, size=2, side=96)[0])
    images, labels = recognizer_batch(17, seed=0, size=4)
    assert images.shape[:2] == (4, 32)
    assert images.shape[2] % 64 == 0
    assert labels.max() <= 95
    recognizer_batch(1, seed=0, size=4)
    assert np.array_equal(labels, recognizer_batch(17, seed=0, size=4)[1])


def test_losses_fall_when_predictions_improve(rng: np.random.Generator) -> None:
    from ocr_trt.models.losses import detector_loss, recognizer_loss

    truth = np.zeros((1, 8, 8, 2), np.float32)
    truth[..., 1] = 1
    truth[0, 2:5, 2:5, 0] = 1
    good = np.where(truth[..., :1] > 0, 0.9, 0.1).astype(np.float32)
    assert float(detector_loss(truth, good)) < float(detector_loss(truth, 1 - good))
    ignored = truth.copy()
    ignored[..., 1] = 0
    assert float(detector_loss(ignored, good)) == pytest.approx(
        float(detector_loss(ignored, 1 - good)), abs=1e-5
    )
    labels = np.array([[1, 2, 0]], np.int32)
    logits = np.zeros((1, 5, 4), np.float32)
    right, wrong = logits.copy(), logits.copy()
    right[0, range(5), [0, 1, 0, 2, 0]] = 5
    wrong[0, range(5), [0, 3, 0, 3, 0]] = 5
    assert float(recognizer_loss(labels, right)) < float(recognizer_loss(labels, wrong))


def in_process(make: Callable[[int], Any], steps: range) -> Iterator[Any]:
    """Stands in for the prefetching process, which would not see this module's few fonts."""
    return map(make, steps)


@pytest.mark.parametrize("role", ["detector", pytest.param("recognizer", marks=pytest.mark.full)])
def test_training_resumes_where_it_stopped(
    role: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr_trt.models import training_batches, unet_detector

    # Most of the time goes into tracing, so the model is a small one of the same layers.
    monkeypatch.setattr(unet_detector, "STAGES", (4, 6))
    monkeypatch.setattr(unet_detector, "BOTTLENECK", 8)
    monkeypatch.setattr(training_batches, "prefetched", in_process)
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    monkeypatch.setattr(training, "_batches", lambda settings: small_batches(settings.role))
    settings = training.settings_for(role, tmp_path / "whole", steps=4, bfloat16=False)
    whole = training.train(settings)
    broken = training.settings_for(role, tmp_path / "broken", steps=4, bfloat16=False)
    with pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(training_batches, "prefetched", stopping_after_two)
        training.train(broken)
    monkeypatch.setattr(training_batches, "prefetched", in_process)
    resumed = training.train(broken)
    model = training._model(role, "float32")
    model.load_weights(whole)
    expected = [np.array(w) for w in model.get_weights()]
    model.load_weights(resumed)
    for left, right in zip(expected, model.get_weights(), strict=True):
        # One step moves a weight by up to the learning rate, 1e-3; rounding by far less.
        np.testing.assert_allclose(left, right, atol=1e-4)
    log = [
        json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in log] == [1, 2, 3, 4]


def test_bfloat16_training_ends_in_float32_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr_trt.models import training_batches

    monkeypatch.setattr(training_batches, "prefetched", in_process)
    monkeypatch.setattr(training, "_batches", lambda settings: small_batches(settings.role))
    settings = training.settings_for("recognizer", tmp_path, steps=1)
    assert training.compiled_model(settings).get_layer("stem_conv").compute_dtype == "bfloat16"
    with h5py.File(training.train(settings)) as file:
        dtypes = set[str]()
        file.visititems(lambda _, item: dtypes.add(str(getattr(item, "dtype", "group"))))
    assert dtypes == {"group", "float32"}


def stopping_after_two(make: Callable[[int], Any], steps: range) -> Iterator[Any]:
    for step in steps:
        if step == 2:
            raise KeyboardInterrupt
        yield make(step)


def small_batches(role: str) -> Callable[[int], Any]:
    from ocr_trt.models.training_batches import detector_batch, recognizer_batch

    if role == "detector":
        return lambda step: detector_batch(step, seed=0, size=1, side=64)
    return lambda step: recognizer_batch(step, seed=0, size=2)
