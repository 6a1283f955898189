"""Write the results of ``ocr-trt debug`` as JSON and as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.path_text import all_text, link_between
from ..report.page import render
from .divergence import StepRow
from .findings import DebugReport, db_text
from .summary_lines import summary_lines

FILES = ("debug.json", "debug.html")
_FULL_BAR_DB = 60.0
"""Signal to noise in dB at which a bar is full."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One step in the chart: the widths of its bars in percent, and dB as text."""

    row: StepRow
    is_culprit: bool
    own: str
    accumulated: str
    target: str
    own_width: float
    accumulated_width: float
    shares: str


def _width(value: float | None) -> float:
    """Return the width of a bar in percent; without noise, it is full."""
    return 100.0 if value is None else 100 * min(max(value, 0.0), _FULL_BAR_DB) / _FULL_BAR_DB


def _short(value: float | None) -> str:
    return "exact" if value is None else db_text(value).removesuffix(" dB")


def bars(report: DebugReport) -> Iterator[Bar]:
    """Yield one bar per step, in the order of the graph."""
    culprit = report.culprit.step.name if report.culprit else None
    for row in report.steps:
        shares = [
            f"{100 * share:.2g} % {word}"
            for share, word in ((row.clipped, "clipped"), (row.bad, "overflowed"))
            if share
        ]
        yield Bar(
            row=row,
            is_culprit=row.name == culprit,
            own=_short(row.own),
            accumulated=_short(row.accumulated),
            target=_short(row.target),
            own_width=_width(row.own),
            accumulated_width=_width(row.accumulated),
            shares=", ".join(shares),
        )


def debug_page(report: DebugReport, folder: Path) -> str:
    """Return the page as HTML that loads no other file; ``folder``: where it will be."""
    # The dB of a target are measured only if the target is at fault.
    shows_target = report.verdict == "target" and any(r.target is not None for r in report.steps)
    return render(
        "page.html.jinja",
        package=__package__,
        escape=True,
        report=report,
        lines=summary_lines(report),
        bars=list(bars(report)),
        full=_FULL_BAR_DB,
        links=list(_links(Path(report.bundle), folder)),
        shows_target=shows_target,
    )


def _links(bundle: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of the files about a bundle, and their paths from the page."""
    titles = {"precision.html": "precision of each layer", "manifest.json": "manifest"}
    for name, title in titles.items():
        if (bundle / name).is_file():
            yield title, link_between(folder, bundle / name)


def write_debug(report: DebugReport, folder: Path, final: Path | None = None) -> None:
    """Write the data and the page into a folder; ``final``: the folder's later path, for links."""
    report = all_text(report)
    # Images are HTML, and large, so they are only in the page.
    data = report.model_dump_json(indent=2, exclude={"samples": {"__all__": {"image"}}})
    (folder / FILES[0]).write_text(data + "\n", "utf-8")
    (folder / FILES[1]).write_text(debug_page(report, final or folder), "utf-8")
