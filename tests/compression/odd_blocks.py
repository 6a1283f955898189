"""Blocks that real networks rarely have: shared weights, odd splits, products along other axes."""

from __future__ import annotations

import onnx_ir as ir

from ocr_trt.plugins.max_pool_argmax_2d import BODY as POOL
from ocr_trt.plugins.max_unpool_2d import BODY as UNPOOL
from ocr_trt.plugins.onnx_function import add_function
from tests.compression.random_channels import Map, RandomGraph, with_shapes
from tests.convert.helpers import graph


class OddGraph(RandomGraph):
    """Each method of ``KINDS`` adds one block behind a map, and returns the map behind it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.outputs = list[str]()

    def with_block(self, kind: str) -> ir.Model:
        """Return a graph of a layer, a block and another layer."""
        x = self.act(self.conv(("image", 3, 8), 8))
        return self._finished(getattr(self, kind)(x))

    def with_blocks(self, count: int) -> ir.Model:
        """Return a graph of random kinds of blocks."""
        x = self.act(self.conv(("image", 3, 8), 8))
        for _ in range(count):
            x = getattr(self, KINDS[self.rng.integers(len(KINDS))])(x)
        return self._finished(x)

    def _finished(self, x: Map) -> ir.Model:
        self.lines.append(f"y = Sigmoid ({self.conv(x, 2, 1)[0]})")
        names = ["y", *(f"y{n}" for n in range(len(self.outputs)))]
        self.lines += [
            f"{name} = Identity ({value})"
            for name, value in zip(names[1:], self.outputs, strict=True)
        ]
        text = "\n".join(self.lines)
        model = graph(
            f"t (float[1, 3, 8, 8] image) => ({', '.join(names)}) {{ {text} }}", **self.weights
        )
        for body in (POOL, UNPOOL) if "ocr_trt" in text else ():
            add_function(model, body)
        return with_shapes(model)

    def numbers_as_map(self, value: str, channels: int, size: int) -> Map:
        """Reshape (1, C, H * W) or (1, C) to a map."""
        return (
            self.op(f"Reshape ({value}, {self.numbers(-1, channels, size, size)})"),
            *(channels, size),
        )

    def rows(self, x: Map) -> str:
        """Return a map as (1, C, H * W)."""
        return self.op(f"Reshape ({x[0]}, {self.numbers(0, x[1], x[2] ** 2)})")

    # Convolutions

    def group_sizes(self, x: Map) -> Map:
        wide = self.conv(self.conv(x, 12, 1), 24, 3, groups=int(self.rng.choice([2, 3, 4])))
        return self.conv(wide, 24, 3, groups=int(self.rng.choice([2, 4, 24])))

    def dilated(self, x: Map) -> Map:
        w, b = self.weight(8, x[1], 3, 3), self.weight(8)
        attributes = "pads = [2, 3, 2, 3], dilations = [2, 3]"
        return self.act((self.op(f"Conv <{attributes}> ({x[0]}, {w}, {b})"), 8, x[2]))

    def transposed_groups(self, x: Map) -> Map:
        y, groups = self.conv(x, 8, 1)[0], int(self.rng.choice([1, 2, 4, 8]))
        channels = groups * int(self.rng.choice([1, 2]))
        small = self.op(f"AveragePool <kernel_shape = [2, 2], strides = [2, 2]> ({y})")
        w, b = self.weight(8, channels // groups, 3, 3), self.weight(channels)
        attributes = "strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]"
        up = self.op(f"ConvTranspose <group = {groups}, {attributes}> ({small}, {w}, {b})")
        return up, channels, x[2]

    def computed_kernel(self, x: Map) -> Map:
        y = self.conv(x, 8, 1)[0]
        mean = self.op(f"ReduceMean ({y}, {self.numbers(2, 3)})")
        kernel = self.op(f"Reshape ({mean}, {self.numbers(8, 1, 1, 1)})")
        return self.op(f"Conv <group = 8> ({y}, {kernel})"), 8, x[2]

    # Shared constants

    def shared_weights(self, x: Map) -> Map:
        one, two = self.conv(x, 8, 1)[0], self.conv(x, 8, 1)[0]
        w = self.weight(8, 8, 1, 1)
        first = self.op(f"Conv ({one}, {w}, {self.weight(8)})")
        return self.op(f"Concat <axis = 1> ({first}, {self.op(f'Conv ({two}, {w})')})"), 16, x[2]

    def unrolled(self, x: Map) -> Map:
        y, w, b = self.conv(x, 8, 1)[0], self.weight(8, 8, 3, 3), self.weight(8)
        for _ in range(2):
            y = self.op(f"Relu ({self.op(f'Conv <pads = [1, 1, 1, 1]> ({y}, {w}, {b})')})")
        return y, 8, x[2]

    def shared_by_other_groups(self, x: Map) -> Map:
        w, pads = self.weight(8, 8, 3, 3), "pads = [1, 1, 1, 1]"
        one = self.op(f"Conv <{pads}> ({self.conv(x, 8, 1)[0]}, {w})")
        two = self.op(f"Conv <{pads}, group = 2> ({self.conv(x, 16, 1)[0]}, {w})")
        return self.op(f"Add ({one}, {two})"), 8, x[2]

    def tied_decoder(self, x: Map) -> Map:
        w = self.weight(8, x[1], 1, 1)
        inner = self.op(f"Relu ({self.op(f'Conv ({x[0]}, {w})')})")
        return self.op(f"Add ({self.op(f'ConvTranspose ({inner}, {w})')}, {x[0]})"), *x[1:]

    def weights_as_data(self, x: Map) -> Map:
        w = self.weight(8, 8, 1, 1)
        y = self.op(f"Conv ({self.conv(x, 8, 1)[0]}, {w})")
        mean = self.op(f"ReduceMean ({w}, {self.numbers(0, 1)})")
        return self.op(f"Add ({y}, {mean})"), 8, x[2]

    def one_vector_everywhere(self, x: Map) -> Map:
        y, b = self.conv(x, 8, 1)[0], self.weight(8)
        one = self.op(f"Conv ({y}, {self.weight(8, 8, 1, 1)}, {b})")
        variance = self.weight(8, low=0.3)
        two = self.op(f"BatchNormalization ({y}, {b}, {b}, {b}, {variance})")
        return self.op(f"Concat <axis = 1> ({two}, {one})"), 16, x[2]

    # Parts of the channels

    def part_is_an_output(self, x: Map) -> Map:
        y = self.conv(x, 12, 3)
        if self.rng.integers(2):
            bounds = self.numbers(2), self.numbers(5), self.numbers(1)
            self.outputs.append(self.op(f"Slice ({y[0]}, {', '.join(bounds)})"))
        else:
            parts = self.op(f"Split <axis = 1, num_outputs = 4> ({y[0]})", 4)
            self.outputs.append(self.op(f"Relu ({parts[:-1]}d)"))
        return y

    def one_channel_part(self, x: Map) -> Map:
        parts = self.op(f"Split <axis = 1> ({self.conv(x, 6, 1)[0]}, {self.numbers(1, 5)})", 2)
        wide = self.op(f"Tile ({parts}, {self.numbers(1, 5, 1, 1)})")
        inner = self.conv((wide, 5, x[2]), 5, 1)[0]
        return self.op(f"Add ({inner}, {parts[:-1]}b)"), 5, x[2]

    def uneven_split(self, x: Map) -> Map:
        y = self.conv(x, 13, 1)[0]
        parts = self.op(f"Split <axis = 1> ({y}, {self.numbers(2, 6, 5)})", 3)
        inner = self.conv((f"{parts[:-1]}b", 6, x[2]), 2)[0]
        added = self.op(f"Add ({inner}, {parts})")
        whole = self.op(f"Concat <axis = 1> ({added}, {parts[:-1]}c, {parts[:-1]}b)")
        return whole, 13, x[2]

    def gated(self, x: Map) -> Map:
        parts = self.op(f"Split <axis = 1, num_outputs = 2> ({self.conv(x, 16)[0]})", 2)
        return self.op(f"Mul ({parts}, {self.op(f'Sigmoid ({parts[:-1]}b)')})"), 8, x[2]

    def overlapping_slices(self, x: Map) -> Map:
        y = self.conv(x, 10, 1)[0]
        last = self.numbers(-6), self.numbers(100), self.numbers(-3)
        first = self.numbers(0), self.numbers(6), self.numbers(1)
        one, two = (self.op(f"Slice ({y}, {', '.join(each)})") for each in (last, first))
        return self.op(f"Mul ({one}, {two})"), 6, x[2]

    def sum_beside_its_parts(self, x: Map) -> Map:
        inner = self.conv(x, x[1])[0]
        total = self.op(f"Add ({inner}, {x[0]})")
        whole = self.op(f"Concat <axis = 1> ({x[0]}, {total}, {inner}, {x[0]})")
        return self.conv((whole, 4 * x[1], x[2]), 10, 1)

    # Along other axes

    def matrix_on_the_left(self, x: Map) -> Map:
        product = self.op(f"MatMul ({self.weight(6, 8)}, {self.rows(self.conv(x, 8, 1))})")
        return self.numbers_as_map(self.op(f"Relu ({product})"), 6, x[2])

    def mixed_columns(self, x: Map) -> Map:
        """As many columns as channels: matrices on both sides, and one with a bias."""
        size, y = x[2], self.conv(x, 8, 1)[0]
        left = self.op(f"MatMul ({self.weight(size, size)}, {y})")
        return self.dense_layer(left, size, size), 8, size

    def beside_each_other(self, x: Map) -> Map:
        one, two = self.conv(x, 8, 1)[0], self.conv(x, 8, 1)[0]
        tall = self.op(f"Concat <axis = 2> ({one}, {two})")
        return self.op(f"MaxPool <kernel_shape = [2, 1], strides = [2, 1]> ({tall})"), 8, x[2]

    def stacked(self, x: Map) -> Map:
        axis = self.numbers(1)
        maps = [self.op(f"Unsqueeze ({self.conv(x, 8, 1)[0]}, {axis})") for _ in range(2)]
        both = self.op(f"Concat <axis = 1> ({', '.join(maps)})")
        return self.op(f"ReduceMean <keepdims = 0> ({both}, {axis})"), 8, x[2]

    def maximum_of_pairs(self, x: Map) -> Map:
        y, size, first = self.conv(x, 12, 1)[0], x[2], bool(self.rng.integers(2))
        shape = self.numbers(0, *((2, 6) if first else (6, 2)), size, size)
        pairs = self.op(f"Reshape ({y}, {shape})")
        axis = self.numbers(1 if first else 2)
        return self.op(f"ReduceMax <keepdims = 0> ({pairs}, {axis})"), 6, size

    def products_of_channels(self, x: Map) -> Map:
        rows = self.rows(self.conv(x, 8, 1))
        turned = self.op(f"Transpose <perm = [0, 2, 1]> ({rows})")
        gram = self.op(f"Softmax <axis = -1> ({self.op(f'MatMul ({rows}, {turned})')})")
        return self.numbers_as_map(self.op(f"MatMul ({gram}, {rows})"), 8, x[2])

    def one_key_for_all_heads(self, x: Map) -> Map:
        steps, width, heads = x[2] ** 2, 12, 3
        size = width // heads
        moved = self.op(f"Transpose <perm = [0, 2, 1]> ({self.rows(self.conv(x, width, 1))})")
        cut = self.numbers(0, steps, heads, size)
        queries = self.op(f"Reshape ({self.dense_layer(moved, width, width)}, {cut})")
        queries = self.op(f"Transpose <perm = [0, 2, 1, 3]> ({queries})")
        axis, keys = self.numbers(1), self.dense_layer(moved, width, size)
        keys = self.op(f"Transpose <perm = [0, 2, 1]> ({keys})")
        keys = self.op(f"Unsqueeze ({keys}, {axis})")
        values = self.op(f"Unsqueeze ({self.dense_layer(moved, width, size)}, {axis})")
        scores = self.op(f"Softmax <axis = -1> ({self.op(f'MatMul ({queries}, {keys})')})")
        back = self.op(
            f"Transpose <perm = [0, 2, 1, 3]> ({self.op(f'MatMul ({scores}, {values})')})"
        )
        flat = self.op(f"Reshape ({back}, {self.numbers(0, steps, width)})")
        y = self.op(f"Add ({moved}, {self.dense_layer(flat, width, width)})")
        return self.numbers_as_map(self.op(f"Transpose <perm = [0, 2, 1]> ({y})"), width, x[2])

    # Constants for each channel

    def slopes(self, x: Map) -> Map:
        shapes = ((8, 1, 1), (1,), (1, 8, 1, 1), (8, x[2], x[2]))
        slope = self.weight(*shapes[self.rng.integers(len(shapes))])
        return self.op(f"PRelu ({self.conv(x, 8)[0]}, {slope})"), 8, x[2]

    def norm_behind_concat(self, x: Map) -> Map:
        y, count = self.conv(x, 8, 1)[0], 8 + x[1]
        whole = self.op(f"Concat <axis = 1> ({y}, {x[0]})")
        constants = ", ".join(self.weight(count, low=0.2) for _ in range(4))
        return self.op(f"BatchNormalization ({whole}, {constants})"), count, x[2]

    def constants_on_the_left(self, x: Map) -> Map:
        y = self.op(f"Sub ({self.weight(8, 1, 1)}, {self.conv(x, 8)[0]})")
        y = self.op(f"Max ({y}, {self.weight(1, 8, 1, 1)}, {self.weight(1)})")
        return self.op(f"Add ({self.weight(1, 1, x[2], x[2])}, {y})"), 8, x[2]

    def gemm_with_scales(self, x: Map) -> Map:
        flat = self.op(f"Flatten ({self.op(f'GlobalMaxPool ({x[0]})')})")
        one = self.op(f"Gemm ({flat}, {self.weight(x[1], 6)})")
        two = self.op(f"Gemm ({flat}, {self.weight(x[1], 6)}, {one})")
        attributes = "transB = 1, alpha = 0.5, beta = 2.0"
        gate = self.op(f"Gemm <{attributes}> ({two}, {self.weight(x[1], 6)}, {self.weight(x[1])})")
        return self.op(f"Mul ({x[0]}, {self.op(f'Unsqueeze ({gate}, {self.numbers(2, 3)})')})"), *x[
            1:
        ]


_HELPERS = ("with_block", "with_blocks", "numbers_as_map", "rows")
KINDS = tuple(name for name in vars(OddGraph) if not name.startswith("_") and name not in _HELPERS)
"""The names of the blocks."""
