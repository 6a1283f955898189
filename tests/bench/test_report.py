from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ocr_trt.bench.accuracy_section import accuracy_table
from ocr_trt.bench.latency_section import latency_table
from ocr_trt.bench.report import FILES, without_images, write_report
from ocr_trt.bench.results import Breakdown, ModelReport, Report, StratumRow, SystemRow
from ocr_trt.errors import OutputError
from ocr_trt.measure.latency import LatencySettings, LatencyStats, stats_from_times
from ocr_trt.measure.load import ClosedLoop, Load, open_loop_from_times, waits_from_seconds
from ocr_trt.measure.report_data import AccuracyRow, Changes, Interval, MetricDifference, SampleView

HOSTILE = '<script>alert("x")</script> & {{ 7 * 7 }}'


def stats(median: float, batch: int = 1) -> LatencyStats:
    return stats_from_times([median * 0.9, median, median * 1.2], batch)


PIXEL = "data:image/jpeg;base64,AAAA"


def bounds(low: float, high: float) -> Interval:
    return Interval(low=low, high=high)


def end_to_end() -> ModelReport:
    read = AccuracyRow(
        e2e_hmean=0.7, e2e_precision=0.6, e2e_recall=0.8, samples=20, run_by="x",
        intervals={"e2e_hmean": bounds(0.6, 0.75)},
    )  # fmt: skip
    shown = SampleView(
        image=PIXEL, caption=HOSTILE, truth=HOSTILE, baseline="a", engine="b", change="worse"
    )
    engine = SystemRow(
        label="openvino int8", kind="engine", accuracy=read,
        differences=(
            MetricDifference(measure="e2e_hmean", value=-0.01, interval=bounds(-0.02, 0.001)),
        ),
        changes=Changes(
            unit="images", samples=20, worse=30, better=1, neither=0, p_value=0.01,
            shown=(shown,),
        ),
    )  # fmt: skip
    strata = (StratumRow(name="1 to 3", samples=7, shares=(0.125,)),)
    return ModelReport(
        name="det + rec", role="end-to-end", input_shape=(3, 64, 64),
        systems=(SystemRow(label="tf", kind="baseline", accuracy=read), engine),
        breakdowns=(Breakdown(by="length", unit="lines", columns=("CER, tf",), strata=strata),),
    )  # fmt: skip


def load(rate: float) -> Load:
    waits = waits_from_seconds([0.010, 0.020, 0.040])
    behind = open_loop_from_times(rate, [0.0, 0.2, 0.4, 0.6], [0.5], 1.0, streams=1)
    return Load(closed=(ClosedLoop(clients=2, throughput=rate, waits=waits),), open=(behind,))


def report(name: str = "det") -> Report:
    boxes = AccuracyRow(precision=0.9, recall=0.8, hmean=0.847, samples=5, run_by="x")
    systems = (
        SystemRow(
            label="tensorflow", kind="baseline", latencies=(stats(100),), load=load(10),
            accuracy=boxes,
        ),
        SystemRow(label="onnxruntime fp32", kind="reference", latencies=(stats(80),)),
        SystemRow(
            label="tensorflow eager", kind="competitor", latencies=(stats(125),), difference=2e-6,
            note="its output differs a little",
        ),
        SystemRow(
            label=f"{name} openvino int8", kind="engine", latencies=(stats(20),), load=load(50),
            accuracy=boxes,
        ),
        SystemRow(label="rtx", kind="engine", accuracy=boxes, note=HOSTILE),
    )  # fmt: skip
    model = ModelReport(name=name, role="detector", input_shape=(3, 64, 64), systems=systems)
    return Report(
        machine={"processor": "P", "cores": "2", "system": "Linux"},
        versions={"ocr-trt": "0"},
        settings=LatencySettings(),
        data="samples",
        models=(model,),
        end_to_end=end_to_end(),
        notes=(HOSTILE,),
    )


def test_speedup_is_the_ratio_of_medians() -> None:
    (model,) = report().models
    assert model.speedup(model.systems[3], 1) == pytest.approx(5.0)
    assert model.speedup(model.systems[4], 1) is None
    assert [row[-1] for row in latency_table(model).rows] == ["1.00x", "1.25x", "0.80x", "5.00x"]
    assert accuracy_table(model).rows[0] == (*("tensorflow", "5", "84.70", "-", "90.00", "80.00"),)


def test_too_few_queries_leave_a_dash_for_p99() -> None:
    (model,) = report().models
    table = latency_table(model)
    column = table.header.index("p99 ms")
    assert stats(20).p99 is None
    assert [row[column] for row in table.rows] == ["-"] * 4


class Checker(HTMLParser):
    """Collects the links and scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.outside, self.text = 0, list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            is_namespace = name.startswith("xmlns")
            if value and "://" in value and not is_namespace:
                self.outside.append(value)
            if name == "src" and value and not value.startswith("data:"):
                self.outside.append(value)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_reports_are_written_and_the_page_loads_no_other_file(tmp_path: Path) -> None:
    files = write_report(report(), tmp_path / "report")
    assert [file.name for file in files] == list(FILES)
    page = Checker()
    page.feed((tmp_path / "report" / "report.html").read_text())
    assert page.scripts == 1, "the page's own, which sorts tables"
    assert page.outside == []
    text = "".join(page.text)
    assert "5.0 times as fast" in text
    assert HOSTILE in text
    assert "<svg" in (tmp_path / "report" / "report.html").read_text()
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "| det openvino int8 | 1 | 20.00 |" in markdown
    row = "openvino int8 | 20 | 70.00 [60.00, 75.00] | -1.00 [-2.00, +0.10] | 60.00 | 80.00 |"
    assert row in markdown
    assert "| 1 to 3 | 7 | 12.50 |" in markdown
    closed = "| det openvino int8 | 1 | 2 | 20.00 | 40.00 | - | 40.00 | 3 | 50.0 |"
    opened = "| tensorflow | 4 | 1 | 550.00 | 800.00 | - | 800.00 | 4 | no, 3 requests waiting |"
    assert closed in markdown
    assert opened in markdown
    for line in (closed, opened):
        for cell in line.strip("| ").split(" | "):
            assert cell in page.text
    for fact in (
        *("31 of 20 images changed: 30 worse, 1 better", "BCa bootstrap"),
        *("tensorflow eager: its output differs a little.", "no coordinated omission"),
    ):
        assert fact in text
        assert fact in markdown
    assert "The 1 worst are shown; 30 more are not." in text
    assert Report.model_validate(json.loads((tmp_path / "report" / "report.json").read_text())) == (
        report()
    )


def test_contents_lead_to_every_section(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "report")
    text = (tmp_path / "report" / "report.html").read_text()
    # Plots have identifiers of their own.
    (contents,) = re.findall(r"<nav.*?</nav>", text, re.S)
    links = re.findall(r'href="#([\w-]+)"', contents)
    identifiers = re.findall(r'<h[23] id="([\w-]+)"', text)
    assert len(set(identifiers)) == len(identifiers)
    assert links == identifiers, "in the order of the page"
    assert len(links) == text.count("<h2") + text.count("<h3")


def test_every_image_and_plot_has_a_text(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "report")
    text = (tmp_path / "report" / "report.html").read_text()
    plots = re.findall(r'<div role="img" aria-label="([^"]+)"><svg', text)
    assert len(plots) == text.count("<svg")
    assert "det openvino int8 at batch 1: 20.00 ms" in plots[0]
    assert "det openvino int8, clients 2: 50.0 images/s" in plots[1]
    assert "det openvino int8 at 4/s: 550.00 and 800.00 ms" in plots[1]
    assert "openvino int8: -1.00 [-2.00, +0.10] points" in plots[2]
    assert text.count("<img") == len(re.findall(r'<img src="[^"]+" alt="[^"]+">', text)) == 1


def test_report_without_load_does_not_mention_it(tmp_path: Path) -> None:
    (model,) = report().models
    rows = tuple(row.model_copy(update={"load": None}) for row in model.systems)
    plain = report().model_copy(update={"models": (model.model_copy(update={"systems": rows}),)})
    write_report(plain, tmp_path / "report")
    text = (tmp_path / "report" / "report.html").read_text()
    assert "Load, one image per request" not in text
    assert "Open loop" not in text
    assert "Competitors: the unconverted model" in text
    assert text.count("<svg") == 2


def test_plain_data_has_no_images() -> None:
    assert PIXEL in report().model_dump_json()
    data = without_images(report())
    assert PIXEL not in json.dumps(data)
    assert data["end_to_end"]["systems"][1]["changes"]["worse"] == 30
    assert without_images(report().model_copy(update={"end_to_end": None}))["models"]


def test_report_replaces_a_report_but_nothing_else(tmp_path: Path) -> None:
    write_report(report("first"), tmp_path / "report")
    write_report(report("second"), tmp_path / "report")
    assert "second" in (tmp_path / "report" / "report.md").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis").write_text("x")
    with pytest.raises(OutputError, match="nothing was written"):
        write_report(report(), tmp_path / "other")


def test_worst_samples_are_shown_worst_first(images: Path) -> None:
    from ocr_trt.measure.detector_result import DetectorResult
    from ocr_trt.measure.recognizer_result import RecognizerResult
    from ocr_trt.ocr.dataset import load_dataset
    from ocr_trt.ocr.metrics.detection import match_image

    dataset = load_dataset(images)
    read = RecognizerResult(
        crops=dataset.crops, texts=("word0", "w0rd1", "x"), text_scores=(1.0, 0.9, 0.8)
    )
    samples = list(read.views(None, read.worst(12)))
    assert [(s.truth, s.engine, s.baseline) for s in samples] == [
        ("word2", "x", "-"),
        ("word1", "w0rd1", "-"),
    ]
    assert all(s.image.startswith("data:image/jpeg;base64,") for s in samples)
    nothing = np.zeros((0, 4, 2), np.float32)
    result = DetectorResult(
        scenes=dataset.scenes,
        boxes=(nothing,) * 3,
        matchings=tuple(match_image(nothing, s.quads, s.ignore) for s in dataset.scenes),
    )
    samples = list(result.views(result, result.worst(4)))
    assert [s.engine for s in samples] == ["0 of 1 found, 0 wrong"] * 3


def test_report_about_files_whose_names_are_not_utf8(tmp_path: Path) -> None:
    notes = (f"{os.fsdecode(bytes([255]))}.png: no such file",)
    folder = tmp_path / os.fsdecode(b"report\xfe")
    write_report(report().model_copy(update={"notes": notes}), folder)
    text = (folder / FILES[0]).read_text()
    assert "\\udcff.png: no such file" in Report.model_validate_json(text).notes[0]
    assert all("udcff.png" in (folder / name).read_text() for name in FILES)
