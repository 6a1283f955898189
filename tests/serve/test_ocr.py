"""``/v1/ocr`` and ``/v1/ocr/batch`` over HTTP, against a service in a process of its own."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.pipeline.clock import STAGES
from tests.cli.in_process import succeeds
from tests.json_schema import problems
from tests.readable_models import TEXTS, receipt
from tests.serve.client import Running, multipart
from tests.serve.conftest import png


def texts(page: dict) -> list[str]:
    return [line["text"] for line in page["lines"]]


def as_json(**fields: object) -> dict:
    return {"body": json.dumps(fields), "content_type": "application/json"}


def test_answer_is_what_run_prints(
    running: Running, bundles: tuple[object, ...], workplace: Path, image: bytes
) -> None:
    answer = running.ask("/v1/ocr", image, content_type="image/png")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert problems(answer.json, json_schema(Document.RUN)) == []
    (page,) = answer.json
    assert problems(page, json_schema(Document.RESULT)) == []
    (expected,) = json.loads(succeeds("run", workplace / "receipt.png", *bundles, "--json"))
    assert page.pop("seconds").keys() == expected.pop("seconds").keys() == set(STAGES)
    assert page == expected | {"file": None}
    assert texts(page) == list(TEXTS)


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "IMAGE/PNG; q=1", "application/octet-stream", None, "curl's default"]
)
def test_content_decides_the_format_of_a_raw_body(
    running: Running, image: bytes, kind: str | None
) -> None:
    if kind == "curl's default":
        kind = "application/x-www-form-urlencoded"
    headers = {} if kind is None else {"content_type": kind}
    (page,) = running.ask("/v1/ocr", image, **headers).json
    assert texts(page) == list(TEXTS)


@pytest.mark.parametrize("name", ["file", "files"])
def test_multipart_body(running: Running, image: bytes, name: str) -> None:
    body, kind = multipart(image, name=name)
    (page,) = running.ask("/v1/ocr", body, content_type=kind).json
    assert texts(page) == list(TEXTS) and page["file"] is None


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_json_body(running: Running, image: bytes, prefix: str) -> None:
    encoded = base64.encodebytes(image).decode()  # with line ends
    (page,) = running.ask("/v1/ocr", **as_json(image=prefix + encoded)).json
    assert texts(page) == list(TEXTS)


def test_chunked_body_without_a_length(running: Running, image: bytes) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    pieces = (image[start : start + 100] for start in range(0, len(image), 100))
    connection.request("POST", "/v1/ocr", body=pieces, headers={"Content-Type": "image/png"})
    response = connection.getresponse()
    assert response.status == 200
    assert texts(json.loads(response.read())[0]) == list(TEXTS)
    connection.close()


def test_pages_of_a_document(running: Running, workplace: Path) -> None:
    scan = (workplace / "scan.tiff").read_bytes()
    pages = running.ask("/v1/ocr", scan, content_type="image/tiff").json
    assert [texts(page) for page in pages] == [list(TEXTS), [TEXTS[1]], [TEXTS[0]]]
    assert [(page["page"], page["pages"]) for page in pages] == [(1, 3), (2, 3), (3, 3)]
    (second,) = running.ask("/v1/ocr?page=2", scan, content_type="image/tiff").json
    assert texts(second) == [TEXTS[1]] and second["page"] == 2
    wrong = running.ask("/v1/ocr?page=4", scan, content_type="image/tiff")
    assert (wrong.status, wrong.code) == (400, "invalid_parameter")
    assert "3" in wrong.json["error"]["message"]


def test_pdf_document(running: Running) -> None:
    pytest.importorskip("pypdfium2")
    file = io.BytesIO()
    receipt(255, 150).save(file, "PDF", save_all=True, append_images=[receipt(150)], resolution=200)
    pages = running.ask("/v1/ocr", file.getvalue(), content_type="application/pdf").json
    assert [texts(page) for page in pages] == [list(TEXTS), [TEXTS[1]]]
    assert pages[0]["width"] == 160, "rendered at 200 dpi"


def test_drawing(running: Running, image: bytes, workplace: Path) -> None:
    answer = running.ask("/v1/ocr?draw=1", image, content_type="image/png")
    assert answer.headers["content-type"] == "image/png"
    drawing = Image.open(io.BytesIO(answer.body))
    assert drawing.size == (2 * 160, 96)
    plain = Image.open(io.BytesIO(image)).convert("RGB")
    assert drawing.crop((0, 0, 160, 96)).tobytes() != plain.tobytes(), "boxes are drawn"
    scan = (workplace / "scan.tiff").read_bytes()
    answer = running.ask("/v1/ocr?draw=true&page=3", scan, content_type="image/tiff")
    assert Image.open(io.BytesIO(answer.body)).size == (2 * 160, 96)


def test_batch_keeps_positions(running: Running, image: bytes, workplace: Path) -> None:
    files = [
        png(receipt(150)),
        b"no image",
        image,
        image[:200],
        (workplace / "scan.tiff").read_bytes(),
    ]
    body, kind = multipart(*files)
    encoded = [base64.b64encode(file).decode() for file in files]
    for answer in (
        running.ask("/v1/ocr/batch", body, content_type=kind),
        running.ask("/v1/ocr/batch", **as_json(images=encoded)),
    ):
        assert answer.status == 200
        results, errors = answer.json["results"], answer.json["errors"]
        assert [None if each is None else list(map(texts, each)) for each in results] == [
            [[TEXTS[1]]], None, [list(TEXTS)], None, [list(TEXTS), [TEXTS[1]], [TEXTS[0]]],
        ]  # fmt: skip
        codes = [None if error is None else error["code"] for error in errors]
        assert codes == [None, "unsupported_format", None, "broken_image", None]


def test_wrong_base64_in_a_batch_is_an_error_in_its_place(running: Running, image: bytes) -> None:
    good = base64.b64encode(image).decode()
    answer = running.ask("/v1/ocr/batch", **as_json(images=["%%%", good, ""])).json
    assert [each is None for each in answer["results"]] == [True, False, True]
    assert [each and each["code"] for each in answer["errors"]] == [
        *("invalid_body", None, "invalid_body"),
    ]  # fmt: skip


def test_page_that_cannot_be_read_is_an_item_as_in_run(running: Running) -> None:
    file = io.BytesIO()
    tiny = Image.new("RGB", (3, 90))  # a side under 4 pixels
    receipt(255).save(file, "TIFF", save_all=True, append_images=[tiny])
    answer = running.ask("/v1/ocr", file.getvalue(), content_type="image/tiff")
    assert answer.status == 200
    assert problems(answer.json, json_schema(Document.RUN)) == []
    good, bad = answer.json
    assert texts(good) == [TEXTS[0]]
    assert bad["page"] == 2 and bad["error"]["type"] == "InputFileError"
