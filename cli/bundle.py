"""``ocr-trt bundle``: the contents of engine bundles, their integrity, and their differences."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .bundle_layers import print_layers
from .printing import plain, print_json, print_table, shortened
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..engines.bundle import Bundle

_MAX_VALUE_LENGTH = 60
"""Characters that are shown of a value; a charset may have thousands."""


class BundleAction(str, Enum):
    """What to do with bundles."""

    SHOW = "show"
    VERIFY = "verify"
    DIFF = "diff"
    LAYERS = "layers"


def bundle(
    action: Annotated[BundleAction, typer.Argument(help="What to do.")],
    folders: Annotated[list[Path], typer.Argument(help="Bundles; diff requires two.")],
    *,
    display: DisplayOptions,
) -> None:
    """Show what bundles contain, verify their files, compare two bundles, or list a plan's layers.

    `layers` works for TensorRT plans that were built on a machine with a GPU. It shows the
    precision of each layer, the ONNX nodes that were fused into it, and its kernel.

    Every action first checks the bundle's files against its manifest, and ends with exit code 2 if
    a file was changed after the build.

    Example: `ocr-trt bundle diff bundles/a bundles/b`
    """
    from ..engines.bundle import load_bundle

    if action is BundleAction.DIFF and len(folders) != 2:
        raise UserError(f"diff requires two bundles, got {len(folders)}")
    # Loading compares the files with the manifest, so `verify` only has to print the result.
    bundles = [load_bundle(folder) for folder in folders]
    actions = {
        BundleAction.SHOW: _show,
        BundleAction.VERIFY: _verify,
        BundleAction.DIFF: _diff,
        BundleAction.LAYERS: print_layers,
    }
    actions[action](bundles, display.json)


def _show(bundles: list[Bundle], json: bool) -> None:
    from ..engines.bundle_diff import facts

    if json:
        print_json([bundle.manifest.model_dump(mode="json") for bundle in bundles])
        return
    for bundle in bundles:
        manifest = bundle.manifest
        rows = [(what, value) for what, value in facts(manifest).items() if value is not None]
        rows += [(f"version of {name}", version) for name, version in manifest.versions.items()]
        print(bundle.folder)
        print_table(bundle.label, ("", ""), rows)
        for node, reason in manifest.precision_exceptions.items():
            print(plain(f"{node} stays in float: {reason}"))


def _verify(bundles: list[Bundle], json: bool) -> None:
    rows = [
        {
            "bundle": str(bundle.folder),
            "files": len(bundle.manifest.files),
            "bytes": sum(entry.bytes for entry in bundle.manifest.files.values()),
        }
        for bundle in bundles
    ]
    if json:
        print_json(rows)
    else:
        header = ("bundle", "files", "bytes")
        print_table("Unchanged since the build", header, [tuple(row.values()) for row in rows])


def _diff(bundles: list[Bundle], json: bool) -> None:
    from ..engines.bundle_diff import bundle_differences

    differences = bundle_differences(*bundles)
    if json:
        print_json([asdict(difference) for difference in differences])
        return
    if not differences:
        print("no difference")
        return
    # If the folders have the same name, the header shows their paths instead.
    names = [each.folder.name for each in bundles]
    header = ("", *(names if names[0] != names[1] else (str(each.folder) for each in bundles)))
    rows = [(d.what, _cell(d.first), _cell(d.second)) for d in differences]
    print_table("Differences", header, rows)


def _cell(text: str | None) -> str:
    return "-" if text is None else shortened(text, _MAX_VALUE_LENGTH)
