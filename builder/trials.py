"""Measuring candidates: the OCR metric decides, on the target itself where it can run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from itertools import islice

from ..calibration.calibrator import Calibrator, Graphs
from ..calibration.noise import Outputs, run_all
from ..calibration.observe import Batch
from ..calibration.ranges import graphs_sha256
from ..common.progress import Reporter
from ..engines.base import Backend
from ..engines.engine import Engine
from ..measure.latency import Contender, LatencySettings, measure
from ..ocr.roles import role_of
from .candidate import Candidate, Trial
from .compile import tried
from .ledger import Entry, Ledger
from .proof import Proof
from .request import BuildRequest

_TIMED = LatencySettings(duration_s=1.0)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Measures candidates for one target. ``feeds``: a few images for distances."""

    request: BuildRequest
    target: Backend
    proof: Proof
    ledger: Ledger
    samples_sha256: str
    feeds: Sequence[tuple[int, Batch]]
    reference: Outputs
    reporter: Reporter

    def trial(self, candidate: Candidate) -> Trial:
        """Measure a candidate, or take what the ledger knows of it."""
        key = self._key(candidate.quantized.graphs)
        entry = self.ledger.get(key)
        if entry is None:
            with self._opened(candidate) as engine:
                found = self.proof.metric(engine, self.reporter)
            outputs = run_all(candidate.quantized.graphs, self.feeds)
            off = role_of(self.request.spec).output_distance(self.reference, outputs)
            entry = Entry(key=key, metric=found, distance=off)
            self.ledger.add(entry)
        return Trial(candidate=candidate, metric=entry.metric, distance=entry.distance)

    def is_within(self, trial: Trial) -> bool:
        """Whether a candidate loses no more than the spec allows."""
        return trial.is_within(self.request.spec.accuracy.max_loss)

    @property
    def can_time(self) -> bool:
        """Whether the target can run here."""
        return self.target.can_run(self.request.settings)

    def timed(self, trials: Sequence[Trial]) -> list[Trial]:
        """Time candidates in turns, batch 1, widest input; as they are if the target cannot run."""
        if not self.can_time:
            return list(trials)
        with ExitStack() as stack:
            engines = [stack.enter_context(self._opened(trial.candidate)) for trial in trials]
            runners = [engine.runner() for engine in engines]
            contenders = [Contender(runner=r, shape=(1, *r.shape)) for r in runners]
            with self.reporter.step(f"time {len(trials)} candidates in turns", 100) as advance:
                found = measure(contenders, _TIMED, lambda share: advance(round(100 * share)))
        return [
            replace(trial, latency=stats.p50) for trial, stats in zip(trials, found, strict=True)
        ]

    def _opened(self, candidate: Candidate) -> AbstractContextManager[Engine]:
        request = self.request
        return tried(
            self.target,
            candidate.quantized.graphs,
            request.spec,
            candidate.label,
            request.settings,
            self.reporter,
        )

    def _key(self, graphs: Graphs) -> str:
        target = f"{self.target.name} {self.target.availability().version}"
        spec = self.request.spec.model_dump_json()
        parts = (graphs_sha256(graphs), self.samples_sha256, target, spec)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def few_feeds(calibrator: Calibrator, most: int) -> list[tuple[int, Batch]]:
    """Return at most ``most`` calibration batches, evenly spread."""
    step = max(1, len(calibrator.images) // most)
    return list(islice(calibrator.batches(), 0, step * most, step))
