"""``ocr-trt cache``: what is kept to save time, and removing it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_table, quiet_libraries
from .options import Json, Verbose

if TYPE_CHECKING:
    from ..engines.build_cache import BuildCache


class Action(str, Enum):
    """What to do with it."""

    SHOW = "show"
    CLEAR = "clear"


def cache(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show the bundles that builds were kept as, the latest used first, and what else is kept to
    save time; or remove it all.

    Bundles lie in $XDG_CACHE_HOME/ocr-trt/builds (~/.cache). At most 4096 MiB are kept, or what
    OCR_TRT_CACHE_MIB says; those unused for longest go first, and 0 switches the cache off.

    Example: `ocr-trt cache show`
    """
    quiet_libraries(verbose=verbose)
    from ..common.cache import NAMES, cache_root, named_cache
    from ..engines.build_cache import default_cache

    found = default_cache()
    if action is Action.CLEAR:
        size = sum(named_cache(name).clear() for name in NAMES)
        told = {"folder": str(cache_root()), "removed_bytes": size}
        print_json(told) if json else print(f"removed {size / 1e6:.1f} MB from {cache_root()}")
    elif found is None:
        print_json({"folder": None}) if json else print("switched off: OCR_TRT_CACHE_MIB is 0")
    else:
        _show(found, json)


def _show(found: BuildCache, json: bool) -> None:
    from ..common.cache import NAMES, named_cache

    entries = found.bundles()
    others = {name: named_cache(name).entries() for name in NAMES if name != "builds"}
    sizes = {name: sum(entry.bytes for entry in each) for name, each in others.items() if each}
    also = [
        {
            "folder": str(named_cache(name).folder),
            "what": NAMES[name],
            "entries": len(others[name]),
            "bytes": size,
        }
        for name, size in sizes.items()
    ]
    rows = [
        {
            "bundle": entry.bundle.label,
            "bytes": entry.bytes,
            "built": entry.built.isoformat(timespec="seconds"),
            "used": entry.used.isoformat(timespec="seconds"),
            "key": entry.key,
        }
        for entry in entries
    ]
    if json:
        told = {
            "folder": str(found.folder),
            "most_bytes": found.most,
            "bundles": rows,
            "also": also,
        }
        print_json(told)
        return
    header = ("bundle", "bytes", "built", "last used", "key")
    cells = [(*list(row.values())[:-1], str(row["key"])[:12]) for row in rows]
    print_table(f"{found.folder}", header, cells)
    total = sum(entry.bytes for entry in entries)
    print(f"{len(entries)} bundles, {total / 1e6:.1f} MB of at most {found.most / 1e6:.0f}")
    for name, size in sizes.items():
        folder, count = named_cache(name).folder, len(others[name])
        print(f"{folder}: {NAMES[name]}, {count} entries, {size / 1e6:.1f} MB")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(cache)
