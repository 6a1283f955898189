from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.convert import passes
from ocr_trt.convert.audit import audit
from ocr_trt.convert.invariants import check_export
from ocr_trt.convert.pass_order import PASSES, PREPARE
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import ConversionError, SpecError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, SourceSpec

pytest.importorskip("tensorflow")

RUN_OUTSIDE_THE_TUPLE = {
    "lower_integer_ops", "channel_first_io", "free_batch", "order_nodes", "name_values",
    "pad_batch", "normalize_types", "merge_traces", "lower_group_norms",
}  # fmt: skip


def test_every_pass_is_in_the_pipeline() -> None:
    files = {path.stem for path in Path(passes.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {step.__name__ for step in (*PREPARE, *PASSES)} | RUN_OUTSIDE_THE_TUPLE


def test_detector_becomes_clean(detector_spec: DetectorSpec) -> None:
    found = convert(open_source(detector_spec.source), detector_spec)
    assert {"Transpose", "Shape", "Gather", "Reshape", "ScatterND"}.isdisjoint(found.ops)
    assert found.ops["MaxUnpool2d"] == 2
    assert found.ops["MaxPoolArgmax2d"] == 2
    assert [d.dim_value for d in found.model.graph.input[0].type.tensor_type.shape.dim] == [
        1, 3, 64, 96,
    ]  # fmt: skip


def test_recognizer_becomes_clean(recognizer_spec: RecognizerSpec) -> None:
    found = convert(open_source(recognizer_spec.source), recognizer_spec)
    assert found.ops["LayerNormalization"] == 2
    assert found.ops["Gelu"] == 1
    assert found.ops["Softmax"] == 1
    assert {"Erf", "Erfc", "Gather", "Shape", "ReduceMean", "Gemm"}.isdisjoint(found.ops)
    assert found.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("width", [32, 64])
def test_recognizer_equals_tensorflow_at_every_batch_and_width(
    recognizer_spec: RecognizerSpec, batch: int, width: int, rng: np.random.Generator
) -> None:
    source = open_source(recognizer_spec.source)
    size = InputSize(32, width)
    graph = convert(source, recognizer_spec, size).model
    images = rng.uniform(-1, 1, (batch, 1, 32, width)).astype(np.float32)
    ours = runner_from_model(graph, label="graph", max_batch=4).run(images)
    theirs = baseline_runner(source, recognizer_spec, size).run(images)
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_detector_equals_tensorflow(detector_spec: DetectorSpec, rng: np.random.Generator) -> None:
    source = open_source(detector_spec.source)
    graph = convert(source, detector_spec).model
    images = rng.uniform(-1, 1, (1, 3, 64, 96)).astype(np.float32)
    ours = runner_from_model(graph, label="graph", max_batch=1).run(images)
    theirs = baseline_runner(source, detector_spec).run(images)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_every_opset_is_20_and_the_model_is_valid(detector_spec: DetectorSpec) -> None:
    model = convert(open_source(detector_spec.source), detector_spec).model
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import} == {"": 20, "ocr_trt": 1}
    assert all(o.version == 20 for f in model.functions for o in f.opset_import)


def test_names_are_those_of_tensorflow_layers(recognizer_spec: RecognizerSpec) -> None:
    model = convert(open_source(recognizer_spec.source), recognizer_spec).model
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert any("layer_normalization" in name for name in names)
    assert not any("StatefulPartitionedCall" in name or ":" in name for name in names)


CONVERT = """
import sys
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.spec import load_spec
spec = load_spec(__import__("pathlib").Path(sys.argv[1]))
model = convert(open_source(spec.source), spec).model
sys.stdout.buffer.write(model.SerializeToString(deterministic=True))
"""


@pytest.mark.parametrize("kind", ["onnx", pytest.param("saved_model", marks=pytest.mark.full)])
def test_two_processes_give_the_same_bytes(
    kind: str, recognizer_spec: RecognizerSpec, tmp_path: Path
) -> None:
    from ocr_trt.spec import dump_spec

    spec, path = recognizer_spec, tmp_path / "spec.yaml"
    if kind == "onnx":  # the raw export, so that no process has to start TensorFlow
        shape = spec.input.shape_at(2, spec.input.size)
        raw = open_source(spec.source).to_onnx(spec.input.name, shape, spec.output.name).whole()
        onnx.save(ir.to_proto(raw), tmp_path / "raw.onnx")
        spec = spec.model_copy(update={"source": SourceSpec(path=tmp_path / "raw.onnx")})
    path.write_text(dump_spec(spec))
    command = [sys.executable, "-c", CONVERT, str(path)]
    first, second = (
        subprocess.run(
            command, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    )
    assert len(first) > 10_000
    assert first == second


def test_audit_counts_ops_weights_and_work(detector_spec: DetectorSpec) -> None:
    found = audit(convert(open_source(detector_spec.source), detector_spec))
    assert found.clean_nodes < found.raw_nodes
    row = next(row for row in found.ops if row.op == "MaxUnpool2d")
    assert (row.raw, row.clean, row.rules) == (0, 2, {"raise_max_unpool": 2})
    assert len(row.nodes) == 2
    scatters = next(row for row in found.ops if row.op == "ScatterND")
    assert scatters.rules == {"raise_max_unpool": -2}
    for op in found.ops:
        assert op.raw + sum(op.rules.values()) == op.clean, op.op
    first_conv = 2 * 64 * 96 * 8 * 3 * 9
    assert found.flops > first_conv
    assert found.parameters > 3 * 8 * 9
    assert {stage.size for stage in found.stages} == {"64x96", "32x48", "16x24"}
    assert sum(stage.flops for stage in found.stages) == found.flops
    assert sum(stage.nodes for stage in found.stages) == found.clean_nodes
    finest = next(stage for stage in found.stages if stage.size == "64x96")
    assert finest.bytes > 4 * 64 * 96 * 8
    assert finest.intensity == finest.flops / finest.bytes


def test_audit_lists_what_a_target_refuses(detector_spec: DetectorSpec) -> None:
    converted = convert(open_source(detector_spec.source), detector_spec)
    name = next(n.name for n in converted.model.graph.node if n.op_type == "Sigmoid")
    found = audit(converted, {name: "not today"})
    (row,) = (row for row in found.ops if row.refused)
    assert (row.op, row.refused) == ("Sigmoid", {name: "not today"})


def test_size_that_the_model_does_not_accept_is_reported(detector_spec: DetectorSpec) -> None:
    wrong = detector_spec.input.model_copy(update={"shape": (1, 64, 97, 3)})
    spec = detector_spec.model_copy(update={"input": wrong})
    with pytest.raises(SpecError, match=r"64x97 .*multiples of 4; use 64x96"):
        convert(open_source(spec.source), spec)


def test_op_without_an_onnx_form_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            return {"map": tf.math.bessel_i0(image, name="strange_layer")}

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures=model.__call__)
    from ocr_trt.spec import spec_from_dict

    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": tmp_path / "m"},
            "input": {"name": "image", "shape": [1, 8, 8, 3]},
            "output": {"name": "map"},
        }
    )
    with pytest.raises(ConversionError) as caught:
        convert(open_source(spec.source), spec)
    assert "BesselI0 at" in str(caught.value)
    assert "strange_layer" in str(caught.value)


def test_invalid_export_is_no_internal_error() -> None:
    """tf2onnx can write graphs that ONNX's checker refuses."""
    model = ir.from_proto(
        onnx.parser.parse_model("""
            <ir_version: 10, opset_import: ["" : 20]>
            g (float[2,3] x) => (float[2,3] y) <float[4] w = {1, 2, 3, 4}> {
                [layer_1] y = Add (x, w)
            }
        """)
    )
    with pytest.raises(ConversionError, match=r"layer_1.*output\.name"):
        check_export(model)
