"""Choose which channels of a group to keep: optimal brain surgeon on the layers that read them.

A layer returns x W + b. Without the columns B of x, its best remaining weights differ from W by
- P[:, B] (P[B, B])^-1 W[B], where P is the inverse of the covariance of x, and its squared error
grows by

    trace(W[B]^T (P[B, B])^-1 W[B])

(Hassibi and Stork, "Second order derivatives for network pruning", 1993). B are the columns of one
channel: all taps of a convolution. The channel whose removal costs least in all layers together is
removed, P and W are updated, and so on. So the cost of a channel counts only what the others cannot
replace. The new weights are not used: ``refit`` fits them again, with all errors of earlier layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .channel_groups import ChannelGroup
from .layers import Matrix, WeightedLayer
from .samples import LayerStatistics

_RIDGE = 1e-4
"""Added to the covariance, in multiples of the columns' mean variance."""


Columns = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Channels of a group that remain after a number of removals."""

    channels: tuple[int, ...]
    error: float
    """Squared error that the layers make, relative to the variance of their results; a sum over the
    layers."""


class _Reader:
    """A layer that reads channels of a group, as channels are removed.

    Args:
        layer: its weights.
        statistics: of its rows.
        channels: the channel of the group at each input channel of the layer; -1: of others.
    """

    def __init__(
        self,
        layer: WeightedLayer,
        statistics: LayerStatistics,
        channels: Sequence[int],
    ) -> None:
        groups, taps = layer.groups, layer.taps
        moment = statistics.covariance
        if not layer.can_shift:  # no bias takes up the mean
            moment = moment + np.outer(statistics.mean, statistics.mean)
        size = len(moment) // groups
        self._parts = list[tuple[Matrix, Matrix]]()
        weights = layer.weights.astype(np.float64)
        total = 0.0
        for group in range(groups):
            rows = slice(group * size, (group + 1) * size)
            own = weights.reshape(size, groups, -1)[:, group]  # (in / groups * taps, out / groups)
            block = moment[rows, rows]
            total += float(np.einsum("io,ij,jo->", own, block, own))
            ridge = _RIDGE * max(float(np.trace(block)) / size, 1e-12)
            inverse = np.linalg.inv(block + ridge * np.eye(size)).astype(np.float64)
            self._parts.append((inverse, own))
        self._unit = max(total, 1e-30)
        places = dict[int, dict[int, list[int]]]()
        for place, channel in enumerate(channels):
            group, row = divmod(place * taps, size)
            columns = places.setdefault(int(channel), {}).setdefault(group, [])
            columns += range(row, row + taps)
        places.pop(-1, None)
        self._columns = {
            channel: [(group, np.array(columns)) for group, columns in found.items()]
            for channel, found in places.items()
        }

    def costs(self, channels: Sequence[int]) -> Matrix:
        """Return what the removal of each channel alone costs, relative to all outputs."""
        costs, alike = np.zeros(len(channels)), dict[tuple[int, int], list[tuple[int, Columns]]]()
        for number, channel in enumerate(channels):
            for group, columns in self._columns.get(channel, ()):
                alike.setdefault((group, len(columns)), []).append((number, columns))
        for (group, _), found in alike.items():
            # All channels with equally many columns at once: many small systems.
            inverse, weights = self._parts[group]
            numbers, columns = [number for number, _ in found], np.stack([c for _, c in found])
            own = weights[columns]  # (channels, B, out)
            blocks = inverse[columns[:, :, None], columns[:, None, :]]  # (channels, B, B)
            costs[numbers] += (own * np.linalg.solve(blocks, own)).sum((1, 2))
        return costs / self._unit

    def remove(self, channel: int) -> None:
        """Fit the weights without a channel, and forget its columns."""
        for group, columns in self._columns.pop(channel, ()):
            inverse, weights = self._parts[group]
            lines = inverse[:, columns]
            share = np.linalg.solve(inverse[np.ix_(columns, columns)], lines.T)  # (B, in)
            weights -= share.T @ weights[columns]
            inverse -= lines @ share
            # 0 except for rounding; the columns must not come back.
            inverse[:, columns] = inverse[columns] = weights[columns] = 0


def removals(
    group: ChannelGroup,
    layers: Mapping[str, WeightedLayer],
    statistics: Mapping[str, LayerStatistics],
) -> Iterator[Kept]:
    """Yield the channels to keep after each removal, from all channels on.

    With rows, one channel of each row is removed at a time. No tensor loses its last channel.

    Args:
        group: a group of which some channels can be removed.
        layers: the layers of the graph, by name.
        statistics: of what the consumers and producers of the group read; others are left out.
    """
    readers = [
        _Reader(
            layers[name],
            statistics[name],
            group.places[layers[name].source].channels.tolist(),
        )
        for name in group.consumers
        if name in layers and name in statistics
    ]
    unread = _unread_costs(group, layers, statistics)
    kept, error = set(range(group.size)), 0.0
    yield Kept(channels=tuple(sorted(kept)), error=error)
    rows = [set(row) for row in group.rows] or [kept - group.fixed]
    while all(len(row & kept) > (1 if group.rows else 0) for row in rows):
        # One channel of each row, so that the rows stay equally long.
        for row in rows:
            free = sorted(c for c in row & kept if not _is_last(group, c, kept))
            if not free:
                return
            costs = unread[free] + sum(reader.costs(free) for reader in readers)
            cheapest = int(np.argmin(costs))
            error += float(costs[cheapest])
            kept.remove(free[cheapest])
            for reader in readers:
                reader.remove(free[cheapest])
        yield Kept(channels=tuple(sorted(kept)), error=error)


def _is_last(group: ChannelGroup, channel: int, kept: set[int]) -> bool:
    """Whether a tensor has no other channel of the group left, and none of another group."""
    return any(
        channel in places.found and places.found & kept == {channel} and not places.is_shared
        for places in group.places.values()
    )


def _unread_costs(
    group: ChannelGroup,
    layers: Mapping[str, WeightedLayer],
    statistics: Mapping[str, LayerStatistics],
) -> Matrix:
    """Return the costs of channels that no known layer reads: their shares of the energy, (size,).

    The channels of queries and keys are only multiplied with each other. A channel's part of the
    scores has about the mean square of its query times that of its key.
    """
    read = set[int]()
    for name in group.consumers:
        if name in layers and name in statistics:
            read |= group.places[layers[name].source].found
    energy = np.ones(group.size)
    for name in group.producers:
        if name in layers and name in statistics:
            layer, known = layers[name], statistics[name]
            channels, squares = group.places[name].channels, _mean_squares(layer, known)
            np.multiply.at(energy, channels[channels >= 0], squares[channels >= 0])
    energy[sorted(read)] = 0  # their readers state what they cost
    return energy / max(energy.sum(), 1e-30)


def _mean_squares(layer: WeightedLayer, statistics: LayerStatistics) -> Matrix:
    """Return the mean square of each output of a layer, (out,)."""
    groups = layer.groups
    weights = layer.weights.astype(np.float64).reshape(-1, groups, layer.outputs // groups)
    size = len(weights)
    bias = layer.bias if layer.bias is not None else np.zeros(layer.outputs)
    squares = []
    for group in range(groups):
        rows = slice(group * size, (group + 1) * size)
        own = weights[:, group]
        mean = statistics.mean[rows] @ own + bias.reshape(groups, -1)[group]
        variance = np.einsum("io,ij,jo->o", own, statistics.covariance[rows, rows], own)
        squares.append(variance + mean**2)
    return np.concatenate(squares)
