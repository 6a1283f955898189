"""A model of a Triton server that runs a plan with ocr-trt, in place of Triton's own backend.

``ocr-trt export triton --stand-in`` writes such models, so that a server which has only the Python
backend can run the pipeline, batching and warm-up. The numbers are those of ``ocr-trt run``.
Plans of TensorRT need a GPU; in their place onnxruntime runs the graph that they were built from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..common.frozen_model import StrictModel
from ..common.input_size import InputSize, listed
from ..common.json_files import read_model
from ..common.onnx_limits import load_limited
from ..engines.engine import Engine
from ..engines.manifest import EngineEntry
from ..engines.runner import Batch
from ..engines.targets import backend
from ..spec import ModelSpec
from .pipeline_file import LARGEST
from .ports import Port

NAME = "stand_in.json"


class StandInFile(StrictModel):
    """``stand_in.json``: the plan that a stand-in runs, at one input size or at several."""

    schema_version: Literal[1] = 1
    label: str
    spec: ModelSpec
    target: str | None = None
    """The target of the plan; None: onnxruntime runs the quantized graph."""
    entries: tuple[EngineEntry, ...] = Field(min_length=1)
    """One for each input size of the plan."""
    input: Port
    output: Port


class ServedStandIn:
    """Answers the requests of one instance of a stand-in; see ``ServedPipeline``."""

    def __init__(self, pb: Any, args: Mapping[str, str], folder: Path) -> None:
        file = read_model(folder / NAME, StandInFile, limit=LARGEST)
        self._pb, self._input, self._output = pb, file.input.name, file.output.name
        self._engine = _engine(file, folder)
        self._sizes = [entry.size for entry in file.entries]
        self._engine.runner(self._sizes[0])  # so that a wrong plan fails here

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Run the batches of all requests, (n, C, H, W) float32 each, as one batch."""
        pb = self._pb
        parts = [pb.get_input_tensor_by_name(each, self._input).as_numpy() for each in requests]
        try:
            output = self._run(np.concatenate(parts))
        except Exception as error:  # Triton expects one response per request
            failed = pb.TritonError(str(error), pb.TritonError.INTERNAL)
            return [pb.InferenceResponse(error=failed) for _ in requests]
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return [
            pb.InferenceResponse([pb.Tensor(self._output, np.ascontiguousarray(own))])
            for own in np.split(output, ends)
        ]

    def _run(self, images: Batch) -> Batch:
        """Run a batch; Triton merges only requests of the same height and width."""
        size = InputSize(*images.shape[2:])
        if size not in self._sizes:
            raise ValueError(
                f"{self._engine.label} accepts images of {listed(self._sizes)}, got {size}"
            )
        return self._engine.runner(size).run(images)

    def close(self) -> None:
        """Free the plan's memory."""
        self._engine.close()


def _engine(file: StandInFile, folder: Path) -> Engine:
    if file.target is None:
        model = folder / file.entries[0].model
        return Engine.from_graphs(lambda _: load_limited(model), spec=file.spec, label=file.label)
    target = backend(file.target)
    return Engine.from_plans(target, folder, file.entries, spec=file.spec, label=file.label)
