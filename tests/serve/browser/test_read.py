"""A file becomes boxes and text in a real browser."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocr_trt.pipeline.clock import STAGES
from tests.ocr.test_colors import HEIC
from tests.readable_models import receipt
from tests.serve.browser.conftest import MIXED, SCRIPT
from tests.serve.browser.web_page import WebPage
from tests.serve.client import Running
from tests.serve.conftest import png


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


TURNS = {
    6: Image.Transpose.ROTATE_90,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
}
"""What was done to the pixels, by the EXIF orientation that turns them upright again."""


def turned_photo(kind: str, orientation: int) -> bytes:
    """A file whose pixels are not upright, with the orientation that turns them upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    side = receipt(255, 150).transpose(TURNS[orientation])
    return file_of(side, kind, exif=exif, **({} if kind in ("PNG", "TIFF") else {"quality": 95}))


def check_boxes_fit(page: WebPage, site: Running, data: bytes) -> None:
    """Check that all corners are at the service's coordinates, scaled, and on the bright bars."""
    (document, *_) = site.ask("/v1/ocr", data, content_type="image/png").json
    place = page.image_place()
    scale = place["width"] / document["width"]
    assert place["height"] == pytest.approx(scale * document["height"], abs=1)
    expected = scale * np.array([line["quad"] for line in document["lines"]])
    assert page.corners() == pytest.approx(expected + np.array((place["x"], place["y"])), abs=1)
    for index, shade in enumerate((255, 150)):
        page.tab.hover(f".line >> nth={index}")
        assert page.crop_center() == pytest.approx([shade] * 3, abs=6)


def test_chosen_image_becomes_boxes_and_text(page: WebPage, site: Running, image: bytes) -> None:
    page.choose("receipt.png", image)
    page.wait_for_result()
    assert page.lines() == [SCRIPT, MIXED], "markup is text"
    assert page.tab.locator("main script").count() == 0
    check_boxes_fit(page, site, image)
    assert page.text("#result-title") == "receipt.png"
    assert "2 lines" in page.text("#status")
    assert page.tab.locator("#times tr").count() == len(STAGES)
    page.tab.hover(".box >> nth=1")
    assert page.tab.locator(".line.active").inner_text().splitlines()[1] == MIXED
    page.tab.click("text=New file")
    page.choose("notes.txt", b"no image", "text/plain")
    page.tab.wait_for_selector(".problem")
    assert "unsupported_format" in page.text("#problem")


@pytest.mark.full
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "AVIF"])
def test_boxes_fit_images_of_all_formats(page: WebPage, site: Running, kind: str) -> None:
    options = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
    data = file_of(receipt(255, 150), kind, **options)
    page.choose(f"image.{kind}", data, "")
    page.wait_for_result()
    check_boxes_fit(page, site, data)


@pytest.mark.full
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_boxes_fit_a_photo_that_is_turned(
    page: WebPage, site: Running, kind: str, orientation: int
) -> None:
    photo = turned_photo(kind, orientation)
    page.choose("photo", photo, f"image/{kind.lower()}")
    page.wait_for_result()
    assert page.text("#size") == "160 \u00d7 96 px"
    check_boxes_fit(page, site, photo)


@pytest.mark.full
def test_photo_that_only_the_service_can_decode(page: WebPage) -> None:
    pytest.importorskip("pi_heif")
    page.choose("photo.heic", base64.b64decode(HEIC), "image/heic")
    page.wait_for_result()
    assert page.text("#size") == "64 \u00d7 64 px"
    page.tab.wait_for_selector(".sheet img")  # decoded: an image without a size is not visible


@pytest.mark.full
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_pages_of_a_document(page: WebPage, kind: str) -> None:
    if kind == "PDF":
        pytest.importorskip("pypdfium2")
    data = file_of(
        receipt(255, 150), kind, save_all=True, append_images=[receipt(150), receipt(255)],
        **({"resolution": 200} if kind == "PDF" else {}),
    )  # fmt: skip
    page.choose("scan", data, "")
    page.wait_for_result()
    assert page.tab.locator("#page option").count() == 3
    assert page.lines() == [SCRIPT, MIXED]
    page.tab.click("[aria-label='Next page']")
    page.wait_for_result()
    assert page.lines() == [MIXED] and page.tab.locator(".box").count() == 1
    assert page.crop_center() == pytest.approx([150] * 3, abs=6)
    page.tab.select_option("#page", "3")
    page.wait_for_result()
    assert page.lines() == [SCRIPT]
    page.tab.click("text=Copy text")
    page.tab.wait_for_selector("#status:has-text('Copied 4 lines')")
    copied = page.tab.evaluate("navigator.clipboard.readText()")
    assert copied == f"{SCRIPT}\n{MIXED}\n\n{MIXED}\n\n{SCRIPT}"


@pytest.mark.full
def test_copy_and_download(page: WebPage, site: Running, image: bytes) -> None:
    page.choose("../a/b<i>\u202egnp.receipt.png", image)
    page.wait_for_result()
    assert "\u202e" not in page.text("#result-title")
    page.tab.click("text=Copy text")
    page.tab.wait_for_selector("#status:has-text('Copied 2 lines')")
    assert page.tab.evaluate("navigator.clipboard.readText()") == f"{SCRIPT}\n{MIXED}"
    with page.tab.expect_download() as download:
        page.tab.click("text=Download JSON")
    assert download.value.suggested_filename == "a_b_i_gnp.receipt.json"
    (saved,) = json.loads(Path(download.value.path()).read_text("utf-8"))
    (answer,) = site.ask("/v1/ocr", image, content_type="image/png").json
    assert saved.pop("seconds").keys() == answer.pop("seconds").keys()
    assert saved == answer


@pytest.mark.full
def test_image_without_text(page: WebPage) -> None:
    page.choose("empty.png", png(receipt()))
    page.wait_for_result()
    assert page.lines() == [] and "No text" in page.text("#no-lines")
    assert "0 lines" in page.text("#status")


@pytest.mark.full
def test_file_names_are_text(page: WebPage, image: bytes) -> None:
    for name in ("<img src=x onerror=alert(1)>.png", "שלום.png", "東京" * 60 + ".png", "a" * 300):
        page.choose(name, image)
        page.wait_for_result()
        assert page.text("#result-title") == name[:200]
        assert page.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (
        page.tab.locator("main img").count() == page.tab.locator(".sheet img, .sample img").count()
    )
