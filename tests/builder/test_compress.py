"""Compression in a build: what it finds, what it refuses, and what it writes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.builder import build, smaller_engine
from ocr_trt.builder.cache_key import request_facts
from ocr_trt.builder.compression_trials import CompressionRunner
from ocr_trt.builder.precision_page import FILES
from ocr_trt.common.progress import LogReporter, SilentReporter
from ocr_trt.compression.decisions import Factor
from ocr_trt.compression.sparsify import is_2_4
from ocr_trt.debug.find import debug
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.engines.bundle_diff import bundle_differences, facts
from ocr_trt.engines.manifest import Manifest
from ocr_trt.errors import BudgetError, UserError
from ocr_trt.ocr.dataset import load_dataset
from tests.builder.compressible import (
    LAYERS,
    RANK,
    compress_request,
    compressible_spec,
    weights,
    write_words,
)
from tests.builder.small_build import quick_request


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with bright bars, which the detector finds."""
    return write_words(tmp_path_factory.mktemp("words") / "images")


@pytest.fixture(scope="module")
def compressed(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A compressed engine in int8, for tests that only read it."""
    folder = tmp_path_factory.mktemp("compressed")
    spec = compressible_spec(folder)
    (result,) = build(compress_request(spec, words, folder / "out", precision="int8"))
    assert result.error is None
    return load_bundle(result.folder)


def test_layers_of_low_rank_are_found_and_factored_without_loss(
    words: Path, tmp_path: Path
) -> None:
    spec = compressible_spec(tmp_path)
    (result,) = build(compress_request(spec, words, tmp_path / "out"))
    assert result.error is None
    assert result.folder.name == "low-openvino-fp32-compressed"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {result.folder.name}
    manifest = load_bundle(result.folder).manifest
    compression = manifest.compression
    assert compression is not None
    assert compression.is_applied, compression.reason
    ranks = [each.rank for each in compression.decisions if isinstance(each, Factor)]
    assert len(ranks) == 2
    assert min(ranks) >= RANK, "a smaller rank would lose something"
    assert compression.distance < 0.01
    assert compression.kept_flops < 0.5
    assert compression.agreement == 1
    assert compression.uncompressed is not None
    assert manifest.verdict is not None
    assert manifest.verdict.latency is not None
    assert manifest.verdict.latency.engine < compression.uncompressed.engine
    graph = onnx.load(result.folder / "model_96.onnx")
    assert sum(node.op_type == "Conv" for node in graph.graph.node) == 4 + len(ranks)


def test_an_int8_engine_is_compressed_and_described(compressed: Bundle) -> None:
    manifest = compressed.manifest
    assert manifest.compression is not None
    assert manifest.compression.is_applied, manifest.compression.reason
    assert compressed.label.endswith("int8 compressed")
    # Its samples are the calibration images.
    assert "--data" in manifest.compression.reason
    text = str(facts(manifest)["compression"])
    assert "layers factored" in text
    assert "% of the FLOPs remain" in text
    report = json.loads((compressed.folder / FILES[0]).read_text("utf-8"))
    layers = {row["name"]: row for row in report["compression"]["layers"]}
    factored = [row for row in layers.values() if row["rank"] is not None]
    assert all(row["kept"] < 1 for row in factored)
    assert all(row["expected_cost"] < row["cost"] for row in factored)
    assert sum(row["chosen"] for row in report["compression"]["trials"]) == 1
    page = (compressed.folder / FILES[1]).read_text("utf-8")
    assert "Compressed networks" in page
    assert "Compression of the layers" in page
    assert all(row in page for row in layers)


def test_differences_name_the_layers(compressed: Bundle, words: Path, tmp_path: Path) -> None:
    request = compress_request(compressible_spec(tmp_path), words, tmp_path, compress=False)
    (result,) = build(request)
    found = {each.what: each for each in bundle_differences(load_bundle(result.folder), compressed)}
    assert manifest_of(compressed).decisions
    for each in manifest_of(compressed).decisions:
        if isinstance(each, Factor):
            row = found[f"compression of layer {each.layer}"]
            assert (row.first, row.second) == (None, f"rank {each.rank}")
    assert found["compression"].first is None


def manifest_of(bundle: Bundle) -> Any:
    assert bundle.manifest.compression is not None
    return bundle.manifest.compression


def test_debug_compares_a_compressed_bundle_with_the_model(
    compressed: Bundle, words: Path, tmp_path: Path
) -> None:
    report = debug(compressed, load_dataset(words), SilentReporter())
    names = {step.name for step in report.steps}
    layers = {each.layer for each in manifest_of(compressed).decisions if each.kind == "factor"}
    assert names >= layers, "a factored layer is compared at the result of its second op"
    assert any("compressed" in note for note in report.notes)
    assert report.culprit is None or report.culprit.cause != "weights"
    request = compress_request(
        compressible_spec(tmp_path), words, tmp_path, compress=False, precision="int8"
    )
    (plain,) = build(request)
    against = debug(
        compressed, load_dataset(words), SilentReporter(), against=load_bundle(plain.folder)
    )
    assert against.steps


def test_nothing_is_won_if_no_layer_can_be_smaller(words: Path, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,3,96,96] image) => (float[1,1,96,96] map)
        { a = Conv <pads = [1, 1, 1, 1]> (image, w0)  b = Relu(a)
          c = Conv (b, w1, b1)  map = Sigmoid(c) }"""
    arrays = weights()
    few = {"w0": arrays["w0"][:4], "w1": arrays["w3"][:, :4], "b1": arrays["b3"]}
    spec = compressible_spec(tmp_path, text, few)
    (result,) = build(compress_request(spec, words, tmp_path / "out"))
    assert result.error is None
    manifest = load_bundle(result.folder).manifest
    assert manifest.compression is not None
    assert not manifest.compression.is_applied
    assert "nothing won" in manifest.compression.reason
    assert facts(manifest)["compression"] == "none"
    assert not result.bundle or not result.bundle.label.endswith("compressed")
    assert "nothing won" in (result.folder / FILES[1]).read_text("utf-8").replace(
        "Nothing", "nothing"
    )


def test_a_target_that_cannot_run_is_compressed_by_flops(words: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    request = compress_request(
        compressible_spec(tmp_path), words, tmp_path / "out", precision="int8",
        targets=("tensorrt-rtx",),
    )  # fmt: skip
    (result,) = build(request)
    assert result.error is None
    compression = load_bundle(result.folder).manifest.compression
    assert compression is not None
    assert compression.is_applied, compression.reason
    assert compression.uncompressed is None
    assert "not timed" in compression.reason
    assert "by FLOPs" in compression.reason


@pytest.mark.full
def test_weights_become_sparse_for_kernels_that_use_it(words: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    request = compress_request(
        compressible_spec(tmp_path), words, tmp_path / "out", precision="fp32",
        targets=("tensorrt-rtx",), settings=BuildSettings(options={"sparse": "yes"}),
    )  # fmt: skip
    (result,) = build(request)
    assert result.error is None
    bundle = load_bundle(result.folder)
    compression = bundle.manifest.compression
    assert compression is not None
    assert compression.sparse_layers, compression.reason
    assert "2:4 sparse weights" in facts(bundle.manifest)["compression"]
    (path,) = bundle.folder.glob("model_*.onnx")
    arrays = [onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer]
    kernels = [array for array in arrays if array.ndim == 4 and array.shape[1] % 4 == 0]
    assert sum(is_2_4(array, 1) for array in kernels) == compression.sparse_layers


@pytest.mark.full
def test_auto_compresses_the_engine_of_the_fastest_target(words: Path, tmp_path: Path) -> None:
    spec = compressible_spec(tmp_path)
    (result,) = build(compress_request(spec, words, tmp_path / "out", targets=("auto",)))
    assert result.error is None
    assert result.folder.name == "low-auto-fp32-compressed"
    manifest = load_bundle(result.folder).manifest
    assert manifest.compression is not None
    assert manifest.compression.is_applied, manifest.compression.reason
    assert len(manifest.compared_targets) > 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {result.folder.name}


@pytest.mark.full
@pytest.mark.parametrize("step", [None, 8], ids=["a plan per width", "any width"])
def test_a_recognizer_of_several_widths_has_one_set_of_weights(
    step: int | None, onnx_recognizer: Any, shared_images: Path, tmp_path: Path
) -> None:
    spec = onnx_recognizer.model_copy(update={"width_step": step})
    request = quick_request(
        spec, shared_images, tmp_path, compress=True, precision="fp32",
        targets=("openvino",),
    )  # fmt: skip
    (result,) = build(request)
    assert result.error is None
    compression = load_bundle(result.folder).manifest.compression
    assert compression is not None
    if step is not None:
        assert (result.folder / "model_any.onnx").exists()
        return
    graphs = [onnx.load(result.folder / f"model_{each}.onnx") for each in (32, 64)]
    shapes = [[list(t.dims) for t in each.graph.initializer] for each in graphs]
    assert shapes[0] == shapes[1]


def test_the_search_steps_back_if_the_engine_is_over_budget(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, tried = smaller_engine.build_engine, list[int]()

    def over_budget_once(job: Any, *args: Any, **options: Any) -> Any:
        (graph,) = job.graphs.values()
        tried.append(sum(t.ByteSize() for t in graph.graph.initializer))
        if len(tried) == 1:
            raise BudgetError("loses too much")
        return original(job, *args, **options)

    monkeypatch.setattr(smaller_engine, "build_engine", over_budget_once)
    (result,) = build(compress_request(compressible_spec(tmp_path), words, tmp_path / "out"))
    assert result.error is None
    assert len(tried) > 1
    assert tried[0] < tried[1], "the second network has more weights"
    assert result.bundle is not None
    assert result.bundle.manifest.compression is not None
    report = json.loads((result.folder / FILES[0]).read_text("utf-8"))
    notes = [row["note"] for row in report["compression"]["trials"]]
    assert "loses too much" in notes


def test_an_interrupted_search_measures_nothing_twice(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = compress_request(compressible_spec(tmp_path), words, tmp_path / "out")
    measured, original = list[object](), CompressionRunner._distance

    def counted(self: CompressionRunner, graphs: Any) -> float:
        measured.append(graphs)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return original(self, graphs)

    monkeypatch.setattr(CompressionRunner, "_distance", counted)
    with pytest.raises(KeyboardInterrupt):
        build(request)
    (log,) = (tmp_path / "out").glob("*.compression.jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(record["distance"] is not None for record in records) == 3
    (result,) = build(request)
    assert result.error is None
    assert len(measured) > 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == {result.folder.name}


def test_too_few_samples_are_named_before_the_search(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With two images, the agreement on them decides, and the build states it."""
    images, spec = write_words(tmp_path / "two", 2), compressible_spec(tmp_path)
    logger = logging.getLogger("few")
    with caplog.at_level(logging.INFO, "few"):
        request = compress_request(spec, images, tmp_path / "out")
        (result,) = build(request, reporter=LogReporter(logger))
    assert result.error is None
    (note,) = [text for text in caplog.messages if "2 samples cannot show" in text]
    assert "--data" in note
    compression = load_bundle(result.folder).manifest.compression
    assert compression is not None
    assert compression.is_applied, compression.reason
    assert not compression.can_tell
    assert compression.interval is None
    assert "2 samples cannot show" in compression.reason


def test_a_request_that_cannot_be_compressed_is_refused_early(words: Path, tmp_path: Path) -> None:
    spec = compressible_spec(tmp_path)
    with pytest.raises(UserError, match="calibration images"):
        build(compress_request(spec, words, tmp_path, calibration=None))
    with pytest.raises(UserError, match="--ranges or --compress"):
        build(compress_request(spec, words, tmp_path, precision="int8", ranges=tmp_path / "r"))


def test_the_cache_tells_compressed_builds_apart(words: Path, tmp_path: Path) -> None:
    spec = compressible_spec(tmp_path)
    one, other = (
        request_facts(compress_request(spec, words, tmp_path, compress=each))
        for each in (True, False)
    )
    assert one["compress"] != other["compress"]


def test_manifests_without_compression_are_read(compressed: Bundle) -> None:
    data = compressed.manifest.model_dump(mode="json")
    del data["compression"]
    assert Manifest.model_validate(data).compression is None


def test_a_model_that_is_already_quantized_is_not_compressed(words: Path, tmp_path: Path) -> None:
    text = LAYERS.replace(
        "d = Relu(c)",
        "d0 = Relu(c)  q = QuantizeLinear(d0, step, zero)  d = DequantizeLinear(q, step, zero)",
    )
    arrays = {**weights(), "step": np.array(0.05, np.float32), "zero": np.array(0, np.int8)}
    spec = compressible_spec(tmp_path, text, arrays)
    (result,) = build(compress_request(spec, words, tmp_path / "out", precision="int8"))
    assert result.error is None
    compression = load_bundle(result.folder).manifest.compression
    assert compression is not None
    assert not compression.is_applied
    assert "already quantized" in compression.reason
