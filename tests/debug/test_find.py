"""``debug`` on whole bundles: its results, sentences, images and errors."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from ocr_trt.calibration.int8_style import Int8Style
from ocr_trt.calibration.quantize import quantize, quantized_tensors
from ocr_trt.common.progress import SilentReporter
from ocr_trt.debug.debug_page import FILES, write_debug
from ocr_trt.debug.find import debug
from ocr_trt.debug.heat import line_strip, step_errors
from ocr_trt.debug.summary_lines import summary_lines
from ocr_trt.debug.suspects import chosen_samples
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.bundle import Bundle, file_entries, load_bundle, write_manifest
from ocr_trt.engines.manifest import EngineEntry, Manifest
from ocr_trt.engines.targets import backend
from ocr_trt.errors import InputFileError
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import RecognizerSpec, spec_from_dict

GRAPH = """<ir_version: 10, opset_import: ["" : 20]>
agraph (float[1,3,32,64] x) => (float[1,1,32,64] y)
{ a = Conv<pads = [1, 1, 1, 1]>(x, wa)
  b = Relu(a)
  c = Conv<pads = [1, 1, 1, 1]>(b, wb)
  d = Relu(c)
  e = Conv<pads = [1, 1, 1, 1]>(d, wc)
  y = Sigmoid(e) }"""
STYLE = Int8Style(everywhere=True, largest_weight=63)


@pytest.fixture(scope="module")
def quantized() -> onnx.ModelProto:
    """An int8 graph with ranges that fit its tensors."""
    rng, model = np.random.default_rng(3), onnx.parser.parse_model(GRAPH)
    for name, shape in (("wa", (8, 3, 3, 3)), ("wb", (8, 8, 3, 3)), ("wc", (1, 8, 3, 3))):
        weights = rng.normal(0, 0.3, shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    model = onnx.shape_inference.infer_shapes(model)
    ranges = dict(zip(quantized_tensors(model, everywhere=True), (1.0, 3.0, 8.0), strict=True))
    return quantize(model, ranges, STYLE).model


def spoiled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with a range 16 times too small for the second convolution's input."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (tensor,) = (t for t in copy.graph.initializer if t.name.startswith("b.scale"))
    small = (numpy_helper.to_array(tensor) / 16).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(small, tensor.name))
    return copy


def bundle_of(folder: Path, graph: onnx.ModelProto, run: onnx.ModelProto, sha: str = "0") -> Bundle:
    """A bundle for OpenVINO with a quantized graph, and a plan of the graph ``run``."""
    folder.mkdir()
    onnx.save(graph, folder / "model_64.onnx")
    backend("openvino").build(run, folder / "plan_64.xml", BuildSettings())
    spec = spec_from_dict(
        {
            "name": "det", "role": "detector", "source": {"path": "absent"},
            "input": {"name": "x", "shape": [1, 3, 32, 64], "layout": "NCHW"},
            "output": {"name": "y"},
        }
    )  # fmt: skip
    entry = EngineEntry(height=32, width=64, model="model_64.onnx", plan="plan_64.xml")
    manifest = Manifest(
        spec=spec, target="openvino", precision="int8", source_sha256=sha * 64, versions={},
        largest_weight=63, engines=(entry,), files=file_entries(folder),
    )  # fmt: skip
    write_manifest(folder, manifest)
    return load_bundle(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rng, rows = np.random.default_rng(5), []
    for number in range(4):
        coarse = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (64, 32)))
        rows.append({"file": f"{number}.png", "boxes": []})
    (folder / "labels.json").write_text(json.dumps(rows))
    return folder


def test_faults_of_the_graph_and_of_the_target_are_distinguished(
    quantized: onnx.ModelProto, data: Path, tmp_path: Path
) -> None:
    wrong = spoiled(quantized)
    graph = bundle_of(tmp_path / "graph", wrong, wrong)
    result = debug(graph, load_dataset(data), SilentReporter())
    assert result.verdict == "graph"
    assert result.culprit is not None
    assert (result.culprit.step.name, result.culprit.cause) == ("c", "clipped")
    assert result.first is not None
    assert result.first < 10 < 25 < (result.repaired or 99)
    assert any("the model is not available" in note for note in result.notes)
    assert any(line.startswith("First bad step: Conv c") for line in summary_lines(result))

    target = bundle_of(tmp_path / "target", quantized, wrong)
    result = debug(target, load_dataset(data), SilentReporter())
    assert result.verdict == "target"
    assert result.culprit is not None
    assert (result.culprit.step.name, result.culprit.cause) == ("c", "target")
    assert any(line.startswith("Kernel fault: ") for line in summary_lines(result))


def test_a_sound_bundle_has_no_culprit_against_itself(
    quantized: onnx.ModelProto, data: Path, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path / "a", quantized, quantized)
    other = bundle_of(tmp_path / "b", quantized, quantized)
    result = debug(bundle, load_dataset(data), SilentReporter(), against=other)
    assert result.graph is None
    assert [row.own for row in result.steps] == [None] * len(result.steps)
    spoilt = bundle_of(tmp_path / "c", spoiled(quantized), spoiled(quantized))
    result = debug(spoilt, load_dataset(data), SilentReporter(), against=other)
    assert result.culprit is not None
    assert result.culprit.step.name == "c"


def test_bundles_that_cannot_be_compared_are_refused(
    quantized: onnx.ModelProto, data: Path, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path / "a", quantized, quantized)
    other = bundle_of(tmp_path / "b", quantized, quantized, sha="1")
    dataset = load_dataset(data)
    with pytest.raises(InputFileError, match=r"its model is 1111"):
        debug(bundle, dataset, SilentReporter(), against=other)
    with pytest.raises(InputFileError, match=r"no sample is named .9\.png.* 4 samples .* 0"):
        debug(bundle, dataset, SilentReporter(), sample="9.png")
    (data / "2.png").write_bytes(b"no image")
    with pytest.raises(InputFileError, match=r"2\.png"):
        debug(bundle, dataset, SilentReporter())
    assert debug(bundle, dataset, SilentReporter(), sample="1.png").looked_at == 1
    shutil.rmtree(data)
    data.mkdir()
    with pytest.raises(InputFileError, match="data"):
        load_dataset(data)


def test_graphs_that_cannot_be_run_are_refused(
    quantized: onnx.ModelProto, data: Path, tmp_path: Path
) -> None:
    """Damaged graphs with correct checksums are an InputFileError."""
    broken = onnx.ModelProto()
    broken.CopyFrom(quantized)
    (weights,) = (t for t in broken.graph.initializer if t.name.startswith("wb.axis0.int8"))
    weights.CopyFrom(numpy_helper.from_array(np.zeros((8, 5, 3, 3), np.int8), weights.name))
    bundle = bundle_of(tmp_path / "a", broken, quantized)
    with pytest.raises(InputFileError, match=r"cannot be run|not a valid ONNX model"):
        debug(bundle, load_dataset(data), SilentReporter())
    other = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,3,32,64] x) => (float[1,1,32,64] y) { p = Relu(x)  y = MatMul(p, p) }"""
    )
    bundle = bundle_of(tmp_path / "b", other, quantized)
    sound = bundle_of(tmp_path / "c", quantized, quantized)
    with pytest.raises(InputFileError, match="cannot be"):
        debug(bundle, load_dataset(data), SilentReporter(), against=sound)


def test_page_is_complete_and_names_are_escaped(
    quantized: onnx.ModelProto, data: Path, tmp_path: Path
) -> None:
    wrong = spoiled(quantized)
    (data / "0.png").rename(data / "<i>.png")
    (data / "labels.json").write_text(json.dumps([{"file": "<i>.png", "boxes": []}]))
    bundle = bundle_of(tmp_path / "a", wrong, wrong)
    report = debug(bundle, load_dataset(data), SilentReporter())
    write_debug(report, tmp_path)
    page = (tmp_path / FILES[1]).read_text()
    assert "&lt;i&gt;.png" in page
    assert "<i>.png" not in page
    assert page.count('<li class="culprit">') == 1
    assert page.count('class="bar"') == len(report.steps) == 6
    assert not re.search(r"(src|href)=\"http", page)
    told = json.loads((tmp_path / FILES[0]).read_text(), parse_constant=pytest.fail)
    assert told["culprit"]["step"]["name"] == "c"
    assert "image" not in told["samples"][0]


@pytest.fixture
def reader() -> RecognizerSpec:
    result = spec_from_dict(
        {
            "name": "rec", "role": "recognizer", "source": {"path": "absent"},
            "input": {"name": "x", "shape": [1, 32, 64, 1], "color": "GRAY"},
            "output": {"name": "y"}, "buckets": [32],
        }
    )  # fmt: skip
    assert isinstance(result, RecognizerSpec)
    return result


def test_errors_are_drawn_at_their_time_step(reader: RecognizerSpec) -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(1, 8, 96)).astype(np.float32)
    other = exact.copy()
    other[0, 3, 5] += 4
    errors = step_errors(other, exact, reader)
    assert errors.argmax() == 3
    assert errors[3] > 0.1
    np.testing.assert_allclose(np.delete(errors, 3), 0, atol=1e-6)


def test_a_line_is_drawn_at_its_own_bucket(reader: RecognizerSpec) -> None:
    """The letters of both results, and one cell of error for each time step."""
    rng = np.random.default_rng(1)
    outputs = [rng.normal(size=(1, 8, 96)).astype(np.float32) for _ in range(2)]
    outputs[0][0, 0, 1 + reader.charset.index("<")] = 50
    drawn = line_strip(np.zeros((20, 18, 3), np.uint8), *outputs, reader)
    assert drawn.count("<rect") == 8
    assert "&lt;</text>" in drawn
    assert 'viewBox="0 0 80 ' in drawn, "32 pixels, 2.5 times as large"


def test_words_of_a_scene_are_numbered(images: Path, reader: RecognizerSpec) -> None:
    chosen, names = chosen_samples(load_dataset(images), reader, "1.png:1")
    assert names == ["1.png:1"]
    assert [crop.text for crop in chosen.crops] == ["word1"]
    chosen, names = chosen_samples(load_dataset(images), reader, None)
    assert len(names) == len(chosen.crops) == 3
