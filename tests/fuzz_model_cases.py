"""More cases of ``fuzz.py``: TensorFlow's formats, constants, labels, charsets, foreign images."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import damaged, edited_message, edited_text, edited_tree
from PIL import Image as PilImage

from ocr_trt.cli.model_options import read_charset
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.constants import read_constants
from ocr_trt.ocr.dataset import crop_images, load_dataset
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.images.limits import SMALLEST_SIDE
from ocr_trt.spec import SourceSpec

Case = Callable[[np.random.Generator], None]

_LABELS: list[dict[str, Any]] = [
    {"file": "a.png", "boxes": [{"polygon": [2, 2, 20, 2, 20, 12, 2, 12], "text": "word"},
                                {"polygon": [[1, 1], [9, 1], [9, 9], [1, 9]], "ignore": True}]},
    {"file": "a.png", "text": "a line"},
]  # fmt: skip


def labels(folder: Path) -> Case:
    """Files labels.json, through ``load_dataset`` and the line crops."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 28, 3), np.uint8)
    PilImage.fromarray(noise).save(folder / "a.png")
    good = json.dumps(_LABELS).encode()

    def case(rng: np.random.Generator) -> None:
        data = damaged(good, rng, [good])
        if rng.random() < 0.7:
            text = json.dumps(edited_tree(json.loads(good), rng), ensure_ascii=False)
            data = text.encode("utf-8", "surrogatepass")
        (folder / "labels.json").write_bytes(data)
        found = load_dataset(folder)
        for scene in found.scenes:
            assert scene.quads.shape == (len(scene.texts), 4, 2)
            assert scene.image.path.is_relative_to(folder.resolve())
        for image in crop_images(found.crops):
            assert image.dtype == np.uint8
            assert image.ndim == 3

    return case


def charsets(folder: Path) -> Case:
    """Files of characters, one per line or all in one line."""
    lines = "\n".join("abc \u00e9\u4e00\"'#:\u2028") + "\n"
    texts, path = (lines, lines.replace("\n", ""), lines.replace("\n", "\r\n")), folder / "charset"

    def case(rng: np.random.Generator) -> None:
        text = texts[rng.integers(len(texts))]
        if rng.random() < 0.5:
            path.write_bytes(damaged(text.encode(), rng, [text.encode()]))
        else:
            path.write_text(edited_text(text, rng), "utf-8", errors="surrogatepass", newline="")
        found = read_charset(path)
        assert "\ufeff" not in found[:1]
        found.encode("utf-8")

    return case


def constants(folder: Path) -> Case:
    """Files .npy of further inputs: damaged arrays, objects, texts, records."""
    arrays = (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(3),
        np.asfortranarray(np.ones((3, 2))),
        np.array([True]),
        np.zeros((0, 4), np.int64),
        np.array(["text"]),
        np.array([{"a": 1}], object),
        np.zeros(2, [("x", "f4")]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array([1 + 2j]),
    )
    files = []
    for array in arrays:
        file = io.BytesIO()
        np.save(file, array)
        files.append(file.getvalue())
    path = folder / "value.npy"
    source = SourceSpec(path=Path("m.onnx"), constants={"length": path})

    def case(rng: np.random.Generator) -> None:
        chosen = files[rng.integers(len(files))]
        start = 128 if rng.random() < 0.4 else 0  # the header has 128 bytes
        path.write_bytes(chosen[:start] + damaged(chosen[start:], rng, files))
        (found,) = read_constants(source).values()
        assert found.dtype.kind in "fiub"

    return case


_FOREIGN = ("ICO", "TGA", "PCX", "SGI", "DDS", "ICNS", "EPS", "MSP", "XBM", "IM", "SPIDER", "BLP")
"""Formats that Pillow can write, and that are not accepted as images."""
_ACCEPTED = ("GIF", "PPM", "JPEG2000", "MPO")


def foreign_images(folder: Path) -> Case:
    """Images in other formats that are named .png, through ``load_image``."""
    color = PilImage.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    foreign, accepted = list[bytes](), list[bytes]()
    for name in (*_FOREIGN, *_ACCEPTED):
        mode = {"MSP": "1", "XBM": "1", "SPIDER": "F", "BLP": "P", "GIF": "P"}.get(name, "RGB")
        file = io.BytesIO()
        color.convert(mode).save(file, name)
        (foreign if name in _FOREIGN else accepted).append(file.getvalue())
    path, every = folder / "image.png", [*foreign, *accepted]

    def case(rng: np.random.Generator) -> None:
        if rng.random() < 0.2:  # undamaged, perhaps with the first bytes of a PNG in front
            data = foreign[rng.integers(len(foreign))]
            path.write_bytes((b"\x89PNG\r\n\x1a\n" if rng.random() < 0.5 else b"") + data)
            found = None
        else:
            chosen = every[rng.integers(len(every))]
            path.write_bytes(damaged(chosen, rng, every))
            found = chosen
        image = load_image(path)
        assert found is not None, "a format that is not accepted was decoded"
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert min(image.shape[:2]) >= SMALLEST_SIDE

    return case


def _keras_model() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.UpSampling2D(name="up")(x)
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="map")(x))


def _read(path: Path) -> None:
    """Open a model, and export it between its first input and its first output."""
    source = open_source(SourceSpec(path=path))
    signature = source.signature()
    entry, result = signature.inputs[0].name, signature.outputs[0].name
    source.to_onnx(entry, (1, 16, 16, 3), result)


def _zip_parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """Return an archive, of which a file may have another name or occur twice."""
    file, names = io.BytesIO(), list(parts)
    chance = rng.random()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, parts[name])
        if chance < 0.2:
            odd = ("../config.json", "/tmp/x", "config.json", "a/" * 50 + "x", "x\0y", "assets/")
            archive.writestr(odd[rng.integers(len(odd))], parts[names[rng.integers(len(names))]])
    return file.getvalue()


def keras_files(folder: Path) -> Case:
    """Files .keras and .h5: damaged bytes, and archives with an edited architecture."""
    model = _keras_model()
    for name in ("good.keras", "good.h5"):
        model.save(folder / name)
    keras_data, h5_data = ((folder / f"good.{suffix}").read_bytes() for suffix in ("keras", "h5"))
    parts = _zip_parts(keras_data)

    def edited(rng: np.random.Generator) -> bytes:
        changed = dict(parts)
        name = "config.json" if rng.random() < 0.7 else list(parts)[rng.integers(len(parts))]
        if name == "config.json":
            tree = edited_tree(json.loads(parts[name]), rng)
            changed[name] = json.dumps(tree).encode("utf-8", "surrogatepass")
        else:
            changed[name] = damaged(parts[name], rng, [parts[name]])
        return _zipped(changed, rng)

    def case(rng: np.random.Generator) -> None:
        chance = rng.random()
        if chance < 0.2:
            path, data = folder / "m.h5", damaged(h5_data, rng, [h5_data, keras_data])
        elif chance < 0.35:
            path, data = folder / "m.keras", damaged(keras_data, rng, [h5_data, keras_data])
        else:
            path, data = folder / "m.keras", edited(rng)
        path.write_bytes(data)
        _read(path)

    return case


def tflite(folder: Path) -> Case:
    """TensorFlow Lite files, which a native parser reads."""
    import tensorflow as tf

    _keras_model().export(folder / "saved", format="tf_saved_model", verbose=False)
    good = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert()
    path = folder / "m.tflite"

    def case(rng: np.random.Generator) -> None:
        path.write_bytes(damaged(good, rng, [good]))
        _read(path)

    return case


def saved_models(folder: Path) -> Case:
    """SavedModel folders: edited graphs and objects, damaged weights, missing files."""
    from tensorflow.core.protobuf import saved_model_pb2

    good = folder / "good"
    _keras_model().export(good, format="tf_saved_model", verbose=False)
    data = (good / "saved_model.pb").read_bytes()
    whole = saved_model_pb2.SavedModel.FromString(data)
    names = sorted(p.relative_to(good) for p in good.rglob("*") if p.is_file())

    def edited(rng: np.random.Generator) -> bytes:
        saved = saved_model_pb2.SavedModel()
        saved.CopyFrom(whole)
        for _ in range(rng.choice([1, 1, 2, 4])):
            (meta,) = saved.meta_graphs
            nodes = [n for f in meta.graph_def.library.function for n in f.node_def]
            places = (
                meta,
                meta.graph_def.node[rng.integers(len(meta.graph_def.node))],
                nodes[rng.integers(len(nodes))],
                meta.object_graph_def,
                meta.signature_def["serving_default"],
            )
            edited_message(places[rng.integers(len(places))], rng)
            if not saved.meta_graphs or not nodes:
                break
        return saved.SerializeToString()

    def case(rng: np.random.Generator) -> None:
        model = folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(good, model)
        chance, name = rng.random(), names[rng.integers(len(names))]
        if chance < 0.7:
            (model / "saved_model.pb").write_bytes(edited(rng))
        elif chance < 0.95:
            content = (good / name).read_bytes()
            (model / name).write_bytes(damaged(content, rng, [content, data]))
        else:
            (model / name).unlink()
        _read(model)

    return case


CASES: dict[str, Callable[[Path], Case]] = {
    "labels": labels,
    "charsets": charsets,
    "constants": constants,
    "foreign_images": foreign_images,
    "keras_files": keras_files,
    "tflite": tflite,
    "saved_models": saved_models,
}
