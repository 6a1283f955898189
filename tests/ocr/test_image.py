from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocr_trt.errors import InputFileError
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.images.folder import list_images

NOISE = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
GRADIENT = np.linspace(0, 255, 40 * 30).reshape(30, 40).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and contains no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_give_the_pixels_back(kind: str) -> None:
    pixels = np.dstack([GRADIENT, 255 - GRADIENT, GRADIENT // 2])
    assert np.array_equal(load_image(encoded(Image.fromarray(pixels), kind)), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(kind: str) -> None:
    pixels = np.dstack([GRADIENT] * 3)
    decoded = load_image(encoded(Image.fromarray(pixels), kind, quality=95))
    assert np.abs(decoded.astype(int) - pixels).max() < 12


def test_gray_becomes_three_equal_channels() -> None:
    decoded = load_image(encoded(Image.fromarray(GRADIENT)))
    assert decoded.shape == (30, 40, 3)
    assert np.array_equal(decoded, np.dstack([GRADIENT] * 3))


def test_sixteen_bit_gray_keeps_its_brightness() -> None:
    decoded = load_image(encoded(Image.fromarray(GRADIENT.astype(np.uint16) * 257)))
    assert np.array_equal(decoded[..., 0], GRADIENT)


def test_sixteen_bit_color_keeps_its_brightness() -> None:
    import cv2

    pixels = np.dstack([GRADIENT, 255 - GRADIENT, GRADIENT // 2]).astype(np.uint16) * 257
    data = cv2.imencode(".png", pixels)[1].tobytes()
    decoded = load_image(data)
    assert np.abs(decoded[..., ::-1].astype(int) - pixels // 257).max() <= 1


def test_transparent_pixels_show_white() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 3] = 255
    decoded = load_image(encoded(Image.fromarray(pixels)))
    assert (decoded[:4] == 0).all()
    assert (decoded[4:] == 255).all()


def test_palette_and_cmyk_become_rgb() -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    palette = Image.fromarray(red).convert("P")
    assert np.array_equal(load_image(encoded(palette)), red)
    cmyk = Image.fromarray(red).convert("CMYK")
    assert np.abs(load_image(encoded(cmyk, "TIFF")).astype(int) - red).max() < 3


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(3, np.rot90(GRADIENT, 2)), (6, np.rot90(GRADIENT, -1)), (8, np.rot90(GRADIENT, 1))],
)
def test_exif_orientation_is_applied(orientation: int, turned: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(GRADIENT), exif=exif)
    assert np.array_equal(load_image(data)[..., 0], turned)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text", "not an image in a known format"),
        (encoded(Image.fromarray(NOISE))[:2000], "damaged or truncated"),
        (encoded(Image.fromarray(np.dstack([GRADIENT] * 3)), "JPEG")[:300], "damaged or truncated"),
        (encoded(Image.new("RGB", (1, 1))), "1x1 pixels is too small"),
        (encoded(Image.new("RGB", (3, 500))), "3x500 pixels is too small"),
        (png_header(30000, 30000), "more than the 100 million pixels"),
        (png_header(11000, 11000), "more than the 100 million pixels"),
        (png_header(4000, 4000), "damaged or truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image in a known format"),
    ],
    ids=[
        "empty", "text", "cut PNG", "cut JPEG", "one pixel", "thin", "bomb", "over our limit",
        "no data", "EPS",
    ],
)  # fmt: skip
def test_bad_images_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputFileError) as caught:
        load_image(data, name="image.png")
    assert message in str(caught.value)
    assert "image.png" in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        load_image(tmp_path / "nothing.png")
    with pytest.raises(InputFileError, match="is a folder"):
        load_image(tmp_path)


def test_list_images_lists_images_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in list_images(tmp_path).files] == ["a.JPG", "b.png"]
    with pytest.raises(InputFileError, match="no such folder"):
        list_images(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match="no image files"):
        list_images(tmp_path / "empty")
