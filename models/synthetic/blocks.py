"""Blocks of text on a plane: single words, lines, paragraphs, tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from .fonts import Split, font, font_files
from .text import scene_word


@dataclass(frozen=True, kw_only=True)
class Block:
    """Text on a plane: ``mask`` (h, w) uint8 coverage, ``boxes`` (K, 4) as (x0, y0, x1, y1)."""

    mask: np.ndarray
    boxes: np.ndarray
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """A word and the left end of its baseline, in pixels."""

    text: str
    x: float
    y: float


def _bbox(text: str, face: ImageFont.FreeTypeFont) -> tuple[float, float, float, float]:
    return face.getbbox(text, anchor="ls")


def _word_box(word: _Setting, face: ImageFont.FreeTypeFont) -> tuple[float, float, float, float]:
    """Return a word's box: its ink, and at least from cap line to baseline.

    Otherwise the crops of "cow" and "COW" would look alike.
    """
    left, top, right, bottom = _bbox(word.text, face)
    cap_top = _bbox("H", face)[1]
    return word.x + left, word.y + min(top, cap_top), word.x + right, word.y + max(bottom, 0)


def _draw(words: list[_Setting], face: ImageFont.FreeTypeFont) -> Block:
    # (K, 4) as (x0, y0, x1, y1), relative to the first word's baseline.
    boxes = np.array([_word_box(word, face) for word in words], np.float64)
    margin = np.ceil(0.06 * face.size) + 1
    origin = boxes[:, :2].min(0) - margin
    width, height = np.ceil(boxes[:, 2:].max(0) + margin - origin).astype(int)
    canvas = PilImage.new("L", (int(width), int(height)))
    pen = ImageDraw.Draw(canvas)
    for word in words:
        pen.text((word.x - origin[0], word.y - origin[1]), word.text, 255, face, anchor="ls")
    pad = 0.03 * face.size  # boxes are slightly larger than their ink
    boxes = boxes - np.tile(origin, 2) + np.array([-pad, -pad, pad, pad])
    return Block(mask=np.asarray(canvas), boxes=boxes, texts=tuple(word.text for word in words))


def _set_line(
    texts: list[str], face: ImageFont.FreeTypeFont, space: float, y: float
) -> list[_Setting]:
    words, x = [], 0.0
    for text in texts:
        words.append(_Setting(text=text, x=x, y=y))
        x += face.getlength(text) + space
    return words


def line_block(rng: np.random.Generator, split: Split, size: int, texts: list[str]) -> Block:
    """Draw one line of words in one random font with an em of ``size`` pixels."""
    face = _random_font(rng, split, size)
    return _draw(_set_line(texts, face, _space(rng, face), 0.0), face)


def spaced_word_block(rng: np.random.Generator, split: Split, size: int, text: str) -> Block:
    """Draw one text, which may contain spaces, as one box with its letters slightly spaced out."""
    face = _random_font(rng, split, size)
    gap = size * rng.uniform(0.02, 0.2)
    letters, x = [], 0.0
    for letter in text:
        letters.append(_Setting(text=letter, x=x, y=0.0))
        x += face.getlength(letter) + gap
    # A space has no ink, so it must not get a box.
    block = _draw([word for word in letters if word.text != " "] or letters, face)
    around = np.concatenate([block.boxes[:, :2].min(0), block.boxes[:, 2:].max(0)])[None]
    return Block(mask=block.mask, boxes=around, texts=(text,))


def paragraph_block(rng: np.random.Generator, split: Split, size: int, width: int) -> Block:
    """Draw several lines, ragged right, about ``width`` pixels wide at most."""
    face = _random_font(rng, split, size)
    space, leading = _space(rng, face), size * rng.uniform(1.15, 1.7)
    words: list[_Setting] = []
    for row in range(int(rng.integers(2, 9))):
        texts, used = [], 0.0
        while used < width * rng.uniform(0.6, 1.0):
            texts.append(scene_word(rng, split))
            used += face.getlength(texts[-1]) + space
        words += _set_line(texts, face, space, row * leading)
    return _draw(words, face)


def table_block(rng: np.random.Generator, split: Split, size: int, width: int) -> Block:
    """Draw rows with a label at the left and a number at the right, as on receipts."""
    face = _random_font(rng, split, size)
    space, leading = _space(rng, face), size * rng.uniform(1.2, 1.8)
    words: list[_Setting] = []
    for row in range(int(rng.integers(2, 9))):
        labels = [scene_word(rng, split) for _ in range(rng.integers(1, 3))]
        line = _set_line(labels, face, space, row * leading)
        price = f"{rng.integers(0, 200)}.{rng.integers(0, 100):02d}"
        end = line[-1].x + face.getlength(line[-1].text) + 2 * space
        # Prices end at the right edge, or after the label if that is too long.
        x = max(width - face.getlength(price), end)
        words += [*line, _Setting(text=price, x=x, y=row * leading)]
    return _draw(words, face)


def _random_font(rng: np.random.Generator, split: Split, size: int) -> ImageFont.FreeTypeFont:
    files = font_files(split)
    return font(files[int(rng.integers(len(files)))], size)


def _space(rng: np.random.Generator, face: ImageFont.FreeTypeFont) -> float:
    return max(face.getlength(" "), 0.2 * face.size) * rng.uniform(1.0, 1.6)
