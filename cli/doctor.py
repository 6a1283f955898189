"""``ocr-trt doctor``: which targets work on this machine, and what the others need."""

from __future__ import annotations

from .printing import print_json, print_table
from .shared_options import DisplayOptions


def doctor(*, display: DisplayOptions) -> None:
    """Show which targets work on this machine, why others do not, and how to install them.

    Example: `ocr-trt doctor`
    """
    from dataclasses import asdict

    from ..engines.targets import backend, target_names

    availability = {name: backend(name).availability() for name in target_names()}
    tensorflow = _tensorflow()
    if display.json:
        print_json(
            {
                "targets": {name: asdict(each) for name, each in availability.items()},
                "tensorflow": tensorflow,
            }
        )
        return
    rows = [
        (name, each.version, _yes(each.can_build), _yes(each.can_run), each.reason, each.hint)
        for name, each in availability.items()
    ]
    print_table("Targets", ("target", "version", "builds", "runs", "reason", "what to do"), rows)
    print("TensorFlow, which converts models and is the baseline: " + tensorflow)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _tensorflow() -> str:
    from importlib import metadata

    # Two packages install the module `tensorflow`; only the one that is installed has metadata.
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "missing; install it with: pip install 'ocr-trt[tf]'"
