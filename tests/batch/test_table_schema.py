"""The columns of the results are those of ``run --json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ocr_trt.batch.table_schema import arrow_type, result_schema
from ocr_trt.pipeline.text_lines import TextLine

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_lines_have_the_fields_of_run() -> None:
    quad = np.array([[0, 0], [9.25, 0], [9, 5], [0, 5]], np.float32)
    line = TextLine(quad=quad, text="ab", box_score=0.5, text_score=0.25).to_dict()
    table = pa.Table.from_pylist(
        [{"id": "a", "page": 1, "lines": [line]}, {"id": "b", "page": 1, "lines": []}],
        schema=result_schema(),
    )
    assert table["lines"].to_pylist() == [[line], []]


def test_types() -> None:
    nullable = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert arrow_type(nullable, {}) == pa.int64()
    assert arrow_type({"$ref": "#/$defs/A"}, {"A": {"enum": ["x"]}}) == pa.string()
    with pytest.raises(ValueError, match="no Arrow type"):
        arrow_type({"type": "object"}, {})


def test_page_lists_all_columns() -> None:
    text = PAGE.read_text()
    for field in result_schema():
        assert f"| `{field.name}` |" in text
