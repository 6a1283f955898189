"""Synthetic text images with ground truth, drawn from a seed.

Image number ``index`` of a split depends only on ``(seed, split, index)``, so a training run can
resume anywhere and the held-out images can be drawn again. Held-out images use fonts and
dictionary words that no training image uses.
"""

from .scenes import Scene, TextBox, scene
from .words import Word, word

__all__ = ["Scene", "TextBox", "Word", "scene", "word"]
