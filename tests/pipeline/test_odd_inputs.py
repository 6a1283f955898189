"""Odd inputs of readers: each is read, or refused with an error that states what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocr_trt import Reader, ReadSettings, open_image, open_reader
from ocr_trt.errors import InputFileError, UserError
from tests.pipeline.functions import (
    bright_is_text,
    brightness_as_letter,
    detector_spec,
    engine,
    recognizer_spec,
)

PAGE = np.zeros((64, 64, 3), np.uint8)
PAGE[2:10, 4:20] = 130


@pytest.fixture
def reader() -> Reader:
    detector, _ = engine(detector_spec(), bright_is_text)
    recognizer, _ = engine(recognizer_spec(), brightness_as_letter)
    return Reader(detector, recognizer)


def test_memoryview_of_an_array_is_an_array(reader: Reader) -> None:
    assert reader.read(memoryview(PAGE)) == reader.read(PAGE)
    with pytest.raises(UserError, match=r"array of float64, expected uint8"):
        reader.read(memoryview(PAGE / 255))


def test_path_object_that_returns_bytes(reader: Reader, tmp_path: Path) -> None:
    class BytesPath(os.PathLike):
        def __fspath__(self) -> bytes:
            return os.fsencode(tmp_path / "page.png")

    Image.fromarray(PAGE).save(tmp_path / "page.png")
    assert reader.read(BytesPath()) == reader.read(tmp_path / "page.png")


@pytest.mark.parametrize("mode", ["La", "LA", "RGBa", "RGBA", "P", "PA", "CMYK", "I;16", "F", "1"])
def test_pillow_images_of_any_mode(mode: str, reader: Reader) -> None:
    first = Image.fromarray(PAGE)
    first = first.convert({"La": "LA", "RGBa": "RGBA", "PA": "P", "I;16": "L"}.get(mode, mode))
    assert reader.read(first.convert(mode)).lines


@pytest.mark.parametrize("page", ["1", 1.0, None])
def test_page_of_another_type(page: Any, reader: Reader, tmp_path: Path) -> None:
    Image.fromarray(PAGE).save(tmp_path / "page.png")
    for image in (PAGE, tmp_path / "page.png"):
        with pytest.raises(TypeError, match="expected a whole number from 1"):
            reader.read(image, page=page)
    assert reader.read(tmp_path / "page.png", page=np.int64(1)).lines
    with pytest.raises(InputFileError, match="no page 0; the file has 1"):
        reader.read(tmp_path / "page.png", page=0)


def test_read_all_refuses_single_images(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    Image.fromarray(PAGE).save(path)
    with path.open("rb") as file:
        for image in (path, str(path), PAGE, Image.open(path), open_image(path), file):
            with pytest.raises(UserError, match="for a single one, use read"):
                reader.read_all(image)
    for wrong in (None, 3):
        with pytest.raises(TypeError, match="list or generator of images, not"):
            reader.read_all(wrong)


@pytest.mark.parametrize(
    ("setting", "fact"),
    [
        ({"tiles": "of"}, "'of'; did you mean"),
        ({"min_text_score": 80}, "min_text_score is 80; expected a number from 0 to 1"),
        ({"min_box_score": float("nan")}, "min_box_score is nan"),
        ({"min_box_score": "0.5"}, "min_box_score is '0.5'"),
        ({"dpi": 0}, "dpi is 0; expected 10 to 2400"),
    ],
)
def test_settings_are_checked(setting: dict[str, Any], fact: str) -> None:
    with pytest.raises(UserError, match=fact):
        ReadSettings(**setting)


@pytest.mark.parametrize(
    ("arguments", "error", "fact"),
    [
        ({"mode": "troughput"}, UserError, "did you mean throughput"),
        ({"streams": -1}, UserError, "streams is -1; expected 0 to"),
        ({"threads": "2"}, TypeError, "threads is '2'; expected a whole number"),
        ({"settings": {"tiles": "on"}}, TypeError, "ocr_trt.ReadSettings"),
    ],
)
def test_arguments_are_checked_before_bundles_are_opened(
    arguments: dict[str, Any], error: type[Exception], fact: str
) -> None:
    with pytest.raises(error, match=fact):
        open_reader("missing", "missing", **arguments)


def test_repr_states_the_engines(reader: Reader) -> None:
    assert repr(reader) == "<Reader of 'd', 'r'>"
    reader.close()
    assert repr(reader) == "<closed Reader of 'd', 'r'>"
