"""``build --compress`` of the reference detector, from the samples of the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from ocr_trt.builder.compression_trials import graphs_of
from ocr_trt.builder.convert import convert_sizes
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.compression.dead_channels import remove_dead_channels
from ocr_trt.compression.shrinker import Shrinker
from ocr_trt.convert.sources import open_source
from ocr_trt.spec import load_spec

pytest.importorskip("tensorflow")
pytest.importorskip("keras")

from ocr_trt.models.reference_models import SAMPLES, export_reference

_FITTED = 4
"""Calibration images that weights are fitted to."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec of the reference detector. Read-only."""
    return export_reference("detector", tmp_path_factory.mktemp("reference"))


def _at_size(spec: Path, side: int) -> Path:
    """Write a spec for smaller images, with twice the budget: at 640x640 a search takes minutes."""
    data = yaml.safe_load(spec.read_text("utf-8"))
    data["input"]["shape"] = [1, side, side, 3]
    data["accuracy"]["max_loss"] = 1.0
    path = spec.with_name(f"{side}.yaml")
    path.write_text(yaml.safe_dump(data), "utf-8")
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the calibration images."""
    folder = tmp_path_factory.mktemp("calibration")
    for path in sorted((SAMPLES / "calibration").glob("*.jpg"))[:_FITTED]:
        shutil.copy(path, folder)
    return folder


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_compressions_of_the_reference_detector_are_the_same_bytes(
    spec: Path, fitted: Path
) -> None:
    loaded, reporter = load_spec(_at_size(spec, 128)), SilentReporter()
    graphs = convert_sizes(open_source(loaded.source), loaded, reporter).graphs
    batches = list(load_calibration(fitted, loaded).batches())

    def compressed() -> list[bytes]:
        shrinker = Shrinker(graphs_of(remove_dead_channels(graphs)), batches)
        shrinker.prepare()
        # All layers at one level, and all groups: the search chooses among these.
        decisions = [*shrinker.factor_levels()[1], *shrinker.prune_levels()[0]]
        smaller = shrinker.fitted(decisions)
        return [each.model.SerializeToString(deterministic=True) for each in smaller.values()]

    first = compressed()
    assert all(
        len(each) < len(whole.SerializeToString())
        for each, whole in zip(first, graphs.values(), strict=True)
    )
    assert compressed() == first
