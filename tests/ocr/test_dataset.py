from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ocr_trt.errors import InputFileError
from ocr_trt.ocr.crop import crop_size
from ocr_trt.ocr.dataset import crop_images, load_dataset
from ocr_trt.ocr.metrics.detection import count_image
from ocr_trt.ocr.outlines import corners_of, without_repetitions

BOX = [2, 3, 22, 3, 22, 13, 2, 13]


def folder_with(tmp_path: Path, labels: Any) -> Path:
    image = np.arange(30 * 40 * 3, dtype=np.uint32).reshape(30, 40, 3).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    text = labels if isinstance(labels, str) else json.dumps(labels)
    (tmp_path / "labels.json").write_text(text)
    return tmp_path


def test_scenes_and_crops_are_read(tmp_path: Path) -> None:
    boxes = [
        {"polygon": BOX, "text": "one", "ignore": False},
        {"polygon": BOX, "text": "two", "ignore": True},
        {"polygon": BOX},
    ]
    rows = [{"file": "a.png", "boxes": boxes}, {"file": "a.png", "text": "line", "kind": "rec"}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    assert dataset.labeled
    assert dataset.scenes[0].quads.shape == (3, 4, 2)
    assert dataset.scenes[0].ignore == (False, True, False)
    assert [crop.text for crop in dataset.crops] == ["line", "one"]  # ignored boxes are not samples


def test_crops_are_cut_from_their_scene(tmp_path: Path) -> None:
    rows = [{"file": "a.png", "boxes": [{"polygon": BOX, "text": "one"}]}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    (crop,) = crop_images(dataset.crops)
    whole = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    assert np.array_equal(crop, whole[3:13, 2:22])


def test_counterclockwise_corners_are_put_in_order(tmp_path: Path) -> None:
    other_way = [2, 13, 22, 13, 22, 3, 2, 3]
    rows = [{"file": "a.png", "boxes": [{"polygon": other_way, "text": "one"}]}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    assert dataset.scenes[0].quads[0].reshape(-1).tolist() == BOX


ARCH = [2, 20, 10, 8, 20, 4, 30, 8, 38, 20, 32, 24, 26, 14, 20, 11, 14, 14, 8, 24]


def test_polygons_of_curved_text_share_an_array_with_quads(tmp_path: Path) -> None:
    boxes = [{"polygon": ARCH, "text": "curved"}, {"polygon": BOX, "text": "one"}]
    rows = [{"file": "a.png", "boxes": boxes}, {"file": "a.png", "boxes": boxes[1:]}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    first, second = dataset.scenes
    assert first.quads.shape == (2, 10, 2) and second.quads.shape == (1, 4, 2)
    assert first.quads[0].ravel().tolist() == ARCH
    assert without_repetitions(first.quads[1]).ravel().tolist() == BOX
    curved, straight, again = crop_images(dataset.crops)
    height, width = curved.shape[:2]
    assert (height, width) == crop_size(first.quads[0]) and width > 2 * height
    assert np.array_equal(straight, again)


def signed_area(points: np.ndarray) -> float:
    x, y = points.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda points: np.delete(points, 7, axis=0),  # an odd number
        lambda points: np.insert(points, 2, points[1:3].mean(0), axis=0),
        lambda points: np.roll(points, -2, axis=0),  # begins in the middle of the top
        lambda points: points[::-1],  # counterclockwise
        lambda points: np.roll(points[::-1], 1, axis=0),
    ],
    ids=["odd", "one more", "another first point", "counterclockwise", "the same first point"],
)
def test_other_orders_of_points_are_divided_where_the_text_ends(
    change: Any, tmp_path: Path
) -> None:
    given = change(np.float32(ARCH).reshape(-1, 2))
    rows = [{"file": "a.png", "boxes": [{"polygon": given.ravel().tolist(), "text": "curved"}]}]
    outline = load_dataset(folder_with(tmp_path, rows)).scenes[0].quads[0]
    assert len(outline) % 2 == 0
    assert signed_area(outline) == pytest.approx(abs(signed_area(given)), rel=1e-5)
    assert corners_of(outline).tolist() == [[2, 20], [38, 20], [32, 24], [8, 24]]


@pytest.mark.parametrize(
    "points",
    [
        [[5, 5]] * 6,
        [[0, 0], [10, 0], [20, 0], [30, 0], [20, 0], [10, 0]],
        [[0, 0], [30, 1], [30, 1], [0, 2], [0, 2], [0, 2], [0, 1]],
        [[0, 0], [20, 20], [20, 0], [0, 20], [5, 9]],
    ],
    ids=["a point", "a line", "a triangle", "crossed sides"],
)
def test_degenerate_polygons_are_no_errors(points: list, tmp_path: Path) -> None:
    polygon = np.ravel(points).tolist()
    rows = [{"file": "a.png", "boxes": [{"polygon": polygon, "text": "x"}]}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    (crop,) = crop_images(dataset.crops)
    assert crop.size
    quads = dataset.scenes[0].quads
    assert count_image(quads, quads, [False]).detected == 1


def test_folder_without_labels_has_scenes_without_boxes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [])
    (folder / "labels.json").unlink()
    dataset = load_dataset(folder)
    assert not dataset.labeled
    assert dataset.scenes[0].quads.shape == (0, 4, 2)
    assert dataset.crops == ()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ({"file": "a.png"}, "expected a list of objects"),
        ([{"file": "../../etc/passwd", "text": "x"}], "is outside"),
        ([{"file": 3, "text": "x"}], "'file' must be a file name"),
        ([{"file": "a\0b.png", "text": "x"}], "is not a file name"),
        ([{"file": "a.png", "text": 5}], "'text' must be .* got 5"),
        ([{"file": "a.png", "text": "\ud800"}], "'text' must be"),
        ([{"file": "a.png", "boxes": [{"polygon": BOX, "ignore": "false"}]}], "true or false"),
        ([{"file": "a.png", "boxes": [{"polygon": [10**400] * 8}]}], "must be 8 numbers"),
        ('[{"file": "a.png", "text": ' + "1" * 5001 + "}]", "cannot be read as JSON"),
        ([{"file": "a.png", "boxes": [{"polygon": [1, 2, 3]}]}], "polygon must be 8 numbers"),
        ([{"file": "a.png", "boxes": [{"polygon": [1] * 9}]}], "even number"),
        ([{"file": "a.png", "boxes": [{"polygon": [1] * 1000}]}], "8 to 512"),
        ([{"file": "a.png", "boxes": [{"polygon": [1, float("nan")] * 6}]}], "not finite"),
        ([{"file": "a.png", "boxes": [{"polygon": ["x"] * 8}]}], "polygon must be 8 numbers"),
        ([{"file": "a.png", "boxes": [{"polygon": [1e9] * 8}]}], "beyond 1,000,000 pixels"),
        ([{"file": "a.png", "boxes": "none"}], "'boxes' must be a list"),
    ],
    ids=[
        "broken", "deep", "no list", "path leads out", "no name", "zero byte", "no text",
        "half a character", "ignore is a text", "huge number", "huge text",
        "three numbers", "an odd number", "many numbers", "NaN", "no numbers",
        "far away", "no boxes",
    ],
)  # fmt: skip
def test_bad_labels_are_refused(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        load_dataset(folder_with(tmp_path, labels))


def test_label_far_outside_its_image_is_refused(tmp_path: Path) -> None:
    far = [9002, 3, 9022, 3, 9022, 13, 9002, 13]
    rows = [{"file": "a.png", "boxes": [{"polygon": far, "text": "one"}]}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    with pytest.raises(InputFileError, match=r"a\.png: .*40x30 pixels, but a label .*\[\[9002"):
        list(crop_images(dataset.crops))


def test_polygon_far_longer_than_its_image_is_refused(tmp_path: Path) -> None:
    # To and fro across the image: a crop of 24 times its area, and of gigabytes for a photo.
    columns = [(x, 30.0) for _ in range(16) for x in (0, 40)]
    polygon = np.ravel([*columns, *((x, y - 30) for x, y in reversed(columns))]).tolist()
    rows = [{"file": "a.png", "boxes": [{"polygon": polygon, "text": "one"}]}]
    dataset = load_dataset(folder_with(tmp_path, rows))
    with pytest.raises(InputFileError, match=r"a\.png: .*40x30 pixels.* 1230x23 .*at most 4 times"):
        list(crop_images(dataset.crops))


def test_missing_image_is_named(tmp_path: Path) -> None:
    dataset = load_dataset(folder_with(tmp_path, [{"file": "b.png", "text": "x"}]))
    with pytest.raises(InputFileError, match=r"b\.png: no such file"):
        list(crop_images(dataset.crops))


def test_labels_name_pages(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (40, 30 + 10 * number), "white") for number in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    box = {"polygon": [1, 1, 20, 1, 20, 9, 1, 9], "text": "one"}
    rows = [
        {"file": "scan.tif", "boxes": [box]},
        {"file": "scan.tif", "page": 3, "boxes": [box]},
        {"file": "scan.tif", "page": 2, "text": "two"},
    ]
    dataset = load_dataset(folder_with(tmp_path, rows))
    assert [scene.image.read().shape[0] for scene in dataset.scenes] == [30, 50]
    assert [scene.image.name for scene in dataset.scenes] == ["scan.tif", "scan.tif, page 3"]
    assert [image.shape[:2] for image in crop_images(dataset.crops)] == [(40, 40), (8, 19), (8, 19)]


@pytest.mark.parametrize("page", [0, -1, True, 1.5, "2", None])
def test_wrong_pages_are_refused(page: object, tmp_path: Path) -> None:
    rows = [{"file": "a.png", "page": page, "text": "x"}]
    with pytest.raises(InputFileError, match="entry 0: 'page' must be a number from 1"):
        load_dataset(folder_with(tmp_path, rows))


def test_page_that_a_file_lacks_is_named(tmp_path: Path) -> None:
    dataset = load_dataset(folder_with(tmp_path, [{"file": "a.png", "page": 2, "text": "x"}]))
    with pytest.raises(InputFileError, match=r"a\.png: no page 2; the file has 1"):
        list(crop_images(dataset.crops))


def test_notes_state_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    folder_with(tmp_path, [])
    (tmp_path / "labels.json").unlink()
    notes = "\n".join(load_dataset(tmp_path).notes)
    assert f"{tmp_path}: left out, not an image: " in notes
    assert "notes.txt" in notes
    assert "left out, subfolder: " in notes
    assert "--recursive" not in notes  # no option of the commands that read samples

    Image.new("RGB", (40, 30)).save(tmp_path / "b.png")
    rows = [{"file": "a.png", "text": "x"}, {"file": "a.png"}, {"file": "b.png"}]
    unused, unnamed = load_dataset(folder_with(tmp_path, rows)).notes
    assert "labels.json: left out, neither boxes nor text: 2 of its entries" in unused
    assert "left out, not named in labels.json: " in unnamed
    assert "b.png" in unnamed
    assert (
        load_dataset(folder_with(tmp_path, [*rows[:1], {"file": "b.png", "text": ""}])).notes == ()
    )


@pytest.mark.parametrize("kind", ["pipe", "broken link", "loop", "folder"])
def test_labels_that_are_no_file_are_not_taken_for_missing_ones(tmp_path: Path, kind: str) -> None:
    """Else the metric would silently be the agreement with the model's own output."""
    labels = folder_with(tmp_path, []) / "labels.json"
    labels.unlink()
    if kind == "pipe":
        os.mkfifo(labels)
    elif kind == "folder":
        labels.mkdir()
    else:
        labels.symlink_to("labels.json" if kind == "loop" else "elsewhere.json")
    with pytest.raises(InputFileError, match=r"labels\.json"):
        load_dataset(tmp_path)


def test_names_of_images_are_text(tmp_path: Path) -> None:
    (folder_with(tmp_path, []) / "labels.json").unlink()
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"\xff.png"))
    (scene,) = load_dataset(tmp_path).scenes
    assert scene.image.name == "\\xff.png"
    assert scene.image.read().shape == (30, 40, 3)
