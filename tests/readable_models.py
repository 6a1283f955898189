"""Models whose results are known, and the files that the examples of the documents name.

The detector finds bright areas. The recognizer reads one of two texts, by the brightness of a line.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
from PIL import Image

from ocr_trt.builder import build
from ocr_trt.spec import dump_spec, spec_from_dict
from tests.builder.small_build import fp32_request

TEXTS = ("TOTAL 12.50", "THANK YOU")
PRINTABLE = "".join(map(chr, range(32, 127)))

DETECTOR = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[1,3,96,160] image) => (float[1,1,96,160] map)
    <float[1,3,1,1] mean = {1, 1, 1}, float[1] shift = {300}>
    { sum = Conv (image, mean)
      above = Sub (sum, shift)
      map = Sigmoid (above) }"""

RECOGNIZER = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[N,1,32,192] image) => (float[N,T,96] logits)
    <int64[2] sides = {2, 3}, float[1] shift = {200}>
    { top = ReduceMax <keepdims = 0> (image, sides)
      above = Sub (top, shift)
      first = Sigmoid (above)
      weight = Unsqueeze (first, last)
      change = Mul (weight, difference)
      logits = Add (change, second) }"""


def write_models(
    folder: Path,
    texts: tuple[str, str] = TEXTS,
    charset: str = PRINTABLE,
    shape: str = "quad",
) -> dict[str, Path]:
    """Write both models and their specs; return the specs by role.

    Args:
        folder: the folder to write to.
        texts: what the recognizer reads, at most 12 characters each: a bright line and a dark one.
        charset: 95 characters that contain those of the texts.
        shape: of the detector's boxes.
    """
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": "m"}, "charset": charset,
            "output": {"name": "logits"},
            "input": {
                "name": "image", "shape": [1, 1, 32, 192], "layout": "NCHW", "color": "GRAY",
                "mean": [0.0], "scale": [1.0], "max_batch": 4,
            },
        }
    )  # fmt: skip
    models = {"detector": DETECTOR, "recognizer": RECOGNIZER}
    for role, text in models.items():
        model = onnx.parser.parse_model(text)
        if role == "recognizer":
            first, second = (_logits(each, spec.charset, spec.blank) for each in texts)
            for name, array in (
                ("last", np.array([2], np.int64)),
                ("difference", first - second),
                ("second", second),
            ):
                model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        onnx.save(model, folder / f"{role}.onnx")
    recognizer = spec.model_copy(
        update={
            "name": "recognizer",
            "source": spec.source.model_copy(update={"path": folder / "recognizer.onnx"}),
        }
    )
    detector = spec_from_dict(
        {
            "name": "detector", "role": "detector",
            "source": {"path": folder / "detector.onnx"}, "output": {"name": "map"},
            "input": {
                "name": "image", "shape": [1, 3, 96, 160], "layout": "NCHW", "mean": [0.0],
                "scale": [1.0],
            },
            "boxes": {"unclip_ratio": 0.0, "shape": shape},
        }
    )  # fmt: skip
    specs = {}
    for each in (detector, recognizer):
        specs[each.role] = folder / f"{each.role}.yaml"
        specs[each.role].write_text(dump_spec(each))
    return specs


def _logits(text: str, charset: str, blank: int) -> np.ndarray:
    """Return class scores (1, 24, C) of a text: a character and a blank in turn."""
    letters = [*charset[:blank], None, *charset[blank:]]
    logits = np.zeros((1, 24, len(letters)), np.float32)
    for step in range(24):
        character = text[step // 2] if step % 2 == 0 and step // 2 < len(text) else None
        logits[0, step, letters.index(character)] = 20
    return logits


def receipt(*shades: int) -> Image.Image:
    """Draw lines of text as bright bars, one below the other."""
    pixels = np.zeros((96, 160, 3), np.uint8)
    for number, shade in enumerate(shades):
        pixels[16 + 48 * number : 32 + 48 * number, 16:112] = shade
    return Image.fromarray(pixels)


def badge() -> Image.Image:
    """Draw a bright line of text on an arch, and below it a straight dark one."""
    pixels = np.zeros((96, 160, 3), np.uint8)
    angles = np.radians(np.arange(230, 311, 5))
    points = np.stack([80 + 64 * np.cos(angles), 76 + 64 * np.sin(angles)], 1)
    cv2.polylines(pixels, [np.round(points).astype(np.int32)], False, (255, 255, 255), 18)
    pixels[64:80, 40:120] = 150
    return Image.fromarray(pixels)


def write_bundles(specs: dict[str, Path], folder: Path) -> None:
    """Build both models; the bundles have the names of their roles."""
    from ocr_trt.spec import load_spec

    for role, spec in specs.items():
        (result,) = build(fp32_request(load_spec(spec), folder))
        assert result.error is None
        result.folder.rename(folder / role)


def write_workplace(folder: Path) -> Path:
    """Write the bundles, specs and images that the examples of the documents name."""
    write_bundles(write_models(folder), folder / "bundles")
    (folder / "images").mkdir()
    receipt(255, 150).save(folder / "receipt.png")
    receipt(255, 150).save(folder / "images" / "1.png")
    receipt(150).save(folder / "images" / "2.png")
    receipt(255, 150).save(
        folder / "scan.tiff", save_all=True, append_images=[receipt(150), receipt(255)]
    )
    return folder
