"""Labeled images: a folder with ``labels.json``.

``labels.json`` is a list. A scene is
``{"file": ..., "boxes": [{"polygon": [x1, y1, ..., x4, y4], "text": ..., "ignore": false}, ...]}``,
with corners clockwise from the text's top left, in pixels. A polygon around curved text has more
points: those along the top of the text, then as many along its bottom, back; labels of other tools
with an odd number of points or with another first point are divided where the text seems to begin
and end. A line crop is
``{"file": ..., "text": ...}``. ``"page": 2`` beside ``"file"`` names a page of a TIFF file or a PDF
document, counted from 1, which is the default.
Other keys are ignored, and so are entries with neither boxes nor text. ``ignore`` marks a
"don't care" box. Counterclockwise corners are reordered, as for text that runs to the right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..common.json_files import read_json
from ..common.path_text import path_text
from ..common.read_file import check_folder
from ..errors import InputFileError
from ..spec import Angle
from .boxes import order_corners
from .crop import crop_outline, crop_size, turned
from .image import load_image
from .images.folder import ImageFolder, list_images
from .outlines import is_curved, padded
from .polygon_labels import outline_of_polygon
from .types import Image, Outlines

LARGEST_LABELS = 64 << 20
"""Bytes."""
_MOST_POINTS = 256
"""Of the polygon of a label."""
_LARGEST_CROP = 4
"""How many times as large as its image the crop of a curved line may be: a polygon that runs to and
fro is far longer than text."""


@dataclass(frozen=True, kw_only=True)
class ImagePage:
    """One page of an image file; most files have one page only."""

    path: Path
    page: int = 1

    @property
    def name(self) -> str:
        """The name for reports."""
        name = path_text(self.path.name)
        return name if self.page == 1 else f"{name}, page {self.page}"

    def read(self) -> Image:
        """Read the page, (H, W, 3) uint8 RGB.

        Raises:
            InputFileError: it cannot be read, or the file has no such page.
        """
        return load_image(self.path, self.page)


@dataclass(frozen=True, kw_only=True)
class SceneLabel:
    """An image and its words. ``quads`` (K, 4, 2), or (K, P, 2) if one of them is a polygon with
    more points (``ocr.outlines``); ``texts`` and ``ignore`` have K entries.
    """

    image: ImagePage
    quads: Outlines
    texts: tuple[str | None, ...]
    ignore: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class CropLabel:
    """A text line: a whole image, or one box (P, 2) of it."""

    image: ImagePage
    text: str
    quad: Outlines | None = None
    turn: Angle | None = None
    """Degrees by which the line is turned clockwise after it is cut out; None: not at all, and the
    direction is no part of the label."""


Label: TypeAlias = SceneLabel | CropLabel


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The samples of a folder. Without ``labels.json`` every image is a scene without boxes."""

    folder: Path
    scenes: tuple[SceneLabel, ...]
    crops: tuple[CropLabel, ...]
    labeled: bool
    notes: tuple[str, ...] = ()
    """What in the folder is not used, and why."""


def _polygon(polygon: Any, where: str) -> Outlines:
    try:
        points = np.asarray(polygon, np.float32).reshape(-1, 2)
        if not 4 <= len(points) <= _MOST_POINTS:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputFileError(
            f"{where}: polygon must be 8 numbers, or an even number from 8 to {2 * _MOST_POINTS} "
            f"for curved text, got {polygon!r:.60}"
        ) from None
    if not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise InputFileError(
            f"{where}: polygon has a coordinate that is not finite or beyond 1,000,000 pixels, got "
            f"{polygon!r:.60}"
        )
    x, y = points.T
    # Twice the signed area, which is positive for clockwise corners because y points down.
    turns_clockwise = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) >= 0
    if len(points) > 4:
        return outline_of_polygon(points.astype(np.float64), is_clockwise=turns_clockwise)
    return points if turns_clockwise else order_corners(points)


def _path(folder: Path, name: Any, where: str) -> Path:
    if not isinstance(name, str) or not name:
        raise InputFileError(f"{where}: 'file' must be a file name, got {name!r:.60}")
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError) as error:
        raise InputFileError(f"{where}: {name!r:.60} is not a file name: {error}") from None
    # The labels may come from anyone, and must not name files elsewhere.
    if not path.is_relative_to(folder.resolve()):
        raise InputFileError(f"{where}: {name!r} is outside {folder}")
    return path


def _image(folder: Path, row: dict[str, Any], where: str) -> ImagePage:
    page = row.get("page", 1)
    if not isinstance(page, int) or isinstance(page, bool) or page < 1:
        raise InputFileError(f"{where}: 'page' must be a number from 1, got {page!r:.60}")
    return ImagePage(path=_path(folder, row.get("file"), where), page=page)


def _text(row: dict[str, Any], where: str) -> str | None:
    text = row.get("text")
    if text is None:
        return None
    # JSON can contain half of a surrogate pair, which UTF-8 cannot represent.
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputFileError(f"{where}: 'text' must be a string of valid Unicode, got {text!r:.60}")
    return text


def _scene(folder: Path, row: dict[str, Any], where: str) -> SceneLabel:
    boxes = row["boxes"]
    if not isinstance(boxes, list) or not all(isinstance(box, dict) for box in boxes):
        raise InputFileError(f"{where}: 'boxes' must be a list of objects, got {boxes!r:.60}")
    quads = [_polygon(box.get("polygon"), f"{where}, box {i}") for i, box in enumerate(boxes)]
    points = max([4, *map(len, quads)])
    ignore = [box.get("ignore", False) for box in boxes]
    if not all(isinstance(mark, bool) for mark in ignore):
        raise InputFileError(f"{where}: 'ignore' must be true or false, got {ignore!r:.60}")
    return SceneLabel(
        image=_image(folder, row, where),
        quads=np.array([padded(quad, points) for quad in quads], np.float32).reshape(-1, points, 2),
        texts=tuple(_text(box, f"{where}, box {i}") for i, box in enumerate(boxes)),
        ignore=tuple(ignore),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path, limit=LARGEST_LABELS)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputFileError(f"{path}: expected a list of objects, each with a 'file'")
    return rows


def load_dataset(folder: Path | str) -> Dataset:
    """Read a folder of images, with or without labels.

    Raises:
        InputFileError: there is no such folder, there are no images, or a label is invalid.
    """
    folder = Path(folder)
    check_folder(folder)
    labels = folder / "labels.json"
    if not os.path.lexists(labels):  # a broken link or a pipe in its place is an error
        none = np.zeros((0, 4, 2), np.float32)
        listed = list_images(folder, subfolder="subfolder")
        images = tuple(
            SceneLabel(image=ImagePage(path=path), quads=none, texts=(), ignore=())
            for path in listed.files
        )
        notes = tuple(f"{folder}: {note}" for note in listed.notes())
        return Dataset(folder=folder, scenes=images, crops=(), labeled=False, notes=notes)
    scenes: list[SceneLabel] = []
    crops: list[CropLabel] = []
    empty = 0
    for number, row in enumerate(_rows(labels)):
        where = f"{labels}, entry {number}"
        if "boxes" in row:
            scenes.append(_scene(folder, row, where))
        elif (text := _text(row, where)) is not None:
            crops.append(CropLabel(image=_image(folder, row, where), text=text))
        else:
            empty += 1
    samples: list[Label] = [*scenes, *crops]
    named = {each.image.path for each in samples}
    for scene in scenes:
        crops += [
            CropLabel(image=scene.image, text=text, quad=quad)
            for quad, text, ignore in zip(scene.quads, scene.texts, scene.ignore, strict=True)
            if text and not ignore
        ]
    notes = tuple(_notes(labels, named, empty))
    return Dataset(
        folder=folder, scenes=tuple(scenes), crops=tuple(crops), labeled=True, notes=notes
    )


def _notes(labels: Path, named: set[Path], empty: int) -> Iterator[str]:
    """Yield what is left out of a folder with labels."""
    if empty:
        yield f"{labels}: left out, neither boxes nor text: {empty} of its entries"
    try:
        files = list_images(labels.parent).files
    except InputFileError:  # all images are in subfolders
        return
    reason = f"not named in {labels.name}"
    left_out = tuple((path, reason) for path in files if path.resolve() not in named)
    for note in ImageFolder(files=(), left_out=left_out).notes():
        yield f"{labels.parent}: {note}"


def crop_images(crops: Sequence[CropLabel]) -> Iterator[Image]:
    """Yield each crop's image (h, w, 3) RGB; a page is decoded once for consecutive crops.

    Raises:
        InputFileError: an image cannot be read, or a label does not fit into it; names the image.
    """
    page, image = None, None
    for crop in crops:
        if crop.image != page or image is None:
            page, image = crop.image, crop.image.read()
        if crop.quad is None:
            yield _turned(image, crop)
            continue
        _check_place(crop.image, image, crop.quad)
        yield _turned(crop_outline(image, crop.quad), crop)


def _check_place(file: ImagePage, image: Image, outline: Outlines) -> None:
    """Refuse a label (P, 2) whose crop would need far more memory than its image (H, W, 3)."""
    height, width = image.shape[:2]
    where = f"{file.path}: the image has {width}x{height} pixels, but a label"
    # The limit on the corners also limits the size of the crop of a quadrilateral.
    if (outline < -height - width).any() or (outline > 2 * (height + width)).any():
        raise InputFileError(f"{where} has the corners {outline.tolist()}; correct the label")
    if not is_curved(outline):
        return
    high, long = crop_size(outline)
    if high * long > _LARGEST_CROP * height * width:
        raise InputFileError(
            f"{where} describes a curved line of {long}x{high} pixels, and the expected area is at "
            f"most {_LARGEST_CROP} times that of the image; correct its polygon: the points along "
            f"the top of the text, then those along its bottom, back; it begins with "
            f"{outline[:2].tolist()}"
        )


def _turned(line: Image, crop: CropLabel) -> Image:
    """Turn an upright line clockwise, as its label states."""
    return turned(line, crop.turn) if crop.turn else line
