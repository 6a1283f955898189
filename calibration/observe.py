"""Running a float graph on calibration pictures with inner tensors as outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import InputFileError
from ..session import onnx_session
from .histogram import EMPTY, Histogram


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with the named inner tensors as its only outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    inputs = {value.name for value in model.graph.input}
    for name in names:
        if name not in inputs:
            copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return copy


def observe(
    model: onnx.ModelProto,
    batches: Iterable[npt.NDArray[np.float32]],
    names: Sequence[str],
    start: Mapping[str, Histogram] | None = None,
) -> dict[str, Histogram]:
    """Return the histogram of |x| of each named tensor over all batches.

    Args:
        model: float32 graph with one input (N, C, H, W).
        batches: arrays for that input; every one is read.
        names: inner tensors, or the input itself.
        start: histograms of these tensors to go on with.

    Raises:
        InputFileError: there is not one batch, or a tensor turns NaN or infinite.
    """
    session = onnx_session(with_outputs(model, names))
    entry = model.graph.input[0].name
    outputs = [value.name for value in session.get_outputs()]
    found = {name: (start or {}).get(name, EMPTY) for name in names}
    count = 0
    for count, batch in enumerate(batches, 1):
        values = dict(zip(outputs, session.run(outputs, {entry: batch}), strict=True))
        values[entry] = batch
        for name in names:
            try:
                found[name] = found[name].add(values[name])
            except ValueError as error:
                raise InputFileError(f"calibration batch {count}: {name} has {error}") from None
    if not count:
        raise InputFileError("no calibration pictures: int8 needs at least one")
    return found
