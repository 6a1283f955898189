"""Competing runtimes: ways to run a model without ocr-trt. Benchmarks compare engines with them.

* TensorFlow eager: the model is called as loaded. The signature of a SavedModel is already a graph;
  the layers of a Keras file are called one by one.
* TensorFlow XLA: ``tf.function(jit_compile=True)``, compiled for each batch size.
* OpenVINO as it is: OpenVINO reads the file or folder and compiles it with its defaults, which may
  be bf16 where the processor has it. ``openvino.convert_model`` does the same, but reports it to
  OpenVINO's vendor (see ``engines/openvino/library.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.sources import Source, source_format
from ...convert.sources.freeze import freeze
from ...convert.sources.tf_graph import import_tensorflow
from ...errors import InputFileError
from ...spec import ModelSpec
from ..openvino.library import openvino_core
from ..runner import Batch, Runner
from .baseline import TensorFlowRunner, as_converted, as_source


@dataclass(frozen=True, kw_only=True)
class Competitor:
    """A way to run a model. ``open`` can raise any error of its framework."""

    label: str
    open: Callable[[], Runner]


def competitors_of(source: Source, spec: ModelSpec) -> tuple[Competitor, ...]:
    """Return the ways to run a source at the input of its spec; TensorFlow runs only its own.

    Raises:
        InputFileError: the source has no such input or output.
    """
    function = source.function(spec.input.name, spec.output.name)
    plain = Competitor(label="openvino as it is", open=partial(_OpenVinoRunner, function, spec))
    if function is None:
        return (plain,)
    tf = import_tensorflow()

    def competitor(name: str, call: Any) -> Competitor:
        label = f"tensorflow {name}"
        run = partial(TensorFlowRunner, call, spec, spec.input.size, label=label)
        return Competitor(label=label, open=run)

    compiled = tf.function(function, jit_compile=True)
    return competitor("eager", function), competitor("XLA", compiled), plain


class _OpenVinoRunner(Runner):
    """A model as OpenVINO's converter reads it; the label states the precision."""

    def __init__(self, function: Any, spec: ModelSpec) -> None:
        compiled = openvino_core().compile_model(_read(function, spec), "CPU")
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        super().__init__(
            label=f"openvino as it is ({precision})",
            shape=(spec.input.channels, *spec.input.size),
            max_batch=spec.input.max_batch,
        )
        self._spec, self._request = spec, compiled.create_infer_request()
        self._dtype = compiled.input(0).element_type.to_dtype()
        self._output = _output(compiled.outputs, spec)

    def prepare(self, images: Batch) -> Any:
        """Convert images to the model's layout and dtype; integer inputs get rounded pixels."""
        feed = as_source(images, self._spec)
        is_whole = np.issubdtype(self._dtype, np.integer)
        return (np.round(feed) if is_whole else feed).astype(self._dtype, copy=False)

    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one batch."""
        self._request.infer([feed], share_inputs=True)
        output = np.array(self._request.get_tensor(self._output).data, np.float32)
        return as_converted(output, self._spec)

    def _release(self) -> None:
        self._request = None


def _read(function: Any, spec: ModelSpec) -> Any:
    """Return OpenVINO's model of the source. It cannot read Keras files, which are traced first."""
    if source_format(spec.source) != "keras":
        model = openvino_core().read_model(spec.source.path)
        _port(model.inputs, spec.input.name, "input")
        return model
    tf = import_tensorflow()
    # The batch is free if the spec allows more than one image.
    batch = None if spec.input.max_batch > 1 else 1
    entry = tf.TensorSpec((batch, *spec.input.shape[1:]), tf.float32)
    frozen = freeze(tf.function(function).get_concrete_function(entry), whole=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frozen.pb"
        path.write_bytes(frozen.graph.SerializeToString())
        return openvino_core().read_model(path)


def _output(ports: Sequence[Any], spec: ModelSpec) -> Any:
    """Return the output that the spec names; a traced function has one, with another name."""
    is_traced = source_format(spec.source) == "keras"
    return ports[0] if is_traced else _port(ports, spec.output.name, "output")


def _port(ports: Sequence[Any], name: str, kind: str) -> Any:
    for port in ports:
        if {name, f"{name}:0"} & port.get_names():  # TensorFlow appends the output's number
            return port
    known = ", ".join(sorted(name for port in ports for name in port.get_names()))
    raise InputFileError(
        f"OpenVINO finds no {kind} {name!r} in the model; it has: {known or 'none'}"
    )
