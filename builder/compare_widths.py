"""Check that a graph of any width computes what the model computes at widths between ``buckets``.

The graphs that are joined agree at the widths in ``buckets``. Between them they may differ: a
TensorFlow convolution with the padding SAME and stride 2 pads an odd width on both sides, and an
even one only at the end. If all ``buckets`` are multiples of 32, the joined graph always pads as
for even widths.
"""

from __future__ import annotations

from dataclasses import replace

from ..common.input_size import InputSize
from ..common.progress import Reporter
from ..convert.free_sizes import graph_at_size, joined_sizes
from ..convert.graph import Graphs
from ..engines.engine import Engine
from ..errors import OcrTrtError, SpecError
from ..spec import ModelSpec, RecognizerSpec
from .compare import check_parity
from .convert import ConvertedModel
from .tolerance import tolerance_of


def check_free_widths(
    model: ConvertedModel, spec: RecognizerSpec, baseline: Engine, reporter: Reporter
) -> None:
    """Compare the joined graph with the model at two widths between those in ``buckets``.

    Raises:
        SpecError: it differs; ``width_step`` does not fit the model.
    """
    between = widths_between(spec)
    joined = joined_sizes(model.graphs) if between else None
    if joined is None:
        return
    own = spec.with_widths(between)  # the widest width is compared again
    graphs = {size: graph_at_size(joined, size) for size in own.input_sizes}
    label = "fp32 graph of any width"
    with (
        reporter.step("compare at widths between those in buckets"),
        Engine.from_graphs(graphs.__getitem__, spec=own, label=label) as engine,
    ):
        try:
            tolerance = tolerance_of(replace(model, graphs=graphs), own)
            check_parity(engine, baseline, tolerance, graphs=graphs)
        except OcrTrtError as error:
            step, widths = spec.width_step or 1, " or ".join(map(str, between))
            raise SpecError(
                f"width_step {step} does not fit the model: at the width {widths}, between those "
                f"in buckets, {error}; enter a multiple of the factor by which the model reduces "
                f"the width, such as {2 * step}, or width_step: null"
            ) from error


def compared_sizes(engine: Engine, graphs: Graphs, spec: ModelSpec | None) -> list[InputSize]:
    """Return the sizes at which an engine is compared with the model.

    A plan of any width has many. Opening the model at each would take minutes and its weights each
    time, so those with a graph are compared, and those of :func:`check_free_widths` if ``spec`` is
    given.
    """
    between = widths_between(spec) if isinstance(spec, RecognizerSpec) else ()
    return [size for size in engine.sizes if size in graphs or size.width in between]


def widths_between(spec: RecognizerSpec) -> tuple[int, ...]:
    """Return the widths to check: an odd multiple of the step, and the widest.

    Whether an odd multiple is even after each stride decides the same for all other multiples.
    """
    between = [width for width in spec.free_widths if width not in spec.widths]
    odd = [width for width in between if width // (spec.width_step or 1) % 2]
    return tuple(sorted({*(odd or between)[:1], *between[-1:]}))
