"""The whole build, on small models; in TensorFlow only where the framework matters."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.builder import build
from ocr_trt.calibration.images import load_calibration
from ocr_trt.cli.verdicts import verdict_row
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.openvino import backend as openvino
from ocr_trt.engines.targets import backend
from ocr_trt.errors import (
    BudgetError,
    ConversionError,
    EngineBuildError,
    InputFileError,
    OutputError,
    SpecError,
    TargetMissingError,
    UserError,
)
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.ocr.recognizer import recognizer_input
from ocr_trt.pipeline.stages import recognize
from ocr_trt.spec import DetectorSpec, RecognizerSpec, load_spec
from tests.builder.small_build import fp32_request, generous, small_spec, write_model


def test_fp32_build_needs_no_images(detector_spec: DetectorSpec, tmp_path: Path) -> None:
    (result,) = build(fp32_request(detector_spec, tmp_path))
    assert result.error is None
    manifest = load_bundle(result.folder).manifest
    assert result.folder.name == "small-detector-openvino-fp32"
    assert manifest.verdict is not None
    assert manifest.verdict.max_difference < 1e-4
    assert manifest.verdict.metric is None
    assert manifest.verdict.latency is not None
    assert manifest.verdict.baseline.startswith("tensorflow 2")
    assert manifest.calibration is None
    assert set(manifest.files) == {
        "model_96.onnx", "plan_96.xml", "plan_96.bin", "spec.yaml",
    }  # fmt: skip


def test_int8_engine_does_not_run_where_the_processor_would_clip_its_sums(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = generous(onnx_detector)
    build_request = fp32_request(
        spec, tmp_path, precision="int8", calibration=load_calibration(images, spec)
    )
    largest = []
    for exact in (False, True):
        monkeypatch.setattr(openvino, "has_exact_int8", lambda exact=exact: exact)
        (result,) = build(build_request)
        assert result.bundle is not None
        weights = [
            np.abs(onnx.numpy_helper.to_array(tensor)).max()
            for tensor in onnx.load(result.folder / "model_32.onnx").graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
        ]
        largest.append(max(weights))
        assert result.bundle.manifest.largest_weight == largest[-1]
    assert largest == [63, 127]
    bundle = load_bundle(result.folder)
    Engine.from_bundle(bundle).close()
    monkeypatch.setattr(openvino, "has_exact_int8", lambda: False)
    with pytest.raises(InputFileError, match=r"reach 127.* 63 at most.* build the bundle again"):
        Engine.from_bundle(bundle)


@pytest.mark.parametrize(("engine", "word"), [(2.0, "ok"), (9.0, "ok, but slower")])
def test_verdict_states_when_an_engine_is_slower(
    engine: float, word: str, onnx_detector: DetectorSpec, tmp_path: Path
) -> None:
    (result,) = build(fp32_request(onnx_detector, tmp_path))
    assert result.bundle is not None
    manifest = result.bundle.manifest
    assert manifest.verdict is not None
    assert manifest.verdict.latency is not None
    latency = manifest.verdict.latency.model_copy(update={"engine": engine, "baseline": 3.0})
    verdict = manifest.verdict.model_copy(update={"latency": latency})
    bundle = replace(result.bundle, manifest=manifest.model_copy(update={"verdict": verdict}))
    assert verdict_row(replace(result, bundle=bundle))[-1] == word


@pytest.mark.parametrize(
    "model",
    [
        "onnx_detector",
        "onnx_recognizer",
        pytest.param("detector_spec", marks=pytest.mark.full),
        pytest.param("recognizer_spec", marks=pytest.mark.full),
    ],
)
def test_int8_build_for_two_targets(
    model: str, images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = generous(request.getfixturevalue(model))
    results = build(
        fp32_request(
            spec,
            tmp_path,
            targets=("openvino", "onnxruntime"),
            precision="int8",
            calibration=load_calibration(images, spec),
            samples=load_dataset(images),
        )
    )
    for result in results:
        assert result.error is None
        manifest = load_bundle(result.folder).manifest
        assert manifest.precision == "int8"
        assert manifest.calibration is not None
        assert manifest.calibration.images == 3
        assert manifest.verdict is not None
        assert manifest.verdict.metric is not None
        assert manifest.verdict.metric.labeled
        assert manifest.verdict.metric.engine_run_by.startswith(result.target)
        assert manifest.precision_exceptions
        assert [entry.size for entry in manifest.engines] == list(spec.input_sizes)
        graph = onnx.load(result.folder / manifest.engines[0].model)
        assert any(node.op_type == "QuantizeLinear" for node in graph.graph.node)


@pytest.mark.parametrize(
    "model", ["onnx_recognizer", pytest.param("recognizer_spec", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_line_is_read_equally_alone_and_in_a_batch(
    precision: str,
    model: str,
    images: Path,
    tmp_path: Path,
    rng: np.random.Generator,
    request: pytest.FixtureRequest,
) -> None:
    """int8 has the tolerance of fp32, because the calibration fixes the ranges, not the batch."""
    spec = generous(request.getfixturevalue(model))
    data = {"calibration": load_calibration(images, spec), "samples": load_dataset(images)}
    targets = ("openvino", "onnxruntime")
    change = data if precision == "int8" else {}
    lines = [rng.integers(0, 256, (20, w, 3), dtype=np.uint8) for w in (5, 18, 19, 40, 200)]
    for result in build(
        fp32_request(spec, tmp_path, targets=targets, precision=precision, **change)
    ):
        assert result.error is None
        with Engine.from_bundle(load_bundle(result.folder), threads=1) as engine:
            together = recognize(engine, lines)
            alone = [recognize(engine, [line])[0] for line in lines]
            for size in engine.sizes:
                feed = recognizer_input(lines[:4], spec.input, size.width)
                rows = [engine.runner(size).run(feed[i : i + 1]) for i in range(4)]
                batch = engine.runner(size).run(feed)
                np.testing.assert_allclose(batch, np.concatenate(rows), atol=1e-4)
        assert [r.text for r in together] == [r.text for r in alone]
        assert [r.score for r in together] == pytest.approx([r.score for r in alone], abs=1e-4)


def test_target_that_cannot_run_gets_the_metric_of_its_graph(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    build_request = fp32_request(
        generous(onnx_detector),
        tmp_path,
        targets=("tensorrt-rtx",),
        samples=load_dataset(images),
    )
    (result,) = build(build_request)
    verdict = load_bundle(result.folder).manifest.verdict
    assert verdict is not None
    assert verdict.metric is not None
    assert verdict.metric.engine_run_by == "onnxruntime on the quantized graph (fp32)"
    assert verdict.latency is None


DECONVOLUTION = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,32,32] image) => (float[1,1,32,32] map)
    {
        a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (image, w0)
        b = Relu(a)
        c = ConvTranspose <strides = [2, 2]> (b, w1)
        d = Relu(c)
        e = Conv <pads = [1, 1, 1, 1]> (d, w2)
        f = Relu(e)
        g = Conv(f, w3)
        map = Sigmoid(g)
    }"""


DECONVOLUTION_WEIGHTS = {
    "w0": (32, 3, 3, 3), "w1": (32, 32, 2, 2), "w2": (32, 32, 3, 3), "w3": (1, 32, 1, 1),
}  # fmt: skip


def test_deconvolutions_become_convolutions_where_only_those_run_in_int8(
    images: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    spec = small_spec(tmp_path)
    write_model(spec.source.path, text=DECONVOLUTION, weights=DECONVOLUTION_WEIGHTS)
    targets, calibration = ("openvino", "tensorrt-rtx"), load_calibration(images, spec)
    build_request = fp32_request(
        spec, tmp_path / "out", targets=targets, precision="int8", calibration=calibration
    )
    ops = {}
    for result in build(build_request):
        assert result.error is None
        manifest = load_bundle(result.folder).manifest
        graph = onnx.load(result.folder / manifest.engines[0].model).graph
        kinds = {node.op_type for node in graph.node}
        ops[result.target] = kinds & {"ConvTranspose", "DepthToSpace"}
        reasons = manifest.precision_exceptions.values()
        assert any("deconvolution" in why for why in reasons) == (result.target == "openvino")
    assert ops == {"openvino": {"ConvTranspose"}, "tensorrt-rtx": {"DepthToSpace"}}


def test_unlabeled_images_measure_agreement(
    onnx_recognizer: RecognizerSpec, images: Path, tmp_path: Path
) -> None:
    (images / "labels.json").unlink()
    (result,) = build(fp32_request(onnx_recognizer, tmp_path, samples=load_dataset(images)))
    verdict = load_bundle(result.folder).manifest.verdict
    assert verdict is not None
    assert verdict.metric is not None
    assert not verdict.metric.labeled
    assert verdict.metric.engine == 0.0


class Spoiled(type(openvino.BACKEND)):
    """OpenVINO with engines whose outputs are shifted along the last axis."""

    def open(self, plan: Path, **options: Any) -> Any:
        runner = super().open(plan, **options)
        execute = runner._execute_and  # ``_execute`` calls it, too
        runner._execute_and = lambda feed, use: execute(feed, lambda out: use(np.roll(out, 7, -1)))
        return runner


class FailsOnBatches(type(openvino.BACKEND)):
    """OpenVINO with engines that fail on, or return one result for, several images."""

    def __init__(self, *, raises: bool) -> None:
        super().__init__()
        self._raises = raises

    def open(self, plan: Path, **options: Any) -> Any:
        runner = super().open(plan, **options)
        execute = runner._execute_and

        def changed(feed: Any, use: Any) -> Any:
            if len(feed) > 1 and self._raises:
                raise RuntimeError("Node ReverseSequence_1 of type ReverseSequence")
            return execute(feed, lambda out: use(out[:1]))

        runner._execute_and = changed
        return runner


@pytest.mark.parametrize(
    ("raises", "fact"), [(True, "ReverseSequence_1"), (False, r"returns \(1, 8, 96\) for 3 images")]
)
def test_engine_that_cannot_run_batches_is_refused(
    onnx_recognizer: RecognizerSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raises: bool,
    fact: str,
) -> None:
    monkeypatch.setattr(openvino, "BACKEND", FailsOnBatches(raises=raises))
    (result,) = build(fp32_request(onnx_recognizer, tmp_path / "bundles"))
    assert isinstance(result.error, EngineBuildError)
    assert re.search(fact, str(result.error))
    assert "input.max_batch: 1" in str(result.error)
    assert list((tmp_path / "bundles").iterdir()) == []


def test_engine_over_its_budget_is_not_written(
    onnx_recognizer: RecognizerSpec,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "BACKEND", Spoiled())
    output = tmp_path / "bundles"
    (images / "labels.json").unlink()
    build_request = fp32_request(onnx_recognizer, output, samples=load_dataset(images))
    (result,) = build(build_request)
    assert isinstance(result.error, BudgetError)
    assert "more than accuracy.max_loss 0.3" in str(result.error)
    assert result.bundle is None
    assert list(output.iterdir()) == []


def test_engine_over_its_budget_keeps_an_older_one(
    onnx_recognizer: RecognizerSpec,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "bundles"
    (images / "labels.json").unlink()
    build_request = fp32_request(onnx_recognizer, output, samples=load_dataset(images))
    older = build(build_request)[0]
    assert older.bundle is not None
    monkeypatch.setattr(openvino, "BACKEND", Spoiled())
    (result,) = build(build_request)
    assert isinstance(result.error, BudgetError)
    assert "still contains the older engine" in str(result.error)
    assert result.bundle is None
    assert load_bundle(older.folder).manifest == older.bundle.manifest
    assert list(output.iterdir()) == [older.folder]


def test_fp32_engine_that_differs_is_refused_without_images(
    onnx_recognizer: RecognizerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "BACKEND", Spoiled())
    (result,) = build(fp32_request(onnx_recognizer, tmp_path))
    assert isinstance(result.error, ConversionError)
    assert "the openvino fp32 differs from the model by" in str(result.error)
    assert list(tmp_path.iterdir()) == []


def test_baseline_that_detects_nothing_is_refused(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=r"the model itself gives hmean 0\.00 .* input\.mean"):
        build(fp32_request(onnx_detector, tmp_path, samples=load_dataset(images)))
    assert list(tmp_path.iterdir()) == [images]


def test_spec_that_contradicts_the_output_is_refused(
    onnx_detector: DetectorSpec, onnx_recognizer: RecognizerSpec, tmp_path: Path
) -> None:
    short = onnx_recognizer.model_copy(update={"charset": "abc"})
    with pytest.raises(SpecError, match="96 classes, but the spec's charset has 3 characters"):
        build(fp32_request(short, tmp_path))
    output = onnx_detector.output.model_copy(update={"channel": 1})
    other = onnx_detector.model_copy(update={"output": output})
    with pytest.raises(SpecError, match=r"output\.channel.* 1, but the output has 1 channel"):
        build(fp32_request(other, tmp_path))


def test_bundle_finds_its_source_from_anywhere(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (result,) = build(fp32_request(onnx_detector, Path("bundles")))
    folder = result.folder.resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_bundle(folder).spec.source.path.samefile(onnx_detector.source.path)
    assert load_spec(folder / "spec.yaml").source.path.samefile(onnx_detector.source.path)


def test_one_bad_target_does_not_stop_the_others(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise EngineBuildError("no")

    monkeypatch.setattr(type(openvino.BACKEND), "build", refuse)
    bad, good = build(fp32_request(onnx_detector, tmp_path, targets=("openvino", "onnxruntime")))
    assert isinstance(bad.error, EngineBuildError)
    assert good.bundle is not None
    assert [path.name for path in tmp_path.iterdir()] == ["m-onnxruntime-fp32"]


def test_full_disk_at_the_end_leaves_nothing(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ocr_trt.builder.write.write_manifest", full)
    (result,) = build(fp32_request(onnx_detector, tmp_path))
    assert isinstance(result.error, OutputError)
    assert "the disk is full" in str(result.error)
    assert list(tmp_path.iterdir()) == []


def test_graph_that_differs_from_its_model_is_refused(
    onnx_detector: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocr_trt.engines.tensorflow import baseline

    original = baseline.as_converted
    monkeypatch.setattr(baseline, "as_converted", lambda out, spec: 2 * original(out, spec))
    with pytest.raises(ConversionError, match="differs from the model by"):
        build(fp32_request(onnx_detector, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"targets": ("cuda",)}, UserError, "no target 'cuda'"),
        ({"targets": ("tensorrt",)}, TargetMissingError, "tensorrt"),
        ({"precision": "fp16"}, UserError, "openvino cannot compute in fp16"),
        ({"precision": "int8"}, UserError, "give --calibration DIR"),
    ],
    ids=["unknown target", "absent target", "precision it has not", "int8 without images"],
)
def test_wrong_request_is_refused(
    onnx_detector: DetectorSpec, tmp_path: Path, change: Any, error: Any, message: str
) -> None:
    if change.get("targets") == ("tensorrt",) and backend("tensorrt").availability().can_build:
        pytest.skip("TensorRT is here")
    with pytest.raises(error, match=message):
        build(fp32_request(onnx_detector, tmp_path, **change))


def test_two_builds_give_the_same_quantized_graph_and_the_same_results(
    onnx_detector: DetectorSpec, images: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    spec = generous(onnx_detector)
    feed = rng.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    hashes, results = [], []
    for name in ("a", "b"):
        calibration = load_calibration(images, spec)
        build_request = fp32_request(
            spec, tmp_path / name, precision="int8", calibration=calibration
        )
        (result,) = build(build_request)
        assert result.bundle is not None
        hashes.append(result.bundle.manifest.files["model_32.onnx"])
        with Engine.from_bundle(result.bundle) as engine:
            results.append(engine.runner().run(feed))
    assert hashes[0] == hashes[1]
    assert np.array_equal(*results)
