"""Where a model comes from: its file, and the part of it to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..common.frozen_model import StrictModel


class SourceSpec(StrictModel):
    """The file of the model, and which part of it to use."""

    path: Path
    format: Literal["saved_model", "keras", "graph_def", "checkpoint", "tflite", "onnx"] | None = (
        None
    )
    """None: derived from the file name."""
    signature: str = "serving_default"
    tags: tuple[str, ...] = ()
    """Tags such as "serve" that select one graph of a SavedModel that contains several."""
    allow_lambda: bool = False
    """Run the Python code inside Lambda layers. Only for files you trust."""
    custom: tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...] = ()
    """Custom layers of a Keras file, as "module:Class"; the modules are imported."""
    constants: dict[str, float | Path] = {}
    """Values of further inputs by name: a number for the whole input, or a .npy file."""
