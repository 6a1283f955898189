"""Hostile GraphDefs and SavedModels are refused before TensorFlow loads or inlines them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.convert.sources import open_source
from ocr_trt.errors import InputFileError
from ocr_trt.spec import SourceSpec

tf = pytest.importorskip("tensorflow")


def _calling(levels: int, calls: int, *, is_loop: bool = False) -> Any:
    """Return a GraphDef whose functions call the next one several times."""
    graph = tf.compat.v1.GraphDef()
    image = graph.node.add(name="image", op="Placeholder")
    image.attr["dtype"].type = tf.float32.as_datatype_enum
    for level in range(levels):
        function = graph.library.function.add()
        function.signature.name = f"f{level}"
        function.signature.input_arg.add(name="a", type=1)
        function.signature.output_arg.add(name="b", type=1)
        last = "a"
        for call in range(calls):
            is_leaf = level == 0 and not is_loop
            node = function.node_def.add(name=f"n{call}", op="Relu")
            node.input.append(last)
            last = f"n{call}:activations:0"
            if not is_leaf:
                _make_call(node, f"f{(level - 1) % levels}")
                last = f"n{call}:output:0"
        function.ret["b"] = last
    _make_call(graph.node.add(name="map", input=["image"]), f"f{levels - 1}")
    return graph


def _make_call(node: Any, name: str) -> None:
    node.op = "PartitionedCall"
    node.attr["f"].func.name = name
    node.attr["Tin"].list.type.append(1)
    node.attr["Tout"].list.type.append(1)


ATTACKS = {
    "14 functions that double": (lambda: _calling(14, 2), "16,385 nodes", "10,000"),
    "40 functions that double": (lambda: _calling(40, 2), "1,099,511,627,777 nodes", "10,000"),
    "9 functions of 10 calls": (lambda: _calling(9, 10), "1,000,000,001 nodes", "10,000"),
    "500 functions in a row": (lambda: _calling(500, 1), "500 functions, branches", "64"),
    "calls itself": (lambda: _calling(1, 1, is_loop=True), "'f0' calls itself", "inlined"),
    "call each other": (lambda: _calling(3, 1, is_loop=True), "calls itself", "inlined"),
}


@pytest.mark.parametrize(("make", "seen", "allowed"), ATTACKS.values(), ids=ATTACKS.keys())
def test_bomb_is_refused(make: Any, seen: str, allowed: str, tmp_path: Path) -> None:
    graph = make()
    meta = tf.compat.v1.MetaGraphDef(graph_def=graph)
    (tmp_path / "model.pb").write_bytes(graph.SerializeToString())
    (tmp_path / "model.meta").write_bytes(meta.SerializeToString())
    _write_saved_model(tmp_path / "saved", meta)
    for name in ("model.pb", "model.meta", "saved"):
        with pytest.raises(InputFileError) as caught:
            open_source(SourceSpec(path=tmp_path / name))
        for fact in (name, seen, allowed):
            assert fact in str(caught.value)


def _write_saved_model(folder: Path, meta: Any) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel(meta_graphs=[meta])
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def test_saved_model_of_tensorflow_2_is_refused_by_its_largest_function(tmp_path: Path) -> None:
    meta = tf.compat.v1.MetaGraphDef(graph_def=_calling(20, 2))
    meta.object_graph_def.nodes.add()
    _write_saved_model(tmp_path / "saved", meta)
    with pytest.raises(InputFileError, match=r"1,048,576 nodes.*10,000"):
        open_source(SourceSpec(path=tmp_path / "saved"))


def test_graph_of_too_many_nodes_is_refused(tmp_path: Path) -> None:
    graph = tf.compat.v1.GraphDef()
    graph.node.extend([tf.compat.v1.NodeDef(name="n", op="Relu")] * 200_000)
    (tmp_path / "model.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(InputFileError, match=r"200,000 nodes.*100,000"):
        open_source(SourceSpec(path=tmp_path / "model.pb"))


def test_source_whose_path_is_not_utf8_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff.onnx")
    path.write_bytes(b"")
    with pytest.raises(InputFileError, match=r"the path is not UTF-8.*rename"):
        open_source(SourceSpec(path=path))
