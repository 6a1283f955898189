"""Hostile ONNX files are refused before a library inlines, loads or runs them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from ocr_trt.common import limits, onnx_limits
from ocr_trt.common.onnx_files import check_external_files, read_onnx
from ocr_trt.convert.sources import open_source
from ocr_trt.errors import InputFileError
from ocr_trt.spec import SourceSpec

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]


def _whole(
    nodes: list[onnx.NodeProto],
    functions: tuple[onnx.FunctionProto, ...] = (),
    weights: tuple[onnx.TensorProto, ...] = (),
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 3, 4, 4]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, functions=functions, opset_imports=OPSETS, ir_version=10)


def _calling(bodies: dict[str, list[str]], main: str) -> onnx.ModelProto:
    """Return a model whose functions apply ops and functions, one after the other."""

    def chain(ops: list[str], first: str, last: str) -> list[onnx.NodeProto]:
        names = [first, *(f"v{number}" for number in range(len(ops) - 1)), last]
        return [
            helper.make_node(op, [names[i]], [names[i + 1]], domain="own" if op in bodies else "")
            for i, op in enumerate(ops)
        ]

    functions = tuple(
        helper.make_function("own", name, ["a"], ["b"], chain(ops, "a", "b"), OPSETS)
        for name, ops in bodies.items()
    )
    return _whole(chain([main], "x", "y"), functions)


def _doubling(levels: int) -> onnx.ModelProto:
    bodies = {"f0": ["Relu", "Relu"]}
    bodies |= {f"f{n}": [f"f{n - 1}", f"f{n - 1}"] for n in range(1, levels)}
    return _calling(bodies, f"f{levels - 1}")


def _nested_calls(levels: int) -> onnx.ModelProto:
    bodies = {f"f{n}": [f"f{n - 1}" if n else "Relu"] for n in range(levels)}
    return _calling(bodies, f"f{levels - 1}")


def _shuffled_bomb() -> onnx.ModelProto:
    """Functions in the order of their callers, with a triple call at each level."""
    bodies = {f"f{n}": [f"f{n - 1}"] * 3 for n in range(30, 0, -1)}
    return _calling(bodies | {"f0": ["Relu"]}, "f30")


def _hidden_bomb() -> onnx.ModelProto:
    """The calls are in branches of an If, inside functions."""
    model = _doubling(20)
    for function in model.functions[1:]:
        info = helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None)
        branch = helper.make_graph(list(function.node), "branch", [], [info])
        node = helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=branch)
        del function.node[:]
        function.node.append(node)
    return model


def _wide() -> onnx.ModelProto:
    """Return a model with one node with a million outputs."""
    outputs = ["y", *(f"o{number}" for number in range(limits.LARGEST_EDGES))]
    return _whole([helper.make_node("Split", ["x"], outputs, axis=1)])


def _copies(nodes: int) -> onnx.ModelProto:
    return _whole([helper.make_node("Relu", ["x"], ["y"])] * nodes)


def _weights() -> onnx.ModelProto:
    weight = helper.make_tensor("", onnx.TensorProto.FLOAT, [1], [0.0])
    return _whole([helper.make_node("Relu", ["x"], ["y"])], (), (weight,) * 200_001)


ATTACKS = {
    "14 functions that double": (lambda: _doubling(14), "16,384 nodes", "10,000"),
    "40 functions that double": (lambda: _doubling(40), "1,099,511,627,776 nodes", "10,000"),
    "3000 functions that double": (lambda: _doubling(3000), "at least 1,000,000,000", "100,000"),
    "any order": (_shuffled_bomb, "205,891,132,094,649 nodes", "10,000"),
    "in branches": (_hidden_bomb, "nodes after its functions are inlined", "10,000"),
    "5000 functions in a row": (lambda: _nested_calls(5000), "5,000 graphs and functions", "64"),
    "calls itself": (lambda: _calling({"f": ["f"]}, "f"), "'f' calls itself", "inlined"),
    "call each other": (
        lambda: _calling({"f": ["g"], "g": ["Relu", "f"]}, "g"),
        "calls itself",
        "inlined",
    ),
    "never called, but a loop": (
        lambda: _calling({"f": ["Relu"], "g": ["h"], "h": ["g"]}, "f"),
        "calls itself",
        "inlined",
    ),
    "outputs": (_wide, "1,000,004 inputs and outputs", "1,000,000"),
    "nodes": (lambda: _copies(100_001), "100,001 nodes", "100,000"),
    "weights": (_weights, "200,001 weights", "200,000"),
}


@pytest.mark.parametrize(("make", "seen", "allowed"), ATTACKS.values(), ids=ATTACKS.keys())
def test_bomb_is_refused_with_number_and_limit(
    make: Callable[[], onnx.ModelProto], seen: str, allowed: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(InputFileError) as caught:
        onnx_limits.load_limited(path)
    for fact in (str(path), seen, allowed):
        assert fact in str(caught.value)


def test_every_reader_refuses_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_doubling(14).SerializeToString())
    for read in (
        read_onnx,
        check_external_files,
        lambda path: open_source(SourceSpec(path=path)),
    ):
        with pytest.raises(InputFileError, match="16,384 nodes"):
            read(path)


def test_functions_of_real_models_are_accepted(tmp_path: Path) -> None:
    layers = _calling(
        {"layer": ["Relu"] * 20, "block": ["layer"] * 8, "all": ["block"] * 12}, "all"
    )
    onnx.save(layers, tmp_path / "model.onnx")
    assert read_onnx(tmp_path / "model.onnx").graph.num_nodes() == 1


@pytest.mark.parametrize("format", ["onnx", "graph_def", "tflite", "keras"])
def test_pipe_is_refused_before_it_is_read(format: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputFileError, match="regular file"):
        open_source(SourceSpec(path=tmp_path / "pipe", format=format))


def test_file_larger_than_a_message_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # a sparse file
    with pytest.raises(InputFileError, match=r"3,221,225,472 bytes.*2,147,483,647.*in other files"):
        open_source(SourceSpec(path=path))


def _external(tmp_path: Path, shape: list[int], size: int, **entries: str) -> Path:
    """Write a model whose weight is in a file of ``size`` bytes."""
    weight = onnx.TensorProto(
        name="w", dims=shape, data_type=1, data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in ({"location": "w.bin"} | entries).items():
        weight.external_data.add(key=key, value=value)
    model = _whole([helper.make_node("Mul", ["x", "w"], ["y"])], (), (weight,))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize(
    ("shape", "size", "entries", "facts"),
    [
        ([4], 12, {}, ("16 bytes", "12 bytes")),
        ([4], 16, {"length": "8"}, ("16 bytes", "8 bytes")),
        ([4], 16, {"offset": "8"}, ("16 bytes", "8 bytes")),
        ([4], 16, {"offset": "4", "length": "16"}, ("16 bytes", "byte 4 of 16")),
        ([4], 16, {"offset": "-16"}, ("byte -16",)),
        ([-2, -2], 16, {}, ("[-2, -2]",)),
        ([4], 1 << 42, {}, ("16 bytes", "4,398,046,511,104 bytes")),
        ([1 << 31, 1 << 31], 16, {}, ("18,446,744,073,709,551,616 bytes",)),
        ([4], 16, {"length": "many"}, ("'w'", "many")),
    ],
)
def test_weights_that_do_not_fit_their_file_are_refused(
    shape: list[int], size: int, entries: dict[str, str], facts: tuple[str, ...], tmp_path: Path
) -> None:
    path = _external(tmp_path, shape, size, **entries)
    with pytest.raises(InputFileError) as caught:
        read_onnx(path)
    for fact in facts:
        assert fact in str(caught.value)


def test_weights_larger_than_the_memory_are_refused(tmp_path: Path) -> None:
    path = _external(tmp_path, [1 << 40], 1 << 42)  # a sparse file of 4 TiB
    with pytest.raises(InputFileError, match=r"4\.0 TiB of memory, but .*iB are available"):
        read_onnx(path)


def test_external_weights_are_read(tmp_path: Path) -> None:
    path = _external(tmp_path, [4], 24, offset="8")
    (tmp_path / "w.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    weight = read_onnx(path).graph.initializers["w"].const_value
    assert weight is not None
    assert weight.numpy().tolist() == [2, 3, 4, 5]


def test_packed_types_have_two_values_to_a_byte(tmp_path: Path) -> None:
    weight = onnx.TensorProto(name="w", dims=[6], data_type=onnx.TensorProto.INT4)
    weight.external_data.add(key="location", value="w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(3))
    assert onnx_limits._checked_bytes(weight, tmp_path / "model.onnx") == 3
