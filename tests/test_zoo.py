"""Every family of the zoo: converted, equal to TensorFlow, built for every installed target."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import onnx
import pytest

pytest.importorskip("tensorflow")

from .zoo import DOCUMENT, FAMILIES, Family, examine

ROW = re.compile(r"^\| `([\w-]+)` \|[^|]*\| \d+ -> (\d+) \| \d+ -> (\d+) \|", re.M)
LISTED = {name: (int(n), int(t)) for name, n, t in ROW.findall(DOCUMENT.read_text("utf-8"))}
"""Numbers of nodes and of Transposes per model that the document states."""


MORE_BEFORE_KERAS_3_15 = {"masked-gru": 1}
"""Nodes beyond the document's: Masking multiplied by a mask that it cast, in place of a Where."""

QUICK = {"tf1-detector", "wide-unpool", "tdnn"}
"""The fastest detectors and the fastest recognizer, which run in every `make test`."""
MARKED = [
    pytest.param(each, id=each.name, marks=() if each.name in QUICK else pytest.mark.full)
    for each in FAMILIES
]


@pytest.mark.parametrize("family", MARKED)
def test_family(family: Family, tmp_path: Path) -> None:
    result = examine(family, tmp_path)
    assert result.spread > 0.01, "a constant output would prove nothing"
    limit = 1e-5 if family.role == "detector" else 1e-4
    assert result.difference <= limit + result.rounding + family.level
    assert result.openvino <= 1e-4
    assert set(result.builds.values()) <= {"yes", "-"}
    # The largest takes 11 s of processor time on a busy machine with 2 cores.
    assert result.seconds < 40
    if family.role == "detector":
        assert result.converted.ops["Transpose"] == family.transposes
    ops, (nodes, transposes) = result.converted.ops, LISTED[family.name]
    if tuple(map(int, version("keras").split(".")[:2])) < (3, 15):
        nodes += MORE_BEFORE_KERAS_3_15.get(family.name, 0)
    assert ops.total() <= nodes, "more than docs/zoo.md states"
    assert ops["Transpose"] <= transposes, "more than docs/zoo.md states"
    assert ops["Loop"] == family.loops
    assert not {"If", "Scan", "ReverseSequence"} & set(ops)
    text = onnx.printer.to_text(result.converted.model)
    assert not re.search(r"pkg\.|0x[0-9a-f]{8}|__\d+", text), "nothing that differs between runs"


def test_document_lists_every_family() -> None:
    assert list(LISTED) == [family.name for family in FAMILIES]
