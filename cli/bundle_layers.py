"""``ocr-trt bundle layers``: the layers of TensorRT plans, as TensorRT describes them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .printing import plain, print_json, print_table, shortened

if TYPE_CHECKING:
    from ..engines.bundle import Bundle
    from ..engines.nvidia.plan_layers import EngineLayer

_MAX_CELL_LENGTH = 40
"""Characters that are shown of a cell."""


def print_layers(bundles: list[Bundle], json: bool) -> None:
    """Print the layers of every plan, and the ops that are int8 in the graph but not in the plan.

    Raises:
        UserError: a bundle contains no list of layers.
    """
    from ..common.onnx_files import read_onnx
    from ..engines.nvidia.plan_layers import LAYERS_SUFFIX, layers_from_file, not_in_int8

    plans: list[dict[str, Any]] = []
    for bundle in bundles:
        for entry in bundle.manifest.engines:
            # The builder writes the list of layers beside the plan.
            name = PurePosixPath(entry.plan).with_suffix(LAYERS_SUFFIX).as_posix()
            if name not in bundle.manifest.files:
                raise UserError(
                    f"{bundle.folder}: has no list of layers; only TensorRT plans that were built "
                    "on a machine with a GPU have one"
                )
            layers = layers_from_file(bundle.path(name))
            # TensorRT reports no error if it runs a node with Q/DQ pairs in float.
            losses = not_in_int8(read_onnx(bundle.path(entry.model)), layers)
            plain_layers = [asdict(layer) for layer in layers]
            plans.append({"plan": entry.plan, "layers": plain_layers, "not_in_int8": losses})
            if not json:
                _print_plan(f"{bundle.label}: {entry.plan}", layers, losses)
    if json:
        print_json(plans)


def _print_plan(title: str, layers: tuple[EngineLayer, ...], losses: dict[str, str]) -> None:
    header = ("layer", "kind", "precision", "ONNX nodes", "kernel")
    rows = [
        (
            shortened(layer.name, _MAX_CELL_LENGTH),
            layer.kind,
            layer.precision,
            shortened(", ".join(layer.nodes), _MAX_CELL_LENGTH),
            shortened(layer.tactic, _MAX_CELL_LENGTH),
        )
        for layer in layers
    ]
    print_table(title, header, rows)
    for node, precision in losses.items():
        print(plain(f"{node} is int8 in the graph, but {precision} in the plan"))
