"""A real Triton server runs an exported repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.export.conftest import build_at_any_width
from tests.export.test_repository import exported
from tests.export.triton_server import ROOT, Server, TritonHome, free_ports
from tests.readable_models import TEXTS

SAMPLES = sorted((ROOT / "models" / "samples" / "test").glob("*.jpg"))[:3]
Lines = list[tuple[str, Any, float, float]]


def read(server: Server, content: bytes, **options: Any) -> Lines:
    """Read one image with the example of a client."""
    spec = util.spec_from_file_location("client", ROOT / "examples" / "triton_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with InferenceServerClient(server.grpc) as client:
        return module.read(client, content, **options)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_triton_server_reads_what_run_reads(
    tmp_path: Path, readable: tuple[Path, Path], workplace: Path
) -> None:
    # One test, so that the environment is created only once, whichever process runs it.
    home = TritonHome(tmp_path)
    repository = tmp_path / "repo"
    exported(repository, *readable, is_stand_in=True)
    files = [workplace / "receipt.png", *sorted((workplace / "images").iterdir()), *SAMPLES]
    # In the same environment, because versions of OpenCV scale pixels differently.
    bundles = ("--detector", readable[0], "--recognizer", readable[1])
    rows = json.loads(home.run("run", *files, *bundles, "--json"))
    expected = [[line["text"] for line in row["lines"]] for row in rows]
    assert expected[0] == list(TEXTS)
    with home.server(repository, tmp_path / "server.log") as server:
        check_images(server, files, expected)
        check_wrong_images(server, files[0])
        check_metrics(server, 5 * len(files))
        program = [sys.executable, str(ROOT / "examples" / "triton_client.py")]
        done = subprocess.run(
            [*program, str(files[0]), server.grpc], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == len(expected[0])
    (tmp_path / "wide").mkdir()
    wide = build_at_any_width(tmp_path / "wide", "onnxruntime")
    exported(repository, readable[0], wide, is_stand_in=True)
    with home.server(repository, tmp_path / "wide.log") as server:
        check_images(server, files[:3], expected[:3])
        check_metrics(server, 15, "ocr_recognizer_32xany")
    check_numpy_2(home, repository, tmp_path / "numpy2.log")


def check_images(server: Server, files: list[Path], expected: list[list[str]]) -> None:
    """Send images one by one and from eight clients at once."""
    contents = [path.read_bytes() for path in files]
    results = [[text for text, *_ in read(server, content)] for content in contents]
    assert results == expected
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: read(server, content), contents * 4))
    assert [[text for text, *_ in lines] for lines in answers] == expected * 4
    for lines in answers:
        assert all(np.shape(quad) == (4, 2) for _, quad, *_ in lines)


def check_wrong_images(server: Server, file: Path) -> None:
    """Send broken images; the server answers each, and stays alive."""
    whole = file.read_bytes()
    for content, fact in ((b"", "empty"), (b"/etc/passwd", "known format"), (whole[:99], "image")):
        with pytest.raises(InferenceServerException, match=fact) as error:
            read(server, content)
        assert "INVALID_ARG" in str(error.value.status())
    with pytest.raises(InferenceServerException, match="no page 2"):
        read(server, whole, page=2)
    assert read(server, whole)


def check_metrics(server: Server, requests: int, recognizer: str = "ocr_recognizer_32x192") -> None:
    """Requests of the pipeline reached the models, and the dynamic batcher merged some."""
    with urllib.request.urlopen(server.metrics) as answer:
        text = answer.read().decode()

    def total(metric: str, model: str) -> float:
        values = re.findall(rf'^{metric}{{.*model="{model}".*}} (\S+)$', text, re.M)
        return sum(map(float, values))

    assert total("nv_inference_count", "ocr") >= requests
    assert total("nv_inference_count", "ocr_detector_96x160") >= requests
    lines = total("nv_inference_count", recognizer)
    assert 0 < total("nv_inference_exec_count", recognizer) < lines


def check_numpy_2(home: TritonHome, repository: Path, log: Path) -> None:
    """The Python backend of this server was compiled for NumPy 1: models refuse to start."""
    done = home.pip("--no-deps", "numpy>=2,<2.3")
    assert done.returncode == 0, done.stderr
    process = home.start(repository, log, free_ports(3))
    assert process.wait(300) != 0
    text = log.read_text()
    assert "does not work with NumPy 2" in text
    assert "numpy<2" in text
