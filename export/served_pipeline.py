"""The pipeline as a model of a Triton server: the content of an image in, lines of text out."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..common.json_files import checked, read_model
from ..common.version import __version__
from ..engines.engine import Engine
from ..engines.fair_semaphore import FairSemaphore
from ..errors import ClosedError, OcrTrtError, UserError
from ..ocr.curved_text import POINTS
from ..pipeline.any_reader import Reader
from ..pipeline.read_result import ReadResult
from ..pipeline.text_lines import boxes_of_lines
from ..spec import has_polygon_boxes
from .bls import OtherModels, blank_engine, bls_engine
from .pipeline_file import LARGEST, NAME, WARM_UP, PipelineFile, PipelineParameters, RemoteEngine


class ServedPipeline:
    """Answers the requests of one instance of the pipeline.

    Args:
        pb: Triton's module ``triton_python_backend_utils``.
        args: what Triton passes to ``TritonPythonModel.initialize``.
        folder: contains ``pipeline.json``.

    Raises:
        InputFileError: ``pipeline.json`` or a parameter in config.pbtxt is wrong.
    """

    def __init__(self, pb: Any, args: Mapping[str, str], folder: Path) -> None:
        self._pb, path = pb, folder / NAME
        file = read_model(path, PipelineFile, limit=LARGEST)
        if file.ocr_trt != __version__:
            pb.Logger.log_warn(
                f"{path} was written by ocr-trt {file.ocr_trt}, and {__version__} is installed: "
                "results may differ"
            )
        parameters = parameters_from(json.loads(args["model_config"]), args["model_name"])
        self._file, self._settings = file, parameters.read_settings()
        models = OtherModels(pb, int(args["model_version"]), parameters.wait_seconds)
        streams = parameters.workers
        self._reader = self._reader_of(lambda each: bls_engine(each, models, streams=streams))
        # The image of the warm-up, which is the first request; None after that.
        self._warm_up = _warm_up_image(folder.parent)
        self._threads = ThreadPoolExecutor(parameters.workers, thread_name_prefix="ocr-trt")
        self._idle = FairSemaphore(parameters.workers)

    def execute(self, requests: Sequence[Any]) -> None:
        """Start to read the image of each request; threads send the responses.

        Waits while all threads are busy, so that further requests stay in Triton's own queue, with
        its limits.
        """
        for request in requests:
            self._idle.acquire()
            sender = request.get_response_sender()
            try:
                self._threads.submit(self._answer, request, sender)
            except RuntimeError:  # its threads have been shut down
                self._idle.release()
                raise ClosedError("the pipeline is closed; load the model again") from None

    def _answer(self, request: Any, sender: Any) -> None:
        try:
            # Without this, a request that its client has given up would be read.
            if request.is_cancelled():
                response = self._error("the request was cancelled", "CANCELLED")
            else:
                response = self._response(request)
            sender.send(response, flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        except Exception:  # of Triton itself: the client is gone, or the server ends
            self._pb.Logger.log_error(traceback.format_exc())
        finally:
            self._idle.release()

    def _response(self, request: Any) -> Any:
        """Return the lines of text, or an error that names the reason."""
        try:
            content, page = self._inputs(request)
            is_warm_up, self._warm_up = content == self._warm_up, None
            reader = self._blank_reader() if is_warm_up else self._reader
            return self._pb.InferenceResponse(self._tensors(reader.read(content, page=page)))
        except UserError as error:  # the image
            return self._error(str(error), "INVALID_ARG")
        except OcrTrtError as error:  # another model
            return self._error(str(error), "INTERNAL")
        except Exception as error:  # a bug; its details belong into the log of the server
            self._pb.Logger.log_error(traceback.format_exc())
            return self._error(f"internal error: {type(error).__name__}", "INTERNAL")

    def _blank_reader(self) -> Reader:
        """Return a reader for the warm-up, during which other models cannot be called."""
        return self._reader_of(blank_engine)

    def _reader_of(self, opened: Callable[[RemoteEngine], Engine]) -> Reader:
        """Return a reader whose engines a function opens."""
        file = self._file
        detector, classifier = (
            None if engine is None else opened(engine)
            for engine in (file.detector, file.classifier)
        )
        return Reader(detector, opened(file.recognizer), self._settings, classifier=classifier)

    def _error(self, message: str, code: str) -> Any:
        error = self._pb.TritonError
        return self._pb.InferenceResponse(error=error(message, getattr(error, code)))

    def _inputs(self, request: Any) -> tuple[bytes, int]:
        """Return the content of the image, and the number of the page.

        Only content is read: a text that looks like a path or an address is never opened.
        """
        image = self._pb.get_input_tensor_by_name(request, "image").as_numpy()
        page = self._pb.get_input_tensor_by_name(request, "page")
        content = image.reshape(-1)[0]
        if not isinstance(content, bytes):
            content = str(content).encode()
        return content, 1 if page is None else int(page.as_numpy().reshape(-1)[0])

    def _tensors(self, result: ReadResult) -> list[Any]:
        """Return the outputs that config.pbtxt declares, for K lines."""
        lines = result.lines
        arrays = {
            # (K, 4, 2), also if K is 0
            "quads": np.array([line.quad for line in lines], np.float32).reshape(-1, 4, 2),
            "texts": np.array([line.text.encode() for line in lines], np.object_),
            "box_scores": np.array([line.box_score for line in lines], np.float32),
            "text_scores": np.array([line.text_score for line in lines], np.float32),
            "size": np.array([result.width, result.height], np.int32),
            "pages": np.array([result.pages], np.int32),
            "warnings": np.array([text.encode() for text in result.warnings], np.object_),
        }
        detector = self._file.detector
        if detector is not None and has_polygon_boxes(detector.spec):
            # (K, POINTS, 2): a straight line repeats its first column.
            arrays["polygons"] = boxes_of_lines(lines, POINTS)
        return [self._pb.Tensor(name, array) for name, array in arrays.items()]

    def close(self) -> None:
        """Wait for images in progress, and close the reader."""
        self._threads.shutdown()
        self._reader.close()


def _warm_up_image(folder: Path) -> bytes | None:
    """Return the image of the warm-up in the folder of a model, if there is one."""
    path = folder / WARM_UP
    # Triton's format of a text: 4 bytes with its length, then the text.
    return path.read_bytes()[4:] if path.exists() else None


def parameters_from(config: Mapping[str, Any], model: str) -> PipelineParameters:
    """Return the parameters of a model configuration, which are texts.

    Names in capitals are Triton's own and are ignored.

    Raises:
        InputFileError: a name is unknown, or a value is wrong.
    """
    texts = {
        name: value["string_value"]
        for name, value in config.get("parameters", {}).items()
        if not name.isupper()
    }
    return checked(texts, PipelineParameters, Path(f"config.pbtxt of {model}, parameters"))
