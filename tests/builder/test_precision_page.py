"""The page about an engine's precision: its content, and that no name becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocr_trt.builder.precision_page import (
    FILES,
    layer_table,
    pareto_plot,
    trial_section,
    write_precision,
)
from ocr_trt.builder.precision_report import LayerPrecision, PrecisionReport, TrialRow

LAYERS = (
    LayerPrecision(name="<b>first</b>", op="Conv", precision="fp32", work=0.25,
                   why="sees the image", layer="before unet/relu"),
    LayerPrecision(name="second", op="Conv", precision="int8", work=0.75, range=3.5,
                   signal_to_noise=31.25, alone=2e-3, without=0.0),
)  # fmt: skip
TRIALS = (
    TrialRow(label="int8, mse", int8_share=0.75, loss=0.1, distance=0.01, latency=1.5, within=True,
             chosen=True),
    TrialRow(label="int8, minmax", int8_share=0.75, loss=0.9, distance=0.02, latency=None,
             within=False),
    TrialRow(label="fp32", int8_share=0.0, loss=-1e-9, distance=0.0, latency=4.0, within=True),
)  # fmt: skip


def report(**change: object) -> PrecisionReport:
    return PrecisionReport(
        **{
            "name": "det", "target": "openvino", "label": "int8, mse", "reason": "the fastest",
            "metric": "hmean", "budget": 0.5, "int8_share": 0.75, "layers": LAYERS,
            "trials": TRIALS, "findings": ("a is 0 in all images",), **change,
        }
    )  # fmt: skip


def test_page_and_data_have_the_same_content(tmp_path: Path) -> None:
    write_precision(report(), tmp_path)
    assert PrecisionReport.model_validate(json.loads((tmp_path / FILES[0]).read_text())) == report()
    page = (tmp_path / FILES[1]).read_text()
    assert "&lt;b&gt;first&lt;/b&gt;" in page
    assert "<b>first" not in page
    assert page.count("<svg") == 1
    assert "a is 0 in all images" in page
    assert not re.search(r"(src|href)=\"http", page), "one file, nothing from elsewhere"
    (contents,) = re.findall(r"<nav.*?</nav>", page, re.S)
    targets = re.findall(r'href="#([\w-]+)"', contents)
    assert targets == ["section-1", "section-2", "calibration"]
    assert targets == re.findall(r'<h2 id="([\w-]+)"', page)
    assert '<td class="text">before unet/relu</td>' in page, "the name in the model"


def test_cells_have_the_units_of_their_headers() -> None:
    (table,) = trial_section(report()).tables
    rows, layers = table.rows, layer_table(report()).rows
    assert rows[0] == ("int8, mse", "75.0 %", "+0.10", "0.01", "1.50", "chosen")
    assert rows[1][-2:] == ("-", "over budget")
    assert rows[2][2] == "+0.00", "a rounding below 0 is no gain"
    assert layers[0][-2:] == ("fp32", "sees the image")
    assert layers[1][3:8] == ("75.0 %", "3.5", "31.2", "2.0e-03", "0.0e+00")


@pytest.mark.parametrize(
    ("trials", "drawn", "why"),
    [
        (TRIALS, 2, "the timed ones, if there are any"),
        ([row.model_copy(update={"latency": None}) for row in TRIALS], 3, "by share otherwise"),
        ([row.model_copy(update={"loss": None}) for row in TRIALS], 0, "no samples, no plot"),
        ([], 0, "no trials"),
    ],
)
def test_plot_shows_what_can_be_compared(trials: list[TrialRow], drawn: int, why: str) -> None:
    plot = pareto_plot(trials, "hmean", 0.5)
    assert plot.count("PathCollection") == drawn, why
    assert bool(plot) == bool(drawn)


def test_page_without_trials_has_no_plot(tmp_path: Path) -> None:
    write_precision(report(trials=(), findings=()), tmp_path)
    page = (tmp_path / FILES[1]).read_text()
    assert "over budget" not in page
    assert "<svg" not in page
