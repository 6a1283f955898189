"""Checks before a plan is loaded, builds by TensorRT-RTX, and the layers of plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx.parser
import onnx_ir as ir
import pytest

from ocr_trt.engines.base import BuiltWith
from ocr_trt.engines.nvidia.builder import Builder, build_in_child
from ocr_trt.engines.nvidia.device import Gpu
from ocr_trt.engines.nvidia.features import Features, features_of
from ocr_trt.engines.nvidia.load_plan import check_built_with, check_header, engine_from_plan
from ocr_trt.engines.nvidia.options import NvidiaOptions
from ocr_trt.engines.nvidia.plan_layers import EngineLayer, layers_from_file, not_in_int8
from ocr_trt.errors import EngineBuildError, InputFileError, TargetMissingError

PLAIN = Features(names_gpus=False, checks_headers=False, captures_itself=False)
RTX = Features(names_gpus=True, checks_headers=True, captures_itself=True)
HERE = Gpu(name="NVIDIA L4", compute_capability="8.9", driver="12.4")
L4 = {"name": "NVIDIA L4", "compute_capability": "8.9", "driver": "12.2"}
OTHER_89 = {"name": "NVIDIA GeForce RTX 4090", "compute_capability": "8.9", "driver": "12.4"}
A100 = {"name": "NVIDIA A100", "compute_capability": "8.0", "driver": "12.4"}
T4 = {"name": "Tesla T4", "compute_capability": "7.5", "driver": "12.4"}
COMPATIBLE = {"version_compatible": True}

MODEL = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }
""")


def built(version: str, gpu: Any, **options: Any) -> BuiltWith:
    return BuiltWith(version=version, settings={"gpu": gpu, "options": options})


@pytest.mark.parametrize(
    ("what", "features"),
    [
        (built("10.9.0", L4), PLAIN),
        (built("10.9.0", OTHER_89, hardware="same-compute-capability"), PLAIN),
        (built("10.9.0", A100, hardware="ampere-plus"), PLAIN),
        (built("10.3.1", L4, **COMPATIBLE), PLAIN),
        (built("10.9.0", None), RTX),
    ],
    ids=["same", "same capability", "ampere and later", "an older version", "RTX asks the plan"],
)
def test_plan_for_this_gpu_and_version_is_accepted(what: BuiltWith, features: Features) -> None:
    check_built_with(what, "10.9.0", HERE, features, is_trusted=True)


@pytest.mark.parametrize(
    ("what", "features", "message"),
    [
        (built("10.8.0", L4), PLAIN, "version 10.8.0.* 10.9.0"),
        (built("10.8.0", None), RTX, "version 10.8.0.* 10.9.0"),
        (built("", L4), PLAIN, "version unknown"),
        (built("10.10.0", L4, **COMPATIBLE), PLAIN, "version 10.10.0.* 10.9.0"),
        (built("11.0.0", L4, **COMPATIBLE), PLAIN, "version 11.0.0"),
        (built("forged", L4, **COMPATIBLE), PLAIN, "version forged"),
        (built("10.9.0", OTHER_89), PLAIN, r"for NVIDIA GeForce RTX 4090 \(compute capability 8.9"),
        (built("10.9.0", A100, hardware="same-compute-capability"), PLAIN, "for NVIDIA A100"),
        (built("10.9.0", A100, hardware="forged"), PLAIN, "for NVIDIA A100"),
        (built("10.9.0", None), PLAIN, "which GPU"),
        (built("10.9.0", ["forged"]), PLAIN, "which GPU"),
        (built("10.9.0", {**L4, "compute_capability": "a.b"}), PLAIN, "capability 'a.b'"),
        (BuiltWith(version="10.9.0", settings={"options": 7}), PLAIN, "which GPU"),
    ],
    ids=[
        "other version", "other version of RTX", "no version", "newer version", "newer generation",
        "no version at all", "other GPU", "other capability", "unknown word", "no GPU",
        "GPU of another type", "no number", "options of another type",
    ],
)  # fmt: skip
def test_plan_for_another_gpu_or_version_is_refused(
    what: BuiltWith, features: Features, message: str
) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        check_built_with(what, "10.9.0", HERE, features, is_trusted=True)
    assert str(caught.value).endswith("build the bundle again here")


def test_turing_is_not_ampere() -> None:
    turing = Gpu(name="Tesla T4", compute_capability="7.5", driver="12.4")
    with pytest.raises(InputFileError, match="has Tesla T4"):
        check_built_with(built("10.9.0", A100, hardware="ampere-plus"), "10.9.0", turing, PLAIN)


@pytest.mark.parametrize("size", [0, 10, 64, 5000])
def test_rtx_refuses_data_that_is_not_a_plan(size: int) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    features = features_of(trt)
    assert features == RTX
    with pytest.raises(InputFileError, match="malformed engine; build the bundle again here"):
        engine_from_plan(trt, b"\x17" * size, features, is_trusted=False)


def test_error_lists_the_reasons_of_rtx(tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    known = trt.EngineInvalidityDiagnostics

    class Runtime:
        def get_engine_validity(self, plan: bytes) -> tuple[Any, int]:
            return trt.EngineValidity.INVALID, int(known.UNSUPPORTED_CC) | int(
                known.OLD_CUDA_DRIVER
            )

    with pytest.raises(InputFileError, match="here: old cuda driver, unsupported cc; build"):
        check_header(trt, Runtime(), b"", RTX)


def test_rtx_builds_with_options_and_two_profiles(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    sizes = {}
    for most in (1, 8):
        plan = tmp_path / f"plan-{most}"
        options = NvidiaOptions(workspace=128, sparse=True)
        builder = Builder(module="tensorrt_rtx", max_batch=most, options=options)
        build_in_child(builder, MODEL, plan)
        sizes[most] = plan.stat().st_size
    assert sizes[8] > sizes[1], "a profile for one image, and one for more"


def test_missing_builder_is_not_reported_as_a_refused_graph(tmp_path: Path) -> None:
    with pytest.raises(TargetMissingError, match="no_such_builder cannot be loaded: No module"):
        build_in_child(Builder(module="no_such_builder"), MODEL, tmp_path / "plan")


def test_logged_error_of_an_option_fails_the_build(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = NvidiaOptions(version_compatible=True)
    with pytest.raises(EngineBuildError, match=r"(?i)version|lean"):
        build_in_child(Builder(module="tensorrt_rtx", options=options), MODEL, tmp_path / "plan")


FORMS = {
    "TensorRT 10": [
        {"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."},
        {"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"},
        {"Format/Datatype": "Row major linear BFloat16 format"},
        {"Format/Datatype": "Row major linear FP32"},
        {"Format/Datatype": "N/A due to dynamic shapes"},
    ],
    "TensorRT 11": [
        {"DataType": "Int8", "Format": "Thirty-two wide channel vectorized row major format"},
        {"DataType": "Half", "Format": "Row major linear FP16 format (kLINEAR)"},
        {"DataType": "BFloat16", "Format": "Row major linear"},
        {"DataType": "Float", "Format": "Row major linear FP32 format (kLINEAR)"},
        {},
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_read_in_both_forms(form: str, tmp_path: Path) -> None:
    layers: list[Any] = [
        {
            "Name": f"layer {number}",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "x", "Dimensions": [1, 3, 8, 8], **tensor}],
            "TacticName": "sm80_xmma",
            "Metadata": "[ONNX Layer: conv/Conv2D]\x1e[ONNX Layer: conv/Relu]",
        }
        for number, tensor in enumerate(FORMS[form])
    ]
    layers[3]["Weights"] = {"Type": "Int8", "Count": 9}
    path = tmp_path / "plan.layers.json"
    path.write_text(json.dumps({"Layers": [*layers, "a name alone"], "Bindings": []}))
    result = layers_from_file(path)
    assert [layer.precision for layer in result] == ["int8", "fp16", "bf16", "int8", "", ""]
    assert result[0].nodes == ("conv/Conv2D", "conv/Relu")
    assert result[0].tactic == "sm80_xmma"
    assert result[-1].name == "a name alone"


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read as JSON"), ("[]", 'no list "Layers"'), ('{"Layers": 3}', "no list")],
)
def test_wrong_layer_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.layers.json"
    path.write_text(text)
    with pytest.raises(InputFileError, match=message):
        layers_from_file(path)


def test_op_that_lost_int8_is_reported() -> None:
    found = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,1,4,4] x) => (float[1,1,4,4] y)
        <float s = {0.02}, int8 z = {0}, int8[1,1,1,1] w8 = {7}, float[1] ws = {0.01},
         int8[1] wz = {0}> {
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            w = DequantizeLinear <axis = 0> (w8, ws, wz)
            a = Conv(d, w)
            q2 = QuantizeLinear(a, s, z)
            d2 = DequantizeLinear(q2, s, z)
            b = Conv(d2, w)
            y = Conv(b, w)
        }
    """)
    for node, name in zip([n for n in found.graph.node if n.op_type == "Conv"], "abc", strict=True):
        node.name = name

    def plan(*precisions: str) -> list[EngineLayer]:
        return [
            EngineLayer(name="", kind="", precision=precision, nodes=(node,), tactic="")
            for node, precision in zip("abc", precisions, strict=False)
        ]

    def lost(*precisions: str) -> dict[str, str]:
        return not_in_int8(ir.from_proto(found), plan(*precisions))

    assert lost("int8", "int8", "fp16") == {}, "c was never promised"
    assert lost("int8", "fp16", "fp16") == {"b": "fp16"}
    assert lost("fp32") == {"a": "fp32"}, "no layer names b"
