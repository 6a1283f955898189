"""What was chosen and why, in sentences for terminal and page."""

from __future__ import annotations

from ...engines.points_text import loss_text
from ...measure.bootstrap import MIN_IMAGES
from .choose_pair import enough
from .pairs_report import PairRow, PairsReport

VERDICTS = {
    "shown": "within budget",
    "agrees": "within budget by agreement",
    "unsure": "not decided",
    "over": "over budget",
}
"""What each verdict is called."""


def lead(report: PairsReport) -> str:
    """Return the choice in one sentence."""
    chosen = report.chosen
    return (
        f"{chosen.label}: {chosen.milliseconds:.1f} ms per image, against "
        f"{report.baseline:.1f} ms of the models themselves "
        f"({report.baseline / chosen.milliseconds:.2f}x); {_loss_text(chosen)}."
    )


def _loss_text(row: PairRow) -> str:
    """Return what a pair that was read loses or gains, with the interval of the loss."""
    return f"it {loss_text(row.loss or 0.0, row.interval, of='end-to-end hmean')}"


def texts(report: PairsReport) -> list[str]:
    """Return the sentences below the choice: what it is compared with, and what is not decided."""
    slower = report.chosen.milliseconds >= report.baseline
    gain = (
        ["No timed pair within the budget is faster than the models themselves."] if slower else []
    )
    return [
        *(*gain, *_default_text(report), *_verdict_text(report)),
        *(*_over_text(report), *_unsure_text(report)),
    ]


def _default_text(report: PairsReport) -> list[str]:
    default, chosen = report.default, report.chosen
    if default is None or default.measured is None:
        return []
    if default is chosen:
        return ["It is the pair that ocr-trt build produces without options."]
    name = f"the pair that ocr-trt build produces without options ({default.label}"
    if default.verdict in ("over", "unsure"):
        return [
            f"T{name[1:]}) takes {default.measured:.1f} ms, but it is "
            f"{VERDICTS[default.verdict]}: {_loss_text(default)}.{_how_to_allow(default, report)}"
        ]
    gain = default.measured / chosen.milliseconds
    facts = f"{default.measured:.1f} ms; {_loss_text(default)}"
    return [f"It is {gain:.2f}x as fast as {name}: {facts})."]


def _over_text(report: PairsReport) -> list[str]:
    """Return the fastest pair that was read and is faster than the chosen one, but over budget."""
    chosen = report.chosen
    faster = [
        row
        for row in report.pairs
        if row.verdict == "over" and row.predicted < chosen.predicted and not row.is_default
    ]
    if not faster:
        return []
    row = min(faster, key=lambda each: each.predicted)
    return [
        f"Faster, but over budget: {row.label} takes {row.predicted:.1f} ms by prediction, the "
        f"chosen pair {chosen.predicted:.1f} ms, but {_loss_text(row)}."
        f"{_how_to_allow(row, report)}"
    ]


def _how_to_allow(row: PairRow, report: PairsReport) -> str:
    """Return what would allow a pair that is over the budget; "" for others."""
    if row.verdict != "over":
        return ""
    return (
        f" The budget is {report.budget:g} points; to allow this pair, give --budget "
        f"{enough(row.loss or 0.0):g} or more."
    )


def _verdict_text(report: PairsReport) -> list[str]:
    """Return why the chosen pair counts as within the budget, if its labels do not show it."""
    chosen, images = report.chosen, _images(report)
    if chosen.verdict == "agrees":
        why = (
            f"The labels of {images} cannot show that the loss is within the budget"
            if report.labeled
            else "The images have no labels"
        )
        return [
            f"{why}, so the agreement decides: with the lines of the models themselves as the "
            f"ground truth, its end-to-end hmean is {100 * (chosen.agreement or 0):.2f}."
            f"{_few_images(report)}"
        ]
    if chosen.verdict == "unsure":
        return [
            f"T{images[1:]} cannot show that the loss is within the budget; the pair was accepted "
            f"by its estimated loss (--accept-unsure).{_few_images(report)}"
        ]
    return []


def _images(report: PairsReport) -> str:
    return "the one image" if report.images == 1 else f"the {report.images} images"


def _few_images(report: PairsReport) -> str:
    """Return what so few images cannot show; "" if there are enough for an interval."""
    if report.images >= MIN_IMAGES:
        return ""
    return (
        f" A confidence interval requires {MIN_IMAGES} images: on others, the pair may lose more. "
        "Give more of them with --data to be sure."
    )


def _unsure_text(report: PairsReport) -> list[str]:
    """Return the fastest pair that is faster than the chosen one, but could not be decided."""
    chosen = report.chosen
    if report.accepts_unsure:  # then such a pair could have been chosen
        return []
    faster = [
        row
        for row in report.pairs
        if row.verdict == "unsure" and row.predicted < chosen.predicted and row is not chosen
    ]
    if not faster:
        return []
    row = min(faster, key=lambda each: each.predicted)
    needed = row.images_needed
    advice = f"About {needed} labeled images would show it" if needed else "More images may show it"
    return [
        f"Not decided: {row.label} may be {chosen.predicted / row.predicted:.2f}x as fast as the "
        f"chosen pair. {_loss_text(row)[:1].upper()}{_loss_text(row)[1:]}, so "
        f"{_images(report)} cannot show whether it is within {report.budget:g} points. {advice}; "
        "--accept-unsure accepts it by its estimated loss."
    ]
