"""YAML as specs use it, and attacks by YAML of unknown origin."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ocr_trt.common.safe_yaml import dump_yaml, load_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: [1, -2, 3.5, 1e-3, .5]", {"a": [1, -2, 3.5, 0.001, 0.5]}),
        ("a: true\nb: null\nc:", {"a": True, "b": None, "c": None}),
        ("signature: on\ncharset: no", {"signature": "on", "charset": "no"}),
        ("a: 1:30\nb: 2024-01-01", {"a": "1:30", "b": "2024-01-01"}),
        ('"0": "1234"', {"0": "1234"}),
    ],
    ids=["numbers", "true and nothing", "words", "no clock, no date", "quoted numbers"],
)
def test_values_are_those_of_the_core_schema(text: str, value: Any) -> None:
    assert load_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "[" * 250_000,
        "{a: " * 60_000,
        "- " * 120_000 + "1",
        "? " * 120_000,
        "[" * 21 + "1" + "]" * 21,
    ],
    ids=["lists", "mappings", "block lists", "keys", "just too deep"],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nested more than 20 levels"):
        load_yaml(text)


def test_nesting_up_to_the_limit_is_read() -> None:
    assert load_yaml("[" * 20 + "1" + "]" * 20)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "aliases are not allowed"),
        (MERGES, "aliases are not allowed"),
        ("a: 1\nb: 2\na: 3", "duplicate key 'a' in line 3"),
        ("a: [1", "expected"),
        ("[" * 100_000, "nested more than 20 levels"),
        ("a: !!python/object/apply:os.getcwd []", "tags are not allowed"),
        ("a: !!map [x]", "tags are not allowed"),
        ("a: !!int '1:1'", "tags are not allowed"),
    ],
    ids=["laughs", "merges", "key twice", "not closed", "too deep", "python", "map", "int"],
)
def test_unsupported_yaml_is_refused_quickly(text: str, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match=message):
        load_yaml(text)
    assert time.monotonic() - start < 5


def test_long_numbers_are_parsed_quickly() -> None:
    start = time.monotonic()
    value = load_yaml("a: " + ":".join("1" * 50_000))
    assert isinstance(value["a"], str)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ["0123456789", "08", "1e5", "1e-3", "on", "~", "", "a: b", "x\ny"])
def test_texts_survive_dump_and_load(text: str) -> None:
    assert load_yaml(dump_yaml({"charset": text, text: [text]})) == {"charset": text, text: [text]}
