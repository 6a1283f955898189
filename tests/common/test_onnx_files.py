from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from ocr_trt.common.onnx_files import read_onnx
from ocr_trt.errors import InputFileError

MODEL = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add (x, w) }"""


@pytest.mark.parametrize("size", [0, 7, 9], ids=["no bytes", "some are missing", "one too many"])
def test_tensor_data_that_does_not_fit_its_shape_is_refused(size: int, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(MODEL)
    (tensor,) = model.graph.initializer
    del tensor.float_data[:]
    tensor.raw_data = b"\0" * 8
    onnx.save(model, tmp_path / "good.onnx")
    assert read_onnx(tmp_path / "good.onnx").graph.num_nodes() == 1
    tensor.raw_data = b"\0" * size
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(InputFileError, match="not a valid ONNX model"):
        read_onnx(tmp_path / "bad.onnx")
