"""GridSample in every version of OpenVINO that pyproject.toml allows."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.targets import backend

TEXT = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,2,5,6] x) => (float[1,2,3,4] y)
    {{
        y = GridSample <{mode} align_corners = {corners}, padding_mode = "{padding}"> (x, grid)
    }}
"""
IN_A_BRANCH = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,2,5,6] x) => (float[1,2,3,4] y)
    <float half = {0.5}> {
        most = ReduceMax <keepdims = 0> (x)
        p = Greater(most, half)
        y = If (p) <
            then_branch = f () => (float[1,2,3,4] a) {
                a = GridSample <mode = "linear"> (x, grid)
            },
            else_branch = g () => (float[1,2,3,4] b) {
                b = GridSample <mode = "nearest"> (x, grid)
            }>
    }
"""


def check_equal(text: str, rng: np.random.Generator) -> None:
    import openvino as ov

    model = onnx.parser.parse_model(text)
    grid = rng.uniform(-1.2, 1.2, (1, 3, 4, 2)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(grid, "grid"))
    x = rng.standard_normal((1, 2, 5, 6)).astype(np.float32)
    expected = onnx_session(model).run(None, {"x": x})[0]
    read = backend("openvino")._read(model)  # type: ignore[attr-defined]
    result = ov.Core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("mode", ['mode = "linear",', 'mode = "nearest",', ""])
@pytest.mark.parametrize(("corners", "padding"), [(0, "zeros"), (1, "border"), (0, "reflection")])
def test_grid_samples_equal_onnxruntime(
    mode: str, corners: int, padding: str, rng: np.random.Generator
) -> None:
    check_equal(TEXT.format(mode=mode, corners=corners, padding=padding), rng)


def test_grid_sample_in_a_branch(rng: np.random.Generator) -> None:
    check_equal(IN_A_BRANCH, rng)
