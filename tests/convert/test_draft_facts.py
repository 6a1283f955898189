"""draft_spec: what the files of a model and its family state, and the sizes that it accepts."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.draft_stated import list_entries
from ocr_trt.convert.draft_trials import Trials
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.input_multiples import nearest_multiple
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.preset import load_preset, preset_names
from ocr_trt.convert.sources import open_source
from ocr_trt.errors import InputFileError, SpecError
from ocr_trt.ocr.roles import role_of
from ocr_trt.spec import RecognizerSpec, SourceSpec
from tests.convert.test_draft import HEAD, Notes, weights

READER = """g (float[N,{channels},8,12] image) => (float[N,12,C] y) <int64[1] one = {{1}}> {{
    m = ReduceMean <keepdims = 0> (image, one) t = Transpose <perm = [0, 2, 1]> (m)
    y = MatMul(t, w) }}"""


def reader_file(
    folder: Path, classes: int, metadata: dict[str, str] | None = None, channels: int = 3
) -> Path:
    """Write a recognizer with a number of classes."""
    model = onnx.parser.parse_model(f"{HEAD} {READER.format(channels=channels)}")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights(8, classes), "w"))
    onnx.helper.set_model_props(model, metadata or {})
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def drafted(path: Path, role: Any = "recognizer", **hints: Any) -> tuple[Any, str]:
    """Draft a spec; return it and all notes."""
    notes = Notes()
    preset = {"preset": load_preset(hints.pop("preset")).of(role)} if "preset" in hints else {}
    spec = draft_spec(role, Hints(source=SourceSpec(path=path), **preset, **hints), notes)
    return spec, "; ".join(notes.notes)


@pytest.mark.parametrize(
    ("classes", "key", "value", "charset", "blank"),
    [
        (5, "character", "a\nb\nc", "abc ", 0),  # PaddleOCR: a blank in front, a space behind
        (5, "character", "a\nb\nc\n \r\n", "abc ", None),
        (4, "alphabet", "abc", "abc", None),
        (4, "vocab", '["a", "b", "c"]', "abc", None),
        (4, "dict", '{"a": 0, "b": 1, "c": 2}', "abc", None),
        (4, "names", "{0: 'a', 1: '\"', 2: 'c'}", 'a"c', None),
        (4, "labels", '["a", "b", "c", "<blank>"]', "abc", 3),
        (4, "labels", "[blank]\na\nb\nc", "abc", 0),
        (4, "charset", "[](", "[](", None),
        (3, "characters", "e\u0301\nz", "\u00e9z", None),  # two code points, composed to one
    ],
)
def test_charset_in_the_metadata(
    classes: int, key: str, value: str, charset: str, blank: int | None, tmp_path: Path
) -> None:
    spec, notes = drafted(reader_file(tmp_path, classes, {key: value, "author": "abcdef"}))
    assert spec.charset == charset
    assert f"metadata '{key}'" in notes
    if blank is not None:
        assert spec.blank == blank


def test_charset_of_the_user_replaces_that_of_the_file(tmp_path: Path) -> None:
    path = reader_file(tmp_path, 5, {"character": "a\nb\nc"})
    assert drafted(path, charset="wxyz")[0].charset == "wxyz"
    # A dictionary file of PaddleOCR lacks the space, too.
    spec, notes = drafted(path, charset="xyz")
    assert (spec.charset, spec.blank) == ("xyz ", 0)
    assert "as in PaddleOCR" in notes


def test_charset_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = reader_file(tmp_path, 9, {"character": "a\nb\nc"})
    with pytest.raises(InputFileError, match=r"9 classes.*'character' has 3 entries.*--charset"):
        drafted(path)
    path = reader_file(tmp_path, 4, {"character": "ab\nb\nc"})
    with pytest.raises(SpecError, match=r"entry 1 is 'ab'.*one character.*--charset"):
        drafted(path)


def test_charset_inside_and_beside_other_files(tmp_path: Path) -> None:
    path = reader_file(tmp_path, 4)
    with zipfile.ZipFile(path, "a") as archive:  # as TFLite appends labels to a model
        archive.writestr("labels.txt", "a\nb\nc\n")
    from ocr_trt.convert.draft_stated import stated_facts

    (found,) = stated_facts(SourceSpec(path=path)).characters
    assert (found.origin, found.entries) == ("labels.txt", ("a", "b", "c"))
    folder = tmp_path / "saved"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "vocabulary.txt").write_text("x\ny\n")
    (found,) = stated_facts(SourceSpec(path=folder)).characters
    assert found.entries == ("x", "y")


def test_paddle_config_beside_the_file(tmp_path: Path) -> None:
    path = reader_file(tmp_path, 5)
    (tmp_path / "inference.yml").write_text(
        """PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - RecResizeImg: {image_shape: [3, 48, 320]}
PostProcess:
  name: CTCLabelDecode
  character_dict: [a, b, '0']
"""
    )
    spec, notes = drafted(path)
    assert (spec.charset, spec.blank) == ("ab0 ", 0)
    assert (spec.input.color, spec.input.mean) == ("BGR", (127.5,))
    np.testing.assert_allclose(spec.input.scale, 1 / 127.5, rtol=1e-6)
    assert "inference.yml states" in notes


def detector_file(folder: Path, metadata: dict[str, str] | None = None, head: str = "1") -> Path:
    """Write a detector of the fixed size 16x16 that computes a sigmoid."""
    text = f"""g (float[1,3,16,16] image) => (float[1,{head},16,16] y) {{
        m = Conv(image, w) y = Sigmoid(m) }}"""
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights(int(head), 3, 1, 1), "w"))
    onnx.helper.set_model_props(model, metadata or {})
    onnx.save(model, folder / "d.onnx")
    return folder / "d.onnx"


def test_paddle_config_of_a_detector(tmp_path: Path) -> None:
    (tmp_path / "inference.yml").write_text(
        """PreProcess:
  transform_ops:
  - DecodeImage: {img_mode: BGR}
  - NormalizeImage:
      mean: [0.485, 0.456, 0.406]
      scale: 1./255.
      std: [0.229, 0.224, 0.225]
PostProcess: {name: DBPostProcess, thresh: 0.2, box_thresh: 0.45, unclip_ratio: 1.4}
"""
    )
    spec, _ = drafted(detector_file(tmp_path), "detector", preset="ppocr")
    np.testing.assert_allclose(spec.input.mean, [123.675, 116.28, 103.53], rtol=1e-6)
    np.testing.assert_allclose(spec.input.scale, [1 / 58.395, 1 / 57.12, 1 / 57.375], rtol=1e-6)
    boxes = spec.boxes
    assert (boxes.threshold, boxes.box_threshold, boxes.unclip_ratio) == (0.2, 0.45, 1.4)


@pytest.mark.parametrize(
    ("metadata", "mean", "scale"),
    [
        ({"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5, 0.5]"}, 127.5, 1 / 127.5),
        ({"Mean": "127.5", "Std": "127.5"}, 127.5, 1 / 127.5),
        ({"mean": "no number", "std": "1"}, 0.0, 1 / 255),
    ],
)
def test_normalization_in_the_metadata(
    metadata: dict[str, str], mean: float, scale: float, tmp_path: Path
) -> None:
    spec, _ = drafted(detector_file(tmp_path, metadata), "detector")
    np.testing.assert_allclose([*spec.input.mean, *spec.input.scale], [mean, scale], rtol=1e-6)


@pytest.mark.parametrize("front", ["n = Mul(image, a) x = Add(n, one)", "x = Mul(image, b)"])
def test_model_that_normalizes_itself_receives_pixels(front: str, tmp_path: Path) -> None:
    """The first one computes 1 - pixel / 255. The preset's mean and scale do not apply."""
    text = f"""g (float[1,3,16,16] image) => (float[1,1,16,16] y) {{
        {front} m = Conv(x, w) y = Sigmoid(m) }}"""
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    constants = {"a": np.float32(-1 / 255), "one": np.float32(1), "b": np.float32(1 / 255)}
    constants = {k: v for k, v in constants.items() if f" {k})" in front}
    for name, array in {"w": weights(1, 3, 1, 1), **constants}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    onnx.save(model, tmp_path / "d.onnx")
    spec, notes = drafted(tmp_path / "d.onnx", "detector", preset="ppocr")
    assert (spec.input.mean, spec.input.scale, spec.input.color) == ((0.0,), (1.0,), "BGR")
    assert "the model itself computes" in notes
    spec, _ = drafted(tmp_path / "d.onnx", "detector", preset="ppocr", mean=(1.0,), scale=(2.0,))
    assert (spec.input.mean, spec.input.scale) == ((1.0,), (2.0,))


def readings(*shares: float, classes: int = 9) -> tuple[np.ndarray, ...]:
    """Return scores (1, 20, classes) whose best classes are 0 and the last, in these shares."""
    scores = np.zeros((1, 20, classes), np.float32)
    first, last = (round(20 * share) for share in shares)
    others = [1 + place % (classes - 2) for place in range(20 - first - last)]
    best = [0] * first + [classes - 1] * last + others
    scores[0, np.arange(20), best] = 1
    return (scores,)


@pytest.mark.parametrize(
    ("empty", "texts", "blank"),
    [
        ((1.0, 0.0), (), 0),
        ((0.0, 1.0), (), 8),
        ((0.5, 0.0), (0.6, 0.05), 0),
        ((0.0, 0.0), (0.1, 0.7), 8),
        ((0.0, 0.0), (0.45, 0.45), None),
        ((0.0, 0.0), (0.2, 0.1), None),
    ],
)
def test_blank_by_the_classes_of_empty_images_and_of_texts(
    empty: tuple[float, ...], texts: tuple[float, ...], blank: int | None
) -> None:
    trials = Trials(empty=readings(*empty), texts=readings(*texts) if texts else ())
    assert trials.blank == blank


SIZED = {
    # Two poolings; the map of the second is joined with that of the first.
    "u-net": """a = Conv <strides = [2, 2], kernel_shape = [2, 2]> (image, w)
        b = MaxPool <strides = [2, 2], kernel_shape = [2, 2]> (a)
        c = ConvTranspose <strides = [2, 2]> (b, u) d = Add(a, c)
        y = ConvTranspose <strides = [2, 2]> (d, u)""",
    # Without skip connections it runs at any size, but rounds it down.
    "encoder-decoder": """a = Conv <strides = [2, 2], kernel_shape = [2, 2]> (image, w)
        b = MaxPool <strides = [2, 2], kernel_shape = [2, 2]> (a)
        c = ConvTranspose <strides = [2, 2]> (b, u) y = ConvTranspose <strides = [2, 2]> (c, u)""",
    "any size": "y = Conv <pads = [0, 0, 1, 1], kernel_shape = [2, 2]> (image, w)",
    # One pixel of the map for 2 x 2 pixels of the image, also at an odd size.
    "stride": "y = Conv <strides = [2, 2], kernel_shape = [2, 2]> (image, w)",
}


def sized(folder: Path, body: str, height: str = "H", width: str = "W") -> Path:
    text = f"g (float[N,3,{height},{width}] image) => (float[N,1,P,Q] y) {{ {SIZED[body]} }}"
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    constants = {"w": weights(1, 3, 2, 2), "u": weights(1, 1, 2, 2)}
    for name, array in constants.items():
        if f" {name})" in SIZED[body]:
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, folder / "d.onnx")
    return folder / "d.onnx"


@pytest.mark.parametrize(
    ("body", "multiple"), [("u-net", 4), ("encoder-decoder", 4), ("any size", 1), ("stride", 1)]
)
def test_multiples_of_an_input(body: str, multiple: int, tmp_path: Path) -> None:
    path = sized(tmp_path, body)
    spec, notes = drafted(path, "detector")
    assert spec.input.shape == (1, 3, 640, 640)
    assert (f"multiples of {multiple}" in notes) is (multiple > 1)
    if multiple == 1:
        assert drafted(path, "detector", input=("image", (1, 3, 502, 502)))[0].input.height == 502
        return
    fact = r"502x640 \(height x width\).*multiples of 4; use 504x640"
    with pytest.raises(SpecError, match=fact):
        drafted(path, "detector", input=("image", (1, 3, 502, 640)))


def test_multiple_of_the_width_only(tmp_path: Path) -> None:
    path = sized(tmp_path, "u-net", height="32")
    spec, notes = drafted(path, "detector")
    assert spec.input.shape == (1, 3, 32, 640)
    assert "the width must be a multiple of 4" in notes


def test_usual_size_becomes_a_multiple(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text("about: mine\ndetector: {input: {size: [90, 31]}}")
    spec, _ = drafted(sized(tmp_path, "u-net"), "detector", preset=str(preset))
    assert spec.input.shape == (1, 3, 92, 32)
    assert [nearest_multiple(size, 32) for size in (1, 47, 48, 500)] == [32, 32, 64, 512]


@pytest.mark.parametrize(
    ("body", "fact"), [("u-net", "multiples of 4"), ("encoder-decoder", "500")]
)
def test_spec_of_a_size_that_does_not_fit_is_refused(body: str, fact: str, tmp_path: Path) -> None:
    spec, _ = drafted(sized(tmp_path, body), "detector")
    spec = spec.model_copy(
        update={"input": spec.input.model_copy(update={"shape": (1, 3, 502, 502)})}
    )
    with pytest.raises(SpecError, match=f"502x502.*{fact}|{fact}x{fact}.*502x502"):
        converted = convert(open_source(spec.source), spec)
        shape = converted.model.graph.output[0].type.tensor_type.shape.dim
        role_of(spec).check_output_shape(
            [dimension.dim_value for dimension in shape], spec.input.size
        )


@pytest.mark.parametrize("name", preset_names())
def test_presets_fill_in_a_spec(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    assert preset.about
    detector, _ = drafted(detector_file(tmp_path, head="2"), "detector", preset=name)
    assert preset.detector is not None
    boxes = preset.detector.boxes
    assert boxes is not None
    assert detector.boxes == boxes
    assert detector.input.mean == preset.detector.input.mean
    if preset.recognizer is None:
        return
    charsets = preset.recognizer.charsets or ("0123456789abcdefghijklmnopqrstuvwxyz",)
    for charset in charsets:
        path = reader_file(tmp_path, len(charset) + 1, channels=1 if name == "keras-ocr" else 3)
        recognizer, _ = drafted(path, preset=name)
        assert isinstance(recognizer, RecognizerSpec)
        assert recognizer.charset == charset
        assert recognizer.buckets == ()  # all are wider than this model's fixed width
        assert recognizer.input.mean == preset.recognizer.input.mean
        assert recognizer.blank == (0 if name == "ppocr" else len(charset))


def test_preset_for_color_fits_a_gray_model(tmp_path: Path) -> None:
    spec, _ = drafted(reader_file(tmp_path, 37, channels=1), preset="doctr")
    assert spec.input.color == "GRAY"
    np.testing.assert_allclose(spec.input.mean, [176.97], atol=0.3)


def test_preset_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    content = {
        "about": "mine",
        "recognizer": {"charsets": ["xyz"], "blank": -1, "buckets": [6], "input": {"pad": 9}},
    }
    path.write_text(json.dumps(content))  # JSON is YAML
    spec, _ = drafted(reader_file(tmp_path, 4), preset=str(path))
    assert (spec.charset, spec.blank, spec.buckets, spec.input.pad) == ("xyz", 3, (6,), 9)


@pytest.mark.parametrize(
    ("name", "text", "facts"),
    [
        ("ppcr", None, "no preset 'ppcr'; did you mean ppocr"),
        ("nothing.yaml", None, "nothing.yaml: cannot be read as a preset"),
        ("p.yaml", "about: x\ndetektor: {}", "p.yaml: detektor: Extra inputs"),
        ("p.yaml", "about: x\ndetector: {boxes: {threshold: 3}}", "detector.boxes.threshold"),
        ("p.yaml", "about: &a x\nb: *a", "aliases are not allowed"),
    ],
)
def test_wrong_presets_are_refused(
    name: str, text: str | None, facts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises((InputFileError, SpecError)) as caught:
        load_preset(name)
    assert facts in str(caught.value)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a\r\nb\r\n", ("a", "b")),
        ("\ufeffa\nb", ("a", "b")),
        ("a\n\u2028\nb", ("a", "\u2028", "b")),
        ('{"1": "b", "0": "a"}', ("a", "b")),
        ("['a', \"'\"]", ("a", "'")),
        ("[1, 2", ("[", "1", ",", " ", "2")),
        ("", ()),
    ],
)
def test_lists_of_characters(text: str, entries: tuple[str, ...]) -> None:
    assert list_entries(text) == entries
