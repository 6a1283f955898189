"""The public Python API: its page, its examples, its help, its types and its logging."""

from __future__ import annotations

import asyncio
import doctest
import http.client
import json
import logging
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest

import ocr_trt
from tests.api_page import DOCUMENT, SECTIONS, page
from tests.cli.in_process import working_in
from tests.readable_models import TEXTS, write_workplace

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SNIPPETS = re.findall(r"^```pycon\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.M | re.S)
CLASSES = [name for name in ocr_trt.__all__ if isinstance(getattr(ocr_trt, name), type)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundles and images that the examples name."""
    return write_workplace(tmp_path_factory.mktemp("api"))


def test_page_is_that_of_the_docstrings() -> None:
    assert DOCUMENT.read_text("utf-8") == page(), "run: python tests/api_page.py"


def test_page_contains_every_public_name() -> None:
    errors = {name for name in ocr_trt.__all__ if name.endswith("Error")}
    listed = {name for names in SECTIONS.values() for name in names}
    assert listed | errors | {"__version__"} == set(ocr_trt.__all__)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_every_example_of_the_page_runs(number: int, workplace: Path) -> None:
    """Each example runs alone, as if a reader had copied it."""
    name = f"example {number} of {DOCUMENT.name}"
    test = doctest.DocTestParser().get_doctest(SNIPPETS[number], {}, name, None, 0)
    options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    report: list[str] = []
    with working_in(workplace):
        failed = doctest.DocTestRunner(optionflags=options).run(test, out=report.append).failed
    assert not failed, "".join(report)


def test_help_contains_every_public_class() -> None:
    text = pydoc.render_doc(ocr_trt, renderer=pydoc.plaintext)
    for name in CLASSES:
        assert re.search(rf"^    class {name}\(", text, re.M), name


def test_dir_lists_the_public_names() -> None:
    assert sorted(dir(ocr_trt)) == sorted(ocr_trt.__all__)


def test_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()
    assert '"ocr_trt" = ["py.typed"]' in (ROOT / "pyproject.toml").read_text()


def test_reads_are_logged_below_the_name_of_the_package(
    workplace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert any(
        isinstance(each, logging.NullHandler) for each in logging.getLogger("ocr_trt").handlers
    )
    with caplog.at_level(logging.DEBUG, "ocr_trt"), working_in(workplace):
        with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
            reader.read("receipt.png")
    texts = [each.getMessage() for each in caplog.records if each.name.startswith("ocr_trt.")]
    assert any(text.startswith("opened detector") for text in texts)
    assert any(text.startswith("read receipt.png: 2 lines") for text in texts)


@pytest.fixture(scope="module")
def backend(workplace: Path) -> Iterator[str]:
    """The address of the example's server, which runs in a process of its own."""
    bundles = [workplace / "bundles" / role for role in ("detector", "recognizer")]
    command = [sys.executable, EXAMPLES / "web_backend.py", *bundles, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip().removeprefix("http://")
        server.terminate()


def test_web_backend_reads_images_and_refuses_others(backend: str, workplace: Path) -> None:
    for data, expected in (
        ((workplace / "receipt.png").read_bytes(), 200),
        (b"text", 422),
        (b"", 422),
    ):
        connection = http.client.HTTPConnection(backend, timeout=60)
        connection.request("POST", "/", data)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == expected
        if expected == 200:
            assert tuple(line["text"] for line in body["lines"]) == TEXTS
        else:
            assert body["error"].startswith("image: ")


def test_asgi_backend_answers_requests_at_the_same_time(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTOR", str(workplace / "bundles" / "detector"))
    monkeypatch.setenv("RECOGNIZER", str(workplace / "bundles" / "recognizer"))
    spec = util.spec_from_file_location("asgi_backend", EXAMPLES / "asgi_backend.py")
    assert spec is not None and spec.loader is not None
    module: Any = util.module_from_spec(spec)
    spec.loader.exec_module(module)

    async def post(data: bytes) -> tuple[int, Any]:
        parts = [data[:100], data[100:]]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        await module.app({"type": "http"}, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    async def main() -> list[tuple[int, Any]]:
        image = (workplace / "receipt.png").read_bytes()
        return await asyncio.gather(*(post(data) for data in (image, b"text", image)))

    with module.reader:
        (first, result), (second, refusal), (third, _) = asyncio.run(main())
    assert (first, second, third) == (200, 422, 200)
    assert tuple(line["text"] for line in result["lines"]) == TEXTS
    assert "not an image" in refusal["error"]


@pytest.mark.parametrize("name", ["web_backend", "asgi_backend"])
def test_backends_are_short(name: str) -> None:
    """About 20 lines of code, without imports, comments and the docstring."""
    text = (EXAMPLES / f"{name}.py").read_text().split('"""', 2)[2]
    code = [line for line in text.splitlines() if line.strip() and "import " not in line]
    assert len(code) <= 22
