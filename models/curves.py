"""Draws the loss curves of the shipped weights from their training logs.

    python -m ocr_trt.models.curves

Writes ``weights/curves.svg``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .reference_models import WEIGHTS

_WINDOW = 5
"""Log lines per point of a curve, which is their mean."""


def _points(log: Path) -> tuple[list[int], list[float]]:
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    parts = [rows[i : i + _WINDOW] for i in range(0, len(rows), _WINDOW)]
    means = [sum(row["loss"] for row in part) / len(part) for part in parts]
    return [part[-1]["step"] for part in parts], means


def draw_curves(folder: Path = WEIGHTS) -> Path:
    """Draw one panel per role; return the image's path."""
    # A fixed salt for ids and no date: the same logs give the same file.
    import matplotlib.style as mpl_style
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": "ocr-trt", "svg.fonttype": "none"}
    with mpl_style.context(["default", settings]):
        figure = Figure(figsize=(8, 2.8), layout="constrained")
        for column, role in enumerate(("detector", "recognizer"), 1):
            axes = figure.add_subplot(1, 2, column)
            axes.plot(*_points(folder / f"{role}.log.jsonl"), color="#2171b5", linewidth=1)
            axes.set(title=role, xlabel="step", ylabel="training loss", yscale="log")
            axes.grid(visible=True, which="both", alpha=0.2)
        path = folder / "curves.svg"
        none: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(path, metadata=none)
    return path


if __name__ == "__main__":
    print(draw_curves())
