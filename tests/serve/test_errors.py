"""What a client does wrong gets a documented code; the service stays ready."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from ocr_trt.serve.problems import KINDS
from tests.readable_models import receipt
from tests.serve.client import Running, multipart
from tests.serve.conftest import png

ROOT = Path(__file__).parents[2]
PNG, JSON = {"content_type": "image/png"}, {"content_type": "application/json"}


@pytest.fixture(autouse=True)
def _is_ready_afterwards(running: Running) -> object:
    yield
    assert running.ask("/health/ready").status == 200
    assert running.metric("ocr_trt_queue_depth") == 0


def bomb(width: int, height: int) -> bytes:
    """A PNG file whose header states a size, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def encrypted_pdf() -> bytes:
    file = io.BytesIO()
    receipt(255).save(file, "PDF")
    return file.getvalue().replace(
        b"trailer\n<<",
        b"trailer\n<< /Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (y) /P 1 >> ",
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_body"),
        (b"no image", 415, "unsupported_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format"),
        (b"\0" * 5000, 415, "unsupported_format"),
        (b"/etc/passwd", 415, "unsupported_format"),
        (b"http://127.0.0.1/image.png", 415, "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 500, 400, "broken_image"),
        (b"\xff\xd8\xff" + b"x" * 500, 400, "broken_image"),
        (b"%PDF-1.7\nnothing", 400, "broken_image"),
        (bomb(30_000, 30_000), 413, "image_too_large"),
        (bomb(9_000, 9_000), 413, "image_too_large"),
        (bomb(2_000_000_000, 2_000_000_000), 413, "image_too_large"),
        (bomb(2, 2), 400, "broken_image"),
        (bomb(0, 0), 400, "broken_image"),
        (bomb(4000, 4000), 400, "broken_image"),
        (png(Image.new("RGB", (3, 500))), 400, "broken_image"),
    ],
    ids=range(16),
)  # fmt: skip
def test_bodies_that_are_no_image(running: Running, body: bytes, status: int, code: str) -> None:
    for headers in (PNG, {}):
        answer = running.ask("/v1/ocr", body, **headers)
        assert (answer.status, answer.code) == (status, code), answer.body
    encoded = base64.b64encode(body).decode()
    answer = running.ask("/v1/ocr", json.dumps({"image": encoded}), **JSON)
    assert (answer.status, answer.code) == (status, code), answer.body
    form, kind = multipart(body)
    answer = running.ask("/v1/ocr", form, content_type=kind)
    assert (answer.status, answer.code) == (status, code), answer.body


def test_cut_and_encrypted_files(running: Running, image: bytes) -> None:
    for size in (8, 30, 60, len(image) // 2):
        answer = running.ask("/v1/ocr", image[:size], **PNG)
        assert (answer.status, answer.code) == (400, "broken_image")
    answer = running.ask("/v1/ocr", encrypted_pdf(), content_type="application/pdf")
    assert (answer.status, answer.code) == (400, "broken_image")


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "null", "[]", '"x"', "{}", '{"image": 1}', '{"image": null}', '{"image": "%"}'),
        *('{"image": "QUJD", "path": "/etc/passwd"}', '{"url": "http://127.0.0.1/x.png"}'),
        *('{"image": ""}', '{"image": "QUI"}', "[" * 100_000, "\xff", '{"image": "\\ud800"}'),
        *('{"image": NaN}', '{"image": ["QUJD"]}', '{"image": {"a": 1}}'),
    ],
    ids=range(19),
)
def test_wrong_json(running: Running, body: str) -> None:
    answer = running.ask("/v1/ocr", body.encode("latin-1"), **JSON)
    assert (answer.status, answer.code) == (400, "invalid_body")
    assert len(answer.body) < 500, "the message does not repeat the body"


def test_json_of_many_values_is_not_parsed(running: Running) -> None:
    answer = running.ask("/v1/ocr/batch", '{"images": [' + "[]," * 1_000_000 + "[]]}", **JSON)
    assert (answer.status, answer.code) == (400, "invalid_body")
    assert "5000" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "body",
    ['{"images": []}', '{"images": "QUJD"}', '{"images": [1]}', '{"images": [null]}', "{}", "[]"],
)
def test_wrong_batches(running: Running, body: str) -> None:
    answer = running.ask("/v1/ocr/batch", body, **JSON)
    assert (answer.status, answer.code) == (400, "invalid_body")


MARK = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\ndata\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x--\r\n"),
        ("multipart/form-data; boundary=", b"--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 1000, b"--x--\r\n"),
        (MARK, b""),
        (MARK, b"garbage"),
        (MARK, b"--x--\r\n"),
        (MARK, PART % b"file"),  # without the last boundary
        (MARK, PART % b"other" + b"--x--\r\n"),
        (MARK, b"--x\r\nno header\r\n\r\ndata\r\n--x--\r\n"),
        (MARK, b"--x\r\n\r\ndata\r\n--x--\r\n"),
        (
            MARK,
            b'--x\r\nContent-Disposition: form-data; name="o"\r\n\r\n\r\n' * 2000 + b"--x--\r\n",
        ),
        (MARK, b"--x\r\n" + b"A: b\r\n" * 1000 + b"\r\n\r\n--x--\r\n"),
        (MARK, b"--x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n--x--\r\n"),
    ],
    ids=range(13),
)
def test_wrong_multipart(running: Running, kind: str, body: bytes) -> None:
    for path in ("/v1/ocr", "/v1/ocr/batch"):
        answer = running.ask(path, body, content_type=kind)
        assert (answer.status, answer.code) == (400, "invalid_body"), answer.body


def test_too_many_files(running: Running, image: bytes) -> None:
    body, kind = multipart(image, image)
    answer = running.ask("/v1/ocr", body, content_type=kind)
    assert (answer.status, answer.code) == (413, "too_many_images")
    body, kind = multipart(*[image] * 33)
    answer = running.ask("/v1/ocr/batch", body, content_type=kind)
    assert (answer.status, answer.code) == (413, "too_many_images")
    encoded = [base64.b64encode(image).decode()] * 33
    answer = running.ask("/v1/ocr/batch", json.dumps({"images": encoded}), **JSON)
    assert (answer.status, answer.code) == (413, "too_many_images")
    assert "32" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html; charset=utf-8", "video/mp4", "x", "a/b"]
)
def test_wrong_media_types(running: Running, image: bytes, kind: str) -> None:
    for path in ("/v1/ocr", "/v1/ocr/batch"):
        answer = running.ask(path, image, content_type=kind)
        assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_compressed_bodies_are_refused(running: Running, image: bytes) -> None:
    answer = running.ask("/v1/ocr", zlib.compress(image), content_encoding="gzip", **PNG)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=1.5", "draw=maybe", "page=99999999999999999999"]
)
def test_wrong_parameters(running: Running, image: bytes, query: str) -> None:
    answer = running.ask(f"/v1/ocr?{query}", image, **PNG)
    assert (answer.status, answer.code) == (400, "invalid_parameter")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/v1", 404, "not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, "not_found"),
        ("GET", "/serve/page/index.html", 404, "not_found"),
        ("GET", "/v1/samples/..%2f..%2fweights", 404, "not_found"),
        ("GET", "/v1/samples/labels.json", 404, "not_found"),
        ("GET", "/v1/samples/%00", 404, "not_found"),
        ("GET", "/v1/ocr", 405, "method_not_allowed"),
        ("PUT", "/v1/ocr", 405, "method_not_allowed"),
        ("DELETE", "/v1/info", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/ocr", 405, "method_not_allowed"),
        ("BREW", "/health/live", 405, "method_not_allowed"),
    ],
)
def test_wrong_paths_and_methods(
    running: Running, method: str, path: str, status: int, code: str
) -> None:
    answer = running.ask(path, method=method)
    assert (answer.status, answer.code) == (status, code)
    if status == 405:
        assert answer.headers["allow"]


def test_document_lists_every_code() -> None:
    text = (ROOT / "docs" / "serving.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.M))
    assert rows == {code: str(kind.status) for code, kind in KINDS.items()}
