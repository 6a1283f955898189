"""``ocr-trt cache``: show or remove the files that are kept to save time."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import print_json, print_table
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..engines.build_cache import BuildCache


class CacheAction(str, Enum):
    """What to do with the cache."""

    SHOW = "show"
    CLEAR = "clear"


def cache(
    action: Annotated[CacheAction, typer.Argument(help="What to do.")], *, display: DisplayOptions
) -> None:
    """Show or delete cached bundles, compiled plans and measurements.

    Bundles are in $XDG_CACHE_HOME/ocr-trt/builds (by default ~/.cache/ocr-trt/builds), at most 4096
    MiB or the number in OCR_TRT_CACHE_MIB; 0 turns the cache off. If they exceed the limit, the
    least recently used bundle is removed. The list starts with the most recently used bundle.

    Example: `ocr-trt cache show`
    """
    from ..common.cache import NAMES, cache_root, named_cache
    from ..engines.build_cache import default_cache

    builds = default_cache()  # None if OCR_TRT_CACHE_MIB is 0
    if action is CacheAction.CLEAR:
        size = sum(named_cache(name).clear() for name in NAMES)
        if display.json:
            print_json({"folder": str(cache_root()), "removed_bytes": size})
        else:
            print(f"removed {size / 2**20:.1f} MiB from {cache_root()}")
    elif builds is None:
        if display.json:
            print_json({"folder": None})
        else:
            print("turned off: OCR_TRT_CACHE_MIB is 0")
    else:
        _show(builds, display.json)


def _show(builds: BuildCache, json: bool) -> None:
    from ..common.cache import NAMES, named_cache

    entries = builds.bundles()
    others = {name: named_cache(name).entries() for name in NAMES if name != "builds"}
    sizes = {name: sum(entry.bytes for entry in each) for name, each in others.items() if each}
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
        also = [
            {
                "folder": str(named_cache(name).folder),
                "what": NAMES[name],
                "entries": len(others[name]),
                "bytes": size,
            }
            for name, size in sizes.items()
        ]
        folder, limit = str(builds.folder), builds.max_bytes
        print_json({"folder": folder, "most_bytes": limit, "bundles": rows, "also": also})
        return
    header = ("bundle", "bytes", "built", "last used", "key")
    # The first twelve digits of a SHA-256 identify a bundle; the JSON has all digits.
    cells = [(*list(row.values())[:-1], str(row["key"])[:12]) for row in rows]
    print_table(f"{builds.folder}", header, cells)
    total = sum(entry.bytes for entry in entries)
    limit_text = f"{builds.max_bytes / 2**20:.0f} MiB"
    print(f"bundles: {len(entries)}, {total / 2**20:.1f} MiB of at most {limit_text}")
    for name, size in sizes.items():
        place, count = named_cache(name).folder, len(others[name])
        print(f"{place}: {NAMES[name]}; entries: {count}, {size / 2**20:.1f} MiB")
