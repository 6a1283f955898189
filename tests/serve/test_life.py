"""How a service starts, drains and ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocr_trt.serve.server import is_loopback
from tests.cli.in_process import fails, run
from tests.serve.client import launch, service, start
from tests.serve.test_limits import noise

PNG = {"content_type": "image/png"}


def message_of(*options: object) -> str:
    """Return the error of a command that fails before the service starts."""
    done = run("serve", *options)
    fails(done, 2)
    assert done.stdout == ""
    return done.stderr


def test_port_that_is_taken(bundles: tuple[object, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = message_of(*bundles, "--port", port)
    assert f"port {port}" in message and "in use" in message and "--port" in message


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host", "nothing.invalid"])
def test_host_that_is_not_this_machine(bundles: tuple[object, ...], host: str) -> None:
    assert host in message_of(*bundles, "--host", host)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("::1", True),
        ("127.1", True),
        ("0.0.0.0", False), ("::", False), ("127.0.0.1.evil.invalid", False), ("192.0.2.7", False),
        ("localhost.evil.invalid", False), ("::1.invalid", False), ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.7", False), ("x" * 300, False), ("", False),
    ],
)  # fmt: skip
def test_addresses_of_this_machine_only(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own


@pytest.mark.parametrize(("host", "notes"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_a_service_without_a_token_warns_if_others_reach_it(
    bundles: tuple[object, ...], host: str, notes: int
) -> None:
    process = launch(*bundles, "--host", host, "--port", 0)
    assert process.stdout is not None and process.stderr is not None
    assert host in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert process.stderr.read().count("without a token") == notes


def test_broken_bundles(bundles: tuple[object, ...], tmp_path: Path) -> None:
    _, detector, _, recognizer = map(str, bundles)
    message = message_of("--detector", detector, "--recognizer", detector)
    assert "is a detector" in message and "recognizer" in message
    assert "no such file" in message_of("--detector", tmp_path / "x", "--recognizer", recognizer)
    broken = Path(shutil.copytree(detector, tmp_path / "broken"))
    (plan,) = broken.glob("plan*.bin")
    plan.write_bytes(plan.read_bytes()[:-1] + b"x")
    assert plan.name in message_of("--detector", broken, "--recognizer", recognizer)
    assert "--lines" in message_of("--recognizer", recognizer)
    assert "--lines" in message_of("--lines", *bundles)


@pytest.mark.parametrize("text", ["", "shrt", "with space 0123456789", "é" * 20], ids=range(4))
def test_unusable_tokens(bundles: tuple[object, ...], tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text, "utf-8")
    message = message_of(*bundles, "--token-file", tmp_path / "token")
    assert "16" in message and (not text or text not in message)
    assert "nothing" in message_of(*bundles, "--token-file", tmp_path / "nothing")


def test_bundle_whose_plan_does_not_load(workplace: Path, tmp_path: Path) -> None:
    """Found while the service already listens, because loading may take long."""
    bundle = shutil.copytree(workplace / "bundles" / "detector", tmp_path / "detector")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["spec"]["input"]["shape"] = [1, 3, 96, 192]
    manifest["spec"]["input"].pop("widths", None)
    for engine in manifest["engines"]:
        engine["width"] = 192
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    recognizer = workplace / "bundles" / "recognizer"
    process = launch("--detector", bundle, "--recognizer", recognizer, "--port", 0)
    out, message = process.communicate(timeout=120)
    assert process.returncode == 2 and out == "" and "Traceback" not in message
    assert message.startswith("error: ") and len(message.splitlines()) == 1
    assert "192" in message


def test_sigterm_answers_what_was_accepted_and_exits_with_0(
    bundles: tuple[object, ...], image: bytes
) -> None:
    large = noise(1500)
    with service(*bundles, "--workers", 1) as own, ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(own.ask, "/v1/ocr", large, **PNG) for _ in range(6)]
        # A request whose body is still being sent.
        slow = socket.create_connection(("127.0.0.1", own.port), timeout=60)
        head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image)}\r\n\r\n"
        slow.sendall(head.encode() + image[:50])
        idle = socket.create_connection(("127.0.0.1", own.port), timeout=60)
        deadline = time.monotonic() + 60
        while not own.metric("ocr_trt_queue_depth") and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
        own.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        slow.sendall(image[50:])
        assert [answer.result().status for answer in answers] == [200] * 6
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        assert own.process.wait(60) == 0
        assert time.monotonic() - began < 25, "the default of --drain"
        with pytest.raises(OSError):
            own.ask("/health/live")
        for each in (slow, idle):
            each.close()
        assert own.process.stderr is not None and own.process.stderr.read() == ""


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_signals_drain_too(bundles: tuple[object, ...], number: int) -> None:
    with service(*bundles) as own:
        assert own.stop(number) == 0


@pytest.mark.full
def test_drain_is_limited(bundles: tuple[object, ...]) -> None:
    """A client that never sends its body does not keep the process alive."""
    with service(*bundles, "--drain", 6, "--max-receive", 600) as own:
        with socket.create_connection(("127.0.0.1", own.port), timeout=60) as client:
            client.sendall(b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            time.sleep(0.3)
            began = time.monotonic()
            assert own.stop() == 0
            assert time.monotonic() - began < 10
            assert client.recv(100).startswith(b"HTTP/1.1 503")


def test_killed_service_starts_again_at_once(bundles: tuple[object, ...], image: bytes) -> None:
    with service(*bundles) as first:
        with socket.create_connection(("127.0.0.1", first.port), timeout=30) as client:
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)  # a connection that is open when the process is killed
            first.stop(signal.SIGKILL)
        again = start(*bundles, "--port", first.port)
        try:
            assert again.port == first.port
            assert again.ask("/v1/ocr", image, **PNG).status == 200
            assert again.stop() == 0
        finally:
            again.process.kill()
            again.process.communicate()


def test_lines_without_a_detector(workplace: Path, image: bytes) -> None:
    recognizer = workplace / "bundles" / "recognizer"
    with service("--lines", "--recognizer", recognizer) as own:
        (page,) = own.ask("/v1/ocr", image, **PNG).json
        assert len(page["lines"]) == 1
        assert own.ask("/v1/info").json["bundles"]["detector"] is None
