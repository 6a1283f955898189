"""Find the numbers of streams and threads with which a bundle runs fastest on this machine.

* Latency: one batch of one image at a time. The choice with the smallest median is best.
* Throughput: as many callers as streams, each with full batches of at most 16 images. Among the
  choices within 3 % of the most images per second, the one with the fewest streams is best, because
  streams need memory.

Choices take turns, so that a change in the machine's speed affects all of them, and the medians of
the turns are compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from ..common.cores import usable_cores
from ..common.progress import Advance, Reporter
from ..engines.bundle import Bundle
from ..engines.engine import Engine
from ..engines.runner import Runner
from ..engines.targets import backend
from ..engines.tuned import Choice, Mode, Tuning
from .load_loops import closed_loop

_LARGEST_BATCH = 16
_BETTER_BY = 1.03


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """The number and the length of the turns of each choice."""

    turns: int = 5
    turn_s: float = 0.3


@dataclass(frozen=True, kw_only=True)
class StreamTrial:
    """The measurements of one choice."""

    mode: Mode
    choice: Choice
    batch: int
    milliseconds: float
    """Median time of one batch, including its wait for a stream."""
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class StreamTrials:
    """All trials of a bundle, and the best choice for each mode."""

    trials: tuple[StreamTrial, ...]
    tuning: Tuning


def optimize_streams(bundle: Bundle, settings: StreamSettings, reporter: Reporter) -> StreamTrials:
    """Try the usual choices for both modes at the bundle's widest input.

    Raises:
        TargetMissingError: the bundle cannot run here.
    """
    latency = _trials(bundle, "latency", settings, reporter)
    throughput = _trials(bundle, "throughput", settings, reporter)
    tuning = Tuning(latency=best(latency).choice, throughput=best(throughput).choice)
    return StreamTrials(trials=(*latency, *throughput), tuning=tuning)


def usual_choices(mode: Mode, *, on_cpu: bool) -> list[Choice]:
    """Return the choices to try, in ascending order of streams, on which ``best`` relies."""
    if not on_cpu:
        return [Choice(streams=streams) for streams in ((1,) if mode == "latency" else (1, 2, 4))]
    cores = usable_cores()
    if mode == "latency":
        # All cores, or half of them, rounded up.
        return [Choice(streams=1, threads=n) for n in sorted({cores, -(-cores // 2)})]
    powers = takewhile(lambda streams: streams < cores, (1 << n for n in range(16)))
    return [Choice(streams=streams, threads=cores) for streams in (*powers, cores)]


def _trials(
    bundle: Bundle, mode: Mode, settings: StreamSettings, reporter: Reporter
) -> list[StreamTrial]:
    choices = usual_choices(mode, on_cpu=backend(bundle.manifest.target).runs_on_cpu)
    batch = 1 if mode == "latency" else min(_LARGEST_BATCH, bundle.spec.input.max_batch)
    with ExitStack() as stack:
        engines = [
            Engine.from_bundle(bundle, streams=choice.streams, threads=choice.threads)
            for choice in choices
        ]
        runners = [stack.enter_context(engine).runner() for engine in engines]
        advance = stack.enter_context(
            reporter.step(f"tune {bundle.label} for {mode}", settings.turns)
        )
        medians = _medians(runners, batch, settings, advance)
    return [
        StreamTrial(
            mode=mode, choice=choice, batch=batch, milliseconds=ms, images_per_second=batch * rate
        )
        for choice, (ms, rate) in zip(choices, medians, strict=True)
    ]


def _medians(
    runners: Sequence[Runner], batch: int, settings: StreamSettings, advance: Advance
) -> list[tuple[float, float]]:
    """Return the medians over all turns: (milliseconds, batches per second) of each runner."""
    feed = np.random.default_rng(0).uniform(-1, 1, (batch, *runners[0].shape))
    images = feed.astype(np.float32)
    for runner in runners:
        closed_loop(runner, images, runner.streams, 0)  # warms up: compiles and allocates
    turns: list[list[tuple[float, float]]] = [[] for _ in runners]
    for turn in range(1, settings.turns + 1):
        for runner, own in zip(runners, turns, strict=True):
            result = closed_loop(runner, images, runner.streams, settings.turn_s)
            own.append((result.waits.p50, result.throughput))
        advance(turn)
    return [
        (statistics.median(ms for ms, _ in own), statistics.median(rate for _, rate in own))
        for own in turns
    ]


def best(trials: Sequence[StreamTrial]) -> StreamTrial:
    """Return the best trial of a mode; see the top of this module."""
    if trials[0].mode == "latency":
        return min(trials, key=lambda trial: trial.milliseconds)
    highest = max(trial.images_per_second for trial in trials)
    return next(t for t in trials if t.images_per_second * _BETTER_BY >= highest)
