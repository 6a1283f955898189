"""CUDA kernels without a GPU: their source runs on the CPU under sanitizers."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ocr_trt.errors import EngineBuildError, TargetMissingError
from ocr_trt.ocr.ctc import decode_greedy
from ocr_trt.plugins.ctc_greedy_decode import ctc_greedy_decode
from ocr_trt.plugins.cuda import on_host
from ocr_trt.plugins.hwc8 import in_hwc8
from ocr_trt.plugins.plugin import Plugin
from ocr_trt.plugins.registry import PLUGINS
from ocr_trt.plugins.verify_kernels import difference, verify_body, verify_on_host

needs_compiler = pytest.mark.skipif(on_host.compiler() is None, reason="no C++ compiler")
each = pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)


def changed(plugin: Plugin, folder: Path, old: str, new: str) -> Plugin:
    """The plugin with something in its kernels replaced."""
    source = folder / plugin.source.parent.name / plugin.source.name
    source.parent.mkdir()
    text = plugin.source.read_text()
    assert text.count(old) >= 1
    source.write_text(text.replace(old, new))
    return replace(plugin, source=source)


@pytest.mark.parametrize("plugin", [p for p in PLUGINS.values() if p.body], ids=lambda p: p.name)
def test_bodies_equal_the_reference(plugin: Plugin) -> None:
    found = verify_body(plugin)
    assert found.examples >= 10
    assert found.wrong == ()


@needs_compiler
@each
def test_kernels_equal_the_reference_and_stay_in_their_memory(plugin: Plugin) -> None:
    found = verify_on_host(plugin)
    packed = in_hwc8(plugin).examples() if plugin.launch_hwc8 else []
    assert found.examples == len(plugin.examples()) + len(packed)
    assert found.wrong == ()


@each
def test_examples_run_every_kernel(plugin: Plugin) -> None:
    formats = [plugin, *([in_hwc8(plugin)] if plugin.launch_hwc8 else [])]
    launches = [op.launch(e.inputs, e.attributes) for op in formats for e in op.examples()]
    assert {step.entry for launch in launches for step in launch.steps} == set(plugin.entries)


@needs_compiler
def test_a_kernel_without_races_passes() -> None:
    plugin = PLUGINS["CropWarp"]
    found = verify_on_host(replace(plugin, examples=lambda: plugin.examples()[:2]), "races")
    assert (found.examples, found.wrong) == (2, ())


@needs_compiler
@pytest.mark.full
@pytest.mark.parametrize("name", ["CtcGreedyDecode", "CropWarp", "BoxCandidates"])
def test_threads_that_share_memory_wait_for_each_other(name: str) -> None:
    assert verify_on_host(PLUGINS[name], "races").wrong == ()


@needs_compiler
def test_map_that_not_all_threads_wait_for_is_detected(tmp_path: Path) -> None:
    broken = changed(PLUGINS["CropWarp"], tmp_path, "__syncthreads();", ";")
    with pytest.raises(EngineBuildError, match="data race"):
        verify_on_host(replace(broken, examples=lambda: broken.examples()[:2]), "races")


@needs_compiler
@pytest.mark.parametrize(
    ("name", "old", "new", "seen"),
    [
        ("MaxUnpool2d", "width / N;", "(width + N - 1) / N;", "misaligned|heap-buffer-overflow"),
        ("ImageToTensor", "index >= height", "index > height", "heap-buffer-overflow"),
        *(
            pytest.param(*case, "heap-buffer-overflow", marks=pytest.mark.full)
            for case in (
                ("MaxPoolArgmax2d", "index >= static", "index > static"),
                ("MaxUnpool2d", "rows * across", "(rows + 1) * across"),
                ("MaxPoolArgmax2d", "rows * across", "(rows + 1) * across"),
                ("CtcGreedyDecode", "step < steps", "step <= steps"),
                ("CropWarp", "size - 1", "size"),
            )
        ),
    ],
)
def test_access_out_of_bounds_is_detected(
    name: str, old: str, new: str, seen: str, tmp_path: Path
) -> None:
    broken = changed(PLUGINS[name], tmp_path, old, new)
    if "N - 1" in new:  # the wide entry, for rows that it does not fit
        broken = replace(
            broken,
            launch=lambda inputs, attributes: replace(
                PLUGINS[name].launch(inputs, attributes), entry="max_unpool_2d_f32_x2"
            ),
            examples=lambda: PLUGINS[name].examples()[:2],
        )
    with pytest.raises(EngineBuildError, match=seen) as failure:
        verify_on_host(broken)
    assert "kernel.cu:" in str(failure.value)


@needs_compiler
@pytest.mark.full
@pytest.mark.parametrize("barrier", range(3))
def test_each_barrier_that_is_missing_is_detected(barrier: int, tmp_path: Path) -> None:
    plugin, word = PLUGINS["CtcGreedyDecode"], "__syncthreads();"
    parts = plugin.source.read_text().split(word)
    assert len(parts) == 4
    whole = word.join(parts)
    without = word.join(parts[: barrier + 1]) + ";" + word.join(parts[barrier + 1 :])
    broken = changed(plugin, tmp_path, whole, without)
    of_interest = [e for e in plugin.examples() if e.inputs[0].shape[1] == (8, 41, 41)[barrier]]
    if barrier == 0:  # nothing else reads the counter before it is set
        of_interest = [e for e in plugin.examples() if e.inputs[0].shape[1] == 0]
    few = replace(broken, examples=lambda: of_interest[:1])
    with pytest.raises(EngineBuildError, match="data race"):
        verify_on_host(few, "races")


@needs_compiler
def test_barrier_that_not_all_reach_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = PLUGINS["CtcGreedyDecode"]
    old = "    for (int first"
    broken = changed(plugin, tmp_path, old, f"    if (threadIdx.x == 7) return;\n{old}")
    few = replace(broken, examples=lambda: plugin.examples()[1:2])
    monkeypatch.setattr(on_host, "_RUN_SECONDS", 2)
    with pytest.raises(EngineBuildError, match=r"on float32 3x8x97.* that not all threads reach"):
        verify_on_host(few)


@needs_compiler
def test_wrong_result_is_reported_with_its_example(tmp_path: Path) -> None:
    last_wins = changed(PLUGINS["MaxPoolArgmax2d"], tmp_path, "<= high", "< high")
    few = PLUGINS["MaxPoolArgmax2d"].examples()[1:3]
    wrong = verify_on_host(replace(last_wins, launch_hwc8=None, examples=lambda: few)).wrong
    assert wrong
    found = (
        r"float32 2x3x6x10: output 1: \d+ of 90 .* wrong, first at \(\d.*\): [123]\.0, "
        r"expected [012]\.0"
    )
    assert re.match(found, wrong[0]), wrong[0]


@needs_compiler
def test_source_that_is_no_cpp_is_reported(tmp_path: Path) -> None:
    broken = changed(PLUGINS["MaxUnpool2d"], tmp_path, "const T zero", "const T zer0")
    with pytest.raises(EngineBuildError, match=r"(?s)kernel\.cu:\d+.*zero"):
        verify_on_host(broken)


def test_nan_is_equal_to_nan_alone() -> None:
    nan, one = (np.array([value, 1.0], np.float32) for value in (np.nan, 0.0))
    assert difference([nan], [nan], 0.0) is None
    for result, expected, facts in (
        (nan, one, "nan, expected 0.0"),
        (one, nan, "0.0, expected nan"),
    ):
        found = difference([result], [expected], 0.5)
        assert found is not None
        assert found.startswith("output 0: 1 of 2 ")
        assert found.endswith(f"first at (0,): {facts}")


def test_no_compiler_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    plugin = PLUGINS["MaxUnpool2d"]
    with pytest.raises(TargetMissingError, match="apt-get install g"):
        on_host.HostKernels(plugin.source, plugin.entries, tmp_path)


@pytest.mark.parametrize(
    ("name", "inputs", "attributes", "message"),
    [
        ("MaxPoolArgmax2d", [np.zeros((1, 1, 3, 4), np.float32)], {}, "even, got"),
        ("MaxPoolArgmax2d", [np.zeros((2, 4), np.float32)], {}, r"\(2, 4\)"),
        ("MaxPoolArgmax2d", [np.zeros((1, 1, 2, 2))], {}, "no kernel for float64"),
        ("MaxUnpool2d", [np.zeros((1, 1, 2, 2), np.float32)] * 2, {}, None),
        (
            "MaxUnpool2d",
            [np.zeros((1, 1, 2, 2), np.float32), np.zeros((1, 1, 2, 2), np.float16)],
            {},
            "one shape",
        ),
        (
            "CtcGreedyDecode",
            [np.zeros((2, 3, 4), np.float32)],
            {"blank": 4},
            "4 classes, 0 to 3, got 4",
        ),
        ("CtcGreedyDecode", [np.zeros((3, 4), np.float32)], {"blank": 0}, r"\(N, T, C\)"),
    ],
)
def test_launch_refuses_what_the_op_does_not_accept(
    name: str, inputs: list[np.ndarray], attributes: dict[str, int], message: str | None
) -> None:
    launch = PLUGINS[name].launch
    if message is None:
        assert launch(inputs, attributes).blocks == 1
        return
    with pytest.raises(ValueError, match=message):
        launch(inputs, attributes)


def test_decoding_equals_the_pipeline() -> None:
    charset = "abcdefg"
    for example in PLUGINS["CtcGreedyDecode"].examples():
        logits = np.nan_to_num(example.inputs[0][..., :8]).astype(np.float32)
        if logits.shape[2] < 8:
            continue
        blank = min(example.attributes["blank"], 7)
        labels, lengths, scores = ctc_greedy_decode(logits, blank)
        letters = charset[:blank] + "-" + charset[blank:]
        readings = decode_greedy(logits, charset, blank)
        for row, length, score, reading in zip(labels, lengths, scores, readings, strict=True):
            assert "".join(letters[i] for i in row[:length]) == reading.text
            assert np.exp(score) == pytest.approx(reading.score, abs=1e-5)
            assert (row[length:] == -1).all()
