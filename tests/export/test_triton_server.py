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

from tests.export.test_repository import exported
from tests.export.triton_server import ROOT, Server, TritonHome

SAMPLES = sorted((ROOT / "models" / "samples" / "test").glob("*.jpg"))[:6]
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
    tmp_path: Path, detector_bundle: Path, recognizer_bundle: Path
) -> None:
    # One test, so that the environment is created only once, whichever process runs it.
    home = TritonHome(tmp_path)
    repository = tmp_path / "repo"
    exported(repository, detector_bundle, recognizer_bundle, is_stand_in=True)
    # In the same environment, because versions of OpenCV scale pixels differently.
    bundles = ("--detector", detector_bundle, "--recognizer", recognizer_bundle)
    rows = json.loads(home.run("run", *SAMPLES, *bundles, "--json"))
    expected = [[line["text"] for line in row["lines"]] for row in rows]
    assert sum(map(len, expected)) > 0
    with home.server(repository, tmp_path / "server.log") as server:
        check_samples(server, expected)
        check_wrong_images(server)
        check_metrics(server)
        program = [sys.executable, str(ROOT / "examples" / "triton_client.py")]
        done = subprocess.run(
            [*program, str(SAMPLES[0]), server.grpc], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == len(expected[0])
    check_numpy_2(home, repository, tmp_path / "numpy2.log")


def check_samples(server: Server, expected: list[list[str]]) -> None:
    """Send the samples one by one and from eight clients at once."""
    contents = [path.read_bytes() for path in SAMPLES]
    results = [[text for text, *_ in read(server, content)] for content in contents]
    assert results == expected
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: read(server, content), contents * 4))
    assert [[text for text, *_ in lines] for lines in answers] == expected * 4
    for lines in answers:
        assert all(np.shape(quad) == (4, 2) for _, quad, *_ in lines)


def check_wrong_images(server: Server) -> None:
    """Send broken images; the server answers each, and stays alive."""
    whole = SAMPLES[0].read_bytes()
    for content, fact in ((b"", "empty"), (b"/etc/passwd", "known format"), (whole[:999], "image")):
        with pytest.raises(InferenceServerException, match=fact) as error:
            read(server, content)
        assert "INVALID_ARG" in str(error.value.status())
    with pytest.raises(InferenceServerException, match="no page 2"):
        read(server, whole, page=2)
    assert read(server, whole)


def check_metrics(server: Server) -> None:
    """Requests of the pipeline reached the models, and the dynamic batcher merged some."""
    with urllib.request.urlopen(server.metrics) as answer:
        text = answer.read().decode()

    def total(metric: str, model: str) -> float:
        values = re.findall(rf'^{metric}{{.*model="{model}".*}} (\S+)$', text, re.M)
        return sum(map(float, values))

    assert total("nv_inference_count", "ocr") >= len(SAMPLES) * 5
    assert total("nv_inference_count", "ocr_detector_64x96") >= len(SAMPLES) * 5
    lines, batches = (
        sum(total(metric, f"ocr_recognizer_32x{width}") for width in (32, 64))
        for metric in ("nv_inference_count", "nv_inference_exec_count")
    )
    assert 0 < batches < lines


def check_numpy_2(home: TritonHome, repository: Path, log: Path) -> None:
    """The Python backend of this server was compiled for NumPy 1: models refuse to start."""
    done = home.pip("--no-deps", "numpy>=2,<2.3")
    assert done.returncode == 0, done.stderr
    process = home.start(repository, log, [0, 0, 0])
    assert process.wait(300) != 0
    text = log.read_text()
    assert "does not work with NumPy 2" in text
    assert "numpy<2" in text
