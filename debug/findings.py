"""The results of ``ocr-trt debug`` as data and as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..common.frozen_model import FrozenModel
from .divergence import Culprit, StepRow

Verdict = Literal["same", "graph", "target"]
"""The outputs are equal; the quantized graph loses accuracy; the target computes something else."""

_SOUND_WEIGHTS = 25.0
"""Below this dB, weights are not rounded weights of the model: even 7-bit weights reach 34 dB."""


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
            *(f"Next step: {text}" for text in advice(self)),
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
    """Describe where a step is in the TensorFlow model; see ``steps.layer_of``."""
    is_near = step.layer.startswith(("before ", "behind "))
    if not is_near and step.layer == step.name:
        return "a name in TensorFlow"
    return f"in TensorFlow: {step.layer}"


def why(culprit: Culprit) -> str:
    """Return the reason for the noise of a step, as a sentence."""
    step = culprit.step
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


def advice(report: DebugReport) -> list[str]:
    """Return the next steps for the user."""
    if report.culprit is None:
        return []
    if not report.worse and not report.culprit.stands_out:
        return ["none. No sample got worse, and every step loses only what int8 or fp16 costs"]
    cause, spec = report.culprit.cause, f"{report.bundle}/spec.yaml"
    build = f"ocr-trt build {spec}"
    search = f"{build} --precision best keeps as many layers in float as the budget requires"
    step = report.culprit.step
    is_foreign = step.weights is not None and step.weights < _SOUND_WEIGHTS
    steps = {
        "overflow": [f"{build} --calibration DIR, with images like this one: tensors that exceed "
                     "512 on them keep fp32", f"or {build} --precision bf16"],
        "clipped": [f"{build} --calibration DIR, with images like this one, or --method minmax",
                    search],
        "coarse": [f"{build} --method percentile, or --weight-correction equalize: the range is "
                   "too wide", search],
        "weights": [f"{build}: the weights in the bundle were changed"] if is_foreign else
                   [f"{build} --weight-correction equalize", search],
        "op": [f"ocr-trt inspect {spec} --verify, and report the page that --output writes"],
        "target": [f"build for another target (--target onnxruntime) for correct results; report "
                   f"the page that --output writes, with the version of {report.target_name}"],
    }  # fmt: skip
    return steps[cause]
