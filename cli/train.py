"""``ocr-trt train``: the reference models, from synthetic images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import print_json
from .options import Json, Verbose
from .specs import role_from


def train(
    role: Annotated[str, typer.Argument(help="detector or recognizer")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the run; resumed if there.")],
    steps: Annotated[int | None, typer.Option(help="Steps to train in all.")] = None,
    float32: Annotated[bool, typer.Option(help="For CPUs without avx512_bf16.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights and images.")] = 0,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train a reference model on synthetic images; needs `make fonts` and TensorFlow.

    Example: `ocr-trt train recognizer --output runs/recognizer`
    """
    from ..models import training

    settings = training.settings_for(
        role_from(role), output, steps=steps, bfloat16=not float32, seed=seed
    )
    weights = training.train(settings)
    if json:
        print_json({"weights": str(weights)})
    else:
        print(weights)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
