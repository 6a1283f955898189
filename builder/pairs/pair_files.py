"""The files in the output folder of a pair: a report as data and as a page, and two bundles."""

from __future__ import annotations

import re
from pathlib import Path

from ...common.json_files import read_json
from ...engines.bundle import own_files
from ...errors import InputFileError

DATA, PAGE = "pairs.json", "pairs.html"
_LARGEST = 16 << 20
"""Bytes of a report."""
_BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""The name of a folder of a bundle, which is a name of a spec, a target and a precision."""


def own_pair_files(folder: Path) -> set[str]:
    """Return the paths below ``folder`` that an older run wrote, and that a new one may replace.

    Bundles belong to a run only if its report names them: other bundles in the folder, such as
    those of ``build``, are the user's.
    """
    own = {DATA, PAGE}
    for name in _bundles_of(folder / DATA):
        own |= {f"{name}/{file}" for file in own_files(folder / name)}
    return own


def _bundles_of(report: Path) -> list[str]:
    """Return the folders of bundles that a report names; nothing if it is no report."""
    try:
        data = read_json(report, limit=_LARGEST)
    except InputFileError:
        return []
    names = data.get("bundles") if isinstance(data, dict) else None
    # A forged report must not lead to another folder.
    return [
        name
        for name in (names if isinstance(names, list) else ())
        if isinstance(name, str) and _BUNDLE.fullmatch(name)
    ]
