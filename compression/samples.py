"""Rows that layers read and the results that they return, sampled at random output positions.

Positions depend on the seed, the number of the image and the name of the layer only. So samples of
two graphs at the same layer belong together row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.inner_tensors import SessionsBySize, Tensors, part_of
from ..common.input_size import InputSize
from ..convert.graph import Graphs
from .layers import Matrix, WeightedLayer, weighted_layers

Rows = npt.NDArray[np.float32]
Places = tuple[npt.NDArray[np.intp], ...]


@dataclass(frozen=True)
class LayerStatistics:
    """Mean and covariance of the rows that a layer reads."""

    mean: Matrix
    """(in * taps,)."""
    covariance: Matrix
    """(in * taps, in * taps)."""

    def of_channels(self, kept: Sequence[int], taps: int) -> LayerStatistics:
        """Return the statistics of some of the input channels."""
        # Rows are ordered by channel, then by tap.
        index = (np.asarray(kept)[:, None] * taps + np.arange(taps)).reshape(-1)
        return LayerStatistics(self.mean[index], self.covariance[np.ix_(index, index)])


def layer_statistics(
    graphs: Graphs,
    batches: Iterable[npt.NDArray],
    layers: Iterable[str],
    positions_per_image: int = 1000,
    seed: int = 0,
) -> dict[str, LayerStatistics]:
    """Run graphs on batches, and return statistics of what layers read. No rows are kept.

    Args:
        graphs: float32 graphs with one input, by input size.
        batches: (N, C, H, W) float32.
        layers: names of layers; see :func:`~.layers.weighted_layers`.
        positions_per_image: output positions to draw from each image; all if a layer has fewer.
        seed: selects the positions.
    """
    sampler = LayerSampler(
        graphs, layers, positions_per_image=positions_per_image, seed=seed, outputs=False
    )
    sums: dict[str, tuple[int, Matrix, Matrix]] = {}
    for drawn in sampler.draws(batches):
        for name, inputs, _ in drawn:
            assert inputs is not None
            rows = inputs.astype(np.float64)
            count, total, products = sums.get(name, (0, np.zeros(()), np.zeros(())))
            sums[name] = (count + len(rows), total + rows.sum(0), products + rows.T @ rows)
    found = {}
    for name, (count, total, products) in sums.items():
        mean = total / count
        found[name] = LayerStatistics(mean, products / count - np.outer(mean, mean))
    return found


class LayerSampler:
    """Draws rows of layers from batches.

    Row i of the inputs of a layer, (rows, in * taps), and row i of its outputs, (rows, out), belong
    to the same output position. Padding is 0. The output of a MatMul includes the Add behind it, if
    that is its bias.

    Args:
        graphs: float32 graphs with one input, by input size.
        names: the layers.
        positions_per_image: output positions to draw from each image; all if a layer has fewer.
        seed: selects the positions.
        inputs: whether to draw what the layers read.
        outputs: whether to draw what they return. The graphs run only as far as necessary.
    """

    def __init__(
        self,
        graphs: Graphs,
        names: Iterable[str],
        *,
        positions_per_image: int,
        seed: int,
        inputs: bool = True,
        outputs: bool = True,
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._positions, self._seed = positions_per_image, seed
        self._sides = inputs, outputs
        # Layers of one name have windows of other sizes in the graphs of other input sizes.
        self._layers = {size: self._layers_of(model) for size, model in graphs.items()}
        self._sessions = SessionsBySize(
            lambda size: part_of(graphs[size], self._tensors_of(self._layers[size]))
        )

    def _layers_of(self, model: onnx.ModelProto) -> list[WeightedLayer]:
        found = {layer.name: layer for layer in weighted_layers(ir.from_proto(model).graph)}
        return [found[name] for name in self.names]

    def _tensors_of(self, layers: Sequence[WeightedLayer]) -> list[str]:
        sides = ([each.source for each in layers], [each.name for each in layers])
        wanted = [names for names, is_read in zip(sides, self._sides, strict=True) if is_read]
        return list(dict.fromkeys(name for names in wanted for name in names))

    def sample(self, batches: Iterable[npt.NDArray]) -> tuple[dict[str, Rows], dict[str, Rows]]:
        """Return inputs (rows, in * taps) and outputs (rows, out) by layer; {} for a side left out.

        Only the rows are kept, and the tensors of one batch at a time.
        """
        sides: tuple[dict[str, list[Rows]], dict[str, list[Rows]]] = ({}, {})
        for drawn in self.each(batches):
            for kept, rows in zip(sides, drawn, strict=True):
                for name, part in rows.items():
                    kept.setdefault(name, []).append(part)
        inputs, outputs = (
            {name: np.concatenate(parts) for name, parts in kept.items()} for kept in sides
        )
        return inputs, outputs

    def each(
        self, batches: Iterable[npt.NDArray]
    ) -> Iterator[tuple[dict[str, Rows], dict[str, Rows]]]:
        """Yield the rows of each batch; see :meth:`sample`."""
        for layers in self.draws(batches):
            drawn: tuple[dict[str, Rows], dict[str, Rows]] = ({}, {})
            for name, *sides in layers:
                for kept, rows in zip(drawn, sides, strict=True):
                    if rows is not None:
                        kept[name] = rows
            yield drawn

    def draws(
        self, batches: Iterable[npt.NDArray]
    ) -> Iterator[Iterator[tuple[str, Rows | None, Rows | None]]]:
        """Yield for each batch: each layer with its inputs and outputs, None for a side left out.

        The rows of a layer are drawn when the inner iterator reaches it.
        """
        for number, batch in enumerate(batches):
            tensors = self._sessions.run(batch)
            layers = self._layers[InputSize(*batch.shape[2:])]
            yield ((layer.name, *self._sampled(layer, tensors, number)) for layer in layers)

    def _sampled(
        self, layer: WeightedLayer, tensors: Tensors, number: int
    ) -> tuple[Rows | None, Rows | None]:
        """Return the rows of one layer in batch ``number``; None for a side that is left out."""
        read = tensors[layer.source] if self._sides[0] else None
        made = tensors[layer.name] if self._sides[1] else None
        if made is not None and layer.windows is not None:
            made = np.moveaxis(made, 1, -1)  # (N, O, H, W) -> (N, H, W, O)
        elif made is not None and layer.kind == "MatMul" and layer.bias is not None:
            made = made + layer.bias  # the tensor is in front of the Add
        where = self._chosen(places_of(layer, read, made), layer.name, number)
        inputs = None if read is None else rows_at(read, layer, where)
        return inputs, None if made is None else made[where]

    def _chosen(self, places: Sequence[int], name: str, number: int) -> Places:
        total = int(np.prod(places))
        rng = np.random.default_rng([self._seed, number, crc32(name.encode())])
        count = min(total, self._positions * places[0])
        chosen = rng.choice(total, count, replace=False, shuffle=False)
        return np.unravel_index(np.sort(chosen), places)


def places_of(
    layer: WeightedLayer, read: npt.NDArray | None, made: npt.NDArray | None
) -> tuple[int, ...]:
    """Return the axes of output positions: (N, H, W), (N, L), or all axes of a product but one."""
    if made is not None:
        return made.shape[:-1]
    assert read is not None
    return (len(read), *layer.windows.made) if layer.windows is not None else read.shape[:-1]


def rows_at(tensor: npt.NDArray, layer: WeightedLayer, where: Places) -> Rows:
    """Return what a layer reads at output positions, (positions, C * taps).

    Args:
        tensor: (N, C, H, W) or (N, C, L) of a Conv, (..., C) of others.
        layer: the layer.
        where: the index of each position on each of the axes of :func:`places_of`.
    """
    windows = layer.windows
    if windows is None:
        return tensor[where]
    images, *positions = where
    axes = len(windows.kernel)
    index, inside = list[npt.NDArray[np.intp]](), np.ones((1,) * (axes + 1), bool)
    for axis, position in enumerate(positions):
        taps = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        at = position[:, None] * windows.strides[axis] - windows.begins[axis] + taps  # (P, k)
        # Taps of the two axes vary independently: (P, kh, 1) and (P, 1, kw).
        shape = [len(position)] + [1] * axes
        shape[axis + 1] = windows.kernel[axis]
        at = at.reshape(shape)
        inside = inside & (at >= 0) & (at < windows.read[axis])
        index.append(at.clip(0, windows.read[axis] - 1))
    index.insert(0, images.reshape([-1] + [1] * axes))
    rows = np.moveaxis(tensor, 1, -1)[tuple(index)] * inside[..., None]  # (P, kh, kw, C)
    return np.ascontiguousarray(np.moveaxis(rows, -1, 1).reshape(len(images), -1))
