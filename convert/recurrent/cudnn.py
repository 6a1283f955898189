"""Replace CudnnRNN, which TensorFlow runs only on a GPU, by loops that it runs everywhere.

The op's weights are one flat buffer: for each layer and direction the matrices of the gates for the
input, then those for the state, each (units, size); behind all matrices, the biases in the same
order. Gates are i, f, g, o in an LSTM and r, z, n in a GRU, numbered as cuDNN numbers its "linear
layers":

    LSTM  c' = f c + i g             h' = o tanh(c')
    GRU   n  = tanh(W x + b + r (R h + b_R))     h' = (1 - z) n + z h

``passes/raise_recurrent`` then recognizes the loops. Each turn of :func:`without_cudnn` replaces
one op, so it terminates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import ConversionError

_OPS = ("CudnnRNN", "CudnnRNNV2")
_GATES = {"lstm": 4, "gru": 3}
_RESULTS = 3
"""The first results: outputs, last h, last c. The others are for training."""

_Cell = Callable[..., tuple[Any, ...]]
"""(weights, x, states...) -> new states; the first is the output."""


@dataclass(frozen=True, kw_only=True)
class _Weights:
    """Weights of one layer and direction.

    Kernel (gates * units, size), recurrent kernel (gates * units, units), and the bias of each,
    (gates * units,).
    """

    kernel: Any
    recurrent: Any
    bias: Any
    recurrent_bias: Any


def has_cudnn(definition: Any) -> bool:
    """Whether a GraphDef, or a function in it, holds a CudnnRNN."""
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return any(node.op in _OPS for node in nodes)


def without_cudnn(definition: Any) -> Any:
    """Return a GraphDef with every CudnnRNN written out as loops; the same one if it has none.

    Raises:
        ConversionError: an op is of a kind that is not known.
    """
    while True:
        found = [node for node in definition.node if node.op in _OPS]
        if not found:
            return definition
        names = {node.name for node in found}
        # Start with an op that depends on no other CudnnRNN; later turns replace the others.
        ready = next(node for node in found if not _reads(definition, node, names))
        definition = _written_out(definition, ready)


def _reads(definition: Any, node: Any, names: set[str]) -> bool:
    """Whether a node depends on another one of ``names``."""
    nodes = {each.name: each for each in definition.node}
    todo = [_node_of(name) for name in node.input]
    seen = set(todo)
    for name in todo:
        if name in names:
            return True
        new = {_node_of(each) for each in nodes[name].input} - seen
        seen |= new
        todo += new
    return False


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]


def _written_out(definition: Any, node: Any) -> Any:
    """Replace one node: import what it reads, build the loops, import what reads it."""
    from tensorflow.compat import v1

    _check(node)
    # A GraphDef leaves out port 0; TensorFlow's functions need it.
    inputs = [name if ":" in name else f"{name}:0" for name in node.input]

    def build() -> None:
        # First copy: the nodes in front of the op, under "front/".
        x, h, c, flat = v1.import_graph_def(definition, return_elements=inputs, name="front")
        results = _layers(node, x, h, c, flat)
        entries = {
            f"{each.name}:0": v1.get_default_graph().get_tensor_by_name(f"front/{each.name}:0")
            for each in definition.node
            if each.op in ("Placeholder", "PlaceholderWithDefault")
        }
        replaced = {f"{node.name}:{port}": result for port, result in enumerate(results)}
        # Second copy: the nodes behind it, which read the results of the loops.
        v1.import_graph_def(definition, input_map={**entries, **replaced}, name="")

    graph = v1.wrap_function(build, signature=[]).graph.as_graph_def()
    return _with_own_entries(graph, definition, node)


def _with_own_entries(graph: Any, definition: Any, replaced: Any) -> Any:
    """Restore the names of placeholders, and drop what is left of the replaced node."""
    entries = {
        f"front/{each.name}": each.name
        for each in definition.node
        if each.op in ("Placeholder", "PlaceholderWithDefault")
    }
    gone = {replaced.name, f"front/{replaced.name}", *entries.values()}
    kept = [node for node in graph.node if node.name not in gone]
    made = type(definition)(library=graph.library, versions=graph.versions)
    for node in _without_readers(kept, {replaced.name, f"front/{replaced.name}"}):
        new = made.node.add()
        new.CopyFrom(node)
        new.name = entries.get(node.name, node.name)
        new.input[:] = [_renamed(name, entries) for name in node.input]
    return made


def _renamed(tensor: str, names: dict[str, str]) -> str:
    node, port = tensor.partition(":")[::2]
    mark = "^" if node.startswith("^") else ""
    node = names.get(node.lstrip("^"), node.lstrip("^"))
    return f"{mark}{node}:{port}" if port else f"{mark}{node}"


def _without_readers(nodes: list[Any], gone: set[str]) -> list[Any]:
    """Drop nodes that read a removed node, and the readers of those."""
    while True:
        kept = [n for n in nodes if not any(_node_of(name) in gone for name in n.input)]
        if len(kept) == len(nodes):
            return kept
        gone = gone | {node.name for node in nodes} - {node.name for node in kept}
        nodes = kept


def _check(node: Any) -> None:
    mode, entry = node.attr["rnn_mode"].s.decode() or "lstm", node.attr["input_mode"].s.decode()
    if mode not in _GATES:
        raise ConversionError(f"{node.name}: {node.op} has mode {mode}, expected lstm or gru")
    if entry not in ("", "linear_input"):
        raise ConversionError(f"{node.name}: {node.op} has {entry}, expected linear_input")


def _layers(node: Any, x: Any, h: Any, c: Any, flat: Any) -> tuple[Any, Any, Any]:
    """Build all layers: x (T, N, size), h and c (layers * directions, N, units)."""
    import tensorflow as tf

    mode = node.attr["rnn_mode"].s.decode() or "lstm"
    directions = 2 if node.attr["direction"].s == b"bidirectional" else 1
    rows, _, units = h.shape.as_list()
    size = x.shape[-1]
    if None in (rows, units, size):
        raise ConversionError(
            f"the sizes of {node.name} are not known: input {x.shape}, state {h.shape}; set the "
            "sizes of all axes except time and batch in the model"
        )
    weights = _unpacked(flat, _GATES[mode], units, size, rows, directions)
    step, starts = (_lstm_step, (h, c)) if mode == "lstm" else (_gru_step, (h,))
    last = []
    # States and weights have a row for each layer and direction, directions side by side.
    for first in range(0, rows, directions):
        found = [
            _loop(step, x, [start[row] for start in starts], weights[row], backward=row > first)
            for row in range(first, first + directions)
        ]
        x = tf.concat([outputs for outputs, _ in found], -1)
        last += [states for _, states in found]
    return x, tf.stack([states[0] for states in last]), tf.stack([states[-1] for states in last])


def _unpacked(
    flat: Any, gates: int, units: int, size: int, rows: int, directions: int
) -> list[_Weights]:
    """Split the flat buffer into the weights of each layer and direction."""
    import tensorflow as tf

    place = 0

    def take(*shape: int) -> Any:
        nonlocal place
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        part = flat[place : place + count]
        place += count
        return tf.reshape(part, shape)

    matrices = []
    for row in range(rows):  # a layer above the first reads the outputs of all directions
        width = size if row < directions else units * directions
        matrices.append((take(gates * units, width), take(gates * units, units)))
    biases = [(take(gates * units), take(gates * units)) for _ in range(rows)]
    return [
        _Weights(kernel=w, recurrent=r, bias=b, recurrent_bias=c)
        for (w, r), (b, c) in zip(matrices, biases, strict=True)
    ]


def _lstm_step(weights: _Weights, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    # (N, size) x (size, 4 units): all gates at once.
    gates = tf.matmul(x, weights.kernel, transpose_b=True) + weights.bias
    gates += tf.matmul(h, weights.recurrent, transpose_b=True) + weights.recurrent_bias
    i, f, g, o = tf.split(gates, 4, 1)  # each (N, units)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def _gru_step(weights: _Weights, x: Any, h: Any) -> tuple[Any]:
    import tensorflow as tf

    entry = tf.matmul(x, weights.kernel, transpose_b=True) + weights.bias
    state = tf.matmul(h, weights.recurrent, transpose_b=True) + weights.recurrent_bias
    r, z, n = tf.split(entry, 3, 1)
    r_state, z_state, n_state = tf.split(state, 3, 1)
    n = tf.tanh(n + tf.sigmoid(r + r_state) * n_state)
    z = tf.sigmoid(z + z_state)
    return ((1.0 - z) * n + z * h,)


def _loop(
    step: Callable[..., tuple[Any, ...]],
    x: Any,
    start: list[Any],
    weights: _Weights,
    backward: bool,
) -> tuple[Any, list[Any]]:
    """Run a cell over the steps of x (T, N, size); return all outputs and the last states."""
    import tensorflow as tf

    count = tf.shape(x)[0]
    inputs = tf.TensorArray(tf.float32, count).unstack(tf.reverse(x, [0]) if backward else x)

    def body(number: Any, outputs: Any, *states: Any) -> Any:
        states = step(weights, inputs.read(number), *states)
        return number + 1, outputs.write(number, states[0]), *states

    carried = (0, tf.TensorArray(tf.float32, count), *start)
    _, outputs, *states = tf.while_loop(lambda number, *_: number < count, body, carried)
    units = weights.recurrent.shape[1]
    # (T, N, units); a stacked TensorArray has no known shape.
    found = tf.ensure_shape(outputs.stack(), [x.shape[0], x.shape[1], units])
    return (tf.reverse(found, [0]) if backward else found), states
