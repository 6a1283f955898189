"""An image that kills its process is found."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from ocr_trt.batch.attempts import Attempts

IDS = ["a", "b", "c"]


def read_block(folder: Path, fatal: str) -> None:
    """Read the images of a block, and die at one of them."""
    with Attempts(folder=folder).begin(IDS) as attempt:
        for position, name in enumerate(IDS):
            if attempt.is_careful:
                if not attempt.is_fatal(position):
                    with attempt.reading(position):
                        if name == fatal:
                            os._exit(1)
            elif name == fatal:
                os._exit(1)
        fatal_images = [name for i, name in enumerate(IDS) if attempt.is_fatal(i)]
        (folder / "result").write_text(",".join(fatal_images))


def test_fatal_image_is_left_out_after_four_deaths(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    codes = []
    for _ in range(5):
        process = context.Process(target=read_block, args=(tmp_path, "b"))
        process.start()
        process.join()
        codes.append(process.exitcode)
    assert codes == [1, 1, 1, 1, 0]
    assert (tmp_path / "result").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]  # the record is removed


def test_block_that_is_read_leaves_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        with Attempts(folder=tmp_path).begin(IDS) as attempt:
            assert attempt.number == 1 and not attempt.is_careful
    assert not list(tmp_path.iterdir())
