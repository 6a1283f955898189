"""Write docs/images/page.jpg: the page of the service with a sample image, in Chromium.

Run ``ocr-trt demo`` first, then ``python tests/page_image.py demo-output/bundles``.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = "test_04.jpg"


def main(bundles: Path) -> None:
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from tests.serve.browser.web_page import CHROMIUM_OPTIONS, WebPage, find_browser
    from tests.serve.client import service

    roles = {
        role: bundles / f"reference-{role}-openvino-int8" for role in ("detector", "recognizer")
    }
    options = [part for role, folder in roles.items() for part in (f"--{role}", folder)]
    sample = ROOT / "models" / "samples" / "test" / SAMPLE
    with service(*options) as running, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_browser(), headless=True, args=list(CHROMIUM_OPTIONS)
        )
        address = f"http://127.0.0.1:{running.port}"
        with WebPage.opened(browser, address, viewport={"width": 1280, "height": 880}) as page:
            for _ in range(3):  # the first reads are slower
                page.choose(SAMPLE, sample.read_bytes(), "image/jpeg")
                page.wait_for_result()
            page.tab.click(".line >> nth=3")
            page.tab.hover("#result-title")
            shot = Image.open(io.BytesIO(page.tab.screenshot())).convert("RGB")
            page.check_clean()
        browser.close()
    path = ROOT / "docs" / "images" / "page.jpg"
    path.parent.mkdir(exist_ok=True)
    shot.save(path, quality=85, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(Path(sys.argv[1]))
