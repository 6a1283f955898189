"""``/v1/preview``: a page of a file as an image that every browser shows."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.readable_models import receipt
from tests.serve.client import Running, multipart
from tests.serve.conftest import png


def shown(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    assert image.format == "PNG"
    return image.convert("RGB")


def test_preview_is_the_page(running: Running, image: bytes, workplace: Path) -> None:
    for body, kind in ((image, "image/png"), multipart(image)):
        answer = running.ask("/v1/preview", body, content_type=kind)
        assert answer.headers["content-type"] == "image/png"
        assert shown(answer.body).tobytes() == receipt(255, 150).tobytes()
    scan = (workplace / "scan.tiff").read_bytes()
    second = running.ask("/v1/preview?page=2", scan, content_type="image/tiff")
    assert shown(second.body).tobytes() == receipt(150).tobytes()


def test_preview_is_upright_and_not_huge(running: Running) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    file = io.BytesIO()
    Image.new("RGB", (3000, 100)).save(file, "JPEG", exif=exif)
    answer = running.ask("/v1/preview", file.getvalue(), content_type="image/jpeg")
    assert shown(answer.body).size == (67, 2000)


def test_preview_of_what_cannot_be_shown(running: Running, image: bytes) -> None:
    for path, body, status, code in (
        ("/v1/preview", b"no image", 415, "unsupported_format"),
        ("/v1/preview", image[:200], 400, "broken_image"),
        ("/v1/preview", png(Image.new("RGB", (3, 90))), 400, "broken_image"),
        ("/v1/preview", b"", 400, "invalid_body"),
        ("/v1/preview?page=2", image, 400, "invalid_parameter"),
        ("/v1/preview?page=0", image, 400, "invalid_parameter"),
        ("/v1/preview", png(Image.new("1", (9000, 9000))), 413, "image_too_large"),
    ):
        answer = running.ask(path, body, content_type="image/png")
        assert (answer.status, answer.code) == (status, code), path
