"""``ocr-trt bundle layers``: what TensorRT made of a graph, by its own word."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .console import plain, print_json, print_table

if TYPE_CHECKING:
    from ..engines.bundle import Bundle
    from ..engines.nvidia.plan_layers import EngineLayer

_LONGEST = 40
"""Characters of a cell."""


def print_layers(bundles: list[Bundle], json: bool) -> None:
    """Print the layers of every plan, and the ops that it has in another type than its graph.

    Raises:
        UserError: a bundle has no list of layers.
    """
    from ..common.onnx_files import read_onnx
    from ..engines.nvidia.plan_layers import LAYERS_SUFFIX, layers_from_file, not_in_int8

    told: list[dict[str, Any]] = []
    for found in bundles:
        for entry in found.manifest.engines:
            name = PurePosixPath(entry.plan).with_suffix(LAYERS_SUFFIX).as_posix()
            if name not in found.manifest.files:
                raise UserError(
                    f"{found.folder}: has no list of layers; TensorRT's plans have one if they are "
                    "built where there is a GPU"
                )
            layers = layers_from_file(found.path(name))
            losses = not_in_int8(read_onnx(found.path(entry.model)), layers)
            plain_layers = [asdict(layer) for layer in layers]
            told.append({"plan": entry.plan, "layers": plain_layers, "not_in_int8": losses})
            if not json:
                _print_plan(f"{found.label}: {entry.plan}", layers, losses)
    if json:
        print_json(told)


def _print_plan(title: str, layers: tuple[EngineLayer, ...], losses: dict[str, str]) -> None:
    header = ("layer", "kind", "computes in", "ONNX nodes", "kernel")
    rows = [
        (_short(x.name), x.kind, x.precision, _short(", ".join(x.nodes)), _short(x.tactic))
        for x in layers
    ]
    print_table(title, header, rows)
    for node, precision in losses.items():
        print(plain(f"{node} is in int8 in the graph, and in {precision} in the plan"))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
