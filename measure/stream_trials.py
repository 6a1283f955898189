"""Find how a bundle runs fastest on this machine: how many batches at once, on how many threads.

* Latency: one batch of one image at a time; the choice with the least median.
* Throughput: as many callers as streams, each with full batches, 16 images at most; the choice with
  the most images per second. Fewer streams, which need less memory, win unless others are 3 %
  better.

Choices take turns, and the medians of the turns are compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from ..common.cores import usable_cores
from ..engines.bundle import Bundle
from ..engines.engine import Engine
from ..engines.targets import backend
from ..engines.tuned import Choice, Mode, Tuning
from .load_loops import closed_loop

TURNS = 5
_TURN_S = 0.3
_LARGEST_BATCH = 16
_BETTER_BY = 1.03


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one choice reached. Milliseconds are the median of one batch, its wait included."""

    mode: Mode
    choice: Choice
    batch: int
    milliseconds: float
    images_per_second: float


def usual_choices(mode: Mode, *, on_cpu: bool) -> list[Choice]:
    """Return what is worth trying, fewest streams first."""
    if not on_cpu:
        return [Choice(streams=streams) for streams in ((1,) if mode == "latency" else (1, 2, 4))]
    cores = usable_cores()
    if mode == "latency":
        return [Choice(streams=1, threads=n) for n in sorted({cores, -(-cores // 2)})]
    powers = takewhile(lambda streams: streams < cores, (1 << n for n in range(16)))
    return [Choice(streams=streams, threads=cores) for streams in (*powers, cores)]


def trials(
    bundle: Bundle, mode: Mode, progress: Callable[[int], None] = lambda turns: None
) -> list[Trial]:
    """Try all choices for a mode at the bundle's widest input, in turns.

    ``progress`` is called with the turns that are done, of ``TURNS``.

    Raises:
        TargetMissingError: the bundle cannot run here.
    """
    choices = usual_choices(mode, on_cpu=backend(bundle.manifest.target).runs_on_cpu)
    batch = 1 if mode == "latency" else min(_LARGEST_BATCH, bundle.spec.input.max_batch)
    with ExitStack() as stack:
        engines = [
            Engine.from_bundle(bundle, streams=choice.streams, threads=choice.threads)
            for choice in choices
        ]
        runners = [stack.enter_context(engine).runner() for engine in engines]
        feed = np.random.default_rng(0).uniform(-1, 1, (batch, *runners[0].shape))
        images = feed.astype(np.float32)
        for runner in runners:
            closed_loop(runner, images, runner.streams, 0)  # what is done once is not compared
        turns: list[list[tuple[float, float]]] = [[] for _ in runners]
        for turn in range(1, TURNS + 1):
            for runner, own in zip(runners, turns, strict=True):
                found = closed_loop(runner, images, runner.streams, _TURN_S)
                own.append((found.waits.p50, batch * found.throughput))
            progress(turn)
    medians = [tuple(map(statistics.median, zip(*own, strict=True))) for own in turns]
    return [
        Trial(mode=mode, choice=c, batch=batch, milliseconds=ms, images_per_second=rate)
        for c, (ms, rate) in zip(choices, medians, strict=True)
    ]


def best(found: list[Trial]) -> Trial:
    """Return the first that no other is clearly better than."""
    if found[0].mode == "latency":
        return min(found, key=lambda trial: trial.milliseconds)
    most = max(trial.images_per_second for trial in found)
    return next(t for t in found if t.images_per_second * _BETTER_BY >= most)


def tuning_from(found: list[Trial]) -> Tuning:
    """Return the best choice for each mode."""
    latency, throughput = (
        best([trial for trial in found if trial.mode == mode]).choice
        for mode in ("latency", "throughput")
    )
    return Tuning(latency=latency, throughput=throughput)
