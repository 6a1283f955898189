"""The service in a process of its own, and clients that count answers; for service_load.py."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROUTE = "/v1/ocr"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A body, and the texts that its answer must contain; None: the body is garbage."""

    body: bytes
    texts: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client got: status (0: none), seconds, and whether the texts are right."""

    status: int
    seconds: float
    is_right: bool
    is_garbage: bool


@dataclass(kw_only=True)
class Service:
    """A running service, and the number of answers by status that clients got from it."""

    process: subprocess.Popen[str]
    port: int
    counts: Counter[int] = field(default_factory=Counter)

    def send(self, connection: http.client.HTTPConnection, request: Request) -> Answer:
        """Send one request and check its answer."""
        start = time.monotonic()
        try:
            connection.request("POST", ROUTE, request.body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            status, data = response.status, response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            status, data = 0, b""
        seconds = time.monotonic() - start
        self.counts[status] += 1
        is_garbage = request.texts is None
        is_right = 400 <= status < 500 if is_garbage else status == 200
        if status == 200 and not is_garbage:
            lines = [line["text"] for page in json.loads(data) for line in page["lines"]]
            is_right = tuple(lines) == request.texts
        return Answer(status=status, seconds=seconds, is_right=is_right, is_garbage=is_garbage)

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection, which stays open between requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def closed_loop(self, requests: Sequence[Request], clients: int) -> tuple[list[Answer], float]:
        """Send requests with clients that each wait for an answer; return answers and seconds."""
        own = threading.local()

        def one(request: Request) -> Answer:
            if not hasattr(own, "connection"):
                own.connection = self.connection()
            return self.send(own.connection, request)

        with ThreadPoolExecutor(clients) as threads:
            start = time.monotonic()
            answers = list(threads.map(one, requests))
            return answers, time.monotonic() - start

    def open_loop(self, requests: Sequence[Request], rate: float, seconds: float) -> list[Answer]:
        """Send ``rate`` requests per second, whatever the answers are."""
        with ThreadPoolExecutor(512) as threads:
            start, answers = time.monotonic(), []
            for number in range(int(rate * seconds)):
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                request = requests[number % len(requests)]
                answers.append(threads.submit(self._on_new_connection, request))
            return [answer.result() for answer in answers]

    def _on_new_connection(self, request: Request) -> Answer:
        connection = self.connection()
        try:
            return self.send(connection, request)
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Return a value of ``/metrics``; 0 if it is not there."""
        connection = self.connection()
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        return 0.0

    def counted(self, status: int) -> float:
        """Return how many answers with a status the service has counted."""
        return self.metric(f'ocr_trt_requests_total{{route="{ROUTE}",status="{status}"}}')

    def resident(self) -> float:
        """Return the resident memory in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) / 1024


def command(name: str, detector: Path, recognizer: Path, *options: object) -> list[str]:
    """Return the command line of ``ocr-trt`` with two bundles."""
    bundles = ("--detector", detector, "--recognizer", recognizer)
    return [sys.executable, "-m", "ocr_trt", name, *map(str, (*options, *bundles))]


def start(detector: Path, recognizer: Path, *options: object) -> Service:
    """Start a service, and wait until it is ready."""
    process = subprocess.Popen(
        command("serve", detector, recognizer, "--json", *options),
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the service ended with {process.wait()}")
        text += line
    return Service(process=process, port=int(json.loads(text)["address"].rsplit(":", 1)[1]))


@contextmanager
def service(detector: Path, recognizer: Path, *options: object) -> Iterator[Service]:
    """Run a service for a block."""
    own = start(detector, recognizer, "--port", 0, *options)
    try:
        yield own
    finally:
        own.process.kill()
        own.process.wait()
