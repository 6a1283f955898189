"""Two ONNX models that read stripes: white boxes are text, and shades in them are letters."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser

from ocr_trt.common.input_size import InputSize
from tests.pipeline.functions import detector_spec, recognizer_spec

SHADES = {"a": 140, "b": 170, "c": 200}

DETECTOR = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,64,64] x) => (float[N,1,64,64] y) <float half = {0.5}, int64[1] axis = {1}> {
        m = ReduceMean <keepdims = 1> (x, axis)
        over = Greater(m, half)
        y = Cast <to = 1> (over)
    }
""")


def recognizer(width: int) -> onnx.ModelProto:
    """Read four columns as the letter whose shade is nearest to their mean; white is blank."""
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[N,1,8,{width}] x) => (float[N,{width // 4},4] y)
        <float[1,1,4] shades = {{255, 140, 170, 200}}, int64[3] shape = {{0, {width // 4}, 1}}> {{
            m = AveragePool <kernel_shape = [8, 4], strides = [8, 4]> (x)
            column = Reshape(m, shape)
            off = Sub(column, shades)
            far = Abs(off)
            y = Neg(far)
        }}
    """)


def model_of(role: str, size: InputSize) -> onnx.ModelProto:
    return DETECTOR if role == "detector" else recognizer(size.width)


def specs(max_batch: int) -> tuple:
    """Return the specs of the detector and of the recognizer, whose lines are padded with white."""
    spec = recognizer_spec(max_batch)
    return detector_spec(), spec.model_copy(
        update={"input": spec.input.model_copy(update={"pad": 255})}
    )


def image_with(lines: list[str], size: tuple[int, int] = (128, 128)) -> np.ndarray:
    """Draw white lines, 16 pixels high and 24 apart; a letter is 16 columns of one shade."""
    image = np.zeros((*size, 3), np.uint8)
    for row, text in enumerate(lines):
        top = 8 + 24 * row
        image[top : top + 16, 8 : 16 + 24 * len(text)] = 255
        for place, letter in enumerate(text):
            image[top : top + 16, 16 + 24 * place : 32 + 24 * place] = SHADES[letter]
    return image
