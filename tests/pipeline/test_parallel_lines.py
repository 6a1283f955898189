"""Lines of one image on several streams of the recognizer."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.runner import FreePlan, Runner
from ocr_trt.pipeline.clock import StageClock, untimed
from ocr_trt.pipeline.parallel_lines import recognize_in_parallel
from ocr_trt.pipeline.stages import recognize
from tests.pipeline.functions import brightness_as_letter, engine, recognizer_spec
from tests.pipeline.test_pipeline import lines_of

SIZES = (InputSize(8, 16), InputSize(8, 32), InputSize(8, 64))


class _Plan(FreePlan):
    def runner(self, size: InputSize, *, label: str, max_batch: int) -> Runner:
        raise NotImplementedError


def with_streams(recognizer: Engine, streams: int) -> None:
    """Let the runners of an engine have several streams of one plan."""
    plan = _Plan()
    for size in SIZES:
        runner = recognizer.runner(size)
        runner.streams, runner.plan = streams, plan


def random_lines(seed: int, count: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    # Up to 200 columns: the widest are read in windows.
    return lines_of(list(rng.integers(1, 200, count)), list(rng.integers(0, 255, count)))


@pytest.mark.parametrize("streams", [1, 2, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_readings_and_batches_are_those_of_one_stream(streams: int, seed: int) -> None:
    alone, alone_runners = engine(recognizer_spec(), brightness_as_letter)
    parallel, runners = engine(recognizer_spec(), brightness_as_letter)
    with_streams(parallel, streams)
    lines = random_lines(seed)
    assert recognize_in_parallel(parallel, lines, untimed) == recognize(alone, lines)
    for size in SIZES:
        assert sorted(runners[size].fed) == sorted(alone_runners[size].fed)


def test_batches_run_at_the_same_time() -> None:
    # Each batch waits until another one runs; if they ran in turns, the barrier would break.
    together = threading.Barrier(2, timeout=60)

    def waiting(feed: np.ndarray) -> np.ndarray:
        together.wait()
        return brightness_as_letter(feed)

    recognizer, _ = engine(recognizer_spec(), waiting)
    with_streams(recognizer, 2)
    lines = lines_of([10] * 8 + [30] * 8, [0, 100, 200, 0] * 4)  # four batches
    readings = recognize_in_parallel(recognizer, lines, untimed)
    assert "".join(reading.text for reading in readings) == "abca" * 4


def test_failure_of_a_batch_is_raised() -> None:
    def failing(feed: np.ndarray) -> np.ndarray:
        if feed.shape[-1] == 32:
            raise ValueError("no such batch")
        return brightness_as_letter(feed)

    recognizer, _ = engine(recognizer_spec(), failing)
    with_streams(recognizer, 3)
    with pytest.raises(ValueError, match="no such batch"):
        recognize_in_parallel(recognizer, random_lines(2), untimed)


def test_the_first_batch_runs_alone_if_it_decides_the_size_of_the_others() -> None:
    running, most_before_known = [0], [0]
    plan = _Plan()

    def counted(feed: np.ndarray) -> np.ndarray:
        running[0] += 1
        if not plan.bytes_per_pixel:
            most_before_known[0] = max(most_before_known[0], running[0])
        result = brightness_as_letter(feed)
        running[0] -= 1
        return result

    recognizer, runners = engine(recognizer_spec(), counted)
    for size in SIZES:
        runner = recognizer.runner(size)
        runner.streams, runner.runs_on_cpu, runner.plan = 4, True, plan
    lines = lines_of([10] * 9 + [30] * 9, [0, 100, 200] * 6)
    readings = recognize_in_parallel(recognizer, lines, untimed)
    assert "".join(reading.text for reading in readings) == "abc" * 6
    assert most_before_known == [1]
    assert runners[8, 16].fed[0] == (1, 1, 8, 16)  # one image until the size of its output is known


def test_no_lines_give_no_readings_and_time_counts_as_recognize() -> None:
    recognizer, runners = engine(recognizer_spec(), brightness_as_letter)
    assert recognize_in_parallel(recognizer, [], untimed) == []
    assert runners == {}
    clock = StageClock()
    recognize_in_parallel(recognizer, random_lines(3), clock)
    assert clock.seconds["recognize"] > 0


def test_full_batches_of_separate_plans_run_in_turns() -> None:
    running, most = [0], [0]

    def counted(feed: np.ndarray) -> np.ndarray:
        running[0] += 1
        most[0] = max(most[0], running[0])
        result = brightness_as_letter(feed)
        running[0] -= 1
        return result

    recognizer, runners = engine(recognizer_spec(), counted)
    with_streams(recognizer, 4)
    for size in SIZES:
        runners[size].plan = None
    lines = random_lines(4)
    assert recognize_in_parallel(recognizer, lines, untimed) == recognize(recognizer, lines)
    assert most == [1]
