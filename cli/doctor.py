"""``ocr-trt doctor``: which targets can be used here, and what is missing for the others."""

from __future__ import annotations

import typer

from .console import print_json, print_table
from .options import Json, Verbose


def doctor(json: Json = False, verbose: Verbose = False) -> None:
    """Say which targets can be used here, why others cannot, and the line that installs them.

    Example: `ocr-trt doctor`
    """
    from dataclasses import asdict

    from ..engines.targets import backend, target_names

    found = {name: backend(name).availability() for name in target_names()}
    tensorflow = _tensorflow()
    if json:
        print_json({"targets": {n: asdict(p) for n, p in found.items()}, "tensorflow": tensorflow})
        return
    rows = [
        (name, p.version, _yes(p.can_build), _yes(p.can_run), p.reason, p.hint)
        for name, p in found.items()
    ]
    print_table("Targets", ("target", "version", "builds", "runs", "why not", "hint"), rows)
    print("TensorFlow, to convert models and as baseline: " + tensorflow)


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


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
