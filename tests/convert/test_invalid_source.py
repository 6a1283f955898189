"""ONNX files that the checker accepts, and that cannot run, are refused as such."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.convert import pipeline
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.errors import ConversionError, InputFileError
from ocr_trt.spec import SourceSpec
from tests.builder.small_build import WEIGHTS, small_spec, write_model

RESHAPED = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,32,32] image) => (float[1,1,32,32] map) <int64[4] shape = {1, 32, 16, 16}>
    { a = Conv <pads = [1, 1, 1, 1]> (image, w0)
      b = Reshape(a, shape)
      c = Transpose <perm = [0, 1, 3, 2]> (b)
      d = Conv <pads = [1, 1, 1, 1]> (c, w1)
      e = Conv (d, w2)
      map = Sigmoid(e) }"""


def test_graph_that_cannot_run_is_refused(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    write_model(spec.source.path, text=RESHAPED, weights=WEIGHTS)
    with pytest.raises(ConversionError, match=r"m\.onnx: .*not valid.*[Rr]eshape"):
        convert(open_source(spec.source), spec)


def test_bug_in_a_pass_is_not_blamed_on_a_valid_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: object) -> None:
        raise IndexError("a bug")

    spec = small_spec(tmp_path)
    monkeypatch.setattr(pipeline, "PASSES", (broken,))
    with pytest.raises(IndexError, match="a bug"):
        convert(open_source(spec.source), spec)


def of_another_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] += 1


def constant_of_another_size(model: onnx.ModelProto) -> None:
    wrong = onnx.numpy_helper.from_array(np.zeros(3, np.float32))
    wrong.dims[0] = 4
    node = onnx.helper.make_node("Constant", [], ["unused"], value=wrong)
    model.graph.node.insert(0, node)


@pytest.mark.parametrize("damage", [of_another_size, constant_of_another_size])
def test_damaged_tensor_is_refused(
    damage: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    write_model(path)
    model = onnx.load(path)
    damage(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputFileError, match=r"m\.onnx: not a valid ONNX model"):
        open_source(SourceSpec(path=path))
