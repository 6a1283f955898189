"""Distance between a quantized graph and its float graph: cheap measures for ranking only.

Decisions are made by the OCR metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from ..common.inner_tensors import GraphSession, SessionsBySize, with_outputs
from ..common.input_size import InputSize
from .emulate import emulated
from .observe import Batch

Outputs = list[npt.NDArray[np.float32]]


def run_all(graphs: Mapping[InputSize, onnx.ModelProto], feeds: Sequence[Batch]) -> Outputs:
    """Return the outputs of quantized or float graphs for each batch, with 16 bits emulated."""
    sessions = SessionsBySize(lambda size: emulated(graphs[size]))
    outputs = {size: graph.graph.output[0].name for size, graph in graphs.items()}
    return [sessions.run(batch)[outputs[InputSize(*batch.shape[2:])]] for batch in feeds]


def signal_to_noise(
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    names: Sequence[str],
    batches: Sequence[Batch],
) -> dict[str, float]:
    """Return the signal-to-quantization-noise ratio of inner tensors, in dB.

    The noise of a tensor includes that of all ops before it. Tensors without noise are left out,
    and so are tensors that the quantized graph does not have.
    """
    computed = {name for node in quantized.graph.node for name in node.output}
    shared = [name for name in names if name in computed]
    sessions = [GraphSession(with_outputs(each, shared)) for each in (model, emulated(quantized))]
    # Sums over all batches, so that the ratio is one of energies and not a mean of ratios.
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
