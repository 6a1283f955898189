"""BoxCandidates against OpenCV and a brute-force search; broken kernels are detected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_trt.errors import EngineBuildError
from ocr_trt.plugins.box_candidates import box_candidates
from ocr_trt.plugins.cuda import on_host
from ocr_trt.plugins.plugin import Plugin
from ocr_trt.plugins.registry import PLUGINS
from ocr_trt.plugins.verify_kernels import verify_on_host

PLUGIN = PLUGINS["BoxCandidates"]
LEVEL = np.array([0.5], np.float32)
needs_compiler = pytest.mark.skipif(on_host.compiler() is None, reason="no C++ compiler")


def flooded(mask: np.ndarray, start: tuple[int, int], corners: bool) -> set[tuple[int, int]]:
    """The pixels of the same value that are connected to one pixel."""
    seen, left = {start}, [start]
    while left:
        y, x = left.pop()
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                to = (y + down, x + right)
                inside = 0 <= to[0] < mask.shape[0] and 0 <= to[1] < mask.shape[1]
                near = corners or not (down and right)
                if near and inside and to not in seen and mask[to] == mask[start]:
                    seen.add(to)
                    left.append(to)
    return seen


def by_brute_force(probability: np.ndarray) -> list[set[tuple[int, int]]]:
    text = np.pad(probability > 0.5, 1)
    for y, x in set(np.ndindex(text.shape)) - flooded(text, (0, 0), corners=False):
        text[y, x] = True
    found: list[set[tuple[int, int]]] = []
    for place in np.ndindex(text.shape):
        if text[place] and not any(place in one for one in found):
            found.append(flooded(text, place, corners=True))
    return [{(y - 1, x - 1) for y, x in one} for one in found]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.65])
def test_reference_equals_flood_fill(share: float, rng: np.random.Generator) -> None:
    for _ in range(5):
        probability = np.where(rng.random((12, 17)) < share, 0.9, 0.1).astype(np.float32)
        probability *= rng.uniform(0.7, 1, probability.shape).astype(np.float32)
        expected = by_brute_force(probability)
        outputs = box_candidates(probability[None], LEVEL, 60, 200)
        (count,), (areas,), (means,), (rows,), (extents,) = outputs
        assert count == len(expected)
        assert areas[:count].tolist() == [len(one) for one in expected]
        assert not areas[count:].any()
        slot = 0
        for number, one in enumerate(expected):
            mean = np.mean([probability[place] for place in one])
            assert means[number] == pytest.approx(mean, abs=1e-6)
            lines = sorted({y for y, _ in one})
            assert rows[number].tolist() == [lines[0], lines[-1]]
            for line in lines:
                columns = [x for y, x in one if y == line]
                assert extents[slot].tolist() == [min(columns), max(columns)]
                slot += 1
        assert (extents[slot:] == (17, -1)).all()


def test_without_holes_it_is_connected_components_with_stats(rng: np.random.Generator) -> None:
    canvas = np.zeros((60, 90), np.float32)
    for _ in range(25):
        y, x = rng.integers(0, (55, 80))
        canvas[y : y + rng.integers(1, 6), x : x + rng.integers(1, 12)] = 0.75
    mask = (canvas > 0.5).astype(np.uint8)
    outline = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    mask = cv2.drawContours(mask, outline, -1, 1, cv2.FILLED)
    total, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    (count,), (areas,), _, (rows,), _ = box_candidates(canvas[None], LEVEL, 60, 500)
    own = sorted(zip(areas[:count], rows[:count, 0], rows[:count, 1] + 1, strict=True))
    top, end = (
        stats[1:, cv2.CC_STAT_TOP],
        stats[1:, cv2.CC_STAT_TOP] + stats[1:, cv2.CC_STAT_HEIGHT],
    )
    assert count == total - 1 > 10
    assert own == sorted(zip(stats[1:, cv2.CC_STAT_AREA], top, end, strict=True))


def broken(folder: Path, old: str, new: str, example: str) -> Plugin:
    source = folder / "box_candidates" / "kernel.cu"
    source.parent.mkdir()
    text = PLUGIN.source.read_text()
    assert text.count(old) == 1
    whole = text.replace(old, new).replace("STEPS(f16, half_bits)\n", "")  # half to compile
    source.write_text(whole)
    few = [each for each in PLUGIN.examples() if each.name == example]
    assert len(few) == 1
    entries = tuple(entry for entry in PLUGIN.entries if entry.endswith("f32"))
    return replace(PLUGIN, source=source, entries=entries, examples=lambda: few)


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new", "example"),
    [
        ("atomicAdd(here.areas + region, length);", "here.areas[region] += length;", "all text"),
        pytest.param(
            "    __syncthreads();\n    int before",
            "    int before",
            "noise",
            marks=pytest.mark.full,
        ),
    ],
    ids=["a sum, between blocks", "a barrier"],
)
def test_race_is_detected(old: str, new: str, example: str, tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match="data race"):
        verify_on_host(broken(tmp_path, old, new, example), "races")


@needs_compiler
@pytest.mark.full
def test_access_without_bound_is_detected(tmp_path: Path) -> None:
    old, new = "column >= 0 && column < this->width", "column < this->width"
    with pytest.raises(EngineBuildError, match="heap-buffer-overflow"):
        verify_on_host(broken(tmp_path, old, new, "1 pixel"))


@pytest.mark.parametrize(
    ("shape", "dtype", "change", "message"),
    [
        ((4, 4), np.float32, {}, r"\(N, H, W\).*\(4, 4\)"),
        ((1, 0, 4), np.float32, {}, "at least one pixel"),
        ((1, 4, 4), np.float64, {}, "not float64"),
        ((1, 4, 4), np.float32, {"max_rows": 0}, r"at least 1, got \(60, 0\)"),
        ((1, 2**16, 2**15), np.float16, {}, "1 maps of 65536 x 32768 pixels .*32-bit"),
    ],
)
def test_launch_refuses_what_the_op_does_not_accept(
    shape: tuple[int, ...], dtype: type, change: dict[str, int], message: str
) -> None:
    probability = np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, (0,) * len(shape))
    attributes = {"max_components": 60, "max_rows": 200, **change}
    with pytest.raises(ValueError, match=message):
        PLUGIN.launch((probability, LEVEL), attributes)
    with pytest.raises(ValueError, match=r"threshold .*float32 \(1,\)"):
        PLUGIN.launch((np.zeros((1, 2, 2), np.float32), LEVEL[0]), attributes)
