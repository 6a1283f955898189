"""Engines whose plans are models of the Triton server that the code runs in.

Triton calls this business logic scripting (BLS): a Python model sends requests to other models of
its server, without a network. Several threads may do so at once, and then Triton's dynamic batcher
merges their requests. ``pb`` is Triton's module ``triton_python_backend_utils``, which exists only
in its Python backend.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ..common.input_size import InputSize
from ..engines.engine import Engine
from ..engines.runner import Runner
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
        self._answered = set[str]()
        """The models that have answered a request, and so were ready."""

    def run(self, model: RemoteModel, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run a batch (N, C, H, W) float32 on a model; return its output.

        Raises:
            EngineBuildError: the model is not ready in time, or fails.
        """
        response = self._sent(model, images)
        if response.has_error() and model.name not in self._answered:
            # Triton may load the pipeline before the models that it calls.
            self._wait_for(model.name)
            response = self._sent(model, images)
        if response.has_error():
            raise EngineBuildError(f"model {model.name} failed: {response.error().message()}")
        self._answered.add(model.name)
        output = self._pb.get_output_tensor_by_name(response, model.output.name).as_numpy()
        # A copy: the array is in shared memory, which belongs to the response.
        return np.array(output, np.float32)

    def _sent(self, model: RemoteModel, images: npt.NDArray[np.float32]) -> Any:
        """Send one request, and return the response of Triton."""
        pb = self._pb
        request = pb.InferenceRequest(
            model_name=model.name,
            model_version=self._version,
            requested_output_names=[model.output.name],
            inputs=[pb.Tensor(model.input.name, images)],
            # A model on a GPU would leave its output there, where NumPy cannot read it.
            preferred_memory=pb.PreferredMemory(pb.TRITONSERVER_MEMORY_CPU, 0),
        )
        return request.exec()

    def _wait_for(self, name: str) -> None:
        """Wait until a model is ready.

        Raises:
            EngineBuildError: it is not ready in time.
        """
        end = time.monotonic() + self._wait
        while not self._pb.is_model_ready(name, str(self._version)):
            if time.monotonic() >= end:
                raise EngineBuildError(
                    f"model {name}, version {self._version}, is not ready after {self._wait:g} s; "
                    "load all models of the repository, and see the server's log for the reason"
                )
            time.sleep(_PAUSE)


class BlankRunner(Runner):
    """Returns zeros without running a model: for a warm-up of the code around the models.

    While a server starts, its models cannot call each other. The Python backend of Triton 2.51
    even ends with a segmentation fault, now and then, if a model tries it.
    """

    def __init__(self, model: RemoteModel, size: InputSize, *, label: str) -> None:
        shape = (model.input.shape[1], *size)
        super().__init__(label=label, shape=shape, max_batch=model.max_batch)
        self._shape = model.output.shape[1:]

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Return zeros in the shape of the model's output."""
        # An axis of unknown size gets the size 1.
        return np.zeros((len(feed), *(max(1, size) for size in self._shape)), np.float32)


class BlsRunner(Runner):
    """Runs batches on a model of the server; as many at once as there are callers."""

    def __init__(
        self, models: OtherModels, model: RemoteModel, size: InputSize, *, label: str, streams: int
    ) -> None:
        shape = (model.input.shape[1], *size)
        super().__init__(label=label, shape=shape, max_batch=model.max_batch)
        self.streams, self._models, self._model = streams, models, model

    @property
    def good_batch(self) -> int:
        """The number of images of one request.

        A model that Triton does not batch runs on the CPU, where large batches with many classes
        are not faster, and their outputs would fill the shared memory of the server.
        """
        if self._model.is_batched:
            return self.max_batch
        return self.batch_in_caches

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Send one batch, and wait for the result."""
        return self._models.run(self._model, feed)


def bls_engine(remote: RemoteEngine, models: OtherModels, *, streams: int) -> Engine:
    """Return an engine whose plans are models of the server.

    Args:
        remote: the engine, from ``pipeline.json``.
        models: the other models of the server.
        streams: how many batches run at once.
    """

    def open_runner(size: InputSize) -> Runner:
        model = remote.model_for(size)
        return BlsRunner(models, model, size, label=remote.label, streams=streams)

    return Engine(label=remote.label, spec=remote.spec, open_runner=open_runner)


def blank_engine(remote: RemoteEngine) -> Engine:
    """Return an engine that runs no model; see :class:`BlankRunner`."""

    def open_runner(size: InputSize) -> Runner:
        return BlankRunner(remote.model_for(size), size, label=remote.label)

    return Engine(label=remote.label, spec=remote.spec, open_runner=open_runner)
