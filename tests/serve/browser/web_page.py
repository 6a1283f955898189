"""The page of a service in a browser, as a user sees and operates it."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

_RECORD_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
_FILES = """([name, type, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type }));
  return files;
}"""
_CORNERS = """() => [...document.querySelectorAll(".box")].map((box) =>
  [...box.points].map((point) => {
    const { x, y } = point.matrixTransform(box.getScreenCTM());
    return [x, y];
  }))"""
_CROP_CENTER = """() => {
  const crop = document.querySelector(".crop");
  const middle = [crop.width >> 1, crop.height >> 1];
  return [...crop.getContext("2d").getImageData(...middle, 1, 1).data].slice(0, 3);
}"""


def find_browser() -> str | None:
    """Return the path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass(kw_only=True)
class WebPage:
    """A page of playwright, and what happened on it."""

    tab: Any
    address: str
    problems: list[str] = field(default_factory=list)
    """Errors of scripts, and requests to other hosts."""

    @classmethod
    @contextmanager
    def opened(cls, chromium: Any, address: str, **options: Any) -> Iterator[WebPage]:
        """Open the page in a window of its own. Options: those of playwright's ``new_context``."""
        options = {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"} | options
        context = chromium.new_context(**options)
        context.set_default_timeout(30_000)
        context.add_init_script(_RECORD_VIOLATIONS)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        page = cls(tab=context.new_page(), address=address)
        page.tab.on("pageerror", lambda error: page.problems.append(f"error: {error}"))
        page.tab.on("console", page._on_console)
        context.on("request", page._on_request)
        try:
            page.tab.goto(address)
            page.tab.wait_for_selector("#about span, #token:focus")  # the answer of /v1/info
            yield page
        finally:
            context.close()

    def _on_console(self, message: Any) -> None:
        # Chromium itself reports answers that are errors.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.address}/", "blob:", "data:")):
            self.problems.append(f"request: {request.url}")

    def check_clean(self) -> None:
        """Check that nothing was reported, requested elsewhere, or blocked by the policy."""
        assert self.problems == []
        assert self.tab.evaluate("window.violations") == []

    def choose(self, name: str, data: bytes, kind: str = "image/png") -> None:
        """Choose a file in the file chooser."""
        file = {"name": name, "mimeType": kind, "buffer": data}
        self.tab.set_input_files("#file", file)

    def data_transfer(self, name: str, data: bytes, kind: str = "image/png") -> Any:
        """Return a DataTransfer with a file, as drops have it."""
        return self.tab.evaluate_handle(_FILES, [name, kind, base64.b64encode(data).decode()])

    def wait_for_result(self) -> None:
        """Wait until all pages are read and the image is on the screen."""
        self.tab.wait_for_selector("#progress", state="hidden")
        self.tab.wait_for_selector("#result:not([aria-busy=true]) .sheet img")

    def lines(self) -> list[str]:
        """Return the texts in the list."""
        return self.tab.locator(".line-text").all_inner_texts()

    def corners(self) -> list[list[list[float]]]:
        """Return the corners of each box in CSS pixels of the window."""
        return self.tab.evaluate(_CORNERS)

    def image_place(self) -> dict[str, float]:
        """Return x, y, width and height of the image in CSS pixels of the window."""
        return self.tab.locator(".sheet img").bounding_box()

    def crop_center(self) -> list[int]:
        """Return the color in the middle of the enlarged line."""
        return self.tab.evaluate(_CROP_CENTER)

    def text(self, selector: str) -> str:
        """Return the text that is visible there."""
        return self.tab.inner_text(selector)

    def focused(self) -> str:
        """Return the accessible name, or the text, of the focused element."""
        script = (
            "(e => e.getAttribute('aria-label') || e.innerText || e.id)(document.activeElement)"
        )
        return self.tab.evaluate(script).strip()
