"""The page draws the polygons of curved text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.readable_models import badge, write_bundles, write_models
from tests.serve.browser.web_page import WebPage
from tests.serve.client import service
from tests.serve.conftest import png


def test_boxes_of_curved_lines_are_polygons(chromium: Any, tmp_path: Path) -> None:
    write_bundles(write_models(tmp_path, shape="polygon"), tmp_path / "bundles")
    content, folder = png(badge()), tmp_path / "bundles"
    pair = ("--detector", folder / "detector", "--recognizer", folder / "recognizer")
    with service(*pair) as site, WebPage.opened(chromium, f"http://127.0.0.1:{site.port}") as page:
        page.choose("badge.png", content)
        page.wait_for_result()
        (document,) = site.ask("/v1/ocr", content, content_type="image/png").json
        place = page.image_place()
        scale = place["width"] / document["width"]
        for line, corners in zip(document["lines"], page.corners(), strict=True):
            expected = scale * np.array(line["polygon"]) + (place["x"], place["y"])
            assert np.array(corners) == pytest.approx(expected, abs=1)
        assert [len(corners) for corners in page.corners()] == [32, 4]
        page.tab.hover(".line >> nth=0")
        assert page.tab.locator(".crop").count() == 1
        page.check_clean()
