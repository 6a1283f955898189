"""What precision an engine has, layer by layer, and what else was tried: data, and a page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .page import render
from .plots import pareto_plot

FILES = ("precision.json", "precision.html")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class LayerRow(_Part):
    """One convolution, deconvolution or matrix product, in the order of the graph.

    ``range``: the largest |x| that its int8 input represents. ``signal_to_noise``: of its result,
    in dB, with all noise of the layers before it. ``alone`` and ``without``: distance of the
    model's output from the float one with this layer alone in int8, and with all but it.
    """

    name: str
    op: str
    precision: Literal["int8", "fp16", "bf16", "fp32"]
    work: float
    """Its share of the FLOPs, 0..1."""
    why: str = ""
    range: float | None = None
    signal_to_noise: float | None = None
    """None where nothing was rounded before."""
    alone: float | None = None
    without: float | None = None


class TrialRow(_Part):
    """A mixture of precisions that was measured. ``loss`` in points, ``latency`` in ms."""

    label: str
    int8_share: float
    loss: float | None
    distance: float
    latency: float | None
    within: bool
    chosen: bool = False


class PrecisionReport(_Part):
    """The precision of an engine. ``metric``: what a loss is points of."""

    schema_version: Literal[1] = 1
    name: str
    target: str
    label: str
    reason: str
    metric: Literal["hmean", "cer"]
    budget: float
    int8_share: float
    layers: tuple[LayerRow, ...]
    trials: tuple[TrialRow, ...] = ()
    findings: tuple[str, ...] = ()
    """What calibration pictures do not cover well."""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value + 0.0, form).replace("-0.00", "+0.00")


_METRICS = {"hmean": "hmean", "cer": "CER"}
TRIAL_HEADER = ("what", "FLOPs in int8", "points lost", "distance", "ms", "")
LAYER_HEADER = (
    *("layer", "op", "FLOPs", "range", "dB", "alone", "all but it", "precision", "why not int8"),
)


def trial_rows(report: PrecisionReport) -> Iterable[list[str]]:
    """Return the cells of the table of trials."""
    for row in report.trials:
        word = "taken" if row.chosen else ("" if row.within else "over budget")
        yield [
            row.label,
            f"{100 * row.int8_share:.1f} %",
            _number(row.loss, "+.2f"),
            _number(row.distance, ".2g"),
            _number(row.latency, ".2f"),
            word,
        ]


def layer_rows(report: PrecisionReport) -> Iterable[list[str]]:
    """Return the cells of the table of layers."""
    for row in report.layers:
        yield [
            row.name,
            row.op,
            f"{100 * row.work:.1f} %",
            _number(row.range, ".3g"),
            _number(row.signal_to_noise, ".1f"),
            _number(row.alone, ".1e"),
            _number(row.without, ".1e"),
            row.precision,
            row.why,
        ]


def write_precision(report: PrecisionReport, folder: Path) -> None:
    """Write the data and the page into a folder."""
    (folder / FILES[0]).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
    page = render(
        "precision.html.jinja",
        escape=True,
        report=report,
        metric=_METRICS[report.metric],
        plot=pareto_plot(report.trials, _METRICS[report.metric], report.budget),
        trial_header=TRIAL_HEADER,
        trial_rows=list(trial_rows(report)),
        layer_header=LAYER_HEADER,
        layer_rows=list(layer_rows(report)),
    )
    (folder / FILES[1]).write_text(page, "utf-8")
