"""A real browser, and a service that reads hostile, right-to-left and Chinese text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.readable_models import PRINTABLE, write_bundles, write_models
from tests.serve.browser.web_page import BROWSERS, CHROMIUM_OPTIONS, WebPage, find_browser
from tests.serve.client import Running, service

SCRIPT, MIXED = "<script>x()", "שלום 東京"
"""What the recognizer reads: a bright line, and a dark one."""
_FOREIGN = "".join(sorted(set(MIXED) - set(PRINTABLE)))


@pytest.fixture(scope="session")
def bundle_options(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """The options that name bundles which read SCRIPT and MIXED."""
    folder = tmp_path_factory.mktemp("browser")
    charset = PRINTABLE[: -len(_FOREIGN)] + _FOREIGN  # the last characters occur in no text
    write_bundles(write_models(folder, (SCRIPT, MIXED), charset), folder / "bundles")
    return tuple(
        part
        for role in ("detector", "recognizer")
        for part in (f"--{role}", folder / "bundles" / role)
    )


@pytest.fixture(scope="session")
def site(bundle_options: tuple[object, ...]) -> Iterator[Running]:
    """A service with small limits, for all tests of the page."""
    limits = ("--max-body", 1, "--max-pixels", 0.5)
    with service(*bundle_options, *limits) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium; tests are skipped where it or playwright is not installed.

    Not for the whole session: while playwright runs, ``asyncio.run`` of other tests fails.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install '.[browser]'"
    )
    path = find_browser()
    if path is None:
        pytest.skip(f"needs {' or '.join(BROWSERS)}; `make browser` installs it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, headless=True, args=list(CHROMIUM_OPTIONS)
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, site: Running) -> Iterator[WebPage]:
    """The page in a new window of 1280 x 860 pixels. At the end, it has caused no violations."""
    with WebPage.opened(chromium, f"http://127.0.0.1:{site.port}") as own:
        yield own
        own.check_clean()
