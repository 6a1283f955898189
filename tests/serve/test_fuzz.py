"""Requests that nobody would send by hand: no answer is a 5xx other than 503, and none is lost.

``OCR_TRT_FUZZ_REQUESTS=4000`` sends about as many requests; by default, it is a quarter of that.
"""

from __future__ import annotations

import io
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz_damage import damaged
from tests.readable_models import receipt
from tests.serve.client import Answer, Running, multipart

ROOT = Path(__file__).parents[2]
REQUESTS = int(os.environ.get("OCR_TRT_FUZZ_REQUESTS", "1000"))
EXAMPLES = REQUESTS // 4
"""Requests of each kind."""
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM", "PDF")


def files() -> list[bytes]:
    contents = []
    for kind in FORMATS:
        file = io.BytesIO()
        receipt(255, 150).save(file, kind)
        contents.append(file.getvalue())
    return contents


def check(answer: Answer) -> None:
    assert answer.status < 500 or answer.status == 503, answer
    if answer.status != 200:
        assert answer.code


@pytest.mark.full
def test_mutated_images(running: Running) -> None:
    originals, rng = files(), np.random.default_rng(0)
    bodies = [damaged(originals[n % len(originals)], rng, originals) for n in range(EXAMPLES)]

    def ask(number: int) -> Answer:
        body, kind = bodies[number], "image/png"
        if number % 3 == 1:
            body, kind = multipart(body)
        path = "/v1/ocr?draw=1" if number % 5 == 0 else "/v1/ocr"
        return running.ask(path, body, content_type=kind)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(EXAMPLES)))
    for answer in answers:
        check(answer)
    statuses = {answer.status for answer in answers}
    assert {200, 400} <= statuses, "some are still images, and some are not"


@pytest.mark.full
def test_mutated_multipart_bodies(running: Running, image: bytes) -> None:
    rng = np.random.default_rng(1)
    body, kind = multipart(image, image[:300])
    for number in range(EXAMPLES):
        path = "/v1/ocr/batch" if number % 2 else "/v1/ocr"
        check(running.ask(path, damaged(body, rng, [image]), content_type=kind))


HEAD = b"""POST /v1/ocr?draw=1&page=1 HTTP/1.1\r
Host: localhost\r
Content-Type: image/png\r
Content-Length: %d\r
Expect: 100-continue\r
Accept: application/json;q=0.5, */*\r
Connection: close\r
\r
"""
CHUNKED = b"""POST /v1/ocr/batch HTTP/1.1\r
Host: localhost\r
Content-Type: multipart/form-data; boundary=mark\r
Transfer-Encoding: chunked\r
Connection: close\r
\r
"""


@pytest.mark.full
def test_mutated_heads_of_requests(running: Running, image: bytes) -> None:
    """A connection is answered or closed, and later ones are served."""
    rng = np.random.default_rng(2)
    part = b'--mark\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--mark--\r\n'
    whole = [
        HEAD % len(image) + image,
        CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(part), part),
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ]
    for number in range(EXAMPLES):
        head, _, body = whole[number % len(whole)].partition(b"\r\n\r\n")
        data = damaged(head, rng, whole) + (b"\r\n\r\n" if number % 7 else b"") + body
        status = status_of_raw(running.port, data)
        assert status is None or status < 500 or status in (501, 503, 505), (number, data[:400])
    assert running.ask("/health/ready").status == 200
    assert running.metric("ocr_trt_queue_depth") == 0


def status_of_raw(port: int, data: bytes) -> int | None:
    """Send bytes, and nothing after them; return the last status, or None without an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        received = b""
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(1 << 16):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return int(lines[-1].split()[1]) if lines else None


@pytest.mark.full
def test_requests_from_the_openapi_description(running: Running) -> None:
    """Valid and invalid requests that schemathesis derives from /openapi.json."""
    schemathesis = pytest.importorskip("schemathesis")
    address = f"http://127.0.0.1:{running.port}"
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    sent = 0
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= 8
    each = max(60, EXAMPLES // len(operations))
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            sent += ask_all(operation.as_strategy(generation_mode=mode), each)
    assert sent >= EXAMPLES // 2
    assert running.ask("/health/ready").status == 200
    assert running.metric("ocr_trt_queue_depth") == 0


def ask_all(cases: st.SearchStrategy[Any], number: int) -> int:
    sent = 0

    @given(case=cases)
    @settings(
        max_examples=number,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def ask(case: Any) -> None:
        nonlocal sent
        sent += 1
        response = case.call()
        assert response.status_code < 500 or response.status_code == 503, response.text

    try:
        ask()
    except Exception as error:
        # An operation without parameters has no invalid requests.
        if type(error).__name__ not in ("Unsatisfiable", "NoNegativeCases", "SkipTest"):
            raise
    return sent
