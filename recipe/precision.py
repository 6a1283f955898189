"""A request's precision, given to its graphs: once for all targets that need the same."""

from __future__ import annotations

from ..calibration.histogram import Histogram
from ..engines.backends.base import Backend, GraphNeeds
from ..engines.lower.deconvolution import lower_deconvolutions
from ..reporter import Reporter
from .graphs import Graphs, TypedGraphs, float_graphs, fp16_graphs, int8_graphs, observed
from .request import BuildRequest


def needs_of(request: BuildRequest, target: Backend) -> GraphNeeds:
    """Return what the graphs of a request must be for a target."""
    return target.needs() if request.precision == "int8" else GraphNeeds()


def _lowered(graphs: Graphs) -> Graphs:
    """Lower deconvolutions; the graphs themselves if they have none."""
    lowered = {width: lower_deconvolutions(graph) for width, graph in graphs.items()}
    return graphs if all(lowered[width] is graphs[width] for width in graphs) else lowered


def typed_for(
    request: BuildRequest, targets: list[Backend], graphs: Graphs, reporter: Reporter
) -> dict[GraphNeeds, TypedGraphs]:
    """Give the graphs their precision, for what the targets need; calibrate as often as needed.

    Raises:
        InputFileError: a calibration picture cannot be read.
        ConversionError: nothing in the model can have the precision.
    """
    found, seen = dict[GraphNeeds, TypedGraphs](), dict[bool, dict[str, Histogram]]()
    for needs in dict.fromkeys(needs_of(request, target) for target in targets):
        if request.precision == "fp32":
            found[needs] = float_graphs(graphs)
            continue
        assert request.calibration is not None, "checked with the request"
        wanted = _lowered(graphs) if needs.lower_deconvolutions else graphs
        is_same = wanted is graphs
        if is_same not in seen:
            seen[is_same] = observed(wanted, request.precision, request.calibration, reporter)
        if request.precision == "fp16":
            found[needs] = fp16_graphs(wanted, seen[is_same], request.calibration)
        else:
            found[needs] = int8_graphs(
                wanted, seen[is_same], request.calibration, request.method, needs.largest_weight
            )
    return found
