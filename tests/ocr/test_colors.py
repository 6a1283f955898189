"""Colors of image files: bit depths, floats, transparency, color profiles, inverted gray."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, features

from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.image_source import load_source
from tests.ocr.files import encoded, letters, on_transparency, tiff

WORD = np.asarray(letters())
"""(60, 200) uint8, black on white."""


def is_black_on_white(image: np.ndarray, tolerance: int = 2) -> bool:
    return bool(np.abs(image.astype(int) - WORD[:, :, None]).max() <= tolerance)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_white_is_the_largest_value_of_the_bits_in_use(bits: int, channels: int, kind: str) -> None:
    most = (1 << bits) - 1
    pixels = np.round(WORD * (most / 255)).astype(np.uint16)
    layers = [pixels] * min(channels, 3) + [np.full_like(pixels, most)] * (channels == 4)
    data = cv2.imencode(f".{kind}", np.dstack(layers))[1].tobytes()
    assert is_black_on_white(load_image(data))


def test_dark_image_of_eight_bits_in_sixteen_stays_dark() -> None:
    assert load_image(encoded(Image.fromarray((WORD // 4).astype(np.uint16)))).max() == 63


def test_a_defective_pixel_does_not_darken_the_others() -> None:
    pixels = np.full((200, 200), 4000, np.uint16)
    pixels[5, 5] = 65535
    assert load_image(encoded(Image.fromarray(pixels)))[0, 0, 0] == 249


@pytest.mark.parametrize(
    "values",
    [
        WORD / 255, WORD * 1.0, WORD / 127.5 - 1, WORD * (4095 / 255), WORD * 257.0, WORD * 1e5,
        WORD - 1000.0, WORD / 255 * 1.04 - 0.02, np.where(WORD == 255, np.inf, WORD / 255),
        np.where(WORD == 0, np.nan, WORD / 255),
    ],
    ids=[
        "0..1", "0..255", "-1..1", "12 bits", "16 bits", "large", "below 0", "overshoot", "inf",
        "nan",
    ],
)  # fmt: skip
def test_range_of_floats_is_recognized(values: np.ndarray) -> None:
    assert is_black_on_white(load_image(tiff(values.astype(np.float32))), tolerance=6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint32, np.int16])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_numbers_of_every_type_are_read(dtype: type, channels: int) -> None:
    if dtype is np.uint32 and channels == 3 and int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("OpenCV 4 does not read colors of 32-bit integers")
    values = WORD / 255 if np.dtype(dtype).kind == "f" else WORD.astype(float) * 16
    data = tiff(np.dstack([values] * channels).squeeze().astype(dtype))
    assert is_black_on_white(load_image(data), tolerance=6)


def test_orientation_of_deep_tiff_is_applied_once() -> None:
    pixels = np.dstack([WORD.astype(np.uint16) * 257] * 3)
    turned = load_image(tiff(pixels, orientation=6))
    assert np.array_equal(turned[:, :, 0], np.rot90(WORD, -1))


def test_inverted_gray_of_sixteen_bits_is_inverted_back() -> None:
    data = tiff((65535 - WORD.astype(int) * 257).astype(np.uint16), photometric=0)
    assert is_black_on_white(load_image(data))


BLACK, WHITE, YELLOW, GRAY = (0, 0, 0), (255, 255, 255), (255, 255, 0), (128, 128, 128)


@pytest.mark.parametrize(
    ("colors", "ground"),
    [
        ([BLACK], 255), ([WHITE], 0), ([YELLOW], 0), ([GRAY], 255), ([(200, 0, 0)], 255),
        ([BLACK, WHITE], 128),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_letters_of_any_color_contrast_with_their_ground(
    colors: list[tuple[int, ...]], ground: int, kind: str
) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    image = load_image(encoded(on_transparency(*colors), kind, **options))
    assert (image[0, 0] == ground).all()


@pytest.mark.parametrize("mode", ["LA", "PA", "P", "L", "RGB"])
def test_every_kind_of_transparency_is_seen(mode: str) -> None:
    if mode in ("L", "RGB"):  # one color is transparent
        image = letters(color=255, ground=0).convert(mode)
        data = encoded(image, transparency=0 if mode == "L" else (0, 0, 0))
    else:
        source = on_transparency(WHITE)
        kind = "TIFF" if mode == "PA" else "PNG"
        data = encoded(
            source.convert("LA").convert("PA") if mode == "PA" else source.convert(mode), kind
        )
    image = load_image(data)
    assert (image[0, 0] == 0).all()
    assert image.max() > 250


def test_sixteen_bit_gray_with_a_transparent_value() -> None:
    pixels = np.full((60, 200), 7, np.uint16)
    pixels[20:40, 20:180] = 65535
    image = load_image(encoded(Image.fromarray(pixels), transparency=7))
    assert image[0, 0, 0] == 0
    assert image[30, 30, 0] == 255


def test_image_that_its_alpha_hides_entirely_is_shown() -> None:
    hidden = letters().convert("RGB")
    hidden.putalpha(0)
    assert is_black_on_white(load_image(encoded(hidden)))


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and blue exchanged."""
    data = bytearray(profile("sRGB"))
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data).replace(b"s\0R\0G\0B", b"x\0R\0G\0B").replace(b"sRGB", b"xRGB")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colors_follow_the_profile(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    red = Image.new("RGB", (40, 40), (200, 0, 0))
    image = load_image(encoded(red, kind, icc_profile=swapped_profile(), **options))
    assert np.abs(image[0, 0].astype(int) - (0, 0, 200)).max() <= 4
    plain = load_image(encoded(red, kind, icc_profile=profile("sRGB"), **options))
    assert (plain[0, 0] == (200, 0, 0)).all()


# Named, because a profile contains the time, and the processes of pytest-xdist must agree on names.
@pytest.mark.parametrize(
    "damage",
    [b"", b"\0" * 128, profile("sRGB")[:200], profile("LAB")],
    ids=["empty", "zeros", "cut", "lab"],
)
def test_a_useless_profile_is_ignored(damage: bytes) -> None:
    image = Image.new("RGB", (40, 40), (200, 10, 20))
    assert (load_image(encoded(image, icc_profile=damage))[0, 0] == (200, 10, 20)).all()


def test_lab_and_inverted_cmyk_become_rgb() -> None:
    red = Image.new("RGB", (40, 40), (255, 0, 0))
    spaces = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.profileToProfile(red, *spaces, outputMode="LAB")
    assert np.abs(load_image(encoded(lab, "TIFF"))[0, 0].astype(int) - (255, 0, 0)).max() < 8
    cyan = Image.new("CMYK", (40, 40), (255, 0, 0, 0))
    assert (load_image(encoded(cyan, "JPEG", quality=95))[0, 0] == (0, 255, 255)).all()


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "JPEG2000", "PPM", "BMP"])
def test_further_formats(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    assert is_black_on_white(load_image(encoded(letters().convert("RGB"), kind)), tolerance=30)


def test_heic_is_read_if_the_wheel_is_installed() -> None:
    """A file of phones; the encoder is not part of the wheel, so the file is kept here."""
    pi_heif = pytest.importorskip("pi_heif")
    assert pi_heif.libheif_version()
    image = load_image(base64.b64decode(HEIC))
    assert image.shape == (64, 64, 3)
    assert np.abs(image[32, 32].astype(int) - (200, 30, 60)).max() < 12


HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAB4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34"
    "+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmu"
    "bgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAA"
    "QAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACZtZGF0AAAAGigBrwngITl1X//8zd//"
    "+BOch+zkidBzD1+A"
)


def test_file_objects_are_left_open() -> None:
    file = io.BytesIO(encoded(letters()))
    assert is_black_on_white(load_source(file).pixels)
    assert not file.closed
