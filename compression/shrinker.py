"""All ways to make a model smaller, and the smaller graphs that decisions lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.input_size import InputSize, by_area
from ..common.spread import spread
from ..convert.graph import Graphs
from ..errors import ConversionError
from .channel_groups import ChannelGroup, channel_groups
from .choose_channels import Kept, removals
from .decisions import Decision, Factor, Prune, SmallerGraph
from .factorize import can_factor, candidate_ranks, factored_flops, full_rank, is_separable
from .layers import WeightedLayer, weighted_layers
from .op_shares import OpWork, op_shares, op_work
from .prune import prune_channels
from .refit import RefitSettings, refit
from .restructure import restructure
from .samples import LayerStatistics, layer_statistics

Batch = npt.NDArray[np.float32]
Smaller = dict[InputSize, SmallerGraph]
Advance = Callable[[int], None]

FACTOR_SHARES = (0.7, 0.45, 0.3, 0.17)
"""FLOPs of a factored layer relative to the whole layer, from which its ranks are chosen."""
CHANNEL_SHARES = (0.75, 0.5)
"""Channels of a pruned group that remain, relative to all."""
_WORTHWHILE = 0.95
"""A layer of a pruned group is factored only if that leaves at most this share of its FLOPs."""
_STATISTICS_POSITIONS, _FIT_POSITIONS, _FEW_POSITIONS = 48_000, 14_400, 4_800
"""Output positions of a layer that are sampled in all images together: for its covariance, of which
no rows are kept; for a fit; and for a fit to the few images."""
_LEAST_POSITIONS = 300
"""Output positions of a layer that are sampled in each image at least."""


class Shrinker:
    """Makes the graphs of one model smaller.

    Args:
        graphs: clean float32 graphs, by input size.
        batches: images (N, C, H, W) to which weights are fitted.
        few: number of the images that the options are fitted to when they are tried alone.
        multiple: ranks and channels are multiples of it.
    """

    def __init__(
        self, graphs: Graphs, batches: Sequence[Batch], *, few: int = 12, multiple: int = 8
    ) -> None:
        self.graphs, self.batches, self.multiple = graphs, batches, multiple
        self._few = [batches[index] for index in spread(len(batches), few)]
        self._statistics: dict[str, LayerStatistics] = {}

    @property
    def largest(self) -> onnx.ModelProto:
        """The graph of the largest input; the names in decisions are those of all sizes."""
        return self.graphs[max(self.graphs, key=by_area)]

    @cached_property
    def layers(self) -> dict[str, WeightedLayer]:
        """The layers with constant weights, by name, in the order of the graph."""
        return {each.name: each for each in weighted_layers(ir.from_proto(self.largest).graph)}

    @cached_property
    def work(self) -> dict[str, OpWork]:
        """The work of every op of the largest graph."""
        return op_work(self.largest)

    def factor_levels(self) -> list[list[Decision]]:
        """Return a decision for every layer that can be factored, once for each level of FLOPs."""
        levels: list[list[Decision]] = [[] for _ in FACTOR_SHARES]
        for layer in self.layers.values():
            for level, rank in enumerate(_ranks(layer, self.multiple)):
                levels[level].append(Factor(layer=layer.name, rank=rank))
        return [level for level in levels if level]

    @cached_property
    def groups(self) -> list[ChannelGroup]:
        """The groups of channels of which some can be removed, in the order of the graph."""
        found = channel_groups(ir.from_proto(self.largest).graph)
        return [group for group in found if group.is_prunable]

    def prune_levels(self) -> list[list[Decision]]:
        """Return a decision for every group, once for each level of channels.

        :meth:`prepare` must be called before.
        """
        levels: list[list[Decision]] = [[] for _ in CHANNEL_SHARES]
        for group in self.groups:
            counts = _counts(group, self.multiple)
            kept = iter(removals(group, self.layers, self._statistics)) if counts else iter(())
            found = {len(each.channels): each.channels for each in _until(kept, counts)}
            for level, count in enumerate(count for count in counts if count in found):
                levels[level].append(Prune(group=group.name, kept=found[count]))
        return [level for level in levels if level]

    @cached_property
    def levels(self) -> list[list[Decision]]:
        """Sets of decisions in which all layers, or all groups, are at one level.

        :meth:`prepare` must be called before.
        """
        return [*self.factor_levels(), *self.prune_levels()]

    @property
    def has_options(self) -> bool:
        """Whether anything can be made smaller."""
        return bool(self.groups) or bool(self.factor_levels())

    def options(self) -> list[Decision]:
        """Return all decisions to choose from, each once; :meth:`prepare` must be called before."""
        return list(dict.fromkeys(each for level in self.levels for each in level))

    def prepare(self, advance: Advance = lambda done: None) -> None:
        """Sample what the layers read, for all options; ``advance`` counts images."""

        def reported() -> Iterator[Batch]:
            for done, batch in enumerate(self.batches):
                advance(done)
                yield batch
            advance(len(self.batches))

        positions = _positions(_STATISTICS_POSITIONS, self.batches)
        self._statistics = layer_statistics(self.graphs, reported(), self.layers, positions)

    def restructured(self, decisions: Sequence[Decision]) -> Smaller:
        """Return the graphs after decisions, without a fit that corrects other layers."""
        return restructure(self.graphs, self.applied(decisions), self._statistics)

    def applied(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Return the decisions that are applied together; the others contradict them or do not pay.

        A group may share tensors with one that is pruned already, and a layer whose channels are
        pruned may be as small as its factors.
        """
        return self._that_pay(self._possible(decisions))

    def alone(self, decision: Decision, smaller: Smaller) -> Smaller:
        """Return the graphs after one decision, in which only the layers next to it are fitted.

        ``smaller``: the graphs that :meth:`restructured` returns for the decision.
        """
        shares = op_shares(self.work, smaller[max(smaller, key=by_area)])
        if isinstance(decision, Factor):
            # A product is factored in the best way already. Of a kernel, the second part is not.
            is_best = not is_separable(self.layers[decision.layer])
            only = frozenset() if is_best else frozenset([decision.layer])
        else:
            only = frozenset(
                n for n, share in shares.items() if n in self.layers and share.read < 1
            )
        return self._refit(smaller, self._few, _FEW_POSITIONS, only) if only else smaller

    def fitted(self, decisions: Sequence[Decision]) -> Smaller:
        """Return the graphs after decisions, with all weights behind a change fitted in order."""
        return self._refit(self.restructured(decisions), self.batches, _FIT_POSITIONS)

    def _refit(
        self,
        smaller: Smaller,
        batches: Sequence[Batch],
        positions: int,
        only: frozenset[str] | None = None,
    ) -> Smaller:
        settings = RefitSettings(positions_per_image=_positions(positions, batches), only=only)
        return refit(self.graphs, smaller, batches, settings)

    def _possible(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Leave out groups that cannot be pruned together with those before them.

        Two groups may share tensors, such as the heads of an attention and the channels in a head.
        """
        pruned, prunes = list[Prune](), [each for each in decisions if isinstance(each, Prune)]
        if len(prunes) < 2:
            return list(decisions)
        if self._can_prune(prunes):
            return list(decisions)
        for each in prunes:
            if self._can_prune([*pruned, each]):
                pruned.append(each)
        return [each for each in decisions if isinstance(each, Factor) or each in pruned]

    def _can_prune(self, decisions: Sequence[Prune]) -> bool:
        try:
            prune_channels(ir.from_proto(self.largest), decisions)
        except ConversionError:
            return False
        return True

    def _that_pay(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Leave out layers whose factors would be as large as what pruning leaves of the layer."""
        pruned = [each for each in decisions if isinstance(each, Prune)]
        if not pruned:
            return list(decisions)
        smaller = ir.from_proto(self.largest)
        prune_channels(smaller, pruned)
        layers = {each.name: each for each in weighted_layers(smaller.graph)}
        return [
            each
            for each in decisions
            if isinstance(each, Prune) or _pays(layers.get(each.layer), each.rank)
        ]


def _positions(total: int, batches: Sequence[Batch]) -> int:
    """Return how many positions of each image to sample.

    Rows must outnumber the columns of wide layers, however few images there are.
    """
    return max(_LEAST_POSITIONS, total // max(1, len(batches)))


def _counts(group: ChannelGroup, multiple: int) -> list[int]:
    """Return how many channels to keep of a group, at most one number for each level."""
    rows = len(group.rows) or 1
    own = group.size // rows
    # Heads are removed as a whole, and the channels in a small head have no multiple to keep.
    step = 1 if group.is_heads or (group.rows and own < 2 * multiple) else multiple
    found = [rows * max(step, round(own * share / step) * step) for share in CHANNEL_SHARES]
    least = max(1, len(group.fixed))
    return [count for count in dict.fromkeys(found) if least <= count < group.size]


def _until(kept: Iterator[Kept], counts: Sequence[int]) -> Iterator[Kept]:
    """Yield what remains after each removal, down to the smallest of the counts."""
    for each in kept:
        yield each
        if len(each.channels) <= min(counts):
            return


def _pays(layer: WeightedLayer | None, rank: int) -> bool:
    if layer is None or not can_factor(layer) or rank > full_rank(layer):
        return False
    return factored_flops(layer, rank) < _WORTHWHILE * layer.flops


def _ranks(layer: WeightedLayer, multiple: int) -> list[int]:
    """Return at most one rank for each level of ``FACTOR_SHARES``, from large to small."""
    ranks = [r for r in candidate_ranks(layer, multiple) if _pays(layer, r)]
    shares = {rank: factored_flops(layer, rank) / layer.flops for rank in ranks}
    chosen = (min(ranks, key=lambda r: abs(shares[r] - level)) for level in FACTOR_SHARES if ranks)
    return list(dict.fromkeys(chosen))
