"""Run the service: listen, open the engines, answer requests, and drain at SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from ..errors import UserError
from .application import application
from .protocol import guarded_protocol
from .service import Bundles, Service
from .settings import ServeSettings

_LAST_SECONDS = 5.0
"""Of the time to drain: after answers were sent, for threads and engines to end."""
_BACKLOG = 256
"""Connections that the kernel may accept before the service does."""


def serve(bundles: Bundles, settings: ServeSettings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        bundles: what to read with.
        settings: all settings.
        on_ready: called with the address when images can be read.

    Raises:
        UserError: the port is taken, or the address is not one of this machine.
        OcrTrtError: a bundle cannot be opened, or its engine fails.
    """
    with listening_socket(settings.host, settings.port) as listener:
        asyncio.run(_serve(Service(bundles, settings), listener, on_ready))


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; it accepts connections when the server starts.

    Raises:
        UserError: the port is taken or needs privileges, or the address is unknown.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UserError(
            f"--host {host}: is not an address: {error.strerror}; expected a name or address of "
            "this machine, such as 127.0.0.1, or 0.0.0.0 for all"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        # A service that was killed can start again at once, although connections of the old
        # process are still being closed.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another --port, or "
            "--port 0 for a free one; --host must be an address of this machine"
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether a service that listens on this name or address can be reached from this machine only.

    A name is resolved, because any name can have any address: ``127.0.0.1.example.com`` too.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    # ::ffff:127.0.0.1 is an address of IPv4, which only newer versions of Python consider.
    return all((getattr(each, "ipv4_mapped", None) or each).is_loopback for each in addresses)


def address_of(listener: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """A server that leaves signals to :func:`_serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    service: Service, listener: socket.socket, on_ready: Callable[[str], None]
) -> None:
    times = service.settings.times
    address = address_of(listener)
    server = _Server(
        uvicorn.Config(
            application(service),
            http=guarded_protocol(service.settings.limits, times, service.measures.count_refusal),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=round(times.keep_alive),
            timeout_graceful_shutdown=max(1, round(times.drain - _LAST_SECONDS)),
        )
    )
    _stop_at_signals(server, service)
    serving = asyncio.ensure_future(server.serve([listener]))
    # Health routes answer while the engines are being loaded.
    starting = asyncio.ensure_future(service.start())
    try:
        await asyncio.wait((serving, starting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()  # raises the error of a bundle
            on_ready(address)
        await serving
    finally:
        server.should_exit = True
        await asyncio.gather(serving, starting, return_exceptions=True)
        await service.stop()


def _stop_at_signals(server: uvicorn.Server, service: Service) -> None:
    """Drain at the first SIGTERM, SIGINT or SIGHUP; end at once at the second."""
    loop, drain = asyncio.get_running_loop(), service.settings.times.drain

    def stop(number: int) -> None:
        if server.should_exit:
            os._exit(128 + number)
        service.phase, server.should_exit = "stopping", True
        # A thread in native code cannot be stopped, so the process ends without it.
        watchdog = threading.Timer(drain, os._exit, (0,))
        watchdog.daemon = True
        watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            loop.add_signal_handler(number, stop, number)
