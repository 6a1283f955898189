"""The graphs that a bundle is compared with: the model's float graphs, or another bundle's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from ..calibration.dequantize import float_graph
from ..calibration.emulate import emulated
from ..common.input_size import InputSize, listed
from ..common.onnx_files import read_onnx
from ..common.progress import Reporter
from ..compression.decisions import Decision
from ..convert.free_sizes import graph_at_size
from ..convert.pipeline import convert
from ..engines.bundle import Bundle
from ..engines.bundle_source import source_of
from ..engines.engine import Engine
from ..engines.manifest import Compression
from ..engines.onnxruntime.backend import runner_from_model
from ..engines.runner import Batch, Runner
from ..errors import InputFileError, OcrTrtError
from ..spec import ModelSpec
from .kept_channels import Channels
from .steps import GraphPair

GraphOf = Callable[[InputSize], onnx.ModelProto]


class Graphs:
    """The graphs of a model, one per input size, built when they are first needed.

    ``label``: their name in reports. ``note``: the differences that a comparison cannot detect.
    ``compressed``: how they were compressed, if they were.
    """

    def __init__(
        self, label: str, build: GraphOf, note: str = "", compressed: Compression | None = None
    ) -> None:
        self.label, self.note = label, note
        self.decisions: Sequence[Decision] = compressed.decisions if compressed else ()
        self.channels: Channels = compressed.channels if compressed else {}
        """Tensors that lost channels."""
        self._build, self._built = build, dict[InputSize, onnx.ModelProto]()

    def graph(self, size: InputSize) -> onnx.ModelProto:
        """Return the graph for one input size."""
        if size not in self._built:
            self._built[size] = self._build(size)
        return self._built[size]

    def engine(self, spec: ModelSpec) -> Engine:
        """Return an engine that runs the graphs in onnxruntime, with 16-bit types emulated."""

        def open_runner(size: InputSize) -> Runner:
            graph, limit = self.graph(size), spec.input.max_batch
            with graph_errors(f"{self.label}: its graph for {size} cannot be run"):
                runner = runner_from_model(emulated(graph), label=self.label, max_batch=limit)
            return _GuardedRunner(runner)

        return Engine(label=self.label, spec=spec, open_runner=open_runner)


class _GuardedRunner(Runner):
    """A runner of a graph from a file. Its errors are reported as errors of the file."""

    def __init__(self, inner: Runner) -> None:
        super().__init__(label=inner.label, shape=inner.shape, max_batch=inner.max_batch)
        self._inner = inner

    def _execute(self, feed: Any) -> Batch:
        """Run one batch."""
        size = InputSize(*self.shape[1:])
        with graph_errors(f"{self.label}: its graph for {size} cannot be run"):
            return self._inner.execute(feed)

    def _release(self) -> None:
        self._inner.close()


@contextmanager
def graph_errors(what: str) -> Iterator[None]:
    """Convert errors of onnx and onnxruntime about a graph into errors of its file.

    Raises:
        InputFileError: ``what``, and the first line of their message.
    """
    try:
        yield
    except OcrTrtError:
        raise
    except Exception as error:  # neither library has a base class for its errors
        reason = str(error).strip().splitlines()
        raise InputFileError(f"{what}: {reason[0][:300] if reason else repr(error)}") from error


def quantized_graphs(bundle: Bundle) -> Graphs:
    """Return the graphs in a bundle.

    Raises:
        InputFileError: a graph is damaged; raised when that graph is first needed.
    """
    paths = {entry.size: bundle.path(entry.model) for entry in bundle.manifest.engines}

    def load(size: InputSize) -> onnx.ModelProto:
        read_onnx(paths[size])  # raises an error that names the damage
        return graph_at_size(onnx.load(paths[size]), size)

    label = f"{bundle.label} in onnxruntime"
    return Graphs(label, load, compressed=bundle.manifest.compression)


def float_graphs(bundle: Bundle, quantized: Graphs, reporter: Reporter) -> Graphs:
    """Return the float graphs of a bundle's model.

    The model is converted again. If it is not available, or if equalization scaled the tensors of
    the bundle, the quantized graphs are dequantized instead.
    """
    try:
        source = source_of(bundle)
    except OcrTrtError as error:
        why = f"the model is not available ({error})"
    else:
        calibration = bundle.manifest.calibration
        if calibration is None or "equalize" not in calibration.corrections:

            def converted(size: InputSize) -> onnx.ModelProto:
                with reporter.step(f"convert {bundle.spec.name} at {size}"):
                    return convert(source, bundle.spec, size).model

            return Graphs("float graph", converted, _compression_note(bundle))
        why = "the bundle was built with --weight-correction equalize, which scales its tensors"
    note = f"{why}: the reference is the quantized graph without Q/DQ; its weights stay rounded"
    if bundle.manifest.compression is not None and bundle.manifest.compression.is_applied:
        note += ". It is compressed too, so the loss by compression is not in the report"
    return Graphs(
        "float graph",
        lambda size: float_graph(quantized.graph(size)),
        note,
        bundle.manifest.compression,
    )


def _compression_note(bundle: Bundle) -> str:
    """Return how a compressed bundle is compared with the whole model; "" if it is not."""
    compression = bundle.manifest.compression
    if compression is None or not compression.is_applied:
        return ""
    note = (
        "the bundle is compressed: its weights were fitted again, so the noise of a step includes "
        "what compression changed"
    )
    if compression.channels:
        note += (
            f"; {len(compression.channels)} tensors lost channels and are compared on those that "
            "remain"
        )
    return note


def pair_of(reference: Graphs, quantized: Graphs, size: InputSize, folder: Path) -> GraphPair:
    """Return both graphs for one input size, with tensors of the same channels.

    Raises:
        InputFileError: the graphs have no tensor in common, or one of them is damaged; ``folder``
            is the bundle in the message.
    """
    with graph_errors(f"{folder}: its graph cannot be compared"):
        channels = quantized.channels, reference.channels
        pair = GraphPair(reference.graph(size), quantized.graph(size), channels)
        if not pair.steps:
            raise InputFileError(
                f"{folder}: its graph for {size} shares no tensor name with the "
                f"{reference.label}; build the bundle again"
            )
    return pair


def check_same_model(bundle: Bundle, other: Bundle) -> None:
    """Check that two bundles have the same model and input, so that their tensors match.

    Raises:
        InputFileError: names the first difference, with both values.
    """
    mine, theirs = bundle.spec, other.spec
    # Bundles may differ in max_batch.
    facts = {
        "role": (mine.role, theirs.role),
        "model": (bundle.manifest.source_sha256[:12], other.manifest.source_sha256[:12]),
        "input": (mine.input.model_copy(update={"max_batch": 1}),
                  theirs.input.model_copy(update={"max_batch": 1})),
        "input sizes": (listed(mine.input_sizes), listed(theirs.input_sizes)),
        "output": (mine.output.name, theirs.output.name),
    }  # fmt: skip
    wrong = next((what for what, (one, two) in facts.items() if one != two), None)
    if wrong is not None:
        one, two = facts[wrong]
        raise InputFileError(
            f"{other.folder}: cannot be compared with {bundle.folder}: its {wrong} is {two}, "
            f"expected {one}; give a bundle that was built from the same spec"
        )
