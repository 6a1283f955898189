"""``ocr-trt bundle``: what engine bundles hold, whether they are whole, how two of them differ."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .bundle_layers import print_layers
from .console import plain, print_json, print_table, quiet_libraries
from .options import Json, Verbose

if TYPE_CHECKING:
    from ..engines.bundle import Bundle

_LONGEST = 60
"""Characters of a value; charsets have thousands."""


class Action(str, Enum):
    """What to do with them."""

    SHOW = "show"
    VERIFY = "verify"
    DIFF = "diff"
    LAYERS = "layers"


def bundle(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    folders: Annotated[list[Path], typer.Argument(help="Bundles; two of them for diff.")],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show what bundles hold, verify their files, tell how two differ, or list a plan's layers.

    Layers are those of TensorRT's plans that were built where there is a GPU: what each computes
    in, the ONNX nodes that were fused in it, and its kernel.

    All check the bundle's files against its manifest first: exit code 2 if one is not as it was
    built.

    Example: `ocr-trt bundle diff bundles/a bundles/b`
    """
    quiet_libraries(verbose=verbose)
    from ..engines.bundle import load_bundle

    if action is Action.DIFF and len(folders) != 2:
        raise UserError(f"diff takes two bundles, not {len(folders)}")
    bundles = [load_bundle(folder) for folder in folders]
    actions = {
        Action.SHOW: _show, Action.VERIFY: _verify, Action.DIFF: _diff, Action.LAYERS: print_layers
    }  # fmt: skip
    actions[action](bundles, json)


def _show(bundles: list[Bundle], json: bool) -> None:
    from ..engines.bundle_diff import facts

    if json:
        print_json([found.manifest.model_dump(mode="json") for found in bundles])
        return
    for found in bundles:
        manifest = found.manifest
        rows = [(what, value) for what, value in facts(manifest).items() if value is not None]
        rows += [(f"version of {name}", version) for name, version in manifest.versions.items()]
        print(found.folder)
        print_table(found.label, ("", ""), rows)
        for node, reason in manifest.node_precisions.items():
            print(plain(f"{node} stays in float: {reason}"))


def _verify(bundles: list[Bundle], json: bool) -> None:
    rows = [
        {
            "bundle": str(found.folder),
            "files": len(found.manifest.files),
            "bytes": sum(entry.bytes for entry in found.manifest.files.values()),
        }
        for found in bundles
    ]
    if json:
        print_json(rows)
    else:
        header = ("bundle", "files", "bytes")
        print_table("As they were built", header, [tuple(row.values()) for row in rows])


def _diff(bundles: list[Bundle], json: bool) -> None:
    from ..engines.bundle_diff import bundle_differences

    found = bundle_differences(*bundles)
    if json:
        print_json([asdict(difference) for difference in found])
        return
    if not found:
        print("no difference")
        return
    names = [each.folder.name for each in bundles]
    header = ("", *(names if names[0] != names[1] else (str(each.folder) for each in bundles)))
    rows = [(d.what, _short(d.first), _short(d.second)) for d in found]
    print_table("Differences", header, rows)


def _short(text: str | None) -> str:
    if text is None:
        return "-"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bundle)
