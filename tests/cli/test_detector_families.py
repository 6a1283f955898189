"""EAST and CRAFT through the commands: models that return ideal maps, from init to run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from tests.cli.in_process import succeeds
from tests.ocr.test_families import QUADS, SIZE, craft_maps, east_maps, matches
from tests.readable_models import TEXTS, write_bundles, write_models

FAMILIES = {
    # the maps; the number of the channels of each output; the names of the outputs; how well the
    # boxes must fit, because CRAFT's are grown by a rule of thumb
    "rbox": (east_maps("rbox"), (1, 5), ("score", "geometry"), 0.97),
    "quad": (east_maps("quad"), (1, 8), ("score", "geometry"), 0.97),
    "craft": (craft_maps(), (1, 1), ("region", "affinity"), 0.85),
}


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recognizer that reads every bright line as the same text."""
    folder = tmp_path_factory.mktemp("recognizer")
    specs = write_models(folder)
    write_bundles({"recognizer": specs["recognizer"]}, folder / "bundles")
    return folder / "bundles" / "recognizer"


def write_onnx(path: Path, name: str) -> None:
    """Write a model with two outputs that adds the maps to 0 times the image."""
    maps, channels, outputs, _ = FAMILIES[name]
    rows, columns = maps.shape[1:]
    first, second = (
        f"float[N,{count},{rows},{columns}] {output}"
        for count, output in zip(channels, outputs, strict=True)
    )
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3,{SIZE[0]},{SIZE[1]}] image) => ({first}, {second})
        {{ m = GlobalAveragePool(image) z = Conv(m, w)
           {outputs[0]} = Add(z, a) {outputs[1]} = Add(z, b) }}""")
    split = channels[0]
    arrays = {"w": np.zeros((1, 3, 1, 1)), "a": maps[None, :split], "b": maps[None, split:]}
    for key, array in arrays.items():
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array, np.float32), key)
        model.graph.initializer.append(tensor)
    onnx.save(model, path)


def write_keras(path: Path, name: str) -> None:
    """Write a Keras model whose last layers have the maps as their biases."""
    keras = pytest.importorskip("keras")
    maps, channels, outputs, _ = FAMILIES[name]
    image = keras.Input((*SIZE, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    results = []
    for part, output in zip(np.split(maps, [channels[0]]), outputs, strict=True):
        last = part.transpose(1, 2, 0)  # channels last
        dense = keras.layers.Dense(last.size, kernel_initializer="zeros")
        flat = dense(pooled)
        dense.set_weights([np.zeros((3, last.size)), last.ravel()])
        results.append(keras.layers.Reshape(last.shape, name=output)(flat))
    keras.Model(image, results).save(path)


def check_boxes(model: Path, name: str, recognizer: Path) -> None:
    """Go from a model to text with the program, and compare the boxes."""
    folder, fit = model.parent, FAMILIES[name][3]
    preset = "craft" if name == "craft" else "east"
    spec = folder / "detector.yaml"
    common = ("--preset", preset, "--output", spec)
    succeeds("init", model, "--role", "detector", *common)
    succeeds(
        "build", spec, "--target", "openvino", "--precision", "fp32", "--output", folder / "bundles"
    )
    (bundle,) = (folder / "bundles").iterdir()
    image = folder / "white.png"
    cv2.imwrite(str(image), np.full((*SIZE, 3), 255, np.uint8))
    pair = ("--detector", bundle, "--recognizer", recognizer)
    (page,) = json.loads(succeeds("run", image, *pair, "--json"))
    quads = [quad for quad in QUADS if name != "craft" or quad is not QUADS[4]]
    found = np.float32([line["quad"] for line in page["lines"]])
    assert len(found) == len(quads)
    assert min(matches(found, quads)) > fit
    assert {line["text"] for line in page["lines"]} == {TEXTS[0]}
    # Tiles return the same maps at other places; their boxes must be inside the image.
    large = folder / "large.png"
    cv2.imwrite(str(large), np.full((2 * SIZE[0], 2 * SIZE[1], 3), 255, np.uint8))
    (tiled,) = json.loads(succeeds("run", large, *pair, "--json", "--tiles", "on"))
    assert tiled["search"]["tiles"] >= 4 and len(tiled["lines"]) > len(found)
    corners = np.float32([line["quad"] for line in tiled["lines"]]).reshape(-1, 2)
    assert (corners >= 0).all() and (corners <= (2 * SIZE[1], 2 * SIZE[0])).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_an_onnx_model_becomes_boxes(name: str, tmp_path: Path, recognizer: Path) -> None:
    write_onnx(tmp_path / "model.onnx", name)
    check_boxes(tmp_path / "model.onnx", name, recognizer)


@pytest.mark.full
@pytest.mark.parametrize("name", FAMILIES)
def test_a_keras_model_becomes_boxes(name: str, tmp_path: Path, recognizer: Path) -> None:
    write_keras(tmp_path / "model.keras", name)
    check_boxes(tmp_path / "model.keras", name, recognizer)
