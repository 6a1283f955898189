"""Health, metrics, information, request ids, and the pages: over HTTP."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ocr_trt
from ocr_trt.serve.problems import KINDS
from tests.serve.client import Answer, Running, service

PNG = {"content_type": "image/png"}
ROOT = Path(__file__).parents[2]


def test_health(running: Running) -> None:
    assert running.ask("/health/live").json == {"status": "alive"}
    assert running.ask("/health/ready").json == {"status": "ready"}


@pytest.mark.parametrize(
    "path",
    [
        *("/health/live", "/health/ready", "/v1/info", "/v1/samples", "/openapi.json"),
        *("/docs", "/", "/app.js"),
    ],
)
def test_head_returns_the_headers_of_get(running: Running, path: str) -> None:
    got, head = running.ask(path), running.ask(path, method="HEAD")
    assert (head.status, head.body) == (got.status, b"") == (200, b"")
    for answer in (got, head):
        del answer.headers["date"], answer.headers["x-request-id"]
    if path != "/v1/info":  # its length changes with the capacity
        assert head.headers == got.headers


def test_methods_that_a_route_does_not_accept(running: Running) -> None:
    head = running.ask("/v1/ocr", method="HEAD")
    assert (head.status, head.body, head.headers["allow"]) == (405, b"", "POST")
    for path in ("/health/live", "/v1/info", "/metrics", "/", "/docs"):
        answer = running.ask(path, b"", method="POST")
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert running.ask("/nothing", method="HEAD").status == 404


def test_request_ids_are_echoed_or_created(running: Running, image: bytes) -> None:
    answer = running.ask("/v1/ocr", image, x_request_id="abc-123:4", **PNG)
    assert answer.headers["x-request-id"] == "abc-123:4"
    ids = {running.ask("/health/live").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3 and all(re.fullmatch(r"[0-9a-f]{32}", each) for each in ids)
    for wrong in ("a b", "<x>", "x" * 200, "é"):
        answer = running.ask("/nothing", x_request_id=wrong.encode("latin-1").decode("latin-1"))
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_info_contains_the_verdict_of_the_builds(running: Running, workplace: Path) -> None:
    info = running.ask("/v1/info").json
    assert info["version"] == ocr_trt.__version__ and info["phase"] == "ready"
    assert info["workers"] >= 1 and info["capacity"] > 0
    for role in ("detector", "recognizer"):
        manifest = json.loads((workplace / "bundles" / role / "manifest.json").read_text())
        bundle = info["bundles"][role]
        assert bundle["bundle"] == role, "the name of the folder, not its path"
        assert bundle["source_sha256"] == manifest["source_sha256"]
        assert bundle["verdict"]["max_difference"] == manifest["verdict"]["max_difference"]
        assert bundle["target"] == "openvino" and bundle["runtime"]
    assert str(workplace) not in json.dumps(info)


def test_metrics_agree_with_what_clients_count(running: Running, image: bytes) -> None:
    def count(status: int) -> float:
        return running.metric(f'ocr_trt_requests_total{{route="/v1/ocr",status="{status}"}}')

    names = {status: count(status) for status in (200, 400, 415)}
    images, lines = running.metric("ocr_trt_images_total"), running.metric("ocr_trt_lines_total")
    durations = 'ocr_trt_request_duration_seconds_count{route="/v1/ocr"}'
    before, errors = running.metric(durations), 'ocr_trt_errors_total{code="broken_image"}'
    broken = running.metric(errors)
    bodies = [image, b"text", image[:99], image] * 5
    with ThreadPoolExecutor(8) as threads:
        answers: list[Answer] = list(
            threads.map(lambda body: running.ask("/v1/ocr", body, **PNG), bodies)
        )
    assert [answer.status for answer in answers] == [200, 415, 400, 200] * 5
    for status, own in ((200, 10), (415, 5), (400, 5)):
        assert count(status) == names[status] + own
    assert running.metric("ocr_trt_images_total") == images + 10
    assert running.metric("ocr_trt_lines_total") == lines + 20
    assert running.metric(durations) == before + 20
    assert running.metric(errors) == broken + 5
    assert running.metric("ocr_trt_images_in_flight") == 0
    assert running.metric("ocr_trt_capacity_images_per_second") > 0
    assert running.metric('ocr_trt_stage_duration_seconds_count{stage="detect"}') > 0


def test_the_warm_up_is_not_counted(bundles: tuple[object, ...]) -> None:
    with service(*bundles) as own:
        assert own.metric("ocr_trt_capacity_images_per_second") > 0, "measured in the warm-up"
        text = own.ask("/metrics").body.decode()
    counted = [
        line for line in text.splitlines()
        if re.match(r"ocr_trt_(images|lines|stage_duration|batch_lines|errors)", line)
        and float(line.split()[-1])
    ]  # fmt: skip
    assert counted == []


def test_refused_requests_are_counted(running: Running) -> None:
    def count() -> tuple[float, float]:
        return (
            running.metric('ocr_trt_requests_total{route="unmatched",status="400"}'),
            running.metric('ocr_trt_errors_total{code="invalid_request"}'),
        )

    before = count()
    for data in (b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as own:
            own.sendall(data)
            assert own.recv(100).startswith(b"HTTP/1.1 400")
    assert count() == (before[0] + 2, before[1] + 2)


def test_bodies_that_are_no_image_do_not_change_the_capacity(running: Running) -> None:
    before = running.metric("ocr_trt_capacity_images_per_second")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: running.ask("/v1/ocr", b"no image"), range(60)))
    assert {answer.status for answer in answers} == {415}
    assert running.metric("ocr_trt_capacity_images_per_second") == before > 0


def test_unknown_paths_create_no_series(running: Running) -> None:
    for number in range(5):
        running.ask(f"/unknown-{number}")
    text = running.ask("/metrics").body.decode()
    assert "unknown-" not in text and 'route="unmatched",status="404"' in text


def test_metrics_have_the_format_of_prometheus(running: Running) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    answer = running.ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert {
        *("ocr_trt_requests", "ocr_trt_request_duration_seconds", "ocr_trt_queue_depth"),
        *("ocr_trt_images_in_flight", "ocr_trt_batch_lines", "process_resident_memory_bytes"),
    } <= names


def test_lines_of_requests_share_batches(running: Running, image: bytes) -> None:
    def batches() -> tuple[float, float]:
        names = ("ocr_trt_batch_lines_count", "ocr_trt_batch_lines_sum")
        return running.metric(names[0]), running.metric(names[1])

    count, lines = batches()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: running.ask("/v1/ocr", image, **PNG), range(160)))
    count, lines = batches()[0] - count, batches()[1] - lines
    assert lines == 320
    assert lines / count > 2, "more than the two lines of one image"


def test_page_loads_nothing_from_other_hosts(running: Running) -> None:
    answer = running.ask("/")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'" and "unsafe" not in str(policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    html = answer.body.decode()
    assert "//" not in re.sub(r"<!--.*?-->", "", html, flags=re.S).replace("http://www.w3.org", "")
    for path in re.findall(r'(?:src|href)="([^"#:]+)"', html):
        assert running.ask("/" + path.lstrip("./")).status == 200, path
    tag = answer.headers["etag"]
    assert running.ask("/", if_none_match=tag).status == 304


def test_samples_can_be_loaded_and_read(running: Running) -> None:
    samples = running.ask("/v1/samples").json["samples"]
    assert len(samples) >= 10
    answer = running.ask(samples[0]["url"])
    assert answer.headers["content-type"] == "image/jpeg" and answer.body[:3] == b"\xff\xd8\xff"
    assert running.ask("/v1/ocr", answer.body, content_type="image/jpeg").status == 200


def test_docs_need_no_other_host_and_name_all_routes_and_codes(running: Running) -> None:
    answer = running.ask("/docs")
    html = answer.body.decode()
    assert (
        "<script" not in html and "default-src 'none'" in answer.headers["content-security-policy"]
    )
    openapi = running.ask("/openapi.json").json
    paths = {"/v1/ocr", "/v1/ocr/batch", "/health/live", "/health/ready", "/metrics", "/v1/info"}
    assert paths <= openapi["paths"].keys()
    for name in (*openapi["paths"], *KINDS):
        assert name in html
    document = (ROOT / "docs" / "serving.md").read_text("utf-8")
    for path in openapi["paths"]:
        assert path.removesuffix("/{name}") in document


def test_openapi_lists_the_statuses_of_the_service_only(running: Running) -> None:
    openapi = running.ask("/openapi.json").json
    assert not {"HTTPValidationError", "ValidationError"} & openapi["components"]["schemas"].keys()
    known = {str(kind.status) for kind in KINDS.values()} | {"200"}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            assert operation["responses"].keys() <= known, (path, method)
    assert "ValidationError" not in running.ask("/docs").body.decode()
    wrong = running.ask("/v1/ocr?page=x", b"x", **PNG)
    assert (wrong.status, wrong.code) == (400, "invalid_parameter")


def test_openapi_describes_bodies_and_answers(running: Running) -> None:
    operation = running.ask("/openapi.json").json["paths"]["/v1/ocr"]["post"]
    bodies = operation["requestBody"]["content"]
    assert set(bodies) == {"image/*", "application/pdf", "multipart/form-data", "application/json"}
    assert {"200", "400", "401", "413", "415", "503", "504"} <= operation["responses"].keys()
    assert {each["name"] for each in operation["parameters"]} == {"draw", "page"}


@pytest.mark.parametrize("path", ["/v1/ocr", "/nothing", "/", "/health/live"])
def test_every_answer_has_safe_headers(running: Running, path: str) -> None:
    headers = running.ask(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
