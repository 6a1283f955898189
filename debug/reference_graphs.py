"""The reference of a bundle's quantized graphs: the model's float graphs, or another bundle's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import onnx

from ..calibration.dequantize import float_graph
from ..calibration.emulate import emulated
from ..common.onnx_files import read_onnx
from ..common.progress import Reporter
from ..convert.pipeline import convert
from ..convert.sources import Source, open_source, source_format
from ..engines.base import Batch, Runner
from ..engines.bundle import Bundle, tree_sha256
from ..engines.engine import Engine
from ..engines.onnxruntime.backend import runner_from_model
from ..errors import InputFileError, OcrTrtError
from ..spec import DetectorSpec, RecognizerSpec

GraphOf = Callable[[int], onnx.ModelProto]


class Graphs:
    """The graphs of a model, one for each width, made when they are first needed.

    ``label``: what they are; ``note``: what cannot be seen against them.
    """

    def __init__(self, label: str, make: GraphOf, note: str = "") -> None:
        self.label, self.note = label, note
        self._make, self._made = make, dict[int, onnx.ModelProto]()

    def graph(self, width: int) -> onnx.ModelProto:
        """Return the graph for one input width in pixels."""
        if width not in self._made:
            self._made[width] = self._make(width)
        return self._made[width]

    def engine(self, spec: DetectorSpec | RecognizerSpec) -> Engine:
        """Return them in onnxruntime as an engine, 16 bits emulated."""

        def open_runner(width: int) -> Runner:
            graph, most = self.graph(width), spec.input.max_batch
            with refused_as(f"{self.label}: its graph for width {width} cannot be run"):
                runner = runner_from_model(emulated(graph), label=self.label, max_batch=most)
            return _Checked(runner)

        return Engine(label=self.label, spec=spec, open_runner=open_runner)


class _Checked(Runner):
    """A runner of a graph from a file: what fails in it is the file's fault."""

    def __init__(self, inner: Runner) -> None:
        super().__init__(label=inner.label, shape=inner.shape, max_batch=inner.max_batch)
        self._inner = inner

    def execute(self, feed: Any) -> Batch:
        """Run one batch."""
        with refused_as(f"{self.label}: its graph for width {self.shape[2]} cannot be run"):
            return self._inner.execute(feed)

    def close(self) -> None:
        """Close the runner."""
        self._inner.close()


@contextmanager
def refused_as(what: str) -> Iterator[None]:
    """Let what onnx and onnxruntime say against a bundle's graph be an error of its file.

    Raises:
        InputFileError: ``what``, and their reason.
    """
    try:
        yield
    except OcrTrtError:
        raise
    except Exception as error:  # neither has a base class of its errors
        reason = str(error).strip().splitlines()
        raise InputFileError(f"{what}: {reason[0][:300] if reason else repr(error)}") from error


def quantized_graphs(bundle: Bundle) -> Graphs:
    """Return the graphs in a bundle.

    Raises (when a graph is needed):
        InputFileError: it is damaged.
    """
    paths = {entry.width: bundle.path(entry.model) for entry in bundle.manifest.engines}

    def load(width: int) -> onnx.ModelProto:
        read_onnx(paths[width])  # says what is wrong with it
        return onnx.load(paths[width])

    return Graphs(f"{bundle.label} in onnxruntime", load)


def float_graphs(bundle: Bundle, quantized: Graphs, reporter: Reporter) -> Graphs:
    """Return the float graphs of a bundle's model: converted again, or dequantized."""
    try:
        source = _source(bundle)
    except OcrTrtError as error:
        why = f"the model is not at hand ({error})"
    else:
        if not _is_equalized(bundle):
            return Graphs("float graph", _converter(source, bundle, reporter))
        why = "the bundle was built with --correction equalize, so its tensors have other scales"
    note = f"{why}: compared with the quantized graph without its rounding; weights stay rounded"
    return Graphs("float graph", lambda width: float_graph(quantized.graph(width)), note)


def _is_equalized(bundle: Bundle) -> bool:
    calibration = bundle.manifest.calibration
    return calibration is not None and "equalize" in calibration.corrections


def _source(bundle: Bundle) -> Source:
    """Open the model of a bundle, if it is the one it was built from."""
    source = bundle.spec.source
    source_format(source)  # a model, not just any folder that a bundle names
    if tree_sha256(source.path) != bundle.manifest.source_sha256:
        raise InputFileError(f"{source.path} is not the model the bundle was built from")
    return open_source(source)


def _converter(source: Source, bundle: Bundle, reporter: Reporter) -> GraphOf:
    def converted(width: int) -> onnx.ModelProto:
        with reporter.step(f"convert {bundle.spec.name} at width {width}"):
            return convert(source, bundle.spec, width).model

    return converted


def check_same_model(bundle: Bundle, other: Bundle) -> None:
    """Refuse a bundle whose tensors are not those of another.

    Raises:
        InputFileError: they are not of the same model, or not of the same input.
    """
    mine, theirs = bundle.spec, other.spec
    facts = {
        "role": (mine.role, theirs.role),
        "model": (bundle.manifest.source_sha256[:12], other.manifest.source_sha256[:12]),
        "input": (mine.input.model_copy(update={"max_batch": 1}),
                  theirs.input.model_copy(update={"max_batch": 1})),
        "widths": (mine.widths, theirs.widths),
        "output": (mine.output.name, theirs.output.name),
    }  # fmt: skip
    wrong = next((what for what, (one, two) in facts.items() if one != two), None)
    if wrong is not None:
        one, two = facts[wrong]
        raise InputFileError(
            f"{other.folder}: is not of the same model as {bundle.folder}: its {wrong} is {two}, "
            f"not {one}; give a bundle that was built from the same spec"
        )
