"""Models whose graphs write files or do more than compute are refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.unsafe_ops import is_unsafe
from ocr_trt.errors import InputFileError
from ocr_trt.spec import DetectorSpec, SourceSpec, spec_from_dict

tf = pytest.importorskip("tensorflow")
v1 = tf.compat.v1


def spec_of(path: Path) -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": path},
            "input": {"name": "image", "shape": [1, 8, 8, 3], "color": "RGB"},
            "output": {"name": "map"},
        }
    )
    assert isinstance(spec, DetectorSpec)
    return spec


def use(path: Path) -> None:
    """Do all that a build does with a source: convert it, and run it as the baseline."""
    spec = spec_of(path)
    source = open_source(spec.source)
    convert(source, spec)
    source.function("image", "map")(tf.zeros((1, 8, 8, 3)))


def plainly(image: Any, mark: Path) -> None:
    tf.io.write_file(str(mark), "x")


def in_a_branch(image: Any, mark: Path) -> None:
    def write() -> Any:
        tf.io.write_file(str(mark), "x")
        return tf.constant(1)

    tf.cond(tf.reduce_sum(image) > -1, write, lambda: tf.constant(0))


def in_a_loop(image: Any, mark: Path) -> None:
    def body(i: Any) -> tuple[Any]:
        tf.io.write_file(str(mark), "x")
        return (i + 1,)

    tf.while_loop(lambda i: i < 2, body, (tf.constant(0),))


def in_a_function(image: Any, mark: Path) -> None:
    @tf.function
    def write() -> None:
        tf.io.write_file(str(mark), "x")

    write()


EFFECTS = (plainly, in_a_branch, in_a_loop, in_a_function)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_saved_model_that_writes_a_file_is_refused(
    effect: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            effect(image, mark)
            return {"map": tf.sigmoid(tf.reduce_mean(image, -1, keepdims=True))}

    model = Model()
    tf.saved_model.save(model, tmp_path / "m", signatures=model.__call__)
    with pytest.raises(InputFileError, match=r"WriteFile.*nothing was run"):
        use(tmp_path / "m")
    assert not mark.exists()


def test_saved_model_whose_initializer_writes_a_file_is_not_loaded(tmp_path: Path) -> None:
    from tensorflow.python.trackable.resource import CapturableResource

    class Resource(CapturableResource):
        def _create_resource(self) -> Any:
            return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

        def _initialize(self) -> None:
            tf.io.write_file(str(tmp_path / "mark"), "x")

    class Model(tf.Module):
        def __init__(self) -> None:
            self.resource = Resource()

        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            size = tf.raw_ops.LookupTableSizeV2(table_handle=self.resource.resource_handle)
            return {"map": image[..., :1] + tf.cast(size, tf.float32)}

    model = Model()
    tf.saved_model.save(model, tmp_path / "m", signatures=model.__call__)
    (tmp_path / "mark").unlink(missing_ok=True)
    tf.saved_model.load(tmp_path / "m")
    assert (tmp_path / "mark").exists(), "TensorFlow itself runs it"
    (tmp_path / "mark").unlink()
    with pytest.raises(InputFileError, match="WriteFile"):
        open_source(SourceSpec(path=tmp_path / "m"))
    assert not (tmp_path / "mark").exists()


def _graph(mark: Path, *, behind: bool = False) -> Any:
    """Return a graph of TensorFlow 1 that writes a file before, or not for, its result."""
    with v1.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, (None, 8, 8, 3), name="image")
        write = tf.io.write_file(str(mark), "x")
        with v1.control_dependencies([] if behind else [write]):
            tf.reduce_mean(image, -1, keepdims=True, name="map")
    return graph.as_graph_def()


def test_frozen_graph_that_writes_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pb"
    path.write_bytes(_graph(tmp_path / "mark").SerializeToString())
    with pytest.raises(InputFileError, match="WriteFile"):
        use(path)
    assert not (tmp_path / "mark").exists()


def test_ops_that_the_result_does_not_need_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "m.pb"
    path.write_bytes(_graph(tmp_path / "mark", behind=True).SerializeToString())
    use(path)
    assert not (tmp_path / "mark").exists()


def test_checkpoint_that_writes_a_file_while_it_is_restored_is_refused(tmp_path: Path) -> None:
    with v1.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        image = v1.placeholder(tf.float32, (None, 8, 8, 3), name="image")
        scale = v1.Variable(1.0, use_resource=False)
        tf.multiply(tf.reduce_mean(image, -1, keepdims=True), scale, name="map")
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        saver.save(session, str(tmp_path / "m.ckpt"))
        meta = saver.export_meta_graph()
        write = tf.io.write_file(str(tmp_path / "mark"), "x")
    node = meta.graph_def.node.add()
    node.CopyFrom(write.node_def)
    for op in write.inputs:
        meta.graph_def.node.add().CopyFrom(op.op.node_def)
    restore = next(n for n in meta.graph_def.node if n.name == saver.saver_def.restore_op_name)
    restore.input.append(f"^{write.name}")
    (tmp_path / "m.ckpt.meta").write_bytes(meta.SerializeToString())
    with pytest.raises(InputFileError, match="WriteFile"):
        open_source(SourceSpec(path=tmp_path / "m.ckpt.meta"))
    assert not (tmp_path / "mark").exists()


def test_lite_model_that_writes_a_file_is_refused(tmp_path: Path) -> None:
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), name="image")])
        def __call__(self, image: Any) -> Any:
            tf.io.write_file(tf.strings.as_string(tf.cast(image[0, 0, 0, 0], tf.int32)), "x")
            return tf.reduce_mean(image, -1, keepdims=True)

    model = Model()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [model.__call__.get_concrete_function()], model
    )
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    path = tmp_path / "m.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(InputFileError, match="FlexWriteFile"):
        open_source(SourceSpec(path=path))


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_asset_outside_a_saved_model_is_refused(tmp_path: Path, name: str) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.meta_graphs.add().asset_file_def.add().filename = name
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(InputFileError, match="outside the SavedModel"):
        open_source(SourceSpec(path=tmp_path))


UNSAFE = "WriteFile ReadFile MatchingFiles PyFunc EagerPyFunc PyFuncStateless Print PrintV2 Abort"
UNSAFE += " SaveV2 MergeV2Checkpoints TFRecordReaderV2 SqlDataset MapDataset Send RemoteCall"
UNSAFE += " CreateSummaryFileWriter WriteScalarSummary DebugIdentityV2 Timestamp NoSuchOp"
SAFE = "Conv2D MatMul While If Case StatefulPartitionedCall ReadVariableOp AssignVariableOp Assert"
SAFE += " HashTableV2 LookupTableFindV2 InitializeTableFromTextFileV2 TensorArrayV3 DecodeJpeg"
SAFE += " CudnnRNNV3 RandomUniform StatefulUniformInt CTCGreedyDecoder StringJoin Placeholder"
SAFE += " NoOp Const"


@pytest.mark.parametrize("op", UNSAFE.split())
def test_unsafe_op(op: str) -> None:
    assert is_unsafe(op)


@pytest.mark.parametrize("op", SAFE.split())
def test_safe_op(op: str) -> None:
    assert not is_unsafe(op)
