"""Synthetic text images with ground truth, drawn from a seed.

Image number ``index`` of a split depends on nothing but ``(seed, split, index)``, so a training
run can be resumed anywhere and the held-out set can be made again. Held-out images use fonts and
dictionary words that no training image uses.
"""

from .scenes import Scene, TextBox, scene
from .words import Word, word

__all__ = ["Scene", "TextBox", "Word", "scene", "word"]
