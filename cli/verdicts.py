"""The results of ``ocr-trt build``: as tables for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .printing import print_table

if TYPE_CHECKING:
    from ..builder import BuildResult
    from ..engines.manifest import Manifest, OcrMetric, TargetTrial


def result_as_dict(result: BuildResult) -> dict[str, Any]:
    """Return a result for JSON."""
    manifest = result.bundle.manifest if result.bundle else None
    verdict, choice = (manifest.verdict, manifest.choice) if manifest else (None, None)
    compared = manifest.compared_targets if manifest else ()
    return {
        "target": result.target,
        "bundle": str(result.folder) if manifest else None,
        "verdict": verdict.model_dump() if verdict else None,
        "choice": choice.model_dump() if choice else None,
        "compression": _compression_as_dict(manifest) if manifest else None,
        "compared_targets": [each.model_dump() for each in compared],
        "cached": result.measured.isoformat(timespec="seconds") if result.measured else None,
        "error": str(result.error) if result.error else None,
    }


def _compression_as_dict(manifest: Manifest) -> dict[str, Any] | None:
    # The channels of every tensor are in the manifest.
    compression = manifest.compression
    return compression.model_dump(exclude={"channels"}) if compression is not None else None


def verdict_row(result: BuildResult) -> tuple[str, ...]:
    """Return the cells of a result: name, difference, accuracy, speed and verdict."""
    if result.bundle is None or result.bundle.manifest.verdict is None:
        return result.folder.name, "-", "-", "-", "failed"
    verdict = result.bundle.manifest.verdict
    accuracy = _accuracy(verdict.metric)
    if verdict.metric is not None and verdict.latency is None:
        accuracy += " *"  # print_verdicts explains the asterisk
    speed, word = "built, not run here", "ok"
    if (latency := verdict.latency) is not None:
        speed = f"{latency.speedup:.2f}x ({latency.engine:.1f} / {latency.baseline:.1f} ms)"
        word = "ok" if latency.speedup > 1 else "ok, but slower"
    difference = f"{verdict.max_difference:.1e}"
    if verdict.float_type is not None:  # print_verdicts explains it
        difference += f", {verdict.float_type}"
    return result.folder.name, difference, accuracy, speed, word


def _accuracy(metric: OcrMetric | None) -> str:
    from ..ocr.metrics.metric import METRICS

    if metric is None:
        return "not measured: no images"
    # `loss` is positive if the engine is worse; the cell shows engine minus baseline.
    text = (
        f"{metric.name} {100 * metric.engine:.2f} / {100 * metric.baseline:.2f} "
        f"({0.0 - METRICS[metric.name].sign * metric.loss:+.2f})"
    )
    return text if metric.labeled else f"{text}, agreement"


def print_verdicts(results: Sequence[BuildResult]) -> None:
    """Print one row per built engine: parity, accuracy and speed, each against the baseline."""
    done = [r.bundle.manifest.verdict for r in results if r.bundle and r.bundle.manifest.verdict]
    against = done[0].baseline if done else "the model"
    header = ("engine", "fp32 differs by", "accuracy, points", "speed", "verdict")
    print_table(f"Verdict: engine / {against}", header, [verdict_row(result) for result in results])
    if any(verdict.metric and verdict.latency is None for verdict in done):
        print("* accuracy of the quantized graph in onnxruntime: the engine cannot run here")
    # The limit depends on the model, and engines of several models may be in the table.
    for name, verdict in ((r.folder.name, r.bundle.manifest.verdict) for r in results if r.bundle):
        if verdict is not None and verdict.float_type is not None:
            print(
                f"{name}: the model computes in {verdict.float_type}, so it may differ from an "
                f"fp32 engine by {verdict.allowed_difference:.1e}"
            )
    for result in results:
        _print_choices(result)
    for result in results:
        if result.measured is not None:
            when = f"{result.measured.astimezone():%Y-%m-%d %H:%M}"
            print(
                f"{result.folder.name}: from the build cache; its verdict, including the speed, "
                f"was measured on {when}; --no-cache builds and measures again"
            )
    for result in results:
        if result.bundle is not None:
            print(result.folder)


def _print_choices(result: BuildResult) -> None:
    """Print what a search chose, and the targets that were compared."""
    if result.bundle is None:
        return
    manifest = result.bundle.manifest
    if (trials := manifest.compared_targets) and manifest.verdict is not None:
        title = f"Targets compared for {manifest.spec.name}: engine / {manifest.verdict.baseline}"
        header = ("target", "precision", "accuracy, points", "speed", "seconds", "result")
        print_table(title, header, map(_trial_row, trials))
    if (choice := manifest.choice) is not None:
        print(f"{result.folder.name} is {choice.label}: {choice.reason}")
    if (compression := manifest.compression) is not None:
        done = f"{100 * compression.kept_flops:.1f} % of the FLOPs remain"
        word = f"compressed, {done}:" if compression.is_applied else "not compressed;"
        print(f"{result.folder.name} is {word} {compression.reason}")


def _trial_row(trial: TargetTrial) -> tuple[str, ...]:
    seconds = f"{trial.seconds:.1f}"
    if trial.error or trial.latency is None:
        return trial.target, "-", "-", "-", seconds, trial.error
    own, base = trial.latency.engine, trial.latency.baseline
    speed = f"{trial.latency.speedup:.2f}x ({own:.2f} / {base:.2f} ms)"
    word = "kept" if trial.chosen else "not kept"
    return trial.target, trial.label, _accuracy(trial.metric), speed, seconds, word
