"""Limits of a service: sizes, the queue, the deadline, slow clients, and the token."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ocr.files import pdf
from tests.readable_models import receipt
from tests.serve.client import Answer, Running, multipart, service
from tests.serve.conftest import png

PNG, TOKEN = {"content_type": "image/png"}, "0123456789abcdef-token"


@pytest.fixture(scope="module")
def strict(
    bundles: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A service with small limits."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(f"{TOKEN}\n")
    with service(
        *bundles,
        *("--max-body", 1, "--max-pixels", 0.1, "--max-pages", 2, "--max-images", 2),
        *("--max-receive", 1, "--workers", 1, "--token-file", file),
    ) as own:
        yield own


def ask(strict: Running, path: str, body: bytes | None = None, **headers: str) -> Answer:
    return strict.ask(path, body, authorization=f"Bearer {TOKEN}", **headers)


def test_body_bytes(strict: Running, image: bytes) -> None:
    for size, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
        answer = ask(strict, "/v1/ocr", image + bytes(size - len(image)), **PNG)
        assert answer.status == status
    assert answer.code == "body_too_large" and "1,048,576" in answer.json["error"]["message"]


def test_stated_length_is_refused_before_the_body_is_sent(strict: Running) -> None:
    head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as own:
        own.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        assert own.recv(100).startswith(b"HTTP/1.1 413")


def test_chunked_body_is_counted(strict: Running) -> None:
    head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as own:
        own.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        for _ in range(17):
            own.sendall(chunk)
        assert own.recv(100).startswith(b"HTTP/1.1 413")
        with pytest.raises(OSError):  # the connection ends although the body never does
            for _ in range(100):
                own.sendall(chunk)
                time.sleep(0.1)


def test_pixels_pages_and_images(strict: Running, image: bytes) -> None:
    large = ask(strict, "/v1/ocr", png(Image.new("L", (400, 300))), **PNG)
    assert (large.status, large.code) == (413, "image_too_large")
    assert "400x300" in large.json["error"]["message"]
    file = io.BytesIO()
    receipt(255).save(file, "TIFF", save_all=True, append_images=[receipt(150)] * 2)
    pages = ask(strict, "/v1/ocr", file.getvalue(), content_type="image/tiff")
    assert (pages.status, pages.code) == (413, "image_too_large")
    assert "3 pages" in pages.json["error"]["message"]
    assert ask(strict, "/v1/ocr?page=3", file.getvalue(), content_type="image/tiff").status == 200
    body, kind = multipart(image, image, image)
    batch = ask(strict, "/v1/ocr/batch", body, content_type=kind)
    assert (batch.status, batch.code) == (413, "too_many_images")


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN])
@pytest.mark.parametrize("path", ["/v1/ocr", "/v1/info", "/metrics", "/docs", "/v1/samples", "/x"])
def test_wrong_tokens(strict: Running, path: str, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    answer = strict.ask(path, **headers)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer" and TOKEN not in str(answer)


def test_right_token_and_open_routes(strict: Running, image: bytes) -> None:
    assert ask(strict, "/v1/ocr", image, **PNG).status == 200
    assert strict.ask("/v1/info", authorization=f"bearer  {TOKEN}").status == 200
    for path in ("/health/live", "/health/ready", "/", "/app.js"):
        assert strict.ask(path).status == 200, "the page has no data, and asks for the token"


def slow(strict: Running, *parts: bytes) -> bytes:
    """Send parts with a pause after each; return what comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as own:
        for part in parts:
            try:
                own.sendall(part)
            except OSError:
                break
            time.sleep(0.4)
        answer = b""
        with suppress(ConnectionResetError):  # closed while the client was still sending
            while data := own.recv(10_000):
                answer += data
        return answer


def test_slow_headers_end_the_connection(strict: Running) -> None:
    answer = slow(strict, b"GET /health/live HTTP/1.1\r\n", *[b"X: y\r\n"] * 6)
    assert answer.startswith(b"HTTP/1.1 408") and b'"request_timeout"' in answer
    assert slow(strict).startswith(b"HTTP/1.1 408"), "a connection on which nothing is sent"
    text = ask(strict, "/metrics").body.decode()
    assert re.search(r'ocr_trt_requests_total{route="unmatched",status="408"} [2-9]', text)
    assert re.search(r'ocr_trt_errors_total{code="request_timeout"} [2-9]', text)


def test_slow_body_ends_the_request(strict: Running) -> None:
    head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Connection: close\r\nContent-Length: 1000\r\n\r\n"
    answer = slow(strict, head.encode(), *[b"x"] * 6)
    assert answer.startswith(b"HTTP/1.1 408") and b'"request_timeout"' in answer


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTQ/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 500_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),  # TLS
        b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=range(7),
)
def test_invalid_http(strict: Running, data: bytes) -> None:
    answer = slow(strict, data)
    assert answer == b"" or answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401")
    assert strict.ask("/health/live").status == 200


def test_body_with_two_lengths_ends_the_connection(strict: Running) -> None:
    inner = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    for length in (5, 5 + len(inner)):
        head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        body = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner
        answer = slow(strict, head.encode() + body)
        assert answer.startswith(b"HTTP/1.1 400") and b'"invalid_request"' in answer
        assert answer.count(b"HTTP/1.1") == 1, "the inner request has no answer"


def noise(side: int) -> bytes:
    """A PNG file that takes long to decode."""
    pixels = np.random.default_rng(0).integers(0, 90, (side, side, 3), np.uint8)
    return png(Image.fromarray(pixels))


def test_overload_is_refused_and_what_is_accepted_is_right(
    bundles: tuple[object, ...], image: bytes
) -> None:
    large = noise(1500)
    options = ("--workers", 1, "--max-wait", 0.01, "--tiles", "off")
    with service(*bundles, *options) as own, ThreadPoolExecutor(40) as threads:
        sent = [large, image] * 20
        answers = list(threads.map(lambda body: own.ask("/v1/ocr", body, **PNG), sent))
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        for answer, body in zip(answers, sent, strict=True):
            if answer.status == 503:
                assert answer.code == "overloaded" and int(answer.headers["retry-after"]) >= 1
            elif body is image:
                assert answer.json[0]["width"] == 160 and len(answer.json[0]["lines"]) == 2
            else:
                assert answer.json[0]["width"] == 1500
        for status in (200, 503):
            name = f'ocr_trt_requests_total{{route="/v1/ocr",status="{status}"}}'
            assert own.metric(name) == statuses.count(status)
        assert own.metric("ocr_trt_queue_depth") == own.metric("ocr_trt_images_in_flight") == 0
        assert own.ask("/v1/ocr", image, **PNG).status == 200


def test_deadline(bundles: tuple[object, ...], image: bytes) -> None:
    large = noise(3000)
    with service(*bundles, "--deadline", 0.1, "--workers", 1, "--tiles", "off") as own:
        answer = own.ask("/v1/ocr", large, **PNG)
        assert (answer.status, answer.code) == (504, "deadline_exceeded")
        assert "0.1 seconds" in answer.json["error"]["message"]
        body, kind = multipart(large)
        assert own.ask("/v1/ocr/batch", body, content_type=kind).status == 504
        deadline = time.monotonic() + 60
        while own.metric("ocr_trt_images_in_flight") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert own.metric("ocr_trt_queue_depth") == 0
        assert own.ask("/health/ready").status == 200


def slow_pdf(pages: int) -> bytes:
    """A document whose pages PDFium draws for about a second each."""
    points = np.random.default_rng(0).integers(0, 400, (8000, 8)).tolist()
    curves = b" ".join(b"%d %d m %d %d %d %d %d %d c S" % tuple(each) for each in points)
    return pdf(["0 0 400 400"] * pages, content=b"3 w " + curves)


def test_no_page_is_begun_after_the_deadline(bundles: tuple[object, ...]) -> None:
    kind = {"content_type": "application/pdf"}
    pytest.importorskip("pypdfium2")

    def seconds_of(own: Running, path: str, pages: int, status: int) -> float:
        """Return the processor time that a document takes, also after its answer."""
        before = own.metric("process_cpu_seconds_total")
        assert own.ask(path, slow_pdf(pages), **kind).status == status
        end = time.monotonic() + 120
        while own.metric("ocr_trt_images_in_flight") and time.monotonic() < end:
            time.sleep(0.05)
        return own.metric("process_cpu_seconds_total") - before

    options = ("--workers", 4, "--tiles", "off", "--threads", 1)
    with service(*bundles, *options) as own:
        page = seconds_of(own, "/v1/ocr", 1, 200)
    with service(*bundles, *options, "--deadline", 0.1) as own:
        # Four pages wait for PDFium, which draws one at a time.
        taken = seconds_of(own, "/v1/ocr", 8, 504)
        assert taken < 1.6 * page
        for path in ("/v1/ocr?page=2", "/v1/preview?page=2"):
            assert own.ask(path, slow_pdf(8), **kind).status == 504
        assert own.ask("/health/ready").status == 200


def test_client_that_leaves_frees_its_place(running: Running) -> None:
    body = noise(1500)
    for _ in range(8):
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as own:
            head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            own.sendall(head.encode() + body)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        waiting = running.metric("ocr_trt_queue_depth") + running.metric("ocr_trt_images_in_flight")
        if not waiting:
            break
        time.sleep(0.1)
    assert waiting == 0


def test_paths_and_urls_are_not_opened(running: Running, tmp_path: Path, image: bytes) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(image)
    for text in (f"file://{secret}", str(secret), "http://localhost/x.png"):
        for field, code in ((text, "invalid_body"), (_base64(text), "unsupported_format")):
            body = json.dumps({"image": field})
            answer = running.ask("/v1/ocr", body, content_type="application/json")
            assert answer.code == code


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("kind", ["json", "multipart"])
def test_a_waiting_request_holds_its_images_only(bundles: tuple[object, ...], kind: str) -> None:
    # What follows the end of a PNG file is ignored: many bytes that take no time to decode.
    content = noise(1500) + bytes(6 << 20)
    body, form = multipart(content)
    if kind == "json":
        body, form = json.dumps({"image": base64.b64encode(content).decode()}).encode(), ""
    seen = set[float]()
    with service(*bundles, "--workers", 1) as own, ThreadPoolExecutor(8) as threads:
        header = {"content_type": form or "application/json"}
        answers = [threads.submit(own.ask, "/v1/ocr", body, **header) for _ in range(8)]
        while not all(answer.done() for answer in answers):
            seen.add(own.metric("ocr_trt_body_bytes"))
        assert {answer.result().status for answer in answers} == {200}
        assert own.metric("ocr_trt_body_bytes") == 0
    assert any(size and size % len(content) == 0 for size in seen), "images, and no bodies"
