"""Paths that are not UTF-8: as texts of files, and as addresses of links."""

from __future__ import annotations

import os
from pathlib import Path

from ocr_trt.common.frozen_model import FrozenModel
from ocr_trt.common.path_text import all_text, is_text, link_between, path_text

NAME = b"\xff \n%.png"


class Note(FrozenModel):
    texts: tuple[str, ...]
    by_name: dict[str, str] = {}


def test_bytes_are_escaped() -> None:
    path = Path(os.fsdecode(NAME))
    assert path_text(path) == path_text(NAME) == "\\xff \n%.png"
    assert not is_text(path)
    assert is_text("ü")


def test_data_with_any_path_can_be_written() -> None:
    note = Note(texts=("ok", f"{os.fsdecode(NAME)}: no such file"), by_name={"\ud800": "x"})
    found = all_text(note)
    assert found.texts == ("ok", "\\udcff \n%.png: no such file")
    assert Note.model_validate_json(found.model_dump_json()) == found
    assert all_text(found) is found


def test_links_to_any_file(tmp_path: Path) -> None:
    address = link_between(tmp_path / "report", tmp_path / os.fsdecode(NAME))
    assert address == "../%FF%20%0A%25.png"
