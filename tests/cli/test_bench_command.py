"""``ocr-trt bench``: reports, limits, load and competitors."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ocr_trt.cli.schema import Document, json_schema
from tests.cli.in_process import fails, run, succeeds
from tests.json_schema import problems


def test_bench_writes_three_reports_and_compares_engines_with_limits(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    done = run(
        "bench", *bundles.values(), "--data", images, "--report", tmp_path / "r",
        "--duration", "0.05", "--fail-on", "speedup<100000,cer>100000",
    )  # fmt: skip
    fails(done, 5, "speedup<100000", "--fail-on")
    assert "cer>100000" not in done.stderr
    assert "broken" in done.stdout
    # The box is last; which engine it names depends on the machine.
    title = max(done.stdout.rfind("\nDeploy "), done.stdout.rfind("\nKeep the model"))
    assert title > done.stdout.rfind("report.html")
    assert all(line.startswith("  ") for line in done.stdout[title + 1 :].splitlines()[1:])
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "report.html", "report.json", "report.md",
    ]  # fmt: skip
    result = json.loads((tmp_path / "r" / "report.json").read_text())
    assert problems(result, json_schema(Document.REPORT)) == []
    kinds = [[s["kind"] for s in model["systems"]] for model in result["models"]]
    assert kinds == [["baseline", "reference", "engine"]] * 2
    batches = [{s["batch"] for s in m["systems"][0]["latencies"]} for m in result["models"]]
    assert batches == [{1}, {1, 4}]
    assert [s["kind"] for s in result["end_to_end"]["systems"]] == ["baseline", "engine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-on", "latency>1.1x"], "needs an older report"),
        (["--fail-on", "cer>3"], "needs images: --data"),
        (["--fail-on", "quick"], "expected a measure"),
        (["--fail-on", ""], "expected a measure"),
        (["--baseline", "old.json"], "needs a rule that uses it"),
        (["--baseline", "none.json", "--fail-on", "p90>2x"], "none.json"),
    ],
)
def test_limits_are_parsed_before_measuring(
    options: list[str], message: str, tmp_path: Path
) -> None:
    fails(run("bench", tmp_path / "none", *options, cwd=tmp_path), 2, message)


def test_rule_that_applies_to_no_engine_is_refused_before_measuring(
    bundles: dict[str, Path], images: Path
) -> None:
    start = time.monotonic()
    done = run(
        "bench", bundles["detector"], "--data", images, "--duration", "100", "--fail-on", "cer>3"
    )
    fails(done, 2, "cer requires one recognizer", "given: one detector")
    assert time.monotonic() - start < 60


def test_load_and_competitors_are_printed_with_definitions(bundles: dict[str, Path]) -> None:
    text = succeeds(
        "bench", bundles["recognizer"], "--competitors", "--concurrency", "3", "--rate", "125",
        "--duration", "0.2", "-v",
    )  # fmt: skip
    for fact in (
        *("openvino as it is (", "load by number of clients", "load by request rate"),
        *("  125  ", "- Latency:", "- Closed loop:", "- Open loop:", "coordinated omission"),
    ):
        assert fact in text


def test_a_report_replaces_only_a_report(bundles: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "thesis.txt").write_text("x")
    done = run("bench", bundles["detector"], "--report", tmp_path, "--duration", "0.05")
    fails(done, 2, "'thesis.txt'")
    assert (tmp_path / "thesis.txt").read_text() == "x"
