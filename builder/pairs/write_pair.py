"""Write the output folder of a pair: two bundles, the report as data, and the page."""

from __future__ import annotations

import math
from pathlib import Path

from ...common.files import whole_folder
from ...spec import AccuracyBudget, ModelSpec
from ..write import copy_bundle
from .model_trials import ModelTrial
from .pair_files import DATA, PAGE, own_pair_files
from .pair_request import PairRequest
from .pairs import Pair
from .pairs_page import page_of
from .pairs_report import PairsReport


def write_pair(request: PairRequest, pair: Pair, report: PairsReport) -> None:
    """Write the chosen pair and its report; an older output is replaced as a whole.

    Raises:
        OutputError: the folder cannot be written, or contains something else.
    """
    with whole_folder(request.output, own_pair_files) as scratch:
        _write_bundle(pair.detector, request.detector, scratch, request.output)
        _write_bundle(pair.recognizer, request.recognizer, scratch, request.output)
        (scratch / DATA).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
        (scratch / PAGE).write_text(page_of(report), "utf-8")


def _write_bundle(trial: ModelTrial, spec: ModelSpec, scratch: Path, output: Path) -> None:
    """Copy the bundle of a variant. ``spec``: the user's, whose budget the copy gets."""
    built = trial.open.built
    name = built.bundle.folder.name
    (scratch / name).mkdir()
    own = built.variant.request.spec.model_copy(update={"accuracy": _accuracy(trial, spec)})
    copy_bundle(built.bundle, own, scratch / name, output / name)


def _accuracy(trial: ModelTrial, spec: ModelSpec) -> AccuracyBudget:
    """Return the user's accuracy budget; raised to the loss of the variant if that is larger.

    The pair is within its budget, so ``bench`` must not refuse one of its engines.
    """
    verdict = trial.open.built.bundle.manifest.verdict
    metric = verdict.metric if verdict else None
    losses = [spec.accuracy.max_loss, trial.accuracy.metric.loss, metric.loss if metric else 0.0]
    # Rounded up, so that the loss itself is within it.
    largest = max(losses[0], math.ceil(100 * max(losses[1:])) / 100)
    return spec.accuracy.model_copy(update={"max_loss": min(100.0, largest)})
