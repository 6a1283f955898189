"""Files with several images: which of them are pages, and what is said about the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from ocr_trt.errors import InputFileError, OutOfMemoryError, UserError
from ocr_trt.ocr.image import load_image, open_image
from ocr_trt.ocr.images.formats import errors_of
from tests.ocr.files import encoded, letters, pdf

PAGES = [Image.new("L", (40, 30), 10), Image.new("L", (50, 60), 200)]


def test_every_page_of_a_tiff_file_is_read() -> None:
    file = open_image(encoded(PAGES[0], "TIFF", save_all=True, append_images=PAGES[1:]))
    assert (file.pages, file.notes) == (2, ())
    assert [file.read(page).shape for page in (1, 2)] == [(30, 40, 3), (60, 50, 3)]
    assert file.read(2)[0, 0, 0] == 200
    assert (file.header(2).width, file.header(2).height) == (50, 60)
    for page in (0, 3):
        with pytest.raises(InputFileError, match=f"no page {page}; the file has 2"):
            file.read(page)


def test_reduced_copies_in_a_tiff_file_are_no_pages() -> None:
    small = Image.new("L", (10, 8), 99)
    small.encoderinfo = {"tiffinfo": {254: 1}}  # NewSubfileType: reduced resolution
    file = open_image(encoded(PAGES[0], "TIFF", save_all=True, append_images=[small, PAGES[1]]))
    assert file.pages == 2
    assert file.read(2).shape == (60, 50, 3)
    assert "1 reduced" in file.notes[0]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_image_of_an_animation_is_read_with_a_note(kind: str) -> None:
    other = Image.new("L", (200, 60), 0)
    file = open_image(encoded(letters(), kind, save_all=True, append_images=[other]))
    assert file.pages == 1
    assert "animation" in file.notes[0]
    assert file.read().max() > 250


def test_error_of_one_page_names_it_and_leaves_the_others() -> None:
    thin = Image.new("L", (50, 2))
    file = open_image(encoded(PAGES[0], "TIFF", save_all=True, append_images=[thin]), "scan.tif")
    assert file.read(1).shape == (30, 40, 3)
    with pytest.raises(InputFileError, match=r"scan\.tif, page 2: 50x2 pixels is too small"):
        file.read(2)


def test_directories_in_a_circle_end() -> None:
    data = bytearray(encoded(PAGES[0], "TIFF", save_all=True, append_images=PAGES[1:]))
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    link = first + 2 + 12 * entries
    data[link : link + 4] = first.to_bytes(4, "little")
    assert open_image(bytes(data)).pages == 1


def test_pages_of_a_document_are_rendered() -> None:
    pytest.importorskip("pypdfium2")
    data = encoded(
        letters().convert("RGB"), "PDF", resolution=100, save_all=True, append_images=[PAGES[1]]
    )
    file = open_image(data, dpi=100)
    assert file.pages == 2
    first = file.read(1)  # a side may be rounded up by one pixel
    assert np.abs(first[:60, :200].astype(int) - np.asarray(letters())[:, :, None]).mean() < 6
    assert 120 <= open_image(data, dpi=200).read(1).shape[0] <= 121
    sizes = [(header.height, header.width, 3) for header in map(file.header, (1, 2))]
    with ThreadPoolExecutor(4) as threads:
        shapes = list(threads.map(lambda page: file.read(1 + page % 2).shape, range(8)))
    assert shapes == sizes * 4


ENCRYPTED = b"/Encrypt<</Filter/Standard/V 1/R 2/O(%s)/U(%s)/P -4>>/ID[(a)(b)]" % ((b"0" * 32,) * 2)


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (pdf(["0 0 1000000 1000000"]), ("1000000x1000000 points", "100 million")),
        (pdf(["0 0 1000000 1000000"] * 3), ("1000000x1000000 points",)),
        (pdf(["0 0 6000 6000"]), ("--dpi 119",)),
        (pdf(["0 0 200 200"], count=1_000_000), ("1,000,000 pages", "2,000")),
        (pdf(["0 0 200 200"] * 2001), ("2,001 pages",)),
        (pdf([]), ("damaged",)),
        (pdf(["0 0 200 1"]), ("too small",)),
        (pdf(["0 0 200 200"])[:200], ("damaged",)),
        (b"%PDF-1.7\n", ("damaged",)),
        (b"%PDF-1.7" + bytes(range(256)) * 8, ("damaged",)),
        (pdf(["0 0 200 200"], trailer=ENCRYPTED), ("encrypted",)),
        (pdf(["0 0 200 200"], trailer=b"/Encrypt<</Filter/Odd/V 9>>"), ("security",)),
    ],
)
def test_hostile_document_is_refused_with_one_error(data: bytes, facts: tuple[str, ...]) -> None:
    pytest.importorskip("pypdfium2")
    with pytest.raises(InputFileError) as refused:
        open_image(data, "a.pdf")
    for fact in ("a.pdf", *facts):
        assert fact in str(refused.value)


def test_large_page_between_others_is_refused_alone() -> None:
    pytest.importorskip("pypdfium2")
    file = open_image(pdf(["0 0 99999 99999", "0 0 72 72"]))
    assert file.read(2).shape == (200, 200, 3)
    with pytest.raises(InputFileError, match="page 1: 99999x99999 points"):
        file.read(1)


def test_odd_boxes_are_those_of_the_standard() -> None:
    pytest.importorskip("pypdfium2")
    for box in ("0 0 -72 -72", "72 72 0 0"):
        assert load_image(pdf([box])).shape == (200, 200, 3)


@pytest.mark.parametrize("dpi", [0, -1, 9, 2401])
def test_dpi_has_limits(dpi: int) -> None:
    with pytest.raises(UserError, match=f"dpi is {dpi}"):
        open_image(b"", dpi=dpi)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError("out of memory error when reading image file"),
        RuntimeError("(-4:Insufficient memory) Failed to allocate 99 bytes"),
        RuntimeError("std::bad_alloc"),
    ],
)  # fmt: skip
def test_exhausted_memory_is_not_called_damage(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match=r"a\.png: not enough memory"):
        with errors_of("a.png"):
            raise error
