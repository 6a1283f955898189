"""``ocr-trt train``: train the reference models on synthetic images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import ReferenceRoleChoice
from .printing import print_json
from .shared_options import DisplayOptions


def train(
    role: Annotated[ReferenceRoleChoice, typer.Argument(help="The model to train.")],
    *,
    output: Annotated[
        Path,
        typer.Option("--output", help="Folder of the run. An existing run is resumed."),
    ],
    steps: Annotated[int | None, typer.Option(help="Total number of training steps.")] = None,
    float32: Annotated[
        bool,
        typer.Option("--float32", help="Compute in float32: faster on CPUs without avx512_bf16."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of weights and images.")] = 0,
    display: DisplayOptions,
) -> None:
    """Train a reference model on synthetic images. Requires TensorFlow and `make fonts`.

    Example: `ocr-trt train recognizer --output runs/recognizer`
    """
    from ..convert.sources.tf_graph import import_tensorflow

    import_tensorflow()  # before Keras does: TensorFlow would print its start-up messages
    from ..models import training

    settings = training.settings_for(
        role.value, output, steps=steps, bfloat16=not float32, seed=seed
    )
    weights = training.train(settings)
    if display.json:
        print_json({"weights": str(weights)})
    else:
        print(weights)
