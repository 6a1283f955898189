"""Why a compressed network was accepted or not, in the words of manifest, terminal and page."""

from __future__ import annotations

from ..engines.points_text import loss_text
from ..measure.bootstrap import MIN_IMAGES
from ..ocr.metrics.metric import METRICS
from .compression_trials import DISAGREEMENT, CompressionTrial, Judgement, certain_loss


def too_few(count: int) -> str:
    """Return why samples cannot show a loss; "" if there are enough of them for an interval."""
    if count >= MIN_IMAGES:
        return ""
    return (
        f"{count} sample{'' if count == 1 else 's'} cannot show whether the loss is within the "
        f"budget, because a confidence interval requires {MIN_IMAGES}"
    )


def why_accepted(trial: CompressionTrial, judgement: Judgement, budget: float) -> list[str]:
    """Return why a network counts as within budget: sentences without a capital and a period."""
    parts = [f"{_points(trial)} in fp32; {budget:g} may be lost"]
    if judgement.can_tell:
        return parts
    labeled, few = trial.metric.labeled, too_few(trial.metric.samples)
    agreement = (
        f"{100 * trial.agreement:.2f} %, at least {_required(trial, budget):g} % are required"
    )
    if not labeled:
        parts.append(f"without labels, the agreement with the model decided: {agreement}")
    else:
        why = few or f"too few samples ({trial.metric.samples}) to tell whether it is within budget"
        parts.append(f"{why}, so the agreement with the model decided: {agreement}")
    if few:
        why = "" if labeled else f"{few}: "
        parts.append(
            f"{why}on other images the network may lose more; to be sure, give at least "
            f"{MIN_IMAGES} labeled samples with --data"
        )
    return parts


def why_over_budget(trial: CompressionTrial, budget: float) -> str:
    """Return why the least compressed network that was measured is not within budget."""
    text = f"the network with {100 * trial.kept_flops:.0f} % of the FLOPs {_points(trial)}"
    few = too_few(trial.metric.samples)
    if certain_loss(trial) > budget:
        text += f", more than {budget:g}"
    else:
        text += (
            f", and the samples cannot tell whether its loss is within {budget:g}; its agreement "
            f"with the model is {100 * trial.agreement:.2f} %, less than the "
            f"{_required(trial, budget):g} % that are required then"
        )
    text += "; smaller networks lose more"
    return f"{text}; {few}: give more labeled samples with --data" if few else text


def _required(trial: CompressionTrial, budget: float) -> float:
    """Return the agreement that is required where the samples cannot tell, percent.

    Without labels, the disagreement is the loss, which must be within the budget itself.
    """
    allowed = DISAGREEMENT * budget if trial.metric.labeled else budget
    return max(0.0, 100 - allowed)


def _points(trial: CompressionTrial) -> str:
    """Return the points that a network loses or gains, with their interval."""
    title = METRICS[trial.metric.name].title
    against = title if trial.metric.labeled else f"{title} against the output of the model"
    return loss_text(trial.metric.loss, trial.interval, of=against)
