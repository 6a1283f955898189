"""JSON of any origin: data that is too deep or too large is refused with the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocr_trt.common.json_files import parse_json, read_json
from ocr_trt.engines.manifest import NAME, read_manifest
from ocr_trt.errors import InputFileError


@pytest.mark.parametrize("text", ["[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100])
def test_nesting_up_to_the_limit_is_read(text: str) -> None:
    assert parse_json(text, "data.json")


@pytest.mark.parametrize("levels", [101, 900, 5000, 100_000])
def test_deeper_nesting_is_refused(levels: int) -> None:
    for text in (
        "[" * levels + "]" * levels,
        '{"a":' * levels + "1" + "}" * levels,
        '[{"a":' * (levels // 2 + 1) + "1" + "}]" * (levels // 2 + 1),
    ):
        with pytest.raises(InputFileError, match=r"data\.json: .*100"):
            parse_json(text, "data.json")


def test_too_many_values_are_refused() -> None:
    assert len(parse_json("[" + "1," * 998 + "1]", "data.json", values=1000)) == 999
    with pytest.raises(InputFileError, match=r"1,001 values.*1,000 are allowed"):
        parse_json("[" + "1," * 999 + "1]", "data.json", values=1000)


def test_manifest_900_levels_deep_is_refused(tmp_path: Path) -> None:
    settings = json.loads('{"a":' * 900 + "1" + "}" * 900)
    (tmp_path / NAME).write_text(json.dumps({"schema_version": 2, "settings": settings}))
    with pytest.raises(InputFileError, match="or more levels"):
        read_manifest(tmp_path)


def test_manifest_of_a_million_entries_is_refused(tmp_path: Path) -> None:
    files = {f"{number:x}": 1 for number in range(1_000_000)}
    text = json.dumps({"schema_version": 2, "files": files}, separators=(",", ":"))
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InputFileError, match=r"1,000,003 values.*200,000"):
        read_manifest(tmp_path)


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(InputFileError):
            read_json(path, limit=10)
