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

    found = {name: backend(name).availability() for name in target_names()}
    tensorflow = _tensorflow()
    if display.json:
        print_json({"targets": {n: asdict(p) for n, p in found.items()}, "tensorflow": tensorflow})
        return
    rows = [
        (name, p.version, _yes(p.can_build), _yes(p.can_run), p.reason, p.hint)
        for name, p in found.items()
    ]
    print_table("Targets", ("target", "version", "builds", "runs", "why not", "hint"), rows)
    print("TensorFlow, which converts models and is the baseline: " + tensorflow)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _tensorflow() -> str:
    from importlib import metadata

    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "missing; install it with: pip install 'ocr-trt[tf]'"
