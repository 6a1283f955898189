"""How far a quantized graph is from its float one: cheap measures that rank, and never decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from ..common.inner_tensors import GraphSession, SessionsByWidth, with_outputs
from ..ocr.ctc import log_probabilities
from ..ocr.tensor import probability_map
from ..spec import DetectorSpec, RecognizerSpec
from .emulate import emulated
from .observe import Batch

Outputs = list[npt.NDArray[np.float32]]


def run_all(graphs: Mapping[int, onnx.ModelProto], feeds: Sequence[tuple[int, Batch]]) -> Outputs:
    """Return what quantized or float graphs give for each batch, half types emulated."""
    sessions = SessionsByWidth(lambda width: emulated(graphs[width]))
    outputs = {width: graph.graph.output[0].name for width, graph in graphs.items()}
    return [sessions.run(width, batch)[outputs[width]] for width, batch in feeds]


def map_distance(reference: Outputs, other: Outputs, spec: DetectorSpec) -> float:
    """Return 1 - the soft IoU of probability maps: sum of minima over sum of maxima; 0..1."""
    low = high = 0.0
    for one, two in zip(reference, other, strict=True):
        p, q = (np.nan_to_num(probability_map(each, spec.output)) for each in (one, two))
        low += float(np.minimum(p, q).sum())
        high += float(np.maximum(p, q).sum())
    return 1 - low / high if high else 0.0


def score_divergence(reference: Outputs, other: Outputs, spec: RecognizerSpec) -> float:
    """Return KL(p || q) of the classes of a time step, on average; nats."""
    are_probabilities = spec.output.kind == "probabilities"
    total, steps = 0.0, 0
    for one, two in zip(reference, other, strict=True):
        p, q = (
            log_probabilities(np.nan_to_num(each), are_probabilities=are_probabilities)
            for each in (one, two)
        )
        total += float((np.exp(p) * (p - q)).sum())
        steps += p.shape[0] * p.shape[1]
    return total / steps if steps else 0.0


def distance(reference: Outputs, other: Outputs, spec: DetectorSpec | RecognizerSpec) -> float:
    """Return the distance that fits the role; 0 is equal."""
    if isinstance(spec, DetectorSpec):
        return map_distance(reference, other, spec)
    return score_divergence(reference, other, spec)


def signal_to_noise(
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    names: Sequence[str],
    batches: Sequence[Batch],
) -> dict[str, float]:
    """Return the signal to quantization noise of inner tensors in dB, all noise before them in it.

    Tensors without noise, or that the quantized graph does not have, are left out.
    """
    held = {name for node in quantized.graph.node for name in node.output}
    shared = [name for name in names if name in held]
    sessions = [GraphSession(with_outputs(each, shared)) for each in (model, emulated(quantized))]
    signal, noise = (dict.fromkeys(shared, 0.0) for _ in range(2))
    for batch in batches:
        exact, rounded = (session.run(batch) for session in sessions)
        for name in shared:
            one, two = exact[name], rounded[name]
            signal[name] += float(((one - one.mean()) ** 2).sum(dtype=np.float64))
            noise[name] += float(((one - two) ** 2).sum(dtype=np.float64))
    return {
        name: 10 * float(np.log10(signal[name] / noise[name]))
        for name in shared
        if signal[name] and noise[name]
    }
