"""Rules that apply to no bundle are refused before measuring."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocr_trt.bench.applicable_rules import check_applicable, check_comparable
from ocr_trt.bench.compare_bundles import compare
from ocr_trt.bench.regression import rules_from_text
from ocr_trt.builder import BuildRequest, build
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.errors import UserError
from ocr_trt.measure.latency import LatencySettings
from ocr_trt.spec import RecognizerSpec


@pytest.fixture
def detector(build_request: BuildRequest) -> Bundle:
    """A bundle of three convolutions with batch 1."""
    return load_bundle(build(build_request)[0].folder)


def as_recognizer(bundle: Bundle, spec: RecognizerSpec) -> Bundle:
    """The same bundle with a recognizer's spec; rules depend on the spec only."""
    manifest = bundle.manifest.model_copy(update={"spec": spec})
    return Bundle(folder=bundle.folder, manifest=manifest)


def check(text: str, bundles: list[Bundle], *, is_labeled: bool = True) -> None:
    (rule,) = rules_from_text(text)
    check_applicable(rule, bundles, is_labeled=is_labeled)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("cer>3", "cer requires one recognizer; given: one detector"),
        ("word_accuracy<-1", "word_accuracy requires one recognizer; given: one detector"),
        ("e2e_hmean<60", "e2e_hmean requires one detector and one recognizer; given: one det"),
        ("latency@16>100", "batch size 16 is not timed; timed: 1"),
    ],
)
def test_rules_that_do_not_apply_to_a_detector(rule: str, message: str, detector: Bundle) -> None:
    with pytest.raises(UserError, match=f"--fail-on '{rule}': .* {message}"):
        check(rule, [detector])


def test_rules_that_apply_to_a_detector(detector: Bundle, recognizer_spec: RecognizerSpec) -> None:
    for rule in ("hmean<88", "recall<80", "latency>9", "latency@1>9", "p99>1.1x", "speedup<2"):
        check(rule, [detector], is_labeled=False)
    both = [detector, as_recognizer(detector, recognizer_spec)]
    for rule in ("hmean<88", "cer>3", "e2e_recall<80", "latency@4>9", "loose_word_accuracy<9"):
        check(rule, both)
    smaller = recognizer_spec.model_copy(update={"buckets": ()})
    three = [*both, as_recognizer(detector, smaller)]
    check("cer>3", three)
    with pytest.raises(UserError, match="given: one detector and one recognizer and one rec"):
        check("e2e_hmean<60", three)
    with pytest.raises(UserError, match="loose_word_accuracy requires images with labels"):
        check("loose_word_accuracy<9", both, is_labeled=False)
    with pytest.raises(UserError, match="batch size 16 is not timed; timed: 1, 4"):
        check("latency@16>9", both)


def test_rules_on_times_need_an_engine_that_can_run(detector: Bundle) -> None:
    other = detector.manifest.model_copy(update={"target": "tensorrt"})
    bundle = Bundle(folder=detector.folder, manifest=other)
    check("hmean<88", [bundle])
    with pytest.raises(UserError, match=r"tensorrt cannot run .*nothing is timed"):
        check("latency>9", [bundle])


def test_speedup_needs_the_model(detector: Bundle) -> None:
    detector.spec.source.path.unlink()
    check("latency>9", [detector])
    with pytest.raises(
        UserError, match=r"speedup requires the model, and .*m\.onnx does not exist"
    ):
        check("speedup<2", [detector])


def test_an_older_report_must_have_the_engine_and_the_measure(detector: Bundle) -> None:
    quick = LatencySettings(warm_up_ms=1, duration_s=0.01, iterations=3)
    old = compare([detector], None, quick, SilentReporter())
    check_comparable(rules_from_text("latency>1.1x,speedup<2"), [detector], old)
    with pytest.raises(UserError, match="hmean was not measured for any engine in both reports"):
        check_comparable(rules_from_text("hmean<-1"), [detector], old)
    copies = [detector, Bundle(folder=Path("elsewhere"), manifest=detector.manifest)]
    with pytest.raises(UserError, match=r"has no 'm openvino int8 \(.*\)' of 'm' at \(3, 32, 32\)"):
        check_comparable(rules_from_text("latency>1.1x"), copies, old)
