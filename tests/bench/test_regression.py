"""Rules of --fail-on: when they are broken, and which comparisons are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.bench.regression import (
    MEASURES,
    check_rules,
    load_report,
    rules_from_text,
    same_machine,
)
from ocr_trt.bench.results import ModelReport, Report, SystemRow
from ocr_trt.errors import InputFileError, UserError
from ocr_trt.measure.latency import LatencySettings, stats_from_times
from ocr_trt.measure.report_data import AccuracyRow


def report(
    ms: float = 10.0,
    hmean: float | None = 0.9,
    *,
    label: str = "engine int8",
    name: str = "detector",
    samples: int = 20,
    run_by: str = "x",
    size: int = 64,
    twice: bool = False,
    **change: Any,
) -> Report:
    """One detector: TensorFlow at 40 ms, and an engine."""

    def row(label: str, kind: Any, ms: float, hmean: float | None) -> SystemRow:
        accuracy = AccuracyRow(hmean=hmean, samples=samples, run_by=run_by) if hmean else None
        stats = tuple(stats_from_times([ms * batch] * 3, batch) for batch in (1, 16))
        return SystemRow(label=label, kind=kind, latencies=stats, accuracy=accuracy)

    model = ModelReport(
        name=name,
        role="detector",
        input_shape=(3, size, size),
        systems=(row("tensorflow", "baseline", 40.0, 0.91), row(label, "engine", ms, hmean)),
    )
    fields: dict[str, Any] = {"machine": {"processor": "a"}, "versions": {"x": "1"}, **change}
    models = (model, report(ms / 5, name=name).models[0]) if twice else (model,)
    return Report(settings=LatencySettings(), data=None, models=models, **fields)


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("latency>1.1x", True),
        ("latency>1.3x", False),
        ("latency > 11", True),
        ("latency>12", False),
        ("latency>+1", True),
        ("latency>+2.5", False),
        ("throughput<0.9x", True),
        ("throughput<0.8x", False),
        ("speedup<0.9x", True),
        ("speedup<3", False),
        ("speedup<3.5", True),
        ("hmean<-0.5", True),
        ("hmean<-1.5", False),
        ("hmean<89.5", True),
        ("hmean>+0", False),
        ("p90>1.1x", True),
    ],
)
def test_rule_is_broken_beyond_its_limit(rule: str, broken: bool) -> None:
    new, old = report(12.0, 0.89), report(10.0, 0.90)
    checks = check_rules(new, old, rules_from_text(rule))
    assert {check.broken for check in checks} == {broken}
    batches = [None] if "hmean" in rule else [1, 16] if "x" in rule else [1]
    assert [check.batch for check in checks] == batches
    assert all(check.engine == "engine int8" for check in checks), "the baseline is not judged"


def test_checks_have_values_and_limits() -> None:
    checks = check_rules(report(12.0), report(10.0), rules_from_text("latency>1.1x,hmean<-0.5"))
    first, _, last = checks
    assert (first.old, first.new, first.limit) == (10.0, 12.0, pytest.approx(11.0))
    assert (last.old, last.new, last.limit) == (90.0, 90.0, 89.5)


def test_a_batch_may_be_named() -> None:
    checks = check_rules(report(), report(), rules_from_text("latency@16>159,latency@16>1.1x"))
    assert [(check.batch, check.broken) for check in checks] == [(16, True), (16, False)]


def test_equal_reports_break_no_relative_rule() -> None:
    same = report()
    text = "latency>1x,throughput<1x,speedup<1x,hmean<-0,hmean>+0"
    assert not any(check.broken for check in check_rules(same, same, rules_from_text(text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a measure"),
        ("latency", "expected a measure"),
        ("latency>", "expected a measure"),
        ("latency>=3", "expected a measure"),
        ("latency>+1.1x", "expected a measure"),
        ("latency>1e3", "expected a measure"),
        ("latency@>3", "expected a measure"),
        ("hmean@1<80", "accuracies have no batch size"),
        ("cer>+0.2,", "expected a measure"),
        ("speed<2", f"'speed'; .*: {', '.join(MEASURES)}"),
    ],
)
def test_invalid_rules_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        rules_from_text(text)


@pytest.mark.parametrize(
    ("new", "old", "rule", "message"),
    [
        (report(), report(), "cer>3", "cer was not measured for any engine in the report"),
        (report(), report(), "p99>1.1x", "p99 was not measured for any engine in both"),
        (
            report(label="new"),
            report(),
            "latency>1.1x",
            "has no 'new' of 'detector' at .* it has 'eng",
        ),
        (report(name="other"), report(), "latency>1.1x", "has no 'engine int8' of 'other'"),
        (
            report(size=32),
            report(),
            "latency>1.1x",
            r"has no 'engine int8' of 'detector' at \(3, 32",
        ),
        (report(twice=True), report(), "latency>9", "two engines .* 'engine"),
        (report(), report(twice=True), "latency>9x", "two engines .* 'engine"),
        (report(data_sha256="a" * 64), report(data_sha256="b" * 64), "hmean<-1", "SHA-256 aaaa"),
        (report(run_by="y"), report(), "hmean<-1", "run by y, but in the older report .* run by x"),
        (report(hmean=None), report(), "hmean<-1", "hmean was not measured"),
        (report(), report(hmean=None), "hmean<-1", "not measured for any engine in both"),
        (report(), report(), "latency@4>1.1x", "not measured at batch 4 for any engine in both"),
        (
            report(samples=5),
            report(),
            "hmean<-1",
            "on 5 samples against labels, run by x, but in the",
        ),
    ],
)
def test_a_rule_that_could_never_break_is_refused(
    new: Report, old: Report, rule: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_rules(new, old, rules_from_text(rule))


def together(e2e: float) -> ModelReport:
    accuracy = AccuracyRow(e2e_hmean=e2e, samples=20, run_by="x")
    row = SystemRow(label="openvino int8", kind="engine", accuracy=accuracy)
    return ModelReport(name="a + b", role="end-to-end", input_shape=(3, 64, 64), systems=(row,))


def test_end_to_end_measures_have_rules() -> None:
    new, old = report(end_to_end=together(0.69)), report(end_to_end=together(0.70))
    checks = check_rules(new, old, rules_from_text("e2e_hmean<-0.5,e2e_hmean<68,hmean<-0.5"))
    assert [(c.engine, c.broken) for c in checks] == [
        ("openvino int8", True), ("openvino int8", False), ("engine int8", False),
    ]  # fmt: skip


def test_older_report_without_end_to_end_is_compared(tmp_path: Path) -> None:
    """Such reports are from versions without end-to-end measures."""
    data = json.loads(report().model_dump_json())
    del data["end_to_end"]
    for model in data["models"]:
        del model["breakdowns"], model["allowed_loss"]
        for row in model["systems"]:
            del row["differences"], row["changes"], row["difference"], row["load"]
            for name in ("e2e_hmean", "e2e_precision", "e2e_recall", "intervals"):
                del row["accuracy"][name]
    (tmp_path / "old.json").write_text(json.dumps(data))
    old, new = load_report(tmp_path / "old.json"), report(end_to_end=together(0.7))
    assert [c.broken for c in check_rules(new, old, rules_from_text("hmean<-0.5"))] == [False]
    with pytest.raises(UserError, match="e2e_hmean was not measured for any engine in both"):
        check_rules(new, old, rules_from_text("e2e_hmean<-1"))


def test_absolute_rules_need_no_older_report() -> None:
    (check,) = check_rules(report(), None, rules_from_text("speedup<5"))
    assert check.broken
    assert check.old is None
    fewer = check_rules(report(samples=5), report(), rules_from_text("hmean<80"))
    assert not fewer[0].broken, "other samples do not matter to it"


def test_written_report_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(report().model_dump_json())
    assert load_report(path) == report()
    assert same_machine(load_report(path), report())
    assert not same_machine(report(), report(machine={"processor": "b"}))
    assert not same_machine(report(), report(versions={"x": "2"}))


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity", "1e999", '"x"'])
def test_report_with_invalid_times_is_refused(value: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(report().model_dump_json().replace('"p50":10.0', f'"p50":{value}'))
    with pytest.raises(InputFileError, match=r"report\.json: models\.0.*p50"):
        load_report(path)


def test_device_file_is_refused() -> None:
    with pytest.raises(InputFileError, match="not a regular file"):
        load_report(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"schema_version": 2}', "\xff"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputFileError, match="report"):
        load_report(path)
    with pytest.raises(InputFileError, match="no such file"):
        load_report(tmp_path / "none.json")
