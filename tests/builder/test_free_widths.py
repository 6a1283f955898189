"""Recognizers with ``width_step``: one plan that runs at many widths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from ocr_trt import open_reader
from ocr_trt.bench.layer_rooflines import _layer_times
from ocr_trt.builder import convert as converting
from ocr_trt.builder.build import build
from ocr_trt.builder.compare_widths import compared_sizes
from ocr_trt.common.input_size import InputSize
from ocr_trt.convert.pipeline import convert
from ocr_trt.debug.reference_graphs import quantized_graphs
from ocr_trt.engines.build_cache import BuildCache
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.runner import Runner
from ocr_trt.errors import SpecError
from ocr_trt.spec import RecognizerSpec, load_spec
from tests.builder.small_build import (
    fp32_request,
    quick_request,
    small_recognizer_spec,
    write_model,
)
from tests.builder.test_input_sizes import write_noise

WIDTHS = (32, 40, 48, 56, 64)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> RecognizerSpec:
    spec = small_recognizer_spec(tmp_path_factory.mktemp("lines"))
    return spec.model_copy(update={"width_step": 8})


def built(spec: RecognizerSpec, folder: Path, target: str, precision: str) -> Bundle:
    images = write_noise(folder / "images", [(32, 30), (32, 44), (32, 64), (32, 100)])
    request = quick_request(spec, images, folder / "out", targets=(target,))
    (result,) = build(replace(request, precision=precision))
    assert result.error is None, result.error
    return load_bundle(result.folder)


def check_lines_are_read_in_parallel(bundle: Bundle, detector: Path, images: Path) -> None:
    files = sorted(images.glob("*.png"))
    with open_reader(detector, bundle.folder, mode="throughput") as several:
        expected = [several.read(file) for file in files]
    for threads in (1, 3):
        with open_reader(detector, bundle.folder, threads=threads) as reader:
            streams = [engine.runner().streams for engine in reader._reader.engines]
            assert streams == [1, threads]
            assert reader.workers == 1, "one image at a time"
            assert [reader.read(file) for file in files] == expected
    with open_reader(detector, bundle.folder, streams=2, threads=2) as reader:
        assert [engine.runner().streams for engine in reader._reader.engines] == [2, 2]


@pytest.mark.parametrize(("target", "precision"), [("openvino", "int8"), ("onnxruntime", "fp32")])
def test_one_plan_runs_at_every_multiple_of_the_step(
    target: str,
    precision: str,
    spec: RecognizerSpec,
    tmp_path: Path,
    detector_bundle: Path,
    shared_images: Path,
) -> None:
    bundle = built(spec, tmp_path, target, precision)
    assert isinstance(bundle.spec, RecognizerSpec)
    assert bundle.spec.widths == WIDTHS
    assert {entry.plan for entry in bundle.manifest.engines} == {
        f"plan_any{'.xml' if target == 'openvino' else '.onnx'}"
    }
    assert len(list(bundle.folder.glob("*.onnx"))) <= 2
    check_lines_are_read_in_parallel(bundle, detector_bundle, shared_images)
    graphs = quantized_graphs(bundle)
    with Engine.from_bundle(bundle) as engine:
        for size in engine.sizes:
            images = np.random.default_rng(0).normal(size=(3, 1, *size)).astype(np.float32)
            runner = engine.runner(size)
            assert runner.shape == (1, *size)
            expected = runner_from_model(graphs.graph(size), label="x", max_batch=4).run(images)
            error = np.abs(runner.run(images) - expected).max()
            assert error <= 0.05 * np.abs(expected).max()  # int8 rounds ties another way
        assert engine.runner(engine.sizes[0]).good_batch == 4
        first, second = (engine.runner(size) for size in engine.sizes[:2])
        assert first.plan is second.plan is not None
        first.close()
        second.run(np.zeros((1, *second.shape), np.float32))
    if target == "openvino":
        assert sum(layer.milliseconds for layer in _layer_times(bundle, 2)) > 0


def test_copy_from_the_build_cache_has_all_widths(spec: RecognizerSpec, tmp_path: Path) -> None:
    images = write_noise(tmp_path / "images", [(32, 30), (32, 64)])
    cache = BuildCache(folder=tmp_path / "cache", max_bytes=1 << 26)
    request = quick_request(spec, images, tmp_path / "out", targets=("openvino",), cache=cache)
    for folder in ("first", "second"):
        (result,) = build(replace(request, precision="fp32", output=tmp_path / folder))
        assert result.error is None, result.error
    assert result.measured is not None, "it was copied"
    bundle = load_bundle(result.folder)
    assert isinstance(bundle.spec, RecognizerSpec)
    assert bundle.spec.widths == WIDTHS


def test_only_the_first_width_runs_when_the_plan_is_opened(
    spec: RecognizerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = built(spec, tmp_path, "onnxruntime", "fp32")
    fed = list[tuple[int, ...]]()
    prepare = Runner.prepare

    def noted(runner: Runner, images: np.ndarray) -> object:
        fed.append(images.shape)
        return prepare(runner, images)

    monkeypatch.setattr(Runner, "prepare", noted)
    with Engine.from_bundle(bundle) as engine:
        runners = [engine.runner(size) for size in engine.sizes]
        assert fed == [(1, 1, 32, 32)]
        # The output of all widths is known from the first, so the first batches are not smaller.
        assert [runner.good_batch for runner in runners] == [4, 4, 4, 4, 4]
        plan = runners[0].plan
        assert plan is not None
        plan.bytes_per_pixel = 2 * (4 << 20) / (3 * 32 * 32)  # 2/3 of the caches at 32 columns
        assert [runner.good_batch for runner in runners] == [1, 1, 1, 1, 1]
        plan.bytes_per_pixel /= 3
        assert [runner.good_batch for runner in runners] == [4, 3, 3, 2, 2]


def test_without_a_step_every_width_has_a_plan(spec: RecognizerSpec, tmp_path: Path) -> None:
    fixed = spec.model_copy(update={"width_step": None})
    bundle = built(fixed, tmp_path, "openvino", "fp32")
    assert [entry.plan for entry in bundle.manifest.engines] == ["plan_32.xml", "plan_64.xml"]


def test_build_from_the_spec_of_a_bundle_converts_the_same_widths(
    spec: RecognizerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = list[int]()

    def noted(source: object, spec: RecognizerSpec, size: InputSize) -> object:
        converted.append(size.width)
        return convert(source, spec, size)

    monkeypatch.setattr(converting, "convert", noted)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    first = built(spec, tmp_path / "first", "onnxruntime", "fp32")
    assert converted == [32, 64]
    own = load_spec(first.folder / "spec.yaml")
    assert isinstance(own, RecognizerSpec)
    assert (own.buckets, own.width_step) == (spec.buckets, 8)
    second = built(own, tmp_path / "second", "onnxruntime", "fp32")
    assert converted == [32, 64, 32, 64]
    assert second.spec.input_sizes == first.spec.input_sizes
    assert second.manifest.engines == first.manifest.engines


def test_build_from_the_spec_of_a_bundle_is_found_in_the_cache(
    spec: RecognizerSpec, tmp_path: Path
) -> None:
    images = write_noise(tmp_path / "images", [(32, 30), (32, 64)])
    cache = BuildCache(folder=tmp_path / "cache", max_bytes=1 << 26)
    request = quick_request(spec, images, tmp_path / "out", targets=("openvino",), cache=cache)
    (first,) = build(replace(request, precision="fp32"))
    own = load_spec(first.folder / "spec.yaml")
    (again,) = build(replace(request, spec=own, precision="fp32", output=tmp_path / "again"))
    assert again.measured is not None, "it was copied"
    assert load_bundle(again.folder).spec.input_sizes == load_bundle(first.folder).spec.input_sizes


PADDED = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,1,32,W] image) => (float[N,T,96] logits)
    <int64[1] two = {2}, int64[1] last = {3}, int64[1] four = {4},
     int64[7] none = {0, 0, 0, 0, 0, 0, 0}>
    { shape = Shape (image)
      width = Gather (shape, last)
      more = Mod (width, four)
      pads = Concat <axis = 0> (none, more)
      padded = Pad (image, pads)
      a = Conv <strides = [8, 4]> (padded, w0)
      b = Relu (a)
      c = Conv (b, w1)
      e = Squeeze (c, two)
      logits = Transpose <perm = [0, 2, 1]> (e) }"""
"""A recognizer that pads widths that are no multiple of 4, as TensorFlow's SAME does."""


def test_a_step_at_which_the_model_pads_differently_is_refused(tmp_path: Path) -> None:
    spec = small_recognizer_spec(tmp_path)
    weights = {"w0": (16, 1, 8, 4), "w1": (96, 16, 4, 1)}
    write_model(tmp_path / "lines.onnx", text=PADDED, weights=weights, scale=0.1)
    # At 34 and 42 columns the model returns a frame more than the graphs of 32 and 64.
    for step in (2, 6):
        wide = spec.model_copy(update={"width_step": step})
        with pytest.raises(SpecError) as error:
            build(fp32_request(wide, tmp_path / "out", targets=("onnxruntime",)))
        facts = (f"width_step {step}", "in buckets", f"such as {2 * step}", "width_step: null")
        assert all(fact in str(error.value) for fact in facts), error.value
    fitting = spec.model_copy(update={"width_step": 8})
    (result,) = build(fp32_request(fitting, tmp_path / "out", targets=("onnxruntime",)))
    assert result.error is None


def test_an_engine_is_compared_with_the_model_at_few_widths(spec: RecognizerSpec) -> None:
    wide = spec.with_widths(WIDTHS)
    engine = Engine(label="x", spec=wide, open_runner=lambda _: pytest.fail("it is not opened"))
    graphs = dict.fromkeys(spec.input_sizes, onnx.ModelProto())
    widths = [size.width for size in compared_sizes(engine, graphs, spec)]
    assert widths == [32, 40, 56, 64]  # an odd multiple of the step, and the widest
    assert [size.width for size in compared_sizes(engine, graphs, None)] == [32, 64]
