"""The ways in which files arrive, and what the page says when they cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.serve.browser.conftest import MIXED, SCRIPT
from tests.serve.browser.web_page import WebPage
from tests.serve.client import Running, service
from tests.serve.conftest import png

pytestmark = pytest.mark.full


def test_drop(page: WebPage, image: bytes, tmp_path: Path) -> None:
    """As from a file manager: with an overlay while the file is over the window."""
    path = tmp_path / "dropped.png"
    path.write_bytes(image)
    session = page.tab.context.new_cdp_session(page.tab)

    def drag(kind: str) -> None:
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 700, "data": data})

    drag("dragEnter")
    drag("dragOver")
    page.tab.wait_for_selector("#dropping", state="visible")
    drag("drop")
    page.wait_for_result()
    assert page.lines() == [SCRIPT, MIXED] and page.text("#result-title") == "dropped.png"
    assert page.tab.is_hidden("#dropping")


def test_drop_of_several_files_reads_the_first(page: WebPage, image: bytes) -> None:
    transfer = page.data_transfer("first.png", image)
    transfer.evaluate("files => files.items.add(new File(['x'], 'second.txt'))")
    page.tab.dispatch_event("body", "drop", {"dataTransfer": transfer})
    page.wait_for_result()
    assert page.text("#result-title") == "first.png" and "2 files" in page.text("#notes")


def test_drop_of_an_address(page: WebPage) -> None:
    transfer = page.tab.evaluate_handle("new DataTransfer()")
    transfer.evaluate("data => data.setData('text/uri-list', 'http://127.0.0.1/x.png')")
    page.tab.dispatch_event("body", "drop", {"dataTransfer": transfer})
    assert "not_a_file" in page.text("#problem") and page.tab.url == f"{page.address}/"


def test_drop_on_a_result_reads_the_new_file(page: WebPage, image: bytes) -> None:
    page.choose("one.png", image)
    page.wait_for_result()
    transfer = page.data_transfer("two.png", image)
    page.tab.dispatch_event("#stage", "drop", {"dataTransfer": transfer})
    page.wait_for_result()
    assert page.text("#result-title") == "two.png" and page.lines() == [SCRIPT, MIXED]


def test_paste(page: WebPage, image: bytes) -> None:
    """An image from the clipboard, with the keys of a keyboard."""
    page.tab.evaluate(
        """async (bytes) => navigator.clipboard.write([new ClipboardItem({
          "image/png": new Blob([new Uint8Array(bytes)], { type: "image/png" }) })])""",
        list(image),
    )
    page.tab.keyboard.press("Control+V")
    page.wait_for_result()
    assert page.lines() == [SCRIPT, MIXED]


def test_paste_of_text(page: WebPage) -> None:
    page.tab.evaluate("navigator.clipboard.writeText('no file')")
    page.tab.keyboard.press("Control+V")
    page.tab.wait_for_selector(".problem")
    assert "not_a_file" in page.text("#problem")


def test_sample(page: WebPage) -> None:
    page.tab.wait_for_selector(".sample img[src]")
    assert page.tab.locator(".sample").count() == 6
    page.tab.click("#more-samples")
    assert page.tab.locator(".sample").count() > 6
    page.tab.click(".sample >> nth=1")
    page.wait_for_result()
    assert page.text("#result-title") == "test_02.jpg" and page.text("#size") == "640 \u00d7 640 px"


@pytest.mark.parametrize(
    ("name", "data", "code", "status"),
    [
        ("garbage.png", b"\x89PNG\r\n\x1a\n garbage", "broken_image", "400"),
        ("notes.txt", b"no image", "unsupported_format", "415"),
        ("empty.png", b"", "invalid_body", "400"),
        ("heavy.png", bytes(1_200_000), "body_too_large", "413"),
        ("wide.png", png(Image.new("RGB", (1000, 800))), "image_too_large", "413"),
    ],
)
def test_error_of_a_file(
    page: WebPage, image: bytes, name: str, data: bytes, code: str, status: str
) -> None:
    page.choose(name, data)
    page.tab.wait_for_selector(".problem")
    text = page.text("#problem")
    assert name in text and code in text and status in text
    assert page.tab.is_visible("#start") and page.tab.is_hidden("#result")
    page.choose("good.png", image)
    page.wait_for_result()
    assert page.tab.locator(".problem").count() == 0


def test_service_that_does_not_answer(page: WebPage, image: bytes) -> None:
    page.tab.route("**/v1/ocr*", lambda route: route.abort())
    page.choose("image.png", image)
    page.tab.wait_for_selector(".problem")
    assert "network" in page.text("#problem")
    page.tab.unroute("**/v1/ocr*")
    page.tab.click("button:text('Try again')")
    page.wait_for_result()
    assert page.lines() == [SCRIPT, MIXED]


def busy_once(answers: list[int]) -> Any:
    """Answer with 503 as often as there are items, then let requests through."""
    body = '{"error": {"code": "overloaded", "message": "8 images wait"}}'

    def handle(route: Any) -> None:
        if answers:
            route.fulfill(status=answers.pop(), body=body, headers={"Retry-After": "1"})
        else:
            route.continue_()

    return handle


def test_busy_service_is_asked_again(page: WebPage, image: bytes) -> None:
    answers = [503, 503]
    page.tab.route("**/v1/ocr*", busy_once(answers))
    page.choose("image.png", image)
    page.tab.wait_for_selector("text=The service is busy")
    page.wait_for_result()
    assert page.lines() == [SCRIPT, MIXED] and answers == []


def test_cancel(page: WebPage, image: bytes) -> None:
    page.tab.route("**/v1/ocr*", lambda route: None)  # never answered
    page.choose("image.png", image)
    page.tab.click("text=Cancel")
    page.tab.wait_for_selector("#start", state="visible")
    assert page.tab.locator(".problem").count() == 0
    page.tab.unroute("**/v1/ocr*")
    page.choose("image.png", image)
    page.wait_for_result()
    assert page.lines() == [SCRIPT, MIXED]


def test_token(
    chromium: Any, bundle_options: tuple[object, ...], tmp_path: Path, image: bytes
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789-abcdef")
    with service(*bundle_options, "--token-file", token) as running:
        with WebPage.opened(chromium, f"http://127.0.0.1:{running.port}") as page:
            assert page.focused() == "token"
            page.tab.keyboard.type("a wrong token")
            page.tab.keyboard.press("Enter")
            assert "ASCII" in page.text("#token-error")
            page.tab.fill("#token", "wrong-but-possible-1")
            page.tab.keyboard.press("Enter")
            page.tab.wait_for_selector("#token-error:has-text('wrong')")
            page.tab.fill("#token", token.read_text())
            page.tab.keyboard.press("Enter")
            page.tab.wait_for_selector(".sample img[src]")  # images, too, require the token
            assert page.tab.is_hidden("#token-form")
            page.choose("image.png", image)
            page.wait_for_result()
            assert page.lines() == [SCRIPT, MIXED]
            page.check_clean()


def test_page_without_scripts(chromium: Any, site: Running) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"http://127.0.0.1:{site.port}/")
    assert "requires JavaScript" in tab.inner_text("body")
    context.close()
