"""The published schemas are those of the code, and the program's files conform to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from ocr_trt.bench.report import write_report
from ocr_trt.builder import BuildRequest, build
from ocr_trt.cli.schema import Document, json_schema
from ocr_trt.spec import dump_spec, load_spec
from tests.bench.test_report import report
from tests.json_schema import problems

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("document", list(Document), ids=lambda each: each.value)
def test_published_schema_matches_the_code(document: Document) -> None:
    if tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 14):
        pytest.skip("older versions of pydantic leave out descriptions of data classes")
    path = ROOT / "docs" / "schemas" / f"{document.value}.json"
    command = f"ocr-trt schema {document.value} > docs/schemas/{path.name}"
    assert json.loads(path.read_text("utf-8")) == json_schema(document), f"run: {command}"


@pytest.fixture
def manifest(build_request: BuildRequest) -> dict[str, Any]:
    (result,) = build(build_request)
    data: dict[str, Any] = json.loads((result.folder / "manifest.json").read_text("utf-8"))
    assert {"calibration", "verdict", "int8_share"} <= data.keys()
    spec = yaml.safe_load((result.folder / "spec.yaml").read_text("utf-8"))
    assert problems(spec, json_schema(Document.SPEC)) == []
    return data


def test_manifest_conforms_to_its_schema(manifest: dict[str, Any]) -> None:
    schema = json_schema(Document.MANIFEST)
    assert problems(manifest, schema) == []
    manifest["files"]["plan_32.xml"]["sha256"] = "0" * 63
    manifest["verdict"]["metric"]["name"] = "bleu"
    manifest["engines"][0]["wide"] = manifest["engines"][0].pop("width")
    manifest["spec"]["input"]["shape"] = [1, 32, 32]
    text = "\n".join(problems(manifest, schema))
    for place in (".files.plan_32.xml.sha256", ".verdict", ".engines[0]", ".spec"):
        assert f"${place}" in text


def test_report_conforms_to_its_schema(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "r")
    data = json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))
    schema = json_schema(Document.REPORT)
    assert problems(data, schema) == []
    data["models"][0]["systems"][0]["kind"] = "friend"
    data["models"][0]["systems"][0]["latencies"][0]["p50"] = 0
    assert len(problems(data, schema)) == 2


@pytest.mark.parametrize("role", ["detector", "recognizer"])
def test_specs_of_reference_models_conform_to_their_schema(role: str) -> None:
    schema = json_schema(Document.SPEC)
    spec = yaml.safe_load(dump_spec(load_spec(ROOT / "models" / f"{role}.yaml")))
    assert problems(spec, schema) == []
    assert problems({**spec, "surprise": 1}, schema) != []
    assert problems({**spec, "role": "painter"}, schema) != []
