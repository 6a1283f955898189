"""Boxes and lines find each other; keyboard, screen reader, narrow screens, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.serve.browser.conftest import MIXED, SCRIPT
from tests.serve.browser.web_page import WebPage
from tests.serve.client import Running

pytestmark = pytest.mark.full

SIZES = ((1280, 860), (768, 1000), (400, 820), (320, 560))


@pytest.fixture
def result(page: WebPage, image: bytes) -> WebPage:
    """The page with the result of an image of two lines."""
    page.choose("receipt.png", image)
    page.wait_for_result()
    return page


def active(page: WebPage) -> tuple[list[int], list[int], str]:
    """Return which lines and boxes are emphasized, and the text of the enlarged line."""
    script = """kind => [...document.querySelectorAll(kind)].flatMap(
      (each, index) => each.classList.contains("active") ? [index] : [])"""
    lines, boxes = page.tab.evaluate(script, ".line"), page.tab.evaluate(script, ".box")
    return lines, boxes, page.text(".callout-text")


def test_hovering(result: WebPage) -> None:
    assert active(result) == ([0], [0], SCRIPT), "the first line is selected"
    result.tab.hover(".box >> nth=1")
    assert active(result) == ([1], [1], MIXED)
    result.tab.hover(".line >> nth=0")
    assert active(result) == ([0], [0], SCRIPT)
    result.tab.hover(".line >> nth=1")
    assert active(result) == ([1], [1], MIXED)
    result.tab.hover("#result-title")
    assert active(result) == ([0], [0], SCRIPT), "the selected line again"
    result.tab.click(".line >> nth=1")
    result.tab.hover("#result-title")
    assert active(result) == ([1], [1], MIXED)
    result.tab.click(".box >> nth=0")
    result.tab.hover("#result-title")
    assert active(result) == ([0], [0], SCRIPT)


def test_keyboard_moves_between_boxes_and_lines(result: WebPage) -> None:
    keys = result.tab.keyboard
    result.tab.focus(".line >> nth=0")
    keys.press("ArrowDown")
    assert active(result) == ([1], [1], MIXED)
    keys.press("ArrowDown")
    assert active(result) == ([1], [1], MIXED), "the end of the list"
    keys.press("Enter")
    assert result.focused().startswith(f"Line 2: {MIXED}"), "its box"
    keys.press("Home")
    assert active(result) == ([0], [0], SCRIPT)
    keys.press("Enter")
    assert SCRIPT in result.focused() and result.tab.locator(".line:focus").count() == 1


def test_walk_by_keyboard(page: WebPage, image: bytes) -> None:
    """From the start to a result, its JSON and the next file, without a pointer."""
    keys, seen = page.tab.keyboard, []
    page.tab.wait_for_selector(".sample")
    for _ in range(12):
        keys.press("Tab")
        seen.append(page.focused())
        assert page.tab.evaluate("document.activeElement.matches(':focus-visible')")
        if len(seen) > 4 and seen[-1].startswith("Show all"):
            break
    assert seen[:4] == ["Skip to content", "ocr-trt", "API", "file"]
    assert seen[4] == "Test 01"
    with page.tab.expect_file_chooser() as chooser:
        page.tab.focus("#file")
        keys.press("Enter")
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": image})
    page.wait_for_result()
    assert page.tab.evaluate("document.activeElement.id") == "result-title"
    seen = []
    for _ in range(8):
        keys.press("Tab")
        seen.append(page.focused())
    assert seen[0] == "New file" and seen[1:3] == ["Zoom out", "Zoom in"]
    assert seen[3].startswith("Line 1: ") and seen[4:6] == ["Copy text", "Download JSON"]
    assert SCRIPT in seen[6] and seen[7] == "Plain text"
    keys.press("Enter")
    assert page.text("#plain") == f"{SCRIPT}\n{MIXED}"
    page.tab.focus("#new")
    keys.press("Enter")
    assert page.tab.evaluate("document.activeElement.id") == "start-title"


def test_screen_reader_hears_what_happens(page: WebPage, image: bytes) -> None:
    assert page.tab.get_attribute("#status", "role") == "status"
    assert page.tab.get_attribute("#problem", "role") == "alert"
    page.choose("x.txt", b"no image")
    page.tab.wait_for_selector("[role=alert] .problem")
    assert page.focused(), "the focus is not lost"
    page.choose("a.png", image)
    page.wait_for_result()
    page.tab.wait_for_selector("[role=status]:has-text('2 lines')")
    assert page.tab.get_attribute(".sheet img", "alt") == "a.png"
    assert page.tab.get_attribute(".line-text", "dir") == "auto"


def test_zoom_keeps_boxes_on_the_image(result: WebPage) -> None:
    before = result.image_place()["width"]
    result.tab.click("[aria-label='Zoom in']")
    result.tab.click("[aria-label='Zoom in']")
    place = result.image_place()
    assert place["width"] == pytest.approx(2 * before, abs=1) and result.text("#zoom") == "2\u00d7"
    (corner, *_), *_ = result.corners()
    scale = place["width"] / 160
    assert corner == pytest.approx([place["x"] + 16 * scale, place["y"] + 16 * scale], abs=1)
    result.tab.focus("[aria-label='Zoom out']")
    for _ in range(9):  # more often than there are levels
        result.tab.keyboard.press("Enter")
    assert result.text("#zoom") == "Fit" and result.image_place()["width"] == before


def long_document() -> list[dict[str, Any]]:
    """The answer for a page of 300 lines, some without characters and some doubtful."""
    lines = [
        {
            "quad": [[5, y], [150, y], [150, y + 0.2], [5, y + 0.2]],
            "text": "" if number % 7 == 0 else f"line {number} " + "of text " * (number % 9),
            "box_score": 0.9, "text_score": 0.3 if number % 5 == 0 else 0.99,
        }
        for number, y in enumerate(0.3 * index for index in range(300))
    ]  # fmt: skip
    return [
        {
            "file": None, "page": 1, "pages": 1, "width": 160, "height": 96, "lines": lines,
            "warnings": ["the image was <b>shrunk</b>"], "seconds": {"detect": 0.1},
        }
    ]  # fmt: skip


def test_long_page(page: WebPage, image: bytes) -> None:
    page.tab.route("**/v1/ocr*", lambda route: route.fulfill(json=long_document()))
    page.choose("long.png", image)
    page.wait_for_result()
    assert page.tab.locator(".line").count() == page.tab.locator(".box").count() == 300
    assert "The image was <b>shrunk</b>." in page.text("#notes")
    assert "60 lines have a text score below 60%" in page.text("#notes")
    height = page.tab.evaluate("document.documentElement.scrollHeight")
    assert height < 2 * 860, "the list scrolls in its place"
    page.tab.focus(".line >> nth=0")
    page.tab.keyboard.press("End")
    lines, boxes, text = active(page)
    assert lines == boxes == [299] and text.startswith("line 299")
    place, frame = (page.tab.locator(each).bounding_box() for each in (".line:focus", "#text-body"))
    assert frame["y"] <= place["y"] and place["y"] + place["height"] <= frame["y"] + frame["height"]
    check_accessible(page)


@pytest.fixture(params=["light", "dark"])
def window(request: pytest.FixtureRequest, chromium: Any, site: Running) -> Iterator[WebPage]:
    """The page in a light or dark window."""
    address = f"http://127.0.0.1:{site.port}"
    with WebPage.opened(chromium, address, color_scheme=request.param) as own:
        yield own
        own.check_clean()


def check_accessible(page: WebPage) -> None:
    """Check all rules of axe at all sizes, and that nothing is wider than the window."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width, height in SIZES:
        page.tab.set_viewport_size({"width": width, "height": height})
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.run(page.tab)
        assert found.violations_count == 0, (width, found.generate_report())


def test_start_is_accessible(window: WebPage, site: Running) -> None:
    window.tab.wait_for_selector(".sample img[src]")
    check_accessible(window)
    window.choose("<b>.txt", b"no image")
    window.tab.wait_for_selector(".problem")
    check_accessible(window)


def test_result_is_accessible(window: WebPage, image: bytes) -> None:
    window.choose("receipt.png", image)
    window.wait_for_result()
    window.tab.click("summary:text('Plain text')")
    window.tab.click("[aria-label='Zoom in']")
    check_accessible(window)


def test_description_of_the_api_is_accessible(window: WebPage) -> None:
    window.tab.goto(f"{window.address}/docs")
    check_accessible(window)
