"""Folders of images: content decides, and what is left out is stated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocr_trt.errors import InputFileError
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.images.folder import list_images
from tests.ocr.files import encoded, letters

PNG = encoded(letters())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.png",
        "a.jfif",
        "noname",
        "odd.dat",
        "sub/c.png",
        "sub/deep/d.png",
        ".hidden.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "empty.tif").touch()
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "b.ocr.png").write_bytes(PNG)
    (tmp_path / "broken.png").symlink_to("nothing.png")
    (tmp_path / "link.png").symlink_to("b.png")
    (tmp_path / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path


def names(paths: tuple[Path, ...], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_content_or_suffix_makes_an_image(folder: Path) -> None:
    listed = list_images(folder)
    expected = ["a.jfif", "b.png", "empty.tif", "link.png", "noname", "odd.dat"]
    assert names(listed.files, folder) == expected
    assert load_image(listed.files[0]).shape == (60, 200, 3)


def test_all_that_is_left_out_is_stated_with_the_reason(folder: Path) -> None:
    listed = list_images(folder)
    reasons = {str(path.relative_to(folder)): reason for path, reason in listed.left_out}
    assert reasons == {
        ".hidden.png": "hidden",
        "b.ocr.png": "drawn by an earlier run",
        "broken.png": "broken link",
        "loop": "subfolder (use --recursive)",
        "notes.txt": "not an image",
        "pipe.png": "not a regular file",
        "sub": "subfolder (use --recursive)",
    }
    everything = {path.name for path in folder.iterdir()}
    assert everything == set(reasons) | set(names(listed.files, folder))
    assert any("subfolder" in note and "loop" in note and "sub" in note for note in listed.notes())


def test_recursive_reads_subfolders_and_no_links_to_folders(folder: Path) -> None:
    listed = list_images(folder, recursive=True)
    assert names(listed.files, folder)[-2:] == ["sub/c.png", "sub/deep/d.png"]
    assert dict(listed.left_out)[folder / "loop"] == "link to a folder"


def test_many_files_are_one_note(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02d}.txt").touch()
    (tmp_path / "a.png").write_bytes(PNG)
    (note,) = list_images(tmp_path).notes()
    assert "00.txt" in note and "and 35 more" in note


def test_folder_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"no image files.*empty"):
        list_images(tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputFileError, match=r"not an image.*notes\.txt.*use --recursive"):
        list_images(tmp_path)
    with pytest.raises(InputFileError, match="no such folder"):
        list_images(tmp_path / "nothing")
