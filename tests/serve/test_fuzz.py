"""Requests that nobody would send by hand: no answer is a 5xx other than 503, and none is lost."""

from __future__ import annotations

import io
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
EXAMPLES = 250
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
    for number in range(100):
        path = "/v1/ocr/batch" if number % 2 else "/v1/ocr"
        check(running.ask(path, damaged(body, rng, [image]), content_type=kind))


@pytest.mark.full
def test_requests_from_the_openapi_description(running: Running) -> None:
    """Valid and invalid requests that schemathesis derives from /openapi.json."""
    schemathesis = pytest.importorskip("schemathesis")
    address = f"http://127.0.0.1:{running.port}"
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    sent = 0
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            sent += ask_all(operation.as_strategy(generation_mode=mode))
    assert sent >= EXAMPLES
    assert running.ask("/health/ready").status == 200
    assert running.metric("ocr_trt_queue_depth") == 0


def ask_all(cases: st.SearchStrategy[Any]) -> int:
    sent = 0

    @given(case=cases)
    @settings(
        max_examples=60,
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
