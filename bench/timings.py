"""Time the systems of one model: their latencies, and their behavior under load."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ..common.progress import Reporter
from ..engines.engine import Engine
from ..measure.latency import Contender, LatencySettings, LatencyStats, measure
from ..measure.load import Load, LoadSettings
from ..measure.load_loops import measure_load
from .systems import System, timed_batches


def measured_latencies(
    systems: Sequence[System], settings: LatencySettings, reporter: Reporter
) -> list[tuple[LatencyStats, ...]]:
    """Time systems of one model in turns, at each batch size; untimed systems have no latencies."""
    spec = systems[0].engine.spec
    timed = [index for index, system in enumerate(systems) if system.timed]
    latencies: list[tuple[LatencyStats, ...]] = [() for _ in systems]
    if not timed:
        return latencies
    for batch in timed_batches(spec):
        runners = [systems[index].engine.runner() for index in timed]
        # Runner shapes are (C, H, W).
        contenders = [Contender(runner=r, shape=(batch, *r.shape)) for r in runners]
        with reporter.step(f"time {spec.name} at batch {batch}", 100) as advance:
            measured = measure(contenders, settings, lambda share: advance(round(100 * share)))
        for index, stats in zip(timed, measured, strict=True):
            latencies[index] = (*latencies[index], stats)
    return latencies


def measured_loads(
    systems: Sequence[System], settings: LoadSettings, duration_s: float, reporter: Reporter
) -> dict[int, Load]:
    """Put the baseline and the engines under load; return the results by index in ``systems``.

    Engines are opened again in throughput mode, which runs several streams.
    """
    chosen = [i for i, s in enumerate(systems) if s.timed and s.kind in ("baseline", "engine")]
    with ExitStack() as stack:
        runners = []
        for system in (systems[index] for index in chosen):
            engine = system.engine
            if system.bundle is not None:
                engine = Engine.from_bundle(system.bundle, mode="throughput", label=engine.label)
                stack.enter_context(engine)
            runners.append(engine.runner())
        with reporter.step(f"load {systems[0].engine.spec.name}", 100) as advance:
            loads = measure_load(
                runners, settings, duration_s, lambda share: advance(round(100 * share))
            )
    return dict(zip(chosen, loads, strict=True))
