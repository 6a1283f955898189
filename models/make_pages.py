"""Renders documents in a browser and photographs them by simulation, as labeled sample images.

    python -m ocr_trt.models.make_pages

``samples/pages``: documents of this project in English, and a Chinese one, in several fonts, sizes,
columns and tables. ``samples/pages-korean``: a Korean one. Each label is a line of text with its
exact characters: the browser reports where it placed them. It requires Chromium and the Debian
packages fonts-noto-cjk, fonts-lato, fonts-ebgaramond and fonts-roboto-unhinted.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputFileError
from ..ocr.types import Image, Quads
from .make_samples import write_labels
from .reference_models import HERE, SAMPLES
from .synthetic.scenes import project
from .synthetic.texture import smooth_noise

_WIDTH, _HEIGHT = 900, 1180
"""Pixels of a page, and of its photograph."""
_SIDES = "left", "top", "right", "bottom"
_JPEG_QUALITIES = 55, 80
_DOCS = HERE.parent / "docs"
_TEXTS = HERE / "page_texts"

# Hides what does not fit the page, and collects the lines of text: consecutive characters at one
# height, without a wide gap. A range of one character reports where the browser drew it.
_SCRIPT = """
const limit = document.querySelector("main").getBoundingClientRect();
for (const block of document.querySelectorAll("main > :not(table, ul, ol), tr, li")) {
  const boxes = Array.from(block.getClientRects());
  if (boxes.some(box => box.bottom > limit.bottom || box.right > limit.right))
    block.style.visibility = "hidden";
}
const lines = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let line = null;
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  if (node.parentElement.closest("script, style")) continue;
  if (getComputedStyle(node.parentElement).visibility === "hidden") continue;
  const characters = Array.from(node.data);
  let start = 0;
  for (const character of characters) {
    const range = document.createRange();
    range.setStart(node, start);
    range.setEnd(node, start += character.length);
    const box = range.getBoundingClientRect();
    if (!box.width || /\\s/.test(character)) { if (line) line.space = true; continue; }
    const block = node.parentElement.closest("p, li, td, th, h1, h2, h3, pre");
    const middle = (box.top + box.bottom) / 2;
    const continues = line && line.block === block && middle > line.top && middle < line.bottom
      && box.left >= line.right - 2 && box.left - line.right < box.height;
    if (!continues) lines.push(line = {block, text: "", left: box.left, right: box.right,
                                       top: box.top, bottom: box.bottom, space: false});
    line.text += (line.space && line.text ? " " : "") + character;
    line.space = false;
    line.right = box.right;
    line.top = Math.min(line.top, box.top);
    line.bottom = Math.max(line.bottom, box.bottom);
  }
}
const found = document.createElement("pre");
found.id = "lines";
found.style.display = "none";
found.textContent = JSON.stringify(lines.map(({block, space, ...rest}) => rest));
document.body.append(found);
"""
_STYLE = """
* { box-sizing: border-box }
body { margin: 0; width: %dpx; height: %dpx; padding: 56px 60px; overflow: hidden;
       background: #fdfcf8; color: #1b1b1b }
main { line-height: 1.45; height: 100%%; column-gap: 36px }
tr[style*=hidden] * { border-color: transparent }
pre, code { font-family: "DejaVu Sans Mono"; font-size: 0.88em } pre { white-space: pre-wrap }
table { border-collapse: collapse; width: 100%% }
td, th { border: 1px solid #777; padding: 5px 8px }
a { color: #123f8c }
"""


@dataclass(frozen=True, kw_only=True)
class _Page:
    """A page: a part of a document, and its style."""

    text: Path
    font: str
    size: int
    """Height of the font in pixels."""
    start: str = "# "
    """The text of the document with which the page begins."""
    columns: int = 1


_ENGLISH = (
    _Page(text=HERE.parent / "README.md", font="Lato", size=17),
    _Page(text=_DOCS / "architecture.md", font="EB Garamond", size=20, start="## One model"),
    _Page(text=_DOCS / "precision.md", font="Roboto", size=15, columns=2),
    _Page(text=_DOCS / "calibration.md", font="Liberation Serif", size=18),
    _Page(text=_DOCS / "targets.md", font="Liberation Sans", size=14),
    _Page(text=_DOCS / "commands.md", font="DejaVu Sans", size=13),
    _Page(text=HERE.parent / "CONTRIBUTING.md", font="Liberation Serif", size=22),
)
_SETS = {
    "pages": (
        *_ENGLISH,
        _Page(text=_TEXTS / "chinese.md", font="Noto Sans CJK SC", size=20),
        _Page(text=_TEXTS / "chinese.md", font="Noto Sans CJK SC", size=17, columns=2),
    ),
    "pages-korean": (_Page(text=_TEXTS / "korean.md", font="Noto Sans CJK KR", size=19),),
}


def _page_html(page: _Page) -> str:
    from markdown_it import MarkdownIt  # a dependency of rich

    text = page.text.read_text("utf-8")
    text = re.sub(r"!\[.*?\]\(.*?\)", "", text[text.index(page.start) :], flags=re.S)
    body = MarkdownIt("commonmark").enable("table").render(text)
    style = _STYLE % (_WIDTH, _HEIGHT)
    columns = page.columns if page.columns > 1 else "auto"
    main = f"font-family: '{page.font}'; font-size: {page.size}px; columns: {columns}"
    return (
        f'<!DOCTYPE html><meta charset="utf-8"><style>{style} main {{ {main} }}</style>'
        f"<body><main>{body}</main><script>{_SCRIPT}</script>"
    )


def _rendered(page: _Page, folder: Path) -> tuple[Image, list[dict[str, Any]]]:
    """Return a page (H, W, 3) RGB as the browser draws it, and its lines of text.

    Raises:
        InputFileError: there is no browser.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise InputFileError("no Chromium found; install it with: apt-get install chromium")
    source, shot = folder / "page.html", folder / "page.png"
    source.write_text(_page_html(page), "utf-8")
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--window-size={_WIDTH},{_HEIGHT}", "--force-device-scale-factor=1"),
        f"--user-data-dir={folder / 'profile'}",
    ]
    subprocess.run(
        [*command, f"--screenshot={shot}", source.as_uri()], check=True, capture_output=True
    )
    done = subprocess.run(
        [*command, "--dump-dom", source.as_uri()], check=True, capture_output=True
    )
    found = re.search(r'<pre id="lines".*?>(.*?)</pre>', done.stdout.decode(), re.S)
    assert found is not None
    image = cv2.imread(str(shot))
    assert image is not None
    return image[:_HEIGHT, :_WIDTH, ::-1], json.loads(html.unescape(found[1]))


def _photographed(rng: np.random.Generator, page: Image, boxes: np.ndarray) -> tuple[Image, Quads]:
    """Return a photograph of a page that lies on a table, and boxes of the page in its pixels.

    Args:
        rng: the source of the perspective, the light and the noise.
        page: (H, W, 3) RGB.
        boxes: (K, 4) as (x0, y0, x1, y1), in pixels of the page.

    Returns:
        (H, W, 3) RGB and quads (K, 4, 2).
    """
    height, width = page.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inset = np.array([0.05 * width, 0.04 * height])
    moved = corners * (1 - 2 * inset / np.array([width, height])) + inset
    moved = (moved + rng.uniform(-0.035, 0.035, (4, 2)) * width).astype(np.float32)
    transform = cv2.getPerspectiveTransform(corners, moved)
    table = (
        np.float32(rng.uniform(50, 130, 3)) + 40 * smooth_noise(rng, height, width, 9)[..., None]
    )
    mask = cv2.warpPerspective(np.ones((height, width), np.float32), transform, (width, height))
    warped = cv2.warpPerspective(page.astype(np.float32), transform, (width, height))
    photo = warped + table * (1 - mask[..., None])
    light = 1 - np.float32(rng.uniform(0.15, 0.4)) * smooth_noise(rng, height, width, 2)[..., None]
    photo = photo * light * rng.uniform(0.93, 1.05, 3).astype(np.float32)  # the color of the light
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.4, 0.75))
    photo = photo + rng.standard_normal((height, width, 1), np.float32) * rng.uniform(1, 4)
    return np.clip(photo, 0, 255).astype(np.uint8), project(transform, boxes)


def make_pages(folder: Path = SAMPLES) -> None:
    """Write all sets, each with its ``labels.json``.

    Raises:
        InputFileError: Chromium is not installed.
    """
    for set_name, pages in _SETS.items():
        (folder / set_name).mkdir(parents=True, exist_ok=True)
        entries = []
        for number, page in enumerate(pages, 1):
            with tempfile.TemporaryDirectory() as scratch:
                image, lines = _rendered(page, Path(scratch))
            rng = np.random.default_rng([20, number])
            places = np.array([[line[side] for side in _SIDES] for line in lines])
            photo, quads = _photographed(rng, image, places)
            name = f"page_{number:02d}.jpg"
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_JPEG_QUALITIES))]
            cv2.imwrite(str(folder / set_name / name), photo[:, :, ::-1], quality)
            boxes = [
                {"polygon": [round(float(v), 1) for v in quad.reshape(-1)], "text": line["text"]}
                for quad, line in zip(quads, lines, strict=True)
            ]
            entries.append({"file": name, "boxes": boxes})
        write_labels(folder / set_name, entries)


if __name__ == "__main__":
    make_pages()
