"""The results of ``ocr-trt debug`` and the next steps, as sentences."""

from __future__ import annotations

from collections.abc import Iterator

from .advice import advice
from .divergence import Culprit, StepRow
from .findings import DebugReport, db_text


def summary_lines(report: DebugReport) -> list[str]:
    """Return the results and the next steps, in a few lines."""
    return [
        *_result_lines(report),
        *_culprit_lines(report),
        # Commands have lines of their own, so that whole lines can be pasted into a shell.
        *(
            line
            for each in advice(report)
            for line in (f"Next: {each.text}", f"  {each.command}" if each.command else "")
            if line
        ),
    ]


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
