"""Write a comparison as report.json, report.md and report.html."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..common.files import whole_folder
from ..common.path_text import all_text, link_between
from ..engines.bundle import Bundle
from ..report.page import render
from ..report.sections import Section
from .accuracy_section import accuracy_section, breakdown_section, change_sections, worst_section
from .definitions import definitions_of
from .deployment import deployment
from .latency_section import latency_section
from .load_section import load_section
from .pipeline_section import pipeline_section
from .results import ModelReport, Report
from .roofline_section import roofline_sections
from .summary import summaries
from .tradeoff_section import tradeoff_section

FILES = ("report.json", "report.md", "report.html")


def overview(model: ModelReport) -> list[Section]:
    """Return the sections that are also printed: speed and accuracy of all systems."""
    builders = (
        *(latency_section, load_section, pipeline_section, accuracy_section),
        tradeoff_section,
    )
    return [section for build in builders if (section := build(model)) is not None]


def sections(report: Report, model: ModelReport) -> Iterator[Section]:
    """Yield all sections of one model, or of pairs of a detector and a recognizer."""
    yield from overview(model)
    if report.peaks is not None:
        yield from roofline_sections(model, report.peaks)
    notes = tuple(f"{row.label}: {row.note}." for row in model.systems if row.note)
    if notes:
        yield Section(title="Notes", texts=notes)
    yield from map(breakdown_section, model.breakdowns)
    yield from change_sections(model)
    if (worst := worst_section(model)) is not None:
        yield worst


def _setup(report: Report) -> tuple[str, ...]:
    """Describe the machine, the versions and the settings of a report."""
    machine, settings = report.machine, report.settings
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}. {versions}.",
        f"Each system ran for {settings.warm_up_ms:.0f} ms as a warm-up, then for "
        f"{settings.duration_s:g} s and at least {settings.iterations} queries.",
        *((f"Images: {report.data}.",) if report.data else ()),
    )


def _render(
    name: str, report: Report, *, escape: bool, links: Sequence[tuple[str, str]] = ()
) -> str:
    return render(
        name,
        package=__package__,
        escape=escape,
        report=report,
        summaries=summaries(report),
        setup=_setup(report),
        parts=[(model.title, list(sections(report, model))) for model in report.parts],
        definitions=definitions_of(report),
        deployment=deployment(report),
        links=links,
    )


def without_images(report: Report) -> dict[str, Any]:
    """Return the report as plain data for JSON, without the images of samples."""
    data = report.model_dump(mode="json")
    # "end_to_end" is None without pairs, and so is "changes" of the baseline.
    for model in (*data["models"], data["end_to_end"] or {}):
        model.pop("worst", None)
        for row in model.get("systems", ()):
            (row["changes"] or {}).pop("shown", None)
    return data


def _precision_pages(bundles: Sequence[Bundle], folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the labels of bundles, and the paths of their precision pages from ``folder``."""
    for bundle in bundles:
        page = bundle.path("precision.html")
        if page.is_file():
            yield bundle.label, link_between(folder, page)


def write_report(report: Report, folder: Path, bundles: Sequence[Bundle] = ()) -> list[Path]:
    """Write the three files into a new folder, or replace those of an older report.

    The page links to the precision pages of ``bundles``.

    Raises:
        OutputError: the folder cannot be written, or holds something else.
    """
    report = all_text(report)
    with whole_folder(folder, own=lambda _: FILES) as scratch:
        (scratch / FILES[0]).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
        (scratch / FILES[1]).write_text(_render("report.md.jinja", report, escape=False), "utf-8")
        links = tuple(_precision_pages(bundles, folder))
        page = _render("report.html.jinja", report, escape=True, links=links)
        (scratch / FILES[2]).write_text(page, "utf-8")
    return [folder / name for name in FILES]
