"""The next steps after ``ocr-trt debug``, as commands that can be pasted into a shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .divergence import Cause
from .findings import DebugReport

_SOUND_WEIGHTS = 25.0
"""Below this dB, weights are not rounded weights of the model: even 7-bit weights reach 34 dB."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What helps, as a sentence, and the command that does it; "" if there is none."""

    text: str
    command: str = ""


def advice(report: DebugReport) -> list[Advice]:
    """Return the next steps for the user."""
    if report.culprit is None:
        return []
    step, cause = report.culprit.step, report.culprit.cause
    if not report.worse and not report.culprit.stands_out:
        return [
            Advice(
                text="Nothing is to be done: no sample got worse, and every step loses only what "
                "int8 or fp16 costs."
            )
        ]
    if cause == "compression":
        text = "Allow less accuracy to be lost (accuracy.max_loss), or build without --compress:"
        return [Advice(text=text, command=_build(report))]
    is_foreign = step.weights is not None and step.weights < _SOUND_WEIGHTS
    if cause == "weights" and is_foreign:
        text = "The weights in the bundle were changed. Build it again:"
        return [Advice(text=text, command=_build(report, None, "--no-cache"))]
    if cause == "op":
        text = "Find the rule that changed the numbers, and report the page of debug --output:"
        words = ["ocr-trt", "inspect", _spec(report), "--verify"]
        return [Advice(text=text, command=shlex.join(words))]
    if cause == "target":
        text = (
            f"Report the page of debug --output, with the version of {report.target_name}. For "
            "correct results, build for another target:"
        )
        return [Advice(text=text, command=_build(report, target="onnxruntime"))]
    return _other_settings(report, cause)


def _other_settings(report: DebugReport, cause: Cause) -> list[Advice]:
    """Return builds with other settings, for the causes that lie in the quantization."""
    # By cause: a sentence, and the options of ``ocr-trt build`` that it stands for.
    equalize = ("--weight-correction", "equalize")
    settings: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
        "overflow": (
            ("Calibrate on images like these: tensors that exceed 512 on them keep fp32:", ()),
        ),
        "clipped": (
            (
                "Calibrate on images like these, with ranges that clip nothing:",
                ("--method", "minmax"),
            ),
        ),
        "coarse": (
            ("The range is too wide. Clip its few large values:", ("--method", "percentile")),
            ("Or scale the channels to similar ranges:", equalize),
        ),
        "weights": (("Scale the channels of the weights to similar ranges:", equalize),),
    }
    found = [
        Advice(text=text, command=_build(report, None, *options))
        for text, options in settings[cause]
    ]
    if cause == "overflow":
        text, last = "Or use a 16-bit type without overflow:", _build(report, "bf16")
    else:
        text = "Or keep as many layers in float as the accuracy budget requires:"
        last = _build(report, "best")
    return [*found, Advice(text=text, command=last)]


def _spec(report: DebugReport) -> str:
    return str(Path(report.bundle) / "spec.yaml")


def _build(
    report: DebugReport, precision: str | None = None, *options: str, target: str = ""
) -> str:
    """Return the command that builds the bundle again with other options, beside the old one."""
    chosen = precision or report.precision
    words = [
        *("ocr-trt", "build", _spec(report), "--target", target or report.target_name),
        *("--precision", chosen),
        *(("--calibration", report.data) if chosen != "fp32" else ()),
        *("--data", report.data, "--output", str(Path(report.bundle).parent)),
        *options,
    ]
    return shlex.join(words)
