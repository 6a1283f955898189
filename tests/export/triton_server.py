"""A real Triton server on the CPU, from the wheel ``nvidia-pytriton``: core and Python backend."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_WHEEL = "nvidia-pytriton==0.7.0"


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    grpc: str
    metrics: str
    log: Path


class TritonHome:
    """A virtual environment with the server and ocr-trt."""

    def __init__(self, folder: Path) -> None:
        if sys.version_info >= (3, 13):
            pytest.skip(f"{_WHEEL} requires NumPy 1, which Python {sys.version.split()[0]} lacks")
        self.python, self._folder = folder / "venv" / "bin" / "python", folder
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        source = folder / "source"  # building writes into the source folder
        ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT, source, ignore=ignored)
        done = self.pip(_WHEEL, str(source))
        if "No matching distribution" in done.stderr or "Connection" in done.stderr:
            pytest.skip(f"{_WHEEL} cannot be installed: {done.stderr.strip()[-200:]}")
        assert done.returncode == 0, done.stderr
        (self._packages,) = (folder / "venv").glob("lib/python3*/site-packages")
        own = self._packages / "pytriton" / "tritonserver"
        stub = own / "python_backend_stubs" / f"3.{sys.version_info.minor}"
        backend = folder / "backends" / "python"
        shutil.copytree(own / "backends" / "python", backend)
        program = shutil.copy2(stub / "triton_python_backend_stub", backend)
        environment = self._server_environment()
        done = subprocess.run([program], capture_output=True, text=True, env=environment)
        if "libpython" in done.stderr:  # a Python that is built without its shared library
            pytest.skip(f"the server cannot use {sys.executable}: {done.stderr.strip()}")
        self._program = own / "bin" / "tritonserver"

    def pip(self, *packages: str) -> subprocess.CompletedProcess[str]:
        """Install packages."""
        command = [str(self.python), "-m", "pip", "install", "--quiet", *packages]
        return subprocess.run(command, capture_output=True, text=True)

    def environment(self) -> dict[str, str]:
        """Return the variables for programs of the environment."""
        own = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        cache = str(self._folder / "cache")
        return {**own, "PATH": path, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "2"}

    def _server_environment(self) -> dict[str, str]:
        # The process of the Python backend is linked to libpython, which a Python outside /usr has
        # in a folder that the loader does not search.
        folders = (str(self._packages / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR"))
        return {**self.environment(), "LD_LIBRARY_PATH": os.pathsep.join(folders)}

    def run(self, *arguments: object) -> str:
        """Run ``ocr-trt`` in the environment; return what it prints."""
        command = [str(self.python), "-m", "ocr_trt", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment(), cwd=self._folder
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, repository: Path, log: Path, ports: list[int]) -> subprocess.Popen[bytes]:
        """Start a server."""
        http, grpc, metrics = ports
        with log.open("wb") as file:
            return subprocess.Popen(
                [
                    str(self._program), f"--model-repository={repository}",
                    f"--backend-directory={self._folder / 'backends'}",
                    f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}",
                    "--http-address=127.0.0.1", "--grpc-address=127.0.0.1",
                    "--exit-timeout-secs=20",
                ],
                env=self._server_environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    @contextmanager
    def server(self, repository: Path, log: Path) -> Iterator[Server]:
        """Start a server, wait until it is ready, and stop it at the end of the block."""
        ports = free_ports(3)
        process = self.start(repository, log, ports)
        try:
            ready = f"http://127.0.0.1:{ports[0]}/v2/health/ready"
            end = time.monotonic() + 300
            while not _answers(ready):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.3)
            metrics = f"http://127.0.0.1:{ports[2]}/metrics"
            yield Server(grpc=f"127.0.0.1:{ports[1]}", metrics=metrics, log=log)
        finally:
            process.terminate()
            process.wait(60)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
