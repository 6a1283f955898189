"""The winner of a comparison: the fastest engine within the budget of its own spec."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ocr_trt.bench.compare_bundles import compare
from ocr_trt.bench.definitions import definitions_of
from ocr_trt.bench.deployment import deployment, winner
from ocr_trt.bench.report import write_report
from ocr_trt.bench.results import ModelReport, Report, SystemRow
from ocr_trt.bench.systems import grouped
from ocr_trt.bench.tradeoff_section import tradeoff_section, tradeoff_table
from ocr_trt.builder import build
from ocr_trt.cli.app import app
from ocr_trt.common.progress import SilentReporter
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.measure.latency import LatencySettings, stats_from_times
from ocr_trt.measure.pipeline_speed import PipelineSpeed
from ocr_trt.measure.report_data import AccuracyRow, MetricDifference
from ocr_trt.ocr.dataset import load_dataset
from tests.builder.small_build import QUICK, fp32_request, small_spec


def engine(name: str, milliseconds: float, lost: float | None = 0.0, **change: Any) -> SystemRow:
    measure: Any = change.pop("measure", "hmean")
    sign = 1 if measure == "cer" else -1
    differences = ()
    if lost is not None:
        differences = (MetricDifference(measure=measure, value=sign * lost / 100),)
    fields: dict[str, Any] = {
        "label": f"det {name}", "kind": "engine", "bundle": f"my bundles/{name}",
        "latencies": (stats_from_times([milliseconds] * 3, 1),), "differences": differences,
        "accuracy": AccuracyRow.model_validate({measure: 0.9, "samples": 9, "run_by": name}),
        "target": name.split()[0],
    }  # fmt: skip
    return SystemRow(**{**fields, **change})


BASE = SystemRow(label="tf", kind="baseline", latencies=(stats_from_times([40.0] * 3, 1),))


def model(*rows: SystemRow, **change: Any) -> ModelReport:
    fields: dict[str, Any] = {
        "name": "det", "role": "detector", "input_shape": (3, 64, 64), "allowed_loss": 0.5,
        "systems": (BASE, *rows),
    }  # fmt: skip
    return ModelReport(**{**fields, **change})


def report(*models: ModelReport, **change: Any) -> Report:
    machine = {"processor": "p", "cores": "2", "system": "s"}
    return Report(
        machine=machine, versions={}, settings=LatencySettings(), data="d", models=models, **change
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([engine("openvino int8", 10), engine("onnxruntime int8", 20)], "det openvino int8"),
        ([engine("openvino int8", 10, 0.6), engine("b int8", 20)], "det b int8"),
        # Each engine is judged by its own budget.
        ([engine("a int8", 10, 0.6, allowed_loss=1.0), engine("b fp32", 20)], "det a int8"),
        ([engine("a int8", 10, 0.4, allowed_loss=0.3), engine("b fp32", 20)], "det b fp32"),
        ([engine("a int8", 10, None)], "det a int8"),
        # Equally fast: the one that loses less.
        ([engine("a int8", 10, 0.4), engine("b int8", 10.1, 0.1)], "det b int8"),
        ([engine("a int8", 10, 0.4), engine("b int8", 10.3, 0.1)], "det a int8"),
        ([engine("a int8", 10, 0.6)], None),
        ([engine("a int8", 50)], None),
    ],
)
def test_winner_is_the_fastest_within_its_budget(
    rows: list[SystemRow], expected: str | None
) -> None:
    best = winner(model(*rows))
    assert (best and best.label) == expected


def test_box_names_command_gain_and_cost() -> None:
    box = deployment(
        report(model(engine("openvino int8", 10, 0.2), engine("onnxruntime fp32", 20)))
    )
    assert box is not None
    assert box.title == "Deploy det openvino int8"
    for fact in (
        "4.0 times as fast as the model, 10.00 instead of 40.00 ms", "hmean 90.00 (-0.20 points",
        "0.5 points may be lost", "Not chosen: onnxruntime fp32 takes 2.0 times as long",
    ):  # fmt: skip
        assert fact in box.lines[0]
    assert "--detector 'my bundles/openvino int8'" in box.commands[0]


def test_box_states_the_speed_of_larger_batches() -> None:
    """An engine that is fast with one image may be slow with many."""
    many = [stats_from_times([milliseconds] * 3, 16) for milliseconds in (100.0, 200.0)]
    base = BASE.model_copy(update={"latencies": (*BASE.latencies, many[0])})
    row = engine("a fp32", 10)
    row = row.model_copy(update={"latencies": (*row.latencies, many[1])})
    box = deployment(report(model(systems=(base, row))))
    assert box is not None
    assert (
        "4.0 times as fast as the model, 10.00 instead of 40.00 ms; at batch 16, 0.5 times"
        in (box.lines[0])
    )


def test_command_of_the_box_has_options_that_exist() -> None:
    boxes = [
        deployment(report(model(engine("a int8", 10)))),
        deployment(report(model(engine("a int8", 10, measure="cer"), role="recognizer"))),
        deployment(
            report(
                model(engine("a int8", 10)),
                model(engine("a int8", 10, measure="accuracy"), role="classifier", name="turn"),
            )
        ),
    ]
    for box in boxes:
        assert box is not None
        program, name, *arguments = shlex.split(*box.commands)
        assert program == "ocr-trt"
        get_command(app).commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_command_has_a_detector_even_if_none_of_its_engines_won() -> None:
    reader = model(engine("a int8", 10, measure="cer"), role="recognizer", name="rec")
    box = deployment(report(model(engine("a int8", 50)), reader))
    assert box is not None
    assert "--detector DETECTOR_BUNDLE --recognizer 'my bundles/a int8'" in box.commands[0]
    assert "--lines" not in box.commands[0]


def test_each_winner_of_a_role_has_a_command() -> None:
    box = deployment(
        report(
            model(engine("a int8", 10)),
            model(engine("b int8", 20), name="det2"),
            model(engine("r int8", 10, measure="cer"), role="recognizer", name="rec"),
        )
    )
    assert box is not None
    assert box.title.count(" and ") == 2
    assert [shlex.split(command)[4] for command in box.commands] == [
        "my bundles/a int8",
        "my bundles/b int8",
    ]
    assert all("--recognizer 'my bundles/r int8'" in command for command in box.commands)


def test_without_a_faster_engine_the_model_is_kept() -> None:
    box = deployment(report(model(engine("a int8", 50))))
    assert box is not None
    assert (box.title, box.commands) == ("Keep the model", ())
    assert "no engine is faster than the model: 50.00 against 40.00 ms" in box.lines[0]
    box = deployment(report(model(engine("a int8", 10, 2.07))))
    assert box is not None
    assert "loses more than its budget, the best one 2.07 points" in box.lines[0]
    assert deployment(report(model(engine("a int8", 10, latencies=())))) is None


def test_both_models_together_are_in_the_box() -> None:
    reader = engine("a int8", 2, measure="cer", label="rec a int8")
    pair = engine(
        "a int8", 1, measure="e2e_hmean", latencies=(), label="a int8",
        pipeline=(PipelineSpeed(workers=1, images=2, passes=1, throughput=20.0),),
    )  # fmt: skip
    base = SystemRow(
        label="tf", kind="baseline",
        pipeline=(PipelineSpeed(workers=1, images=2, passes=1, throughput=5.0),),
    )  # fmt: skip
    both = ModelReport(
        name="det + rec", role="end-to-end", input_shape=(3, 64, 64), systems=(base, pair)
    )
    box = deployment(
        report(
            model(engine("a int8", 10)),
            model(reader, role="recognizer", name="rec"),
            end_to_end=both,
        )
    )
    assert box is not None
    assert box.title == "Deploy det a int8 and rec a int8"
    assert "20.0 images per second instead of 5.0" in box.lines[2]
    assert tradeoff_table(both).rows[0][1:3] == ("50.00", "4.00x")


def test_table_and_plot_show_all_engines() -> None:
    untimed = engine("c", 30, latencies=())
    shown = model(engine("a int8", 10, 2.07), engine("b int8", 20, 0.1), untimed)
    table = tradeoff_table(shown)
    assert table.rows == (
        ("det a int8", "10.00", "4.00x", "+2.07", "0.5", "over budget"),
        ("det b int8", "20.00", "2.00x", "+0.10", "0.5", "deploy"),
    )
    section = tradeoff_section(shown)
    assert section is not None
    assert section.plot is not None
    assert section.plot.draw().startswith("<svg")
    assert tradeoff_section(model(engine("a", 10, None))) is None


def test_every_report_ends_with_the_box(tmp_path: Path) -> None:
    files = write_report(report(model(engine("openvino int8", 10))), tmp_path / "r")
    for file in files[1:]:
        text = file.read_text()
        assert "Deploy det openvino int8" in text.split("What to deploy")[-1]
        assert "ocr-trt run IMAGE" in text.split("Definitions")[-1]
    # Words of a target only where it is.
    for word in ("trtexec", "TensorRT"):
        assert all(word not in file.read_text() for file in files)
    other = report(model(engine("tensorrt int8", 10)))
    assert any("trtexec" in line for line in definitions_of(other))


def with_budget(bundle: Bundle, max_loss: float) -> Bundle:
    spec = bundle.manifest.spec
    accuracy = spec.accuracy.model_copy(update={"max_loss": max_loss})
    manifest = bundle.manifest.model_copy(
        update={"spec": spec.model_copy(update={"accuracy": accuracy})}
    )
    return replace(bundle, manifest=manifest)


def test_bundles_are_judged_by_their_own_specs(images: Path, tmp_path: Path) -> None:
    spec, targets = small_spec(tmp_path), ("openvino", "onnxruntime")
    results = build(fp32_request(spec, tmp_path / "out", targets=targets))
    bundles = [
        with_budget(load_bundle(result.folder), allowed)
        for result, allowed in zip(results, (7.0, 3.0), strict=True)
    ]
    found = compare(bundles, load_dataset(images), QUICK, SilentReporter())
    (compared,) = found.models
    assert [compared.allowed(row) for row in compared.engines] == [7.0, 3.0]
    assert [row.bundle for row in compared.engines] == [str(each.folder) for each in bundles]
    # Other thresholds give other boxes, so the model is run with each.
    boxes = bundles[1].manifest.spec
    assert boxes.role == "detector"
    changed = boxes.model_copy(
        update={"boxes": boxes.boxes.model_copy(update={"box_threshold": 0.9})}
    )
    other = replace(bundles[1], manifest=bundles[1].manifest.model_copy(update={"spec": changed}))
    assert [len(group) for group in grouped([bundles[0], other])] == [1, 1]
