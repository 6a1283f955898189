"""A service in a process of its own, and a client that shows all of an answer."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_trt.common.child_python import python_command


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        error = self.json["error"]
        assert set(self.json) == {"error"} and set(error) == {"code", "message"}
        assert error["message"]
        return error["code"]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A service that is ready."""

    process: subprocess.Popen[str]
    port: int
    seconds: float
    """From the start of the command, as it states."""

    def ask(
        self,
        path: str,
        body: bytes | str | None = None,
        method: str = "",
        **headers: str,
    ) -> Answer:
        """Send a request on a connection of its own; ``_`` in names of headers stands for ``-``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=got, body=response.read())
        finally:
            connection.close()

    def metric(self, line: str) -> float:
        """Return a value of ``/metrics``, such as ``ocr_trt_queue_depth``; 0 if it is not there."""
        for text in self.ask("/metrics").body.decode().splitlines():
            if text.startswith(f"{line} "):
                return float(text.split()[-1])
        return 0.0

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the service; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def start(*options: object, cwd: Path | None = None) -> Running:
    """Start ``ocr-trt serve`` on a free port, and wait until it is ready."""
    port = () if "--port" in options else ("--port", 0)
    process = launch(*options, *port, "--json", cwd=cwd)
    assert process.stdout is not None and process.stderr is not None
    lines: list[str] = []
    # The document ends with a line that contains the closing brace only.
    while not lines or lines[-1].strip() != "}":
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"ended with {process.wait(60)}: {process.stderr.read()}")
        lines.append(line)
    ready = json.loads("".join(lines))
    port = int(ready["address"].rsplit(":", 1)[1])
    return Running(process=process, port=port, seconds=ready["seconds"])


def launch(*options: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start ``ocr-trt serve`` with these options only."""
    return subprocess.Popen(
        python_command("ocr_trt", "serve", *map(str, options)),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def service(*options: object) -> Iterator[Running]:
    """Run a service for a block; it is killed if the block has not stopped it."""
    running = start(*options)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def multipart(*files: bytes, name: str = "file") -> tuple[bytes, str]:
    """Return a multipart body, and its Content-Type."""
    mark = b"--mark-0123456789"
    parts = [
        mark + b'\r\nContent-Disposition: form-data; name="%s"; filename="../../x"\r\n'
        b"Content-Type: image/png\r\n\r\n%s\r\n" % (name.encode(), file)
        for file in files
    ]
    return b"".join(parts) + mark + b"--\r\n", "multipart/form-data; boundary=mark-0123456789"
