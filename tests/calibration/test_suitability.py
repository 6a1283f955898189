"""What a set of calibration images lacks is stated before anything is measured on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.suitability import shortcomings
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict


def recognizer() -> RecognizerSpec:
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {"name": "x", "shape": [1, 32, 320, 1], "color": "GRAY"}, "buckets": [96, 160],
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


def detector() -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "d", "role": "detector", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {"name": "x", "shape": [1, 64, 64, 3]},
        }
    )  # fmt: skip
    assert isinstance(spec, DetectorSpec)
    return spec


def found(folder: Path, spec: DetectorSpec | RecognizerSpec, images: list[np.ndarray]) -> str:
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return "\n".join(shortcomings(load_calibration(folder, spec)))


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def white(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return 255 - rng.integers(0, 6, (height, width, 3), dtype=np.uint8)


LINES: dict[str, tuple[Callable, list[tuple[int, int]], str]] = {
    "all white": (white, [(32, 40 + 8 * n) for n in range(30)], "all 30 images are blank"),
    "one bucket": (noise, [(32, 170 + n) for n in range(30)], "input width 320; .* 96, 160"),
    "one size": (noise, [(32, 140)] * 20, "input width 160"),
    "pages": (noise, [(300, 200 + n) for n in range(20)], "all 20 images are not wider than high"),
    "strips": (noise, [(300, 20 + n) for n in range(20)], "not wider than high.*--detector"),
    "few": (noise, [(32, 90), (32, 150), (32, 300)], "only 3 samples"),
}


@pytest.mark.parametrize("kind", LINES)
def test_unsuitable_lines(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    draw, sizes, message = LINES[kind]
    text = found(tmp_path, recognizer(), [draw(rng, *size) for size in sizes])
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([(40, 900)] * 20, "all 20 images are strips"), ([(900, 40)] * 20, "20 images are strips")],
    ids=["lines", "columns"],
)
def test_strips_do_not_suit_a_detector(
    sizes: list[tuple[int, int]], message: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    assert message in found(tmp_path, detector(), [noise(rng, *size) for size in sizes])


def test_copies_are_reported(tmp_path: Path, rng: np.random.Generator) -> None:
    image = noise(rng, 64, 64)
    assert "all 20 images have the same pixels" in found(tmp_path, detector(), [image] * 20)


def test_suitable_sets_lack_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "lines").mkdir()
    (tmp_path / "pages").mkdir()
    lines = [noise(rng, 32, 40 + 12 * n) for n in range(30)]
    # Some blank images do no harm.
    pages = [noise(rng, 60, 50 + n) for n in range(20)] + [white(rng, 60, 80) for _ in range(8)]
    assert found(tmp_path / "lines", recognizer(), lines) == ""
    assert found(tmp_path / "pages", detector(), pages) == ""


def test_images_that_cannot_be_read_are_skipped(tmp_path: Path, rng: np.random.Generator) -> None:
    for number in range(20):
        (tmp_path / f"bad{number}.png").write_bytes(b"no image")
    assert found(tmp_path, detector(), []) == ""
