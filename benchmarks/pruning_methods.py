"""Smaller graphs of one model at a given share of its FLOPs, for competing_pruners.py.

Path: the greedy path of ``build --compress``, with FLOPs as the cost. Magnitude: of each group of
channels, the same share remains, those with the largest weights:

    norm of channel c  =  sqrt(sum of the squares of all weights that write or read c)

(Li et al., "Pruning filters for efficient ConvNets", 2017; with coupled layers: Fang et al.,
"DepGraph: towards any structural pruning", 2023).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ocr_trt.builder.compression_trials import CompressionRecord, graphs_of
from ocr_trt.builder.trial_log import TrialLog
from ocr_trt.builder.trials import FEEDS
from ocr_trt.calibration.noise import run_all
from ocr_trt.calibration.observe import Batch
from ocr_trt.calibration.ranges import graphs_sha256
from ocr_trt.common.input_size import by_area
from ocr_trt.common.progress import Reporter
from ocr_trt.common.spread import spread
from ocr_trt.compression.channel_groups import ChannelGroup
from ocr_trt.compression.cost_model import CostModel, proportional_cost
from ocr_trt.compression.dead_channels import remove_dead_channels
from ocr_trt.compression.decisions import Decision, Factor, Prune
from ocr_trt.compression.greedy_path import Option, greedy_path
from ocr_trt.compression.layers import WeightedLayer
from ocr_trt.compression.op_shares import OpShare, op_shares, op_work, total_flops
from ocr_trt.compression.shrinker import Shrinker
from ocr_trt.convert.graph import Graphs
from ocr_trt.ocr.roles import role_of
from ocr_trt.spec import ModelSpec

METHODS = {
    "path": "`--compress`: factor and prune",
    "path-prune": "`--compress`: prune only",
    "path-factor": "`--compress`: factor only",
    "path-prune-unfitted": "`--compress`: prune only, weights not fitted",
    "magnitude": "magnitude, weights not fitted",
    "magnitude-fitted": "magnitude, weights fitted as in `--compress`",
}
"""What the methods of this file are called in the table."""
_KINDS: dict[str, tuple[type[Decision], ...]] = {
    "path": (Factor, Prune),
    "path-prune": (Prune,),
    "path-factor": (Factor,),
    "path-prune-unfitted": (Prune,),
}
_MULTIPLE = 8
"""Ranks and numbers of channels are multiples of it, for every method."""
_CHANNEL_SHARES = tuple(np.arange(1.0, 0.1, -0.01).tolist())
"""Shares of the channels of each group, from which one with the right FLOPs is chosen."""
T = TypeVar("T")
Norms = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options of a model with their errors, and the model of their FLOPs."""

    options: tuple[Option, ...]
    model: CostModel


class Pruner:
    """Makes one model smaller by each method.

    Args:
        spec: of the model.
        graphs: clean float32 graphs.
        batches: images (N, C, H, W) to which weights are fitted.
        log: file with the errors of options that an earlier run measured.
        reporter: shows progress.
    """

    def __init__(
        self,
        spec: ModelSpec,
        graphs: Graphs,
        batches: Sequence[Batch],
        log: Path,
        reporter: Reporter,
    ) -> None:
        self.spec, self.graphs, self._reporter = spec, graphs, reporter
        alive = graphs_of(remove_dead_channels(graphs))
        self._shrinker = Shrinker(alive, batches, multiple=_MULTIPLE)
        self._log = TrialLog(log, CompressionRecord)

    def pruned(self, method: str, share: float) -> Graphs:
        """Return the graphs whose FLOPs are nearest to a share of those of the whole model."""
        kinds = _KINDS.get(method)
        decisions = self._on_path(kinds, share) if kinds else self._by_magnitude(share)
        if method in ("path-prune-unfitted", "magnitude"):
            return graphs_of(self._shrinker.restructured(decisions))
        with self._reporter.step(f"fit the weights: {METHODS[method]}, {100 * share:.0f} %"):
            return graphs_of(self._shrinker.fitted(decisions))

    def _on_path(self, kinds: tuple[type[Decision], ...], share: float) -> Sequence[Decision]:
        """Return the decisions at the point of the path that is nearest to a share of the FLOPs."""
        known = self._known
        options = [each for each in known.options if isinstance(each.decision, kinds)]
        path = [point.decisions for point in greedy_path(options, known.model)]
        return nearest(path, self._flops, share)

    def _by_magnitude(self, share: float) -> Sequence[Decision]:
        """Return the channels to keep: the same share of each group, the largest norms."""
        shrinker = self._shrinker
        norms = {each.name: channel_norms(each, shrinker.layers) for each in shrinker.groups}

        def at(channels: float) -> list[Decision]:
            found: list[Decision] = []
            for group in shrinker.groups:
                kept = strongest(group, norms[group.name], channels, shrinker.multiple)
                if len(kept) < group.size:
                    found.append(Prune(group=group.name, kept=kept))
            return found

        return at(nearest(_CHANNEL_SHARES, lambda each: self._flops(at(each)), share))

    def _flops(self, decisions: Sequence[Decision]) -> float:
        return kept_flops(graphs_of(self._shrinker.restructured(decisions)), self.graphs)

    @cached_property
    def _known(self) -> _Options:
        """The options with their errors, measured as ``build --compress`` measures them."""
        shrinker, found = self._shrinker, list[Option]()
        batches = shrinker.batches
        feeds = [batches[i] for i in spread(len(batches), FEEDS[self.spec.role])]
        with self._reporter.step("sample what layers read", len(batches)) as advance:
            shrinker.prepare(advance)
        shares, decisions = dict[Decision, Mapping[str, OpShare]](), shrinker.options()
        reference, facts = run_all(shrinker.graphs, feeds), graphs_sha256(shrinker.graphs)
        with self._reporter.step("measure the error of each option", len(decisions)) as advance:
            for number, decision in enumerate(decisions, 1):
                smaller = shrinker.restructured([decision])
                shares[decision] = op_shares(shrinker.work, smaller[max(smaller, key=by_area)])
                key = hashlib.sha256(f"{facts}\n{decision.model_dump_json()}".encode()).hexdigest()
                record = self._log.get(key)
                if record is None or record.distance is None:
                    outputs = run_all(graphs_of(shrinker.alone(decision, smaller)), feeds)
                    distance = role_of(self.spec).output_distance(reference, outputs)
                    record = CompressionRecord(key=key, distance=distance)
                    self._log.add(record)
                assert record.distance is not None
                found.append(Option(decision=decision, error=record.distance))
                advance(number)
        work = shrinker.work
        costs = {name: proportional_cost(each.flops) for name, each in work.items() if each.flops}
        return _Options(options=tuple(found), model=CostModel(ops=costs, shares=shares))


def kept_flops(graphs: Graphs, whole: Graphs) -> float:
    """Return the FLOPs of the graph of the largest input, relative to those of the whole model."""
    size = max(whole, key=by_area)
    return total_flops(op_work(graphs[size])) / total_flops(op_work(whole[size]))


def nearest(candidates: Sequence[T], flops: Callable[[T], float], share: float) -> T:
    """Return the candidate whose FLOPs are nearest to a share. The FLOPs must descend."""
    place = bisect_left(candidates, -share, key=lambda each: -flops(each))
    around = candidates[max(0, place - 1) : place + 1]
    return min(around, key=lambda each: abs(flops(each) - share))


def channel_norms(group: ChannelGroup, layers: Mapping[str, WeightedLayer]) -> Norms:
    """Return the L2 norm of the weights that write or read each channel of a group, (size,)."""
    squares = np.zeros(group.size)
    for name in group.producers:
        if name in layers and name in group.places:
            written = (layers[name].weights.astype(np.float64) ** 2).sum(0)  # (out,)
            _add(squares, group.places[name].channels, written)
    for name in group.consumers:
        if name in layers:
            layer = layers[name]
            # (in / groups * taps, out) -> (in / groups, taps, groups, out / groups)
            shape = (-1, layer.taps, layer.groups, layer.outputs // layer.groups)
            parts = layer.weights.astype(np.float64).reshape(shape)
            read = (parts**2).sum((1, 3)).T.reshape(-1)  # (in,): the channels of a group adjoin
            _add(squares, group.places[layer.source].channels, read)
    return np.sqrt(squares)


def _add(squares: Norms, channels: npt.NDArray[np.int64], own: Norms) -> None:
    """Add the value at each place of a tensor to the channel at this place; -1: no channel."""
    np.add.at(squares, channels[channels >= 0], own[channels >= 0])


def strongest(group: ChannelGroup, norms: Norms, share: float, multiple: int) -> tuple[int, ...]:
    """Return the channels with the largest norms, in ascending order; fixed ones always stay.

    Each row keeps ``share`` of its channels, rounded to a multiple of ``multiple``. Numbers of
    heads, and of the channels in small heads, are not rounded, as in ``build --compress``.
    """
    rows = [list(row) for row in group.rows] or [list(range(group.size))]
    size = len(rows[0])
    step = 1 if group.is_heads or (group.rows and size < 2 * multiple) else multiple
    fixed = max(len(group.fixed.intersection(row)) for row in rows)
    count = max(step, fixed, round(size * share / step) * step)
    kept = set[int]()
    for row in rows:
        ranked = sorted(row, key=lambda channel: (channel not in group.fixed, -norms[channel]))
        kept |= set(ranked[:count])
    return tuple(sorted(kept))
