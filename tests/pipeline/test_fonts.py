"""Every script is drawn with a font that has it, or its missing characters are reported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import features

from ocr_trt.pipeline import fonts
from ocr_trt.pipeline.draw import draw_lines
from ocr_trt.pipeline.fonts import font_for, in_drawing_order, missing_characters
from ocr_trt.pipeline.text_lines import TextLine

SCRIPTS = {
    "Latin": "Übung", "Cyrillic": "Привет", "Greek": "Αθήνα", "Arabic": "مرحبا", "Hebrew": "שלום",
    "Hangul": "한글", "Han": "简体中文", "Kana": "テキスト", "Thai": "สวัสดี",
}  # fmt: skip
IN_DEJAVU = ("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew")


@pytest.fixture(params=["fontconfig", "matplotlib"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The fonts of this machine, found by fontconfig or, without it, by matplotlib."""
    if request.param == "matplotlib":
        monkeypatch.setattr(fonts, "_fontconfig_match", lambda _: None)
    fonts._font_file.cache_clear()
    yield str(request.param)
    fonts._font_file.cache_clear()


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_has_a_font_or_its_characters_are_missing(script: str, source: str) -> None:
    text = SCRIPTS[script]
    missing = missing_characters(text)
    assert missing <= set(text)
    if script in IN_DEJAVU and source == "matplotlib":
        assert not missing, "matplotlib contains DejaVu Sans"
    quad = np.float32([[10, 10], [190, 10], [190, 40], [10, 40]])
    line = TextLine(quad=quad, text=text, box_score=1.0, text_score=1.0)
    page = draw_lines(np.zeros((50, 200, 3), np.uint8), [line])[:, 200:]
    assert (page[12:38, 12:188] < 128).any()
    if not missing:
        # A font without a character draws the same box for each of them.
        masks = [font_for(each, 24).getmask(each) for each in sorted({*text})]
        assert len({(mask.size, bytes(mask)) for mask in masks}) == len({*text})


def test_ascii_keeps_the_font_of_pillow() -> None:
    assert fonts._font_file(frozenset("word 12!")) is None
    assert missing_characters("word 12!\t") == frozenset()


def test_characters_without_any_font_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(b"no font")
    monkeypatch.setattr(fonts, "_fontconfig_match", lambda _: None)
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(bad)])
    fonts._font_file.cache_clear()
    assert missing_characters("Привет 한글") == {"한", "글"}
    fonts._font_file.cache_clear()


def test_right_to_left_text_is_ordered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_drawing_order("word") == "word"
    if features.check("raqm"):
        assert in_drawing_order("שלום") == "שלום", "Pillow orders it"
    monkeypatch.setattr(fonts.features, "check", lambda _: False)
    monkeypatch.setitem(sys.modules, "bidi", None)
    assert in_drawing_order("שלום") == "שלום"


def test_python_bidi_orders_text_without_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bidi")
    monkeypatch.setattr(fonts.features, "check", lambda _: False)
    assert in_drawing_order("שלום 12") == "12 םולש"
