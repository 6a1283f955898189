"""Distances between quantized and float graphs, and the sensitivity of each layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocr_trt.calibration.calibrator import Calibrator, QuantizationSettings
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.methods import METHODS
from ocr_trt.calibration.noise import run_all, signal_to_noise
from ocr_trt.calibration.sensitivity import sensitivities
from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.graph import Graphs
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.errors import InputFileError
from ocr_trt.ocr.roles import role_of
from ocr_trt.spec import DetectorSpec, RecognizerSpec

pytest.importorskip("tensorflow")

Spec = DetectorSpec | RecognizerSpec
CalibratorOf = Callable[..., Calibrator]


@pytest.fixture(params=["detector", "recognizer"])
def spec(
    request: pytest.FixtureRequest, detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec
) -> Spec:
    return detector_spec if request.param == "detector" else recognizer_spec


@pytest.fixture(scope="module")
def graphs(detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec) -> dict[str, Graphs]:
    """The clean graphs of both roles; nothing may change them."""
    found = {}
    for spec in (detector_spec, recognizer_spec):
        source = open_source(spec.source)
        found[spec.role] = {size: convert(source, spec, size).model for size in spec.input_sizes}
    return found


@pytest.fixture
def calibrator_of(graphs: dict[str, Graphs], images: Path) -> CalibratorOf:
    """Open a calibrator on the images that are in the folder at that time."""

    def make(spec: Spec, *, skip_bad: bool = False) -> Calibrator:
        found = load_calibration(images, spec, skip_bad=skip_bad)
        return Calibrator(graphs[spec.role], found, SilentReporter())

    return make


def test_distance_is_zero_for_the_same_and_grows(
    detector_spec: DetectorSpec, recognizer_spec: RecognizerSpec, rng: np.random.Generator
) -> None:
    outputs = {
        "detector": [rng.uniform(0, 1, (1, 1, 8, 8)).astype(np.float32)],
        "recognizer": [rng.standard_normal((1, 8, 96)).astype(np.float32)],
    }
    for spec in (detector_spec, recognizer_spec):
        exact = outputs[spec.role]
        near, far = ([out * factor for out in exact] for factor in (0.98, 0.5))
        distance = role_of(spec).output_distance
        assert distance(exact, exact) == pytest.approx(0, abs=1e-6)
        assert 0 < distance(exact, near) < distance(exact, far)
        broken = [np.full_like(out, np.nan) for out in exact]
        assert distance(exact, broken) > distance(exact, near)


def test_each_layer_costs_something_and_all_but_it_less_than_all(
    spec: Spec, calibrator_of: CalibratorOf
) -> None:
    calibrator = calibrator_of(spec)
    quantization = QuantizationSettings(precision="int8", method="minmax")
    feeds = list(calibrator.batches())
    done: list[int] = []
    found = sensitivities(calibrator, quantization, spec, feeds, done.append)
    assert {each.node for each in found} == calibrator.ops()
    assert done == list(range(1, len(found) + 1))
    reference = run_all(calibrator.graphs, feeds)
    everything = role_of(spec).output_distance(
        reference, run_all(calibrator.quantized(quantization).graphs, feeds)
    )
    rounding = 1e-7  # float32 log-probabilities can leave a divergence this far below 0
    assert all(-rounding < each.alone < 3 * everything for each in found)
    assert np.mean([each.alone for each in found]) > 0
    assert np.mean([each.without for each in found]) < everything
    assert max(each.alone for each in found) > 1.5 * min(each.alone for each in found)
    assert sensitivities(calibrator, quantization, spec, feeds) == found, "the same each time"


def test_noise_of_layers_is_in_decibels(spec: Spec, calibrator_of: CalibratorOf) -> None:
    calibrator = calibrator_of(spec)
    quantized = calibrator.quantized(QuantizationSettings(precision="int8", method="minmax"))
    size = spec.input.size
    batches = [batch for batch in calibrator.batches() if batch.shape[2:] == size] or [
        np.zeros((1, spec.input.channels, *size), np.float32)
    ]
    names = calibrator.layers()
    found = signal_to_noise(calibrator.largest_graph, quantized.graphs[size], names, batches)
    assert set(found) <= set(names)
    assert names[0] not in found, "the first layer is float, and nothing was rounded before it"
    assert all(5 < value < 80 for value in found.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("corrections", [(), ("equalize",), ("bias",), ("equalize", "bias")],
                         ids=["plain", "equalize", "bias", "both"])  # fmt: skip
def test_every_method_with_every_correction_quantizes_a_model(
    method: str, corrections: tuple, detector_spec: DetectorSpec, calibrator_of: CalibratorOf
) -> None:
    calibrator = calibrator_of(detector_spec)
    feeds = list(calibrator.batches())
    reference = run_all(calibrator.graphs, feeds)
    quantized = calibrator.quantized(
        QuantizationSettings(precision="int8", method=method, corrections=corrections)
    )
    again = calibrator.quantized(
        QuantizationSettings(precision="int8", method=method, corrections=corrections)
    )
    assert (
        0
        < role_of(detector_spec).output_distance(reference, run_all(quantized.graphs, feeds))
        < 0.5
    )
    for size, graph in quantized.graphs.items():
        assert graph.SerializeToString(deterministic=True) == again.graphs[size].SerializeToString(
            deterministic=True
        )


def test_bad_images_are_reported_once(
    detector_spec: DetectorSpec, images: Path, calibrator_of: CalibratorOf
) -> None:
    (images / "1.png").write_bytes(b"nothing")
    with pytest.raises(InputFileError, match=r"1\.png"):
        calibrator_of(detector_spec).quantized(QuantizationSettings(precision="int8"))
    calibrator = calibrator_of(detector_spec, skip_bad=True)
    calibrator.quantized(QuantizationSettings(precision="int8", corrections=("bias",)))
    assert len(calibrator.skipped) == 1
    assert "1.png" in next(iter(calibrator.skipped))
    assert calibrator.observation().batches == 2
