"""A connection to Ray: processes of our own on this machine, or an existing cluster.

Ray must not send usage statistics, must not accept commands from the network, must not import
modules from the current folder, and must leave neither processes nor files behind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.scratch import scratch_folder
from ..errors import UserError

_LONGEST = 40
"""Characters of Ray's folder. Below it are sockets, whose paths are limited to 107 characters."""
_CONNECT_S = 10.0
_EXPECTED_ADDRESS = (
    "expected the HOST:PORT that `ray start --head` printed; the port is 6379 by default, and not "
    "that of the dashboard"
)
_SETTINGS = b"\x04"
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + bytes(5)
"""How a client of HTTP/2, and so of gRPC, begins: a fixed text, and an empty SETTINGS frame."""
_PACKAGE_FOLDER = Path(__file__).absolute().parents[2]  # where the folder ``ocr_trt`` is
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The command prints its own progress.
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_SILENT = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
"""What happens to actors and tasks, which Ray repeats. Errors that end the job are raised."""


@contextlib.contextmanager
def ray_session(address: str, cores: int, *, verbose: bool = False) -> Iterator[None]:
    """Start Ray on this machine, or connect to a cluster; end or leave it when the block ends.

    Args:
        address: HOST:PORT of a cluster, or ``auto`` for the cluster that this machine belongs to;
            "": start Ray on this machine.
        cores: the number of CPUs that Ray may assign if it is started here.
        verbose: show the log messages of Ray and of its workers.

    Raises:
        UserError: there is no cluster at this address, or it has other versions.
    """
    if "://" in address:
        raise UserError(
            f"--ray {address}: expected HOST:PORT or auto; start the command on a machine of the "
            "cluster, not through a Ray client"
        )
    if ":" in address:
        _check_address(address)
    # Before the import, and for Ray's processes.
    os.environ.update(_ENVIRONMENT, PYTHONPATH=_import_path())
    if not verbose:
        os.environ.update(_SILENT)
    if not address and "ray" not in sys.modules:
        # Ray listens on all network interfaces. Only processes that inherit the token get in.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    options: dict[str, Any] = {
        "log_to_driver": verbose,
        "logging_level": logging.INFO if verbose else logging.CRITICAL,
    }
    with contextlib.ExitStack() as stack:
        if not address:
            folder = stack.enter_context(scratch_folder(_temporary_folder()))
            options |= {
                "num_cpus": cores,
                "include_dashboard": False,
                "_temp_dir": str(folder),
            }
        # Ray prints messages of its processes on stdout, which belongs to the command's result.
        shown = sys.stderr if verbose else stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(shown))
        stack.callback(ray.shutdown)
        with _own_signals(), _root_folder(), _native_messages(shown=verbose):
            try:
                ray.init(address=address or "local", **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                if not address:
                    raise
                raise UserError(f"--ray {address}: cannot connect to Ray: {error}") from error
        yield


def _check_address(address: str) -> None:
    """Check that a gRPC server, as Ray's is, listens at HOST:PORT: Ray would try for minutes.

    Raises:
        UserError: nothing does, or another program, or it is not an address.
    """
    host, _, port = address.rpartition(":")
    place = host.strip("[]")
    answer = b""
    try:
        with socket.create_connection((place, int(port)), timeout=_CONNECT_S) as connection:
            connection.sendall(_HTTP2_HELLO)
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(9)  # the header of a frame; its fourth byte is the type
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"--ray {address}: nothing listens there ({error}); {_EXPECTED_ADDRESS}"
        ) from None
    if answer[3:4] != _SETTINGS and not os.environ.get("RAY_USE_TLS"):  # TLS: cannot be seen
        raise UserError(f"--ray {address}: another program listens there; {_EXPECTED_ADDRESS}")


def _temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir())
    # The scratch folder adds 22 characters.
    return folder if len(str(folder)) + 22 <= _LONGEST else Path("/tmp")


def _import_path() -> str:
    """Return PYTHONPATH with absolute folders only: Ray's processes work in another folder.

    An empty entry means the current folder, and is left out, unless this package is in it.
    """
    entries = [
        str(Path(entry).absolute())
        for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if entry
    ]
    if Path.cwd() == _PACKAGE_FOLDER and str(_PACKAGE_FOLDER) not in entries:
        entries.append(str(_PACKAGE_FOLDER))
    return os.pathsep.join(entries)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the signal handlers of this process: ``ray.init`` replaces that of SIGTERM."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    is_terminated = False
    try:
        yield
    except SystemExit:  # Ray's handler raises it
        is_terminated = True
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            # ValueError: not the main thread; then Ray has replaced nothing, either.
            with contextlib.suppress(ValueError):
                signal.signal(number, handler)
    if is_terminated:
        signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def _native_messages(*, shown: bool) -> Iterator[None]:
    """Drop what native code prints on stderr unless ``shown``: Ray prints the log level it uses."""
    if shown:
        yield
        return
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


@contextlib.contextmanager
def _root_folder() -> Iterator[None]:
    """Work in ``/`` while Ray starts.

    Ray puts the current folder of the driver on the import path of all workers. A file ``numpy.py``
    beside the user's images would be run on every machine.
    """
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir("/")
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)
