"""Engines whose plans are models of the Triton server that the code runs in.

Triton calls this business logic scripting (BLS): a Python model sends requests to other models of
its server, without a network. Several threads may do so at once, and then Triton's dynamic batcher
merges their requests. ``pb`` is Triton's module ``triton_python_backend_utils``, which exists only
in its Python backend.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.input_size import InputSize
from ..engines.base import Runner
from ..engines.engine import Engine
from ..errors import EngineBuildError
from .pipeline_file import RemoteEngine, RemoteModel

_PAUSE = 0.1
"""Seconds between two questions whether a model is ready."""


class OtherModels:
    """The other models of the server, at one version.

    Args:
        pb: Triton's module.
        version: the version of the models to call.
        wait: how long the first request to a model waits until it is ready, in seconds.
    """

    def __init__(self, pb: Any, version: int, wait: float) -> None:
        self._pb, self._version, self._wait = pb, version, wait
        self._ready, self._lock = set[str](), Lock()

    def run(self, model: RemoteModel, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run a batch (N, C, H, W) float32 on a model; return its output.

        While the server starts, models cannot call each other, and the only requests are warm-ups.
        The result is zeros then, so that a warm-up runs all the code around the models.

        Raises:
            EngineBuildError: the model is not ready, or fails.
        """
        if not self._is_ready(model.name):
            return np.zeros((len(images), *model.output.shape[1:]), np.float32)
        pb = self._pb
        request = pb.InferenceRequest(
            model_name=model.name,
            model_version=self._version,
            requested_output_names=[model.output.name],
            inputs=[pb.Tensor(model.input.name, images)],
            # A model on a GPU would leave its output there, where NumPy cannot read it.
            preferred_memory=pb.PreferredMemory(pb.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise EngineBuildError(f"model {model.name} fails: {response.error().message()}")
        output = pb.get_output_tensor_by_name(response, model.output.name).as_numpy()
        # A copy: the array is in shared memory, which belongs to the response.
        return np.array(output, np.float32)

    def _is_ready(self, name: str) -> bool:
        """Wait until a model is ready; return False while the server itself starts.

        Raises:
            EngineBuildError: it is not ready in time.
        """
        with self._lock:
            if name in self._ready:
                return True
        end = time.monotonic() + self._wait
        while True:
            try:
                is_ready = self._pb.is_model_ready(name, str(self._version))
            except Exception:  # "Server not ready": Triton loads its models; see ``run``
                return False
            if is_ready:
                with self._lock:
                    self._ready.add(name)
                return True
            if time.monotonic() >= end:
                raise EngineBuildError(
                    f"model {name}, version {self._version}, is not ready after {self._wait:g} s; "
                    "load all models of the repository, and see the server's log for the reason"
                )
            time.sleep(_PAUSE)


class BlsRunner(Runner):
    """Runs batches on a model of the server; as many at once as there are callers."""

    def __init__(self, models: OtherModels, model: RemoteModel, *, label: str, streams: int):
        channels, height, width = model.input.shape[1:]
        super().__init__(label=label, shape=(channels, height, width), max_batch=model.max_batch)
        self.streams, self._models, self._model = streams, models, model

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Send one batch, and wait for the result."""
        return self._models.run(self._model, feed)


def bls_engine(remote: RemoteEngine, models: OtherModels, *, streams: int) -> Engine:
    """Return an engine whose plans are models of the server.

    Args:
        remote: the engine, from ``pipeline.json``.
        models: the other models of the server.
        streams: how many batches run at once.
    """
    by_size = {model.size: model for model in remote.models}

    def open_runner(size: InputSize) -> Runner:
        return BlsRunner(models, by_size[size], label=remote.label, streams=streams)

    return Engine(label=remote.label, spec=remote.spec, open_runner=open_runner)
