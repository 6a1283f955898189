"""Random graphs whose channels are coupled in many ways, and a masked reference for pruning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.compression.channel_groups import ChannelGroup, channel_groups
from ocr_trt.plugins.max_pool_argmax_2d import BODY as POOL
from ocr_trt.plugins.max_unpool_2d import BODY as UNPOOL
from ocr_trt.plugins.onnx_function import add_function
from tests.convert.helpers import graph

Map = tuple[str, int, int]
"""A feature map: its name, channels, and height, which is its width."""


class RandomGraph:
    """Writes ONNX text with seeded weights; each method adds one kind of block."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines, self.weights, self.count = list[str](), dict[str, np.ndarray](), 0

    def op(self, call: str, results: int = 1) -> str:
        """Add a node; return the name of its first result."""
        self.count += 1
        names = [f"t{self.count}" + "abcd"[i] for i in range(results)]
        self.lines.append(f"{', '.join(names)} = {call}")
        return names[0]

    def weight(self, *shape: int, low: float = -1.0) -> str:
        name = f"w{len(self.weights)}"
        scale = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 1.0
        self.weights[name] = (self.rng.uniform(low, 1, shape) * scale).astype(np.float32)
        return name

    def numbers(self, *values: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.array(values, np.int64)
        return name

    def conv(self, x: Map, channels: int, kernel: int = 3, groups: int = 1) -> Map:
        name, count, size = x
        w = self.weight(channels, count // groups, kernel, kernel)
        pads = ", ".join([str(kernel // 2)] * 4)
        out = self.op(
            f"Conv <group = {groups}, pads = [{pads}]> ({name}, {w}, {self.weight(channels)})"
        )
        return out, channels, size

    def act(self, x: Map) -> Map:
        kind = self.rng.choice(["Relu", "Sigmoid", "HardSwish", "LeakyRelu", "Tanh"])
        return self.op(f"{kind} ({x[0]})"), *x[1:]

    def block(self, x: Map) -> Map:
        """Add a random block that keeps the size of the map."""
        kinds = (self.plain, self.residual, self.separable, self.excited, self.scaled, self.halves)
        kinds += (self.shuffled, self.pooled, self.dense, self.pixels, self.grown)  # type: ignore[assignment]
        return kinds[self.rng.integers(len(kinds))](x)

    def plain(self, x: Map) -> Map:
        return self.act(
            self.conv(x, int(self.rng.choice([8, 12, 16])), int(self.rng.choice([1, 3])))
        )

    def residual(self, x: Map) -> Map:
        inner = self.act(self.conv(x, 12))
        return self.op(f"Add ({x[0]}, {self.conv(inner, x[1])[0]})"), *x[1:]

    def separable(self, x: Map) -> Map:
        deep = self.act(self.conv(x, 2 * x[1] if self.rng.integers(2) else x[1], 3, groups=x[1]))
        return self.conv(deep, 8, 1)

    def excited(self, x: Map) -> Map:
        axes = self.numbers(2, 3)
        mean = self.op(f"ReduceMean ({x[0]}, {axes})"), x[1], 1
        gate = self.op(f"Sigmoid ({self.conv(self.act(self.conv(mean, 6, 1)), x[1], 1)[0]})")
        return self.op(f"Mul ({x[0]}, {gate})"), *x[1:]

    def scaled(self, x: Map) -> Map:
        a = self.conv(x, 8)
        scale, shift, mean, variance = (self.weight(8, low=0.2) for _ in range(4))
        normed = self.op(f"BatchNormalization ({a[0]}, {scale}, {shift}, {mean}, {variance})")
        return self.op(f"PRelu ({normed}, {self.weight(8, 1, 1)})"), *a[1:]

    def halves(self, x: Map) -> Map:
        wide = self.act(self.conv(x, 12, 1))
        first = self.op(f"Split <axis = 1> ({wide[0]}, {self.numbers(8, 4)})", 2)
        inner = self.conv((first, 8, x[2]), 8)
        return self.op(f"Concat <axis = 1> ({inner[0]}, {first[:-1]}b, {x[0]})"), 12 + x[1], x[2]

    def shuffled(self, x: Map) -> Map:
        wide = self.conv(self.conv(x, 12, 1), 12, 3, groups=3)
        size = x[2]
        groups = self.op(f"Reshape ({wide[0]}, {self.numbers(-1, 3, 4, size, size)})")
        turned = self.op(f"Transpose <perm = [0, 2, 1, 3, 4]> ({groups})")
        mixed = self.op(f"Reshape ({turned}, {self.numbers(-1, 12, size, size)})")
        return self.conv((mixed, 12, size), 8, 1, groups=2 if self.rng.integers(2) else 1)

    def pooled(self, x: Map) -> Map:
        pool = self.op(f"ocr_trt.MaxPoolArgmax2d ({x[0]})", 2)
        inner = self.conv(self.act(self.conv((pool, x[1], x[2] // 2), 12)), x[1], 1)
        up = self.op(f"ocr_trt.MaxUnpool2d ({inner[0]}, {pool[:-1]}b)")
        return self.op(f"Concat <axis = 1> ({up}, {x[0]})"), 2 * x[1], x[2]

    def dense(self, x: Map) -> Map:
        small = self.op(f"AveragePool <kernel_shape = [2, 2], strides = [2, 2]> ({x[0]})")
        inner = self.conv((small, x[1], x[2] // 2), 8)
        sizes = self.numbers(1, 8, x[2], x[2])
        up = self.op(f'Resize <mode = "nearest"> ({inner[0]}, , , {sizes})')
        return self.op(f"Concat <axis = 1> ({up}, {x[0]})"), 8 + x[1], x[2]

    def pixels(self, x: Map) -> Map:
        deep = self.op(f"SpaceToDepth <blocksize = 2> ({x[0]})")
        inner = self.act(self.conv((deep, 4 * x[1], x[2] // 2), 16, 1))
        return self.op(f"DepthToSpace <blocksize = 2> ({inner[0]})"), 4, x[2]

    def grown(self, x: Map) -> Map:
        small = self.op(f"MaxPool <kernel_shape = [2, 2], strides = [2, 2]> ({x[0]})")
        w = self.weight(x[1], 8, 2, 2)
        return (
            self.op(f"ConvTranspose <strides = [2, 2]> ({small}, {w}, {self.weight(8)})"),
            8,
            x[2],
        )

    def attention(self, x: str, width: int, steps: int) -> str:
        """Add attention with 2 heads and one product for queries, keys and values."""
        heads, size = 2, width // 2
        z = self.dense_layer(x, width, 3 * width)
        cut = self.op(f"Reshape ({z}, {self.numbers(0, steps, 3 * heads, size)})")
        turned = self.op(f"Transpose <perm = [0, 2, 1, 3]> ({cut})")
        q = self.op(f"Split <axis = 1, num_outputs = 3> ({turned})", 3)
        keys = self.op(f"Transpose <perm = [0, 1, 3, 2]> ({q[:-1]}b)")
        weights = self.op(f"Softmax <axis = -1> ({self.op(f'MatMul ({q}, {keys})')})")
        y = self.op(f"MatMul ({weights}, {q[:-1]}c)")
        back = self.op(f"Transpose <perm = [0, 2, 1, 3]> ({y})")
        flat = self.op(f"Reshape ({back}, {self.numbers(0, steps, width)})")
        return self.op(f"Add ({x}, {self.dense_layer(flat, width, width)})")

    def dense_layer(self, x: str, inputs: int, outputs: int) -> str:
        w = self.weight(outputs, inputs)
        self.weights[w] = np.ascontiguousarray(self.weights[w].T)
        return self.op(f"Add ({self.op(f'MatMul ({x}, {w})')}, {self.weight(outputs)})")

    def transformer(self, x: Map) -> str:
        """Read a map row by row, and add attention, a norm and a feed-forward block."""
        width, steps = 16, x[2] ** 2
        moved = self.op(f"Transpose <perm = [0, 2, 3, 1]> ({self.conv(x, width, 1)[0]})")
        row = self.op(f"Reshape ({moved}, {self.numbers(-1, steps, width)})")
        y = self.attention(row, width, steps)
        norm = self.op(f"LayerNormalization ({y}, {self.weight(width, low=0.2)})")
        inner = self.op(f"Gelu ({self.dense_layer(norm, width, 24)})")
        return self.op(f"Add ({y}, {self.dense_layer(inner, 24, width)})")

    def build(self, blocks: int = 4, *, transformer: bool = True) -> ir.Model:
        """Return a graph of random blocks and, at its end, a transformer."""
        x = self.act(self.conv(("image", 3, 8), 8))
        for _ in range(blocks):
            x = self.block(x)
        if transformer:
            self.lines.append(f"y = Identity ({self.dense_layer(self.transformer(x), 16, 5)})")
        else:
            self.lines.append(f"y = Sigmoid ({self.conv(x, 2, 1)[0]})")
        text = "\n".join(self.lines)
        model = graph(f"t (float[1, 3, 8, 8] image) => (y) {{ {text} }}", **self.weights)
        for body in (POOL, UNPOOL):
            add_function(model, body)
        return with_shapes(model)


def with_shapes(model: ir.Model) -> ir.Model:
    """Infer all shapes, also behind custom ops."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def run(model: ir.Model, image: np.ndarray) -> np.ndarray:
    return onnx_session(ir.to_proto(model), optimize=False).run(None, {"image": image})[0]


def masked(model: ir.Model, kept: Mapping[ChannelGroup, tuple[int, ...]]) -> ir.Model:
    """Return a copy in which every tensor's removed channels are multiplied by 0."""
    copy = ir.from_proto(ir.to_proto(model))
    for value in [v for node in copy.graph for v in node.outputs]:
        here = {g: places for g in kept if (places := g.places.get(value.name or ""))}
        if not here or value.dtype != ir.DataType.FLOAT:
            continue
        mask = np.all(
            [(p.channels < 0) | np.isin(p.channels, kept[g]) for g, p in here.items()], axis=0
        )
        (axis,) = {places.axis for places in here.values()}
        _multiply(copy.graph, value, mask, axis)
    return copy


def _multiply(target: ir.Graph, value: ir.Value, mask: np.ndarray, axis: int) -> None:
    rank = len(value.shape or ())
    array = mask.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(rank)])
    name = f"{value.name}_mask"
    constant = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    target.register_initializer(constant)
    node = ir.node("Mul", [value, constant])
    for user, index in list(value.uses()):
        if user is not node:
            user.replace_input_with(index, node.outputs[0])
    target.insert_after(value.producer(), node)  # type: ignore[arg-type]


def chosen_channels(group: ChannelGroup, rng: np.random.Generator) -> tuple[int, ...]:
    """Choose channels to keep at random, equally many in each row."""
    if group.rows:
        count = int(rng.integers(1, min(map(len, group.rows)) + 1))
        rows = [rng.choice(row, count, replace=False) for row in group.rows]
        rest = set(range(group.size)).difference(*group.rows)
        return tuple(sorted({*np.concatenate(rows).tolist(), *rest}))
    free = sorted(set(range(group.size)) - group.fixed)
    count = int(rng.integers(1, len(free) + 1))
    kept = {*group.fixed, *rng.choice(free, count, replace=False).tolist()}
    # A tensor needs one channel at least: parts of a Split have some of the channels only.
    for places in group.places.values():
        if not kept & places.found:
            kept.add(min(places.found))
    return tuple(sorted(kept))


def zero_channels(model: ir.Model, rng: np.random.Generator) -> int:
    """Set the weights to some channels, or those that read them, to 0; return how many layers."""
    count = 0
    for group in channel_groups(model.graph):
        if not group.is_prunable or rng.random() < 0.3:
            continue
        dead = rng.choice(group.size, max(1, group.size // 4), replace=False)
        as_constants = rng.random() < 0.6
        for node in model.graph:
            value = node.inputs[0] if as_constants is False and node.inputs else node.outputs[0]
            places = group.places.get(value.name or "") if value is not None else None
            if node.op_type not in ("Conv", "MatMul", "ConvTranspose") or places is None:
                continue
            weights = node.inputs[1]
            if weights is None or weights.const_value is None:
                continue
            array = weights.const_value.numpy().copy()
            axis = (0 if as_constants else 1) if node.op_type == "Conv" else int(as_constants)
            where = np.isin(places.channels, dead)
            if array.shape[axis] == len(where):
                array[(slice(None),) * axis + (where,)] = 0
                weights.const_value = ir.tensor(array, name=weights.name)
                count += 1
    return count
