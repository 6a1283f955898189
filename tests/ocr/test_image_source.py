"""Images in every form: all forms of one image are the same pixels, and others state the fix."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from ocr_trt.errors import InputFileError, UserError
from ocr_trt.ocr.image_source import Channels, ImageSource, load_source, name_of
from ocr_trt.ocr.images import source as image_bytes


def image_from(source: ImageSource, channels: Channels = "rgb") -> np.ndarray:
    return load_source(source, channels).pixels


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def file(pixels: np.ndarray, tmp_path: Path) -> Path:
    PilImage.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_all_forms_of_an_image_are_the_same_pixels(file: Path, pixels: np.ndarray) -> None:
    data = file.read_bytes()
    opaque = np.full((6, 8, 1), 255, np.uint8)
    with file.open("rb") as handle:
        for source in (
            *(file, str(file), data, bytearray(data), memoryview(data), handle, io.BytesIO(data)),
            *(PilImage.open(file), PilImage.fromarray(pixels), pixels),
            *(np.asfortranarray(pixels), np.dstack([pixels, opaque])),
        ):
            result = image_from(source)
            assert result.dtype == np.uint8
            assert result.flags.c_contiguous
            np.testing.assert_array_equal(result, pixels)


def test_bgr_arrays_are_reordered_and_files_are_not(file: Path, pixels: np.ndarray) -> None:
    opaque = np.full((6, 8, 1), 255, np.uint8)
    bgr = pixels[:, :, ::-1]
    for source in (bgr, np.dstack([bgr, opaque]), file, PilImage.open(file)):
        np.testing.assert_array_equal(image_from(source, "bgr"), pixels)


def test_gray_and_transparent_arrays_become_rgb(pixels: np.ndarray) -> None:
    gray = pixels[:, :, 0]
    for source in (gray, gray[:, :, None]):
        np.testing.assert_array_equal(image_from(source), np.dstack([gray] * 3))
    half = np.dstack([pixels // 4, np.full((6, 8), 255, np.uint8)])
    half[:, 4:, 3] = 0
    result = image_from(half)
    assert (result[:, 4:] == 255).all(), "dark pixels are on a white ground"
    np.testing.assert_array_equal(result[:, :4], pixels[:, :4] // 4)


def test_an_array_is_not_changed_and_not_shared(pixels: np.ndarray) -> None:
    before = pixels.copy()
    for source in (pixels, pixels[:, :, 0]):
        assert not np.shares_memory(image_from(source), source)
    np.testing.assert_array_equal(pixels, before)


def test_pillow_images_are_turned_upright(pixels: np.ndarray) -> None:
    image = PilImage.fromarray(pixels)
    image.getexif()[0x0112] = 6  # orientation: rotate by 90 degrees to show it upright
    np.testing.assert_array_equal(image_from(image), np.rot90(pixels, -1))


ONES = np.ones((6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("source", "error", "facts"),
    [
        (ONES / 2, UserError, ("float64", "(image * 255).round().astype(np.uint8)")),
        (ONES.astype(np.float16), UserError, ("float16", "astype(np.uint8)")),
        (ONES.astype(np.uint16), UserError, ("uint16", "// 257")),
        (ONES > 0, UserError, ("bool", "* 255")),
        (ONES.astype(int), UserError, ("int64", "astype(np.uint8)")),
        (ONES.transpose(2, 0, 1), UserError, ("(3, 6, 8)", "transpose(1, 2, 0)")),
        (ONES[None], UserError, ("(1, 6, 8, 3)", "read_all")),
        (ONES[:, :, :2], UserError, ("(6, 8, 2)", "(H, W, 3)")),
        (ONES[0, 0], UserError, ("(3,)", "(H, W)")),
        (ONES[:0], InputFileError, ("8x0",)),
        (ONES[:2], InputFileError, ("8x2", "too small")),
        (ONES.tolist(), TypeError, ("list", "NumPy array")),
        (None, TypeError, ("NoneType", "path")),
        (7, TypeError, ("int",)),
        (io.StringIO("text"), TypeError, ("binary mode",)),
        ("", InputFileError, ("empty",)),
        ("https://host/a.png", InputFileError, ("https://host/a.png", "download")),
        ("missing.png", InputFileError, ("missing.png", "no such file")),
        (b"", InputFileError, ("empty",)),
        (b"text", InputFileError, ("PNG",)),
    ],
)
def test_what_is_no_image_is_refused_with_the_fix(
    source: Any, error: type[Exception], facts: tuple[str, ...]
) -> None:
    with pytest.raises(error) as refused:
        image_from(source)
    for fact in facts:
        assert fact in str(refused.value)


def test_unknown_order_of_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"'BGR'.*'bgr'"):
        image_from(ONES, "BGR")  # type: ignore[arg-type]


class AsyncFile:
    """An upload as web frameworks hand it over."""

    async def read(self, size: int) -> bytes:
        return b""


class Tensor:
    """A tensor of another library."""

    shape = (3, 4)


def test_objects_of_other_libraries_are_refused_with_the_fix(file: Path) -> None:
    with pytest.raises(TypeError, match=r"await file\.read"):
        image_from(AsyncFile())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Tensor is not an image.*numpy\.asarray"):
        image_from(Tensor())  # type: ignore[arg-type]
    with file.open("rb") as handle:
        pass
    with pytest.raises(InputFileError, match="closed"):
        image_from(handle)


class Endless(io.RawIOBase):
    """A stream, such as a socket, that never ends."""

    name = "endless"

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def test_endless_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_bytes, "LARGEST_FILE", 1 << 10)
    with pytest.raises(InputFileError, match="endless: larger"):
        image_from(Endless())


def test_names_are_those_of_files(file: Path) -> None:
    assert name_of(file) == name_of(str(file)) == name_of(PilImage.open(file)) == str(file)
    with file.open("rb") as handle:
        assert name_of(handle) == str(file)
    assert name_of(b"") is name_of(io.BytesIO()) is name_of(ONES) is None
