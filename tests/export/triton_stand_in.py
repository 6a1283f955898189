"""A simulated Triton server: it loads a repository of Python models and passes requests to them.

It detects mistakes that Triton refuses: tensors that do not fit the configuration, a request that
gets no response or two, and calls of models that are not ready.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from ocr_trt.export.served_model import open_model

_TYPES = {"TYPE_FP32": np.float32, "TYPE_INT32": np.int32, "TYPE_STRING": np.object_}


class Tensor:
    """A tensor of Triton's Python backend."""

    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, np.array(array)

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array

    def to_dlpack(self) -> Any:
        return self._array

    @staticmethod
    def from_dlpack(name: str, capsule: Any) -> Tensor:
        return Tensor(name, capsule)


class TritonError(Exception):
    INTERNAL, INVALID_ARG, CANCELLED = range(3)

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code

    def message(self) -> str:
        return str(self)


class Response:
    """An ``InferenceResponse``."""

    def __init__(self, tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self.tensors, self._error = list(tensors), error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError:
        assert self._error is not None
        return self._error


class Request:
    """A request that reached a model, and the sender of its response."""

    def __init__(self, tensors: Sequence[Tensor], *, is_cancelled: bool = False) -> None:
        self.tensors, self._cancelled = list(tensors), is_cancelled
        self.response: Response | None = None
        self._done = Event()

    def is_cancelled(self) -> bool:
        return self._cancelled

    def get_response_sender(self) -> Request:
        return self

    def send(self, response: Response, flags: int = 0) -> None:
        assert self.response is None, "a second response"
        assert flags == 1, "the response is not marked as the last one"
        self.response = response
        self._done.set()

    def wait(self) -> Response:
        assert self._done.wait(60), "no response"
        assert self.response is not None
        return self.response


class StandInServer:
    """A server with the models of a repository; a context manager."""

    def __init__(self, repository: Path, *, version: int = 1) -> None:
        self.is_starting, self.not_ready = True, set[str]()
        self.log: list[str] = []
        self.configs: dict[str, dict[str, Any]] = {}
        self._models: dict[str, Any] = {}
        self.shapes = defaultdict[str, set[tuple[int, ...]]](set)
        """The shapes of the inputs that each model received."""
        for path in sorted(repository.glob("*/config.pbtxt")):
            parsed = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
            config = json_format.MessageToDict(parsed, preserving_proto_field_name=True)
            name = config["name"]
            args = {
                "model_config": json.dumps(config), "model_name": name,
                "model_repository": str(path.parent), "model_version": str(version),
            }  # fmt: skip
            self.configs[name] = config
            self._models[name] = open_model(self.module(), args)
        self.is_starting = False

    def module(self) -> Any:
        """Return the simulated ``triton_python_backend_utils``."""
        server = self

        class InferenceRequest:
            def __init__(self, **fields: Any) -> None:
                self.fields = fields

            def exec(self) -> Response:
                own = self.fields
                assert not server.is_starting, "models cannot call each other while it starts"
                if own["model_name"] in server.not_ready:
                    return Response(error=TritonError("not at ready state"))
                response = server.infer(own["model_name"], own["inputs"])
                names = {tensor.name() for tensor in response.tensors}
                assert response.has_error() or set(own["requested_output_names"]) <= names
                return response

        def is_model_ready(name: str, version: str) -> bool:
            assert not server.is_starting, "the real server may crash"
            return name in server._models and name not in server.not_ready

        def tensor_of(owner: Any, name: str) -> Tensor | None:
            return next((each for each in owner.tensors if each.name() == name), None)

        logger = SimpleNamespace(log_warn=self.log.append, log_error=self.log.append)
        return SimpleNamespace(
            Tensor=Tensor, TritonError=TritonError, InferenceResponse=Response,
            InferenceRequest=InferenceRequest, is_model_ready=is_model_ready, Logger=logger,
            get_input_tensor_by_name=tensor_of, get_output_tensor_by_name=tensor_of,
            PreferredMemory=lambda kind, number: (kind, number), TRITONSERVER_MEMORY_CPU=0,
            TRITONSERVER_RESPONSE_COMPLETE_FINAL=1,
        )  # fmt: skip

    def infer(self, model: str, tensors: Sequence[Tensor], **options: Any) -> Response:
        """Send one request; check its tensors and those of the response."""
        return self.infer_together(model, [Request(tensors, **options)])[0]

    def infer_together(self, model: str, requests: Sequence[Request]) -> list[Response]:
        """Send several requests that the dynamic batcher has merged."""
        config = self.configs[model]
        for request in requests:
            self._check(config, "input", request.tensors)
            shapes = [each.as_numpy().shape for each in request.tensors]
            self.shapes[model].update(shapes)
            # The dynamic batcher merges only requests of the same shape.
            assert [shape[1:] for shape in shapes] == [
                each.as_numpy().shape[1:] for each in requests[0].tensors
            ]
        assert len(requests) == 1 or config.get("max_batch_size") or config["name"] == "ocr"
        answers = self._models[model].execute(requests)
        answers = [each.wait() for each in requests] if answers is None else answers
        assert len(answers) == len(requests)
        for answer in answers:
            if not answer.has_error():
                self._check(config, "output", answer.tensors)
        return answers

    def _check(self, config: dict[str, Any], kind: str, tensors: Sequence[Tensor]) -> None:
        ports = {port["name"]: port for port in config[kind]}
        required = {name for name, port in ports.items() if not port.get("optional")}
        assert required <= {tensor.name() for tensor in tensors} <= ports.keys()
        for tensor in tensors:
            array, port = tensor.as_numpy(), ports[tensor.name()]
            dims = [int(size) for size in port["dims"]]
            if config.get("max_batch_size"):
                assert 1 <= len(array) <= config["max_batch_size"]
                dims = [-1, *dims]
            assert array.dtype == _TYPES[port["data_type"]]
            assert len(dims) == array.ndim
            assert all(d in (-1, size) for d, size in zip(dims, array.shape, strict=True))

    def __enter__(self) -> StandInServer:
        return self

    def __exit__(self, *_: object) -> None:
        for model in self._models.values():
            model.close()
