"""What ``ocr-trt debug`` found, as data, and in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..common.frozen_model import FrozenModel
from .divergence import Culprit, StepRow

Verdict = Literal["same", "graph", "target"]
"""Nothing differs; the quantized graph itself loses; the target computes something else than it."""


class SampleRow(FrozenModel):
    """One sample, and what became of it; ``repaired``: with the culprit done as the reference does.

    ``lost``: hmean (0..1) or characters against the baseline. ``image``: markup for the page.
    """

    name: str
    lost: float
    baseline: str
    engine: str
    truth: str = ""
    repaired: str = ""
    image: str = Field("", repr=False)


class DebugReport(FrozenModel):
    """The whole report. ``graph``, ``target``: dB at the output, of the quantized graph against the
    reference and of the target against the quantized graph; None: equal.
    """

    schema_version: Literal[1] = 1
    bundle: str
    name: str
    role: Literal["detector", "recognizer"]
    target_name: str
    precision: str
    reference: str
    looked_at: int
    worse: int
    verdict: Verdict
    graph: float | None
    target: float | None
    target_ran: bool = True
    """Whether the target itself runs here; if not, its quantized graph stands for it."""
    repaired: float | None = None
    """dB at the output of the first sample, with the culprit done as the reference does."""
    first: float | None = None
    """The same of the quantized graph as it is."""
    culprit: Culprit | None = None
    steps: tuple[StepRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What was found and what to do next, in a few lines."""
        return [*_found(self), *_blamed(self), *(f"Next: {text}" for text in advice(self))]


def db_text(value: float | None) -> str:
    """Return decibels as people read them."""
    if value is None:
        return "no difference"
    return "nothing left" if value <= -99 else f"{value:.1f} dB"


def _found(report: DebugReport) -> Iterator[str]:
    title = f"{report.name} {report.target_name} {report.precision} against {report.reference}"
    if not report.worse:
        yield f"{title}: none of {report.looked_at} samples got worse"
    else:
        worst = report.samples[0].name
        yield f"{title}: {report.worse} of {report.looked_at} samples got worse, {worst} most"
    for sample in report.samples[:1]:
        if sample.baseline != sample.engine:
            yield f"  {sample.name}: {sample.baseline} before, {sample.engine} now"
    if report.verdict == "same":
        yield "No difference: the outputs are equal but for float32 rounding."
    elif report.verdict == "target":
        yield (
            f"Kernel fault: the quantized graph is right ({db_text(report.graph)}), but "
            f"{report.target_name} computes something else from it ({db_text(report.target)})."
        )
    else:
        told = f"{report.target_name} computes what it says ({db_text(report.target)})"
        if not report.target_ran:
            told = f"{report.target_name} itself cannot run here"
        yield (
            f"The quantized graph itself loses: {db_text(report.graph)} are left at its output; "
            f"{told}."
        )


def _blamed(report: DebugReport) -> Iterator[str]:
    if report.culprit is None:
        return
    culprit, step = report.culprit, report.culprit.step
    where = f", {_place(step)}" if step.layer else ""
    word = "First" if culprit.stands_out else "No step stands out; the most"
    if culprit.cause == "target":
        word = "First" if culprit.stands_out else "No tensor stands out; the largest drop"
        yield (
            f"{word}: {step.op} {step.name}{where}: {db_text(step.target)} "
            "against its own graph, from here on."
        )
        return
    yield f"{word}: {step.op} {step.name}{where}: {db_text(step.own)} of its own. {why(culprit)}"
    if report.repaired is not None or report.first is not None:
        change = f"{db_text(report.first)} -> {db_text(report.repaired)}"
        sample = report.samples[0]
        reads = f"; {sample.name} gives {sample.repaired}" if sample.repaired else ""
        yield f"With this step alone as in the {report.reference}: {change} at the output{reads}."


def _place(step: StepRow) -> str:
    is_near = step.layer.startswith(("before ", "behind "))
    if not is_near and step.layer == step.name:
        return "TensorFlow's own name"
    return f"TensorFlow: {step.layer}"


def why(culprit: Culprit) -> str:
    """Say what is wrong with a step."""
    step = culprit.step
    if not culprit.stands_out:
        part = {"weights": "weights", "op": "own sums"}.get(culprit.cause, "input")
        return f"Most of that is the rounding of its {part}."
    reasons = {
        "overflow": f"{100 * step.bad:.2g} % of its values overflow in 16 bits.",
        "clipped": f"{100 * step.clipped:.2g} % of its input lie beyond the int8 range, and are "
        f"clipped ({db_text(step.inputs)}).",
        "coarse": f"Its input is rounded to steps too coarse for it ({db_text(step.inputs)}).",
        "weights": f"Its weights are not those of the model ({db_text(step.weights)}).",
        "op": "It computes something else than the model's op.",
        "target": "",
    }
    return reasons[culprit.cause]


def advice(report: DebugReport) -> list[str]:
    """Return what to do next."""
    if report.culprit is None:
        return []
    if not report.worse and not report.culprit.stands_out:
        return ["nothing: no sample got worse, and no step loses more than int8 or fp16 must"]
    cause, spec = report.culprit.cause, f"{report.bundle}/spec.yaml"
    build = f"ocr-trt build {spec}"
    search = f"{build} --precision best gives layers back to float, as few as the budget takes"
    step = report.culprit.step
    is_foreign = step.weights is not None and step.weights < _SOUND_WEIGHTS
    told = {
        "overflow": [f"{build} --calibration DIR, with images like this one: what they show "
                     "beyond 512 stays in fp32", f"or {build} --precision bf16"],
        "clipped": [f"{build} --calibration DIR, with images like this one, or --method minmax",
                    search],
        "coarse": [f"{build} --method percentile, or --correction equalize: its range is too wide",
                   search],
        "weights": [f"{build} again: the weights in the bundle were changed"] if is_foreign else
                   [f"{build} --correction equalize", search],
        "op": [f"ocr-trt inspect {spec} --verify, and report the page of --output"],
        "target": [f"build for another target (--target onnxruntime) to have it right today; "
                   f"report the page of --output with {report.target_name}'s version"],
    }  # fmt: skip
    return told[cause]


_SOUND_WEIGHTS = 25.0
"""dB; int8 weights with a scale per channel have 34 and more, those of 7 bits too."""
