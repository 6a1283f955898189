"""How the service runs: address, limits and times. Each limit protects all other clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..pipeline.reader import ReadSettings

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may send at most."""

    body_bytes: int = 32 * MIB
    """Bytes of a request's body."""
    pixels: int = 64_000_000
    """Pixels of an image or page."""
    pages: int = 50
    """Pages of a PDF document or TIFF file."""
    images: int = 32
    """Images of one request to ``/v1/ocr/batch``."""
    connections: int = 1000
    """Connections of all clients."""
    held_bytes: int = 512 * MIB
    """Bytes of the bodies of all requests that are in memory at the same time."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long things may take, in seconds."""

    deadline: float = 20.0
    """From the last byte of a request's body to its answer."""
    max_wait: float = 5.0
    """How long an image may wait before it is read. It bounds the queue: capacity x max_wait."""
    batch_wait: float = 0.005
    """How long a line may wait for lines of other requests."""
    receive: float = 20.0
    """For the headers of a request, and for its body."""
    answer: float = 30.0
    """How long a client may pause in reading its answer before the connection is closed."""
    keep_alive: float = 15.0
    """How long a connection stays open between two requests."""
    drain: float = 25.0
    """From SIGTERM to the end of the process, at most."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """All settings of the service."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8000
    """The port; 0: a free one."""
    workers: int = 0
    """How many images are read at once; 0: enough to keep this machine busy."""
    threads: int = 0
    """CPU threads of each engine, for all of its streams together; 0: the number that ``ocr-trt
    optimize`` measured, or all cores."""
    token: str | None = None
    """What a client must send as ``Authorization: Bearer``; None: nothing."""
    read: ReadSettings = field(default_factory=ReadSettings)
    """How images are read."""
    limits: Limits = field(default_factory=Limits)
    """What a client may send at most."""
    times: Times = field(default_factory=Times)
    """How long things may take."""
    samples: tuple[Path, ...] = ()
    """Images that the page offers."""
