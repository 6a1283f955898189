"""The search for ``--compress``: the smallest network within the accuracy budget.

1. Measure the cost of each option on the target, and the error of each option alone.
2. Order the options to a path from the whole network to the smallest one: each step adds the
   option with the least error per saved cost (``compression/greedy_path.py``).
3. Fit the weights of a few networks on the path, measure them on the samples, and find by bisection
   the last one within budget (``compression_trials.py`` has the rule).

The caller builds an engine of that network. If the engine is not accepted, the bisection continues
with fewer decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ..calibration.calibrator import Calibrator
from ..calibration.ranges import graphs_sha256
from ..common.input_size import by_area
from ..compression.cost_model import CostModel, proportional_cost
from ..compression.dead_channels import remove_dead_channels
from ..compression.decisions import Decision
from ..compression.greedy_path import Option, PathPoint, greedy_path, is_worthwhile
from ..compression.layers import weighted_layers
from ..compression.op_shares import op_shares, op_work, total_flops
from ..compression.shrinker import Batch, Shrinker, Smaller
from ..compression.sparsify import can_sparsify
from ..engines.bundle import tree_sha256
from ..measure.latency import EQUAL
from .cache_key import code_sha256
from .compression_costs import cost_model
from .compression_trials import (
    CompressionLog,
    CompressionRecord,
    CompressionRunner,
    graphs_of,
    judged,
)
from .job import TargetJob
from .path_bisection import CompressionStop, PathBisection
from .trial_log import TrialLog
from .trials import FEEDS, spread_batches

_STOPS = 24
"""Networks on the path that may be measured; bisection measures about five of them."""
_FITTED = {"detector": 48, "recognizer": 200, "classifier": 200}
"""Number of calibration images that weights are fitted to; calibration uses 200 at most."""
_FITTED_BYTES = 1 << 30
"""Limit of the memory for these images."""
_FIT_FLOPS, _LEAST_FITTED = 12e12, 16
"""Limit of the work of a fit, in which the images run once for each layer: one to two minutes on
two cores. And the number of images for a network that is too large for this limit."""


@dataclass(frozen=True, kw_only=True)
class CompressionPlan:
    """Everything that was measured before networks are tried."""

    options: tuple[Option, ...]
    model: CostModel
    unit: str
    """Of costs: "ms" or "FLOPs"."""
    path: tuple[PathPoint, ...]


class CompressionSearch:
    """The search for one target. ``calibrator``: of the graphs that are not compressed."""

    def __init__(self, job: TargetJob, calibrator: Calibrator) -> None:
        self.job = job
        self.log: CompressionLog = TrialLog(job.log_path("compression"), CompressionRecord)
        largest = max(job.graphs, key=by_area)
        with job.reporter.step("remove channels that do nothing"):
            alive = remove_dead_channels(job.graphs)
        self.dead = alive[largest].channels
        """Tensors that lost channels which do nothing."""
        samples, fitted = job.baseline.samples, calibrator.images.dataset.folder
        self.is_measured_on_fitted = samples is not None and samples.folder == fitted
        """Whether the samples are the images that the weights are fitted to."""
        batches, multiple = _fitted_batches(job, calibrator), job.target.needs().channel_multiple
        self.shrinker = Shrinker(graphs_of(alive), batches, multiple=multiple)
        feeds = spread_batches(calibrator, FEEDS[job.spec.role])
        self.runner = CompressionRunner(
            job, self.shrinker, feeds, self.log, _facts(job, calibrator)
        )
        self.plan = self._plan()
        # Without dead channels or with sparse weights, the network itself may be faster already.
        first = self.plan.path[:1] if self.dead or self.runner.is_sparse else ()
        self.bisection = PathBisection([*first, *_stops(self.plan.path)], self._measured)

    @property
    def images(self) -> int:
        """Number of images that weights are fitted to."""
        return len(self.shrinker.batches)

    @property
    def has_options(self) -> bool:
        """Whether the network has anything to compress."""
        return self.shrinker.has_options or bool(self.dead) or self.runner.is_sparse

    @property
    def dead_channels(self) -> int:
        """How many outputs of layers do nothing."""
        graph = ir.from_proto(self.job.graphs[max(self.job.graphs, key=by_area)]).graph
        alive = self.shrinker.layers
        layers = (layer for layer in weighted_layers(graph) if layer.name in alive)
        return sum(layer.outputs - alive[layer.name].outputs for layer in layers)

    def sparse_layers(self, stop: CompressionStop) -> int:
        """How many layers of a network got 2:4 sparse weights."""
        if not self.runner.is_sparse:
            return 0
        graphs = self.graphs(stop)
        graph = ir.from_proto(graphs[max(graphs, key=by_area)].model).graph
        return sum(can_sparsify(layer) for layer in weighted_layers(graph))

    @property
    def has_stops(self) -> bool:
        """Whether anything on the path is predicted to be faster."""
        return bool(self.bisection.points)

    def graphs(self, stop: CompressionStop) -> Smaller:
        """Return the graphs of a network."""
        return self.runner.fitted(stop.point.decisions)

    def decisions(self, stop: CompressionStop) -> tuple[Decision, ...]:
        """Return the decisions that were applied to a network."""
        return tuple(self.shrinker.applied(stop.point.decisions))

    def _measured(self, point: PathPoint) -> CompressionStop:
        trial = self.runner.measure(point.decisions)
        is_final = self.job.request.precision == "fp32"
        judgement = judged(trial, self.job.spec.accuracy.max_loss, is_final=is_final)
        return CompressionStop(point=point, trial=trial, judgement=judgement)

    def _plan(self) -> CompressionPlan:
        reporter, shrinker = self.job.reporter, self.shrinker
        if not shrinker.has_options:
            ops = {n: proportional_cost(each.flops) for n, each in shrinker.work.items()}
            model = CostModel(ops=ops)
            path = greedy_path((), model)
            return CompressionPlan(options=(), model=model, unit="FLOPs", path=path)
        with reporter.step("sample what layers read", len(shrinker.batches)) as advance:
            shrinker.prepare(advance)
        with reporter.step("choose the channels that could be removed"):
            decisions = shrinker.options()
        largest, shares = max(shrinker.graphs, key=by_area), {}
        with reporter.step("find what each option makes smaller", len(decisions)) as advance:
            for number, each in enumerate(decisions, 1):
                smaller = shrinker.restructured([each])
                shares[each] = op_shares(shrinker.work, smaller[largest])
                advance(number)
        model, unit = cost_model(self.runner, shrinker.levels, shares)
        options = self._options([each for each in decisions if is_worthwhile(each, model)])
        path = greedy_path(options, model)
        return CompressionPlan(options=tuple(options), model=model, unit=unit, path=path)

    def _options(self, decisions: Sequence[Decision]) -> list[Option]:
        """Measure the error of each decision alone."""
        options = list[Option]()
        reporter = self.job.reporter
        with reporter.step("measure the error of each option", len(decisions)) as advance:
            for number, each in enumerate(decisions, 1):
                smaller = self.shrinker.restructured([each])
                options.append(Option(decision=each, error=self.runner.error(each, smaller)))
                advance(number)
        return options


def _stops(path: Sequence[PathPoint]) -> list[PathPoint]:
    """Return the points of the path to try: evenly spread over the predicted cost."""
    if not path:
        return []
    full, least = path[0].cost, path[-1].cost
    costs = [full - (full - least) * number / _STOPS for number in range(1, _STOPS + 1)]
    # The first point that is at least so cheap; costs fall along the path. The default is for
    # rounding.
    found = [
        next((n for n, point in enumerate(path) if point.cost <= cost), len(path) - 1)
        for cost in costs
    ]
    return [path[n] for n in dict.fromkeys(found) if path[n].cost < full * (1 - EQUAL)]


def _fitted_batches(job: TargetJob, calibrator: Calibrator) -> list[Batch]:
    """Return the images that weights are fitted to, evenly spread."""
    size = max(job.graphs, key=by_area)
    one = 4 * job.spec.input.channels * size.height * size.width
    graph = job.graphs[size]
    layers = sum(1 for _ in weighted_layers(ir.from_proto(graph).graph))
    flops = total_flops(op_work(graph)) * max(1, layers)
    affordable = max(_LEAST_FITTED, int(_FIT_FLOPS // max(1, flops)))
    limit = min(_FITTED[job.spec.role], affordable, _FITTED_BYTES // one)
    return spread_batches(calibrator, max(1, limit))


def _facts(job: TargetJob, calibrator: Calibrator) -> list[str]:
    """Return everything besides the decisions that measurements depend on."""
    samples = job.baseline.samples
    return [
        code_sha256(),  # another version may fit or choose in another way
        graphs_sha256(job.graphs),
        tree_sha256(calibrator.images.dataset.folder),
        tree_sha256(samples.folder) if samples is not None else "",
        f"{job.target.name} {job.target.availability().version}",
        job.request.precision,
        job.spec.model_dump_json(),
        *(["sparse"] if job.target.wants_sparse_weights(job.request.settings.options) else []),
    ]
