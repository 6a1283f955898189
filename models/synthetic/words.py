"""Word crops, cut out of small scenes as the pipeline cuts them out of large images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ocr.crop import crop_quad, quad_size
from ...ocr.types import Image
from .blocks import line_block, spaced_word_block
from .effects import degrade
from .fonts import Split
from .scenes import paint, project, random_transform
from .text import crop_text
from .texture import background


@dataclass(frozen=True, kw_only=True)
class Word:
    """A crop (h, w, 3) uint8 RGB of any size, and its text."""

    image: Image
    text: str


def word(index: int, *, split: Split, seed: int = 0) -> Word:
    """Draw word crop number ``index``.

    Raises:
        InputFileError: fonts or the word list are not installed.
    """
    rng = np.random.default_rng([seed, index, 2, int(split == "train")])
    size = round(float(np.exp(rng.uniform(np.log(14), np.log(72)))))
    text = crop_text(rng, split)
    spaced = rng.random() < 0.1
    block = (
        spaced_word_block(rng, split, size, text)
        if spaced
        else line_block(rng, split, size, [text])
    )
    rows, columns = block.mask.shape
    around = 0.4 * size
    transform = random_transform(rng, (columns, rows))
    move = np.array([[1, 0, around], [0, 1, around], [0, 0, 1]])
    transform = move @ transform
    outline = project(transform, np.array([[0, 0, columns, rows]]))[0]
    width, height = np.ceil(outline.max(0) + around).astype(int)
    canvas = background(rng, int(height), int(width), shape_chance=0.15)
    paint(rng, canvas, block, transform)
    quad = project(transform, block.boxes)[0]
    text_height = quad_size(quad)[1]
    canvas = degrade(rng, canvas, text_height)
    # A detector's boxes are not exact, so every corner moves, mostly outwards.
    reach = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * text_height
    jitter = rng.uniform(-0.04, 0.16) + rng.uniform(-0.05, 0.05, (4, 2))
    return Word(image=crop_quad(canvas, (quad + reach * jitter).astype(np.float32)), text=text)
