"""The results of ``ocr-trt debug`` as data and as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..common.frozen_model import FrozenModel
from ..spec import Role
from .advice import advice
from .divergence import Culprit, StepRow

Verdict = Literal["same", "graph", "target"]
"""The outputs are equal; the quantized graph loses accuracy; the target computes something else."""


class SampleRow(FrozenModel):
    """One sample and the results for it, as text.

    ``lost``: hmean (0..1) or characters lost against the baseline. ``repaired``: the result after
    the reference's ops have replaced the culprit. ``image``: HTML for the page.
    """

    name: str
    lost: float
    baseline: str
    engine: str
    truth: str = ""
    repaired: str = ""
    image: str = Field("", repr=False)


class DebugReport(FrozenModel):
    """The whole report.

    ``graph`` and ``target``: dB at the output, of the quantized graph against the reference, and of
    the target against the quantized graph; None: equal.
    """

    schema_version: Literal[1] = 1
    bundle: str
    data: str = ""
    """The folder of the samples."""
    name: str
    role: Role
    target_name: str
    precision: str
    reference: str
    looked_at: int
    worse: int
    verdict: Verdict
    graph: float | None
    target: float | None
    target_ran: bool = True
    """Whether the target runs here; if not, its quantized graph ran in onnxruntime instead."""
    repaired: float | None = None
    """dB at the output for the first sample, after the reference's ops replaced the culprit."""
    first: float | None = None
    """The same without the repair."""
    culprit: Culprit | None = None
    steps: tuple[StepRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The results and the next steps, in a few lines."""
        return [
            *_result_lines(self),
            *_culprit_lines(self),
            # Commands have lines of their own, so that whole lines can be pasted into a shell.
            *(
                line
                for each in advice(self)
                for line in (f"Next: {each.text}", f"  {each.command}" if each.command else "")
                if line
            ),
        ]


def db_text(value: float | None) -> str:
    """Return decibels as text."""
    if value is None:
        return "no difference"
    return "no signal left" if value <= -99 else f"{value:.1f} dB"


def _result_lines(report: DebugReport) -> Iterator[str]:
    title = f"{report.name} {report.target_name} {report.precision} against {report.reference}"
    if not report.worse:
        yield f"{title}: none of {report.looked_at} samples got worse"
    else:
        worst = report.samples[0].name
        yield (
            f"{title}: {report.worse} of {report.looked_at} samples got worse, most of all {worst}"
        )
    for sample in report.samples[:1]:
        if sample.baseline != sample.engine:
            yield (
                f"  {sample.name}: {sample.baseline} in the reference, {sample.engine} in "
                "the bundle"
            )
    if report.verdict == "same":
        yield "No difference: the outputs are equal except for float32 rounding."
    elif report.verdict == "target":
        yield (
            f"Kernel fault: the quantized graph is correct ({db_text(report.graph)}), but "
            f"{report.target_name} does not compute what the graph states "
            f"({db_text(report.target)})."
        )
    else:
        target = f"{report.target_name} computes what the graph states ({db_text(report.target)})"
        if not report.target_ran:
            target = f"{report.target_name} cannot run on this machine"
        yield (
            "The noise comes from the quantized graph: signal to noise at its output is "
            f"{db_text(report.graph)}. {target}."
        )


def _culprit_lines(report: DebugReport) -> Iterator[str]:
    if report.culprit is None:
        return
    culprit, step = report.culprit, report.culprit.step
    where = f" ({_place(step)})" if step.layer else ""
    if culprit.cause == "target":
        word = "First bad tensor" if culprit.stands_out else "No tensor stands out. Largest drop"
        yield (
            f"{word}: {step.op} {step.name}{where}, {db_text(step.target)} "
            "against the quantized graph, from this tensor on."
        )
        return
    word = "First bad step" if culprit.stands_out else "No step stands out. The noisiest step"
    own = f"{db_text(step.own)} on its own"
    yield f"{word}: {step.op} {step.name}{where}, {own}. {why(culprit)}"
    if report.repaired is not None or report.first is not None:
        change = f"from {db_text(report.first)} to {db_text(report.repaired)}"
        sample = report.samples[0]
        reads = f"; the result for {sample.name} is {sample.repaired}" if sample.repaired else ""
        yield (
            f"If only this step is computed as in the {report.reference}, signal to noise at the "
            f"output changes {change}{reads}."
        )


def _place(step: StepRow) -> str:
    """Describe where a step is in the source model; see ``convert.tensorflow_names``."""
    is_near = step.layer.startswith(("before ", "behind "))
    return f"in the model: {step.layer}" if is_near else f"layer {step.layer} of the model"


def why(culprit: Culprit) -> str:
    """Return the reason for the noise of a step, as a sentence."""
    step = culprit.step
    if culprit.cause == "compression":
        return "Compression changed the weights of the network here."
    if not culprit.stands_out:
        part = {"weights": "weights", "op": "sums"}.get(culprit.cause, "input")
        return f"Most of this noise comes from rounding its {part}."
    reasons = {
        "overflow": f"{100 * step.bad:.2g} % of its values overflow in 16 bits.",
        "clipped": f"{100 * step.clipped:.2g} % of its input values are beyond the int8 range and "
        f"are clipped ({db_text(step.inputs)}).",
        "coarse": f"The int8 steps of its input are too coarse ({db_text(step.inputs)}).",
        "weights": f"Its weights differ from those of the model ({db_text(step.weights)}).",
        "op": "It does not compute what the model's op computes.",
        "target": "",
    }
    return reasons[culprit.cause]
