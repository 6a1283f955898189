"""The baseline: the model as its user brought it, run by the framework it came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.sources import Source
from ..convert.sources.tf_graph import import_tensorflow
from ..session import onnx_session
from ..spec import DetectorSpec, RecognizerSpec
from .backends.base import Pictures, Runner


class _TensorFlowRunner(Runner):
    """A ``tf.function`` over the source, traced at each shape it meets."""

    def __init__(self, function: Any, spec: DetectorSpec | RecognizerSpec, width: int) -> None:
        tf = import_tensorflow()
        super().__init__(
            label=f"tensorflow {tf.__version__}",
            shape=(spec.input.channels, spec.input.height, width),
            max_batch=spec.input.max_batch,
        )
        self._tf, self._call, self._spec = tf, tf.function(function), spec

    def prepare(self, pictures: Pictures) -> Any:
        """Bring pictures to the model's own layout, as a tensor."""
        if self._spec.input.layout == "NHWC":
            pictures = pictures.transpose(0, 2, 3, 1)
        return self._tf.constant(np.ascontiguousarray(pictures))

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run, and bring the output to the layout of converted graphs."""
        return as_converted(self._call(feed).numpy(), self._spec)


class _OnnxRunner(Runner):
    """The user's own ONNX file in onnxruntime."""

    def __init__(self, model: bytes, spec: DetectorSpec | RecognizerSpec, width: int) -> None:
        import onnxruntime

        shape = (spec.input.channels, spec.input.height, width)
        label = f"source in onnxruntime {onnxruntime.__version__}"
        if spec.input.max_batch > 1:
            label += ", one by one"
        super().__init__(label=label, shape=shape, max_batch=spec.input.max_batch)
        self._session, self._spec = onnx_session(model), spec

    def prepare(self, pictures: Pictures) -> Any:
        """Bring pictures to the model's own layout."""
        if self._spec.input.layout == "NHWC":
            pictures = pictures.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(pictures)

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run picture by picture: the source was fixed at batch 1."""
        (entry,), (output,) = self._session.get_inputs(), [self._spec.output.name]
        rows = [
            self._session.run([output], {entry.name: feed[i : i + 1]})[0] for i in range(len(feed))
        ]
        axis = 1 if self._spec.role == "recognizer" and self._spec.output.layout == "TNC" else 0
        return as_converted(np.concatenate(rows, axis), self._spec)


def as_converted(
    output: npt.NDArray[np.float32], spec: DetectorSpec | RecognizerSpec
) -> npt.NDArray[np.float32]:
    """Bring a source's output to the layout that ``convert`` gives it."""
    if spec.role == "recognizer":
        return output.transpose(1, 0, 2) if spec.output.layout == "TNC" else output
    is_nhwc = spec.input.layout == "NHWC" and output.ndim == 4
    return output.transpose(0, 3, 1, 2) if is_nhwc else output


def baseline_runner(source: Source, spec: DetectorSpec | RecognizerSpec, width: int) -> Runner:
    """Return a runner of the source itself for one input width.

    Raises:
        InputFileError: the source has no such input or output.
    """
    function = source.function(spec.input.name, spec.output.name)
    if function is not None:
        return _TensorFlowRunner(function, spec, width)
    model = source.to_onnx(spec.input.name, spec.input.shape_at(1, width), spec.output.name)
    return _OnnxRunner(model.SerializeToString(), spec, width)
