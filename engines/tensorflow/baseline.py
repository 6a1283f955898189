"""The baseline: the source model in its own framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ...common.cores import usable_cores
from ...common.input_size import InputSize
from ...common.onnx_session import onnx_session
from ...convert.passes.normalize_types import normalize_types
from ...convert.sources import Source
from ...convert.sources.failing_layer import failing_node, reason_with_layer
from ...convert.sources.tf_graph import import_tensorflow
from ...errors import ConversionError
from ...ocr.roles import role_of
from ...spec import ModelSpec
from ..refusal import refusal_error, refused_nodes
from ..runner import Batch, Runner
from .decisions import Decisions, decisions

_CHANNELS_FIRST = ("NHWC", "NCHW", "channels_first")
_ONLY_ON_GPU = (
    *_CHANNELS_FIRST,
    "No OpKernel",
    "Could not find device for node",
    "CPU implementations do not yet support",  # dilations of transposed convolutions in 16 bits
)
"""Parts of the messages about kernels that TensorFlow has for GPUs only. On a CPU many kernels
support NHWC alone, such as those of DepthToSpace and MaxPool; which ones depends on the build."""


class TensorFlowRunner(Runner):
    """A TensorFlow function of one tensor. Any number of threads may call it.

    If ``input.shape`` of the spec has a batch over 1, the function always gets batches of this
    size.
    """

    def __init__(self, function: Any, spec: ModelSpec, size: InputSize, *, label: str) -> None:
        super().__init__(
            label=label,
            shape=(spec.input.channels, *size),
            max_batch=spec.input.max_batch,
        )
        self._tf, self._call, self._spec = import_tensorflow(), function, spec
        self.streams = usable_cores()

    def prepare(self, images: Batch) -> Any:
        """Convert images to a tensor in the model's own layout."""
        return self._tf.constant(as_source(images, self._spec))

    def _run(self, feed: Any) -> npt.NDArray[np.float32]:
        # The output of a mixed-precision model may be a 16-bit type.
        return np.asarray(self._call(feed).numpy(), np.float32)

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run a batch; return the output in the layout of converted graphs."""
        if self._spec.input.shape[0] == 1:
            return as_converted(self._run(feed), self._spec)

        def run(images: Batch) -> npt.NDArray[np.float32]:
            return self._run(self._tf.constant(images))

        return as_converted(in_own_batches(run, feed.numpy(), self._spec), self._spec)

    def decisions(self, images: Batch) -> Decisions | None:
        """Run a batch; return the inputs of all ops at which the result can jump.

        They are in the model's layout, and the output is in that of converted graphs. None: the
        model has no such op, or TensorFlow cannot return inner tensors of it.
        """
        if self._spec.input.shape[0] != 1:
            return None
        try:
            found = decisions(self._call, self.prepare(images))
        except Exception:  # whatever TensorFlow raises when it traces the model again
            return None
        if found is None:
            return None
        return replace(found, output=as_converted(found.output, self._spec))


class _OnnxRunner(Runner):
    """The raw graph of a source in onnxruntime: the user's ONNX file, or an exported graph.

    ``reason``: why TensorFlow cannot run the source; "" for an ONNX file.

    If a batch of two does not give the same results as single images, images run in batches of the
    model's own size, and the label states this.
    """

    def __init__(
        self,
        source: Source,
        spec: ModelSpec,
        size: InputSize,
        *,
        reason: str = "",
    ) -> None:
        import onnxruntime

        shape = (spec.input.channels, *size)
        label = f"source in onnxruntime {onnxruntime.__version__}"
        if reason:
            label = f"onnxruntime {onnxruntime.__version__} on the exported graph"
            self.note = f"baseline: {label}, because {reason}"
        super().__init__(label=label, shape=shape, max_batch=spec.input.max_batch)
        own = spec.input.shape[0]
        expected = (spec.input.name, spec.input.shape_at(own, size), spec.output.name)
        model = ir.to_proto(source.to_onnx(*expected).whole())
        if spec.input.max_batch > 1 and own == 1:
            # A fixed batch of 1 in the declared input would refuse larger ones.
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
        try:
            self._session, types = _session(model)
        except Exception as error:  # onnxruntime has no common base class of its errors
            refused = refused_nodes(model, _session)
            raise refusal_error("onnxruntime", model, refused) from error
        self.label += types
        self._spec = spec
        # The batch axis of the output does not depend on the rank, so any rank is right here.
        self._axis = role_of(spec).output_axes(3)[0]
        self._accepts_batches = own == 1 and (
            spec.input.max_batch == 1 or self._matches_single_images()
        )
        if not self._accepts_batches:
            self.label += ", one by one" if own == 1 else f", {own} at a time"

    def _matches_single_images(self) -> bool:
        """Whether an image in a batch has the same output as alone."""
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (2, *self.shape)).astype(np.float32)
        feed = self.prepare(pixels)
        try:
            both, second = self._run(feed), self._run(feed[1:])
        except (
            Exception
        ):  # such as for a fixed batch; onnxruntime's errors have no common base class
            return False
        half = np.take(both, [-1], self._axis)  # the second image's output, batch axis kept
        return both.shape[self._axis] == 2 and np.allclose(half, second, rtol=1e-3, atol=1e-3)

    def prepare(self, images: Batch) -> Any:
        """Convert images to the model's own layout."""
        return as_source(images, self._spec)

    def _run(self, feed: Batch) -> npt.NDArray[np.float32]:
        feeds, outputs = {self._spec.input.name: feed}, [self._spec.output.name]
        return np.asarray(self._session.run(outputs, feeds)[0], np.float32)

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run a batch."""
        if self._accepts_batches:
            return as_converted(self._run(feed), self._spec)
        return as_converted(in_own_batches(self._run, feed, self._spec), self._spec)


def _session(model: onnx.ModelProto) -> tuple[Any, str]:
    """Open a graph as it is, or in float32 if onnxruntime lacks kernels for its types.

    Returns:
        The session, and what to add to its label.
    """
    try:
        return onnx_session(model), ""
    except Exception:  # onnxruntime's errors have no common base class
        graph = ir.from_proto(model)
        types = normalize_types(graph).float_types
        if not types.total:
            raise
        return onnx_session(ir.to_proto(graph)), f", {' and '.join(types.names)} as float32"


def in_own_batches(
    run: Callable[[Batch], npt.NDArray[np.float32]],
    images: Batch,
    spec: ModelSpec,
) -> npt.NDArray[np.float32]:
    """Run images in batches of the size in ``input.shape``; copies of an image fill the last one.

    Images and outputs are in the layout of the source.
    """
    size, axis = spec.input.shape[0], role_of(spec).output_axes(3)[0]
    parts = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        copies = np.repeat(part[-1:], size - len(part), 0)
        output = run(np.concatenate([part, copies]))
        parts.append(np.take(output, range(len(part)), axis))
    return np.concatenate(parts, axis)


def as_source(images: Batch, spec: ModelSpec) -> Batch:
    """Return images (N, C, H, W) in the layout of the source: NHWC or NCHW."""
    is_nhwc = spec.input.layout == "NHWC"
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1) if is_nhwc else images)


def as_converted(output: npt.NDArray[np.float32], spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Return a source's output in the layout of converted graphs: (N, T, C) or (N, C, H, W)."""
    return output.transpose(role_of(spec).output_axes(output.ndim))


def baseline_runner(source: Source, spec: ModelSpec, size: InputSize | None = None) -> Runner:
    """Return a runner of the source itself for one input size, by default that of the spec.

    If TensorFlow has no kernel for an op on this machine, the runner runs the exported graph in
    onnxruntime, and its ``note`` states why.

    Raises:
        InputFileError: the source has no such input or output.
        ConversionError: the model fails in TensorFlow.
    """
    size = size or spec.input.size
    function = source.function(spec.input.name, spec.output.name)
    if function is None:
        return _OnnxRunner(source, spec, size)
    tf = import_tensorflow()
    label = f"tensorflow {tf.__version__}"
    runner = TensorFlowRunner(tf.function(function), spec, size, label=label)
    reason = _why_not_here(runner)
    return _OnnxRunner(source, spec, size, reason=reason) if reason else runner


def _why_not_here(runner: TensorFlowRunner) -> str:
    """Run one empty image; return why TensorFlow has no kernel for an op on this machine, or "".

    Raises:
        ConversionError: the model fails for another reason.
    """
    try:
        empty = np.zeros((1, *runner.shape), np.float32)  # (1, C, H, W)
        runner.execute(runner.prepare(empty))
    except Exception as error:  # whatever the user's graph raises
        text = str(error)
        if not any(part in text for part in _ONLY_ON_GPU):
            raise ConversionError(
                f"TensorFlow cannot run the model on an image of shape {list(runner.shape)}: "
                f"{reason_with_layer(error)}; check input.shape in the spec, change that layer, or "
                "end the model before it (output.name in the spec)"
            ) from error
        where = failing_node(error) or "an op of the model"
        is_layout = any(part in text for part in _CHANNELS_FIRST)
        how = " in the channels-first layout" if is_layout else ""
        return f"TensorFlow cannot run {where}{how} on a CPU"
    return ""
