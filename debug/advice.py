"""The next steps after ``ocr-trt debug``, as commands that can be pasted into a shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    search = Advice(
        text="Keep as many layers in float as the accuracy budget requires:",
        command=_build(report, precision="best"),
    )
    is_foreign = step.weights is not None and step.weights < _SOUND_WEIGHTS
    steps = {
        "overflow": [
            Advice(
                text="Calibrate on images like these: tensors that exceed 512 on them keep fp32:",
                command=_build(report),
            ),
            Advice(text="Or use a type without overflow:", command=_build(report, "bf16")),
        ],
        "clipped": [
            Advice(
                text="Calibrate on images like these, with ranges that clip nothing:",
                command=_build(report, None, "--method", "minmax"),
            ),
            search,
        ],
        "coarse": [
            Advice(
                text="The range is too wide. Clip its few large values:",
                command=_build(report, None, "--method", "percentile"),
            ),
            Advice(
                text="Or scale the channels to similar ranges:",
                command=_build(report, None, "--weight-correction", "equalize"),
            ),
            search,
        ],
        "weights": [
            Advice(
                text="The weights in the bundle were changed. Build it again:",
                command=_build(report, None, "--no-cache"),
            )
        ]
        if is_foreign
        else [
            Advice(
                text="Scale the channels of the weights to similar ranges:",
                command=_build(report, None, "--weight-correction", "equalize"),
            ),
            search,
        ],
        "op": [
            Advice(
                text="Find the rule that changed the numbers, and report the page that debug "
                "--output writes:",
                command=shlex.join(["ocr-trt", "inspect", _spec(report), "--verify"]),
            )
        ],
        "target": [
            Advice(
                text="Report the page that debug --output writes, with the version of "
                f"{report.target_name}. For correct results, build for another target:",
                command=_build(report, target="onnxruntime"),
            )
        ],
    }
    return steps[cause]


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
