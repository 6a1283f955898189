"""Run one step of a recurrence on numbers in double precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from ..analysis.regions import ancestors, dynamic_inputs, nodes_between, positions, submodel
from ..graph import name_of, not_none, shape_of, static_shape
from .loops import NoRecurrenceError, Recurrence, dtype_of

Array = npt.NDArray[np.float64]
_ROWS = 4
_TOLERANCE = 1e-12


class StepFunction:
    """The body of a recurrence as a function of any number of rows.

    In float64, weights can be measured exactly: f(unit vector) - f(0) rounds to the float32 weight.
    ``taps`` are the inputs of the Sigmoids and Tanhs of the body: (op type, input).
    """

    def __init__(self, model: ir.Model, recurrence: Recurrence) -> None:
        entries = [recurrence.step_input, *(state.inside for state in recurrence.states)]
        self.taps = tuple(
            (node.op_type, not_none(node.inputs[0]))
            for node in recurrence.body
            if node.op_type in ("Sigmoid", "Tanh")
        )
        self._results = [value for value, _ in recurrence.results]
        expected = [
            *(s.after for s in recurrence.states),
            *(value for _, value in self.taps),
            *self._results,
        ]
        needed = set(ancestors(expected, until=entries))
        fixed = _same_in_all_steps(model, recurrence, needed)
        batch, width = shape_of(recurrence.sequence)[1:]
        # ``submodel`` needs the shapes of its inputs; ``_in_double`` removes them again.
        recurrence.step_input.shape = ir.Shape((batch, width))
        for state in recurrence.states:
            state.inside.shape = ir.Shape(shape_of(state.start))
        proto = _part(model, recurrence.body, [*entries, *fixed], expected)
        self._run = ReferenceEvaluator(_in_double(_with_constants(proto, fixed)))
        self._entries, self._names = list(map(name_of, entries)), list(map(name_of, expected))
        self._after = [name_of(state.after) for state in recurrence.states]

    def _all(self, x: Array, states: tuple[Array, ...]) -> dict[str, Array]:
        feeds = dict(zip(self._entries, (x, *states), strict=True))
        with np.errstate(over="ignore", invalid="ignore"):  # in branches whose result is not used
            answers = self._run.run(list(dict.fromkeys(self._names)), feeds)
        return dict(zip(dict.fromkeys(self._names), answers, strict=True)) | feeds

    def __call__(self, x: Array, *states: Array) -> tuple[list[Array], list[Array]]:
        """Return the next states and the values of the taps, for rows (R, K) and (R, H)."""
        found = self._all(x, states)
        return [found[n] for n in self._after], [found[name_of(value)] for _, value in self.taps]

    def returns_only_state(self, state: int, width: int, units: list[int]) -> bool:
        """Whether every result is the next value of one state, tried on random rows.

        ``width`` and ``units`` are the columns of the input and of the states.
        """
        rng = np.random.default_rng(0)
        x, *states = (rng.standard_normal((_ROWS, size)) for size in (width, *units))
        found = self._all(x, tuple(states))
        return all(
            np.allclose(found[name_of(value)], found[self._after[state]], rtol=0, atol=_TOLERANCE)
            for value in self._results
        )


def _same_in_all_steps(
    model: ir.Model, recurrence: Recurrence, needed: set[ir.Node]
) -> dict[ir.Value, npt.NDArray]:
    """Return the values that only depend on the step number and that ``needed`` nodes read.

    The body may compute masks from the step number, for example. They must be equal in all steps.

    Raises:
        NoRecurrenceError: a value differs from step to step.
    """
    timed, body, inner = set(recurrence.counters), recurrence.body, list[ir.Node]()
    for node in body:
        entries = dynamic_inputs(node)
        # Counters, and all that is computed from counters alone.
        if entries and timed.issuperset(entries):
            inner.append(node)
            timed.update(node.outputs)
    outside = [
        value
        for node in inner
        for value in node.outputs
        if any(user in needed and user not in inner for user, _ in value.uses())
    ]
    if not outside:
        return {}
    proto = _part(model, body, list(recurrence.counters), outside)
    evaluator, names = ReferenceEvaluator(proto), list(map(name_of, outside))
    found = dict[ir.Value, npt.NDArray]()
    for step in range(shape_of(recurrence.sequence)[0]):
        feeds = {
            name_of(c): np.full(static_shape(c) or (), step, dtype_of(c))
            for c in recurrence.counters
        }
        for value, array in zip(outside, evaluator.run(names, feeds), strict=True):
            if not np.array_equal(found.setdefault(value, array), array):
                raise NoRecurrenceError("its computation depends on the number of the step")
    # The function runs on any number of rows, not on the batch size: let uniform arrays broadcast.
    return {value: _shrunk(np.asarray(array)) for value, array in found.items()}


def _shrunk(array: npt.NDArray) -> npt.NDArray:
    """Return an array whose elements are all equal as (1, .., 1)."""
    same = array.size > 1 and (array == array.reshape(-1)[0]).all()
    return array.reshape(-1)[:1].reshape((1,) * array.ndim) if same else array


def _part(
    model: ir.Model, body: ir.Graph, entries: list[ir.Value], expected: list[ir.Value]
) -> onnx.ModelProto:
    """Copy the nodes of a body that compute ``expected`` from ``entries`` into a model."""
    order, found = positions(body), dict[ir.Node, None]()
    for value in expected:
        nodes = nodes_between(entries, value, order)
        if nodes is None:
            raise NoRecurrenceError("its step reads more than its input and its states")
        found.update(dict.fromkeys(nodes))
    for value in entries:
        value.shape = ir.Shape(()) if static_shape(value) is None else value.shape
    # ``submodel`` declares one output; declare all of them instead.
    proto = submodel(model, entries, expected[0], tuple(sorted(found, key=order.__getitem__)))
    del proto.graph.output[:]
    names = dict.fromkeys(map(name_of, expected))
    proto.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    return proto


def _with_constants(proto: onnx.ModelProto, values: dict[ir.Value, npt.NDArray]) -> onnx.ModelProto:
    """Replace some of a model's inputs by constants."""
    arrays = {name_of(value): array for value, array in values.items()}
    entries = [entry for entry in proto.graph.input if entry.name not in arrays]
    del proto.graph.input[:]
    proto.graph.input.extend(entries)
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def _in_double(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Change a float32 model, in place, to float64 with open input shapes."""
    single, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    for entry in proto.graph.input:
        entry.type.tensor_type.elem_type = double
        del entry.type.tensor_type.shape.dim[:]
    for tensor in proto.graph.initializer:
        if tensor.data_type == single:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for node in proto.graph.node:
        for item in node.attribute:
            if node.op_type == "Cast" and item.name == "to" and item.i == single:
                item.i = double
            if item.type == onnx.AttributeProto.TENSOR and item.t.data_type == single:
                array = onnx.numpy_helper.to_array(item.t).astype(np.float64)
                item.t.CopyFrom(onnx.numpy_helper.from_array(array))
    return proto
