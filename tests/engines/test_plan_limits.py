"""Hostile plans are refused before OpenVINO or onnxruntime parses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common import limits
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.openvino.plan_limits import check_plan_text
from ocr_trt.engines.targets import backend
from ocr_trt.errors import InputFileError

MODEL = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[1, 3, 4, 4] x) => (float[1, 3, 4, 4] y) { y = Relu (x) }"""


def _bomb_of_entities() -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE net [<!ENTITY e0 "0">{entities}]><net name="&e11;"/>'.encode()


ATTACKS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "nested": (lambda: b"<net>" * 32_000, "101 or more elements within", "100"),
    "nested and closed": (lambda: b"<a>" * 32_000 + b"</a>" * 32_000, "101 or more", "100"),
    "entities": (_bomb_of_entities, "document type", "expected none"),
    "external entity": (
        lambda: b'<!DOCTYPE n SYSTEM "file:///etc/passwd"><n/>',
        "document type",
        "expected none",
    ),
    "attribute": (
        lambda: b'<net name="' + b"x" * (100 << 20) + b'"/>',
        "characters in one element",
        "1,114,112",
    ),
    "attribute that just fits a part": (
        lambda: b'<net name="' + b"x" * (limits.LARGEST_XML_ATTRIBUTE + 5) + b'"/>',
        "1,048,581 characters in an attribute of 'net'",
        "1,048,576",
    ),
    "attributes": (
        lambda: b"<net " + b" ".join(b'a%d="1"' % n for n in range(300_000)) + b"/>",
        "characters in one element",
        "1,114,112",
    ),
    "comment": (lambda: b"<net><!--" + b"x" * (10 << 20) + b"-->", "in one element", "1,114,112"),
    "layers": (lambda: b"<net>" + b"<layer/>" * 100_001, "100,001 or more layers", "100,000"),
    "not XML": (lambda: b"\0" * 100, "openvino cannot load it", "build the bundle again"),
    "empty": (lambda: b"", "openvino cannot load it", "build the bundle again"),
    "encoding": (
        lambda: b'<?xml version="1.0" encoding="no-such"?><net/>',
        "openvino cannot load it",
        "build the bundle again",
    ),
}


@pytest.mark.parametrize(("make", "seen", "allowed"), ATTACKS.values(), ids=ATTACKS.keys())
def test_hostile_text_is_refused(
    make: Callable[[], bytes], seen: str, allowed: str, tmp_path: Path
) -> None:
    plan = tmp_path / "plan_32.xml"
    plan.write_bytes(make())
    with pytest.raises(InputFileError) as caught:
        check_plan_text(plan)
    for fact in (str(plan), seen, allowed):
        assert fact in str(caught.value)


def test_every_use_of_a_plan_checks_its_text(tmp_path: Path) -> None:
    plan, target = tmp_path / "plan_32.xml", backend("openvino")
    plan.write_bytes(b"<net>" * 32_000)
    images, settings = np.zeros((1, 3, 4, 4), np.float32), RunSettings()
    for use in (
        lambda: target.open(plan, label="e", settings=settings, max_batch=1),
        lambda: target.look_inside(plan, ["y"], images),
        lambda: target.layer_times(plan, images, settings),
    ):
        with pytest.raises(InputFileError, match="101 or more elements"):
            use()


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_plan_of_a_build_is_accepted(name: str, tmp_path: Path) -> None:
    target = backend(name)
    plan = tmp_path / f"plan_32{target.suffix}"
    target.build(onnx.parser.parse_model(MODEL), plan, BuildSettings())
    images = np.full((1, 3, 4, 4), -1, np.float32)
    with target.open(plan, label="e", settings=RunSettings(), max_batch=1) as runner:
        assert not runner.run(images).any()


HUGE = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[1, 3, 4, 4] x) => (float[1, 3, 4, 4] y)
    <int64[4] shape = {1099511627776, 3, 4, 4}, int64[1] axes = {0}> {
        large = Expand (x, shape)
        few = ReduceMax <keepdims = 1> (large, axes)
        y = Relu (few)
    }"""


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_tensor_larger_than_the_memory_is_refused(name: str, tmp_path: Path) -> None:
    target = backend(name)
    plan = tmp_path / f"plan_32{target.suffix}"
    target.build(onnx.parser.parse_model(HUGE), plan, BuildSettings())
    with pytest.raises(InputFileError, match=r"192\.0 TiB of memory, but .*iB are available"):
        target.open(plan, label="e", settings=RunSettings(), max_batch=1)


@pytest.mark.parametrize(
    ("op", "divisor"), [("divide", -1), ("divide", 0), ("mod", -1), ("mod", 0)]
)
def test_plan_that_divides_integer_constants_is_refused(
    op: str, divisor: int, tmp_path: Path
) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    image = ops.parameter([1, 3, 4, 4], np.float32)
    operands = (ops.constant(np.array([n], np.int64)) for n in (-(2**63), divisor))
    divided = getattr(ops, op)(*operands)
    result = ops.add(image, ops.convert(divided, "f32"))
    plan = tmp_path / "plan_32.xml"
    ov.save_model(ov.Model([result], [image]), plan, compress_to_fp16=False)
    settings = RunSettings()
    with pytest.raises(InputFileError, match="divides integer constants") as caught:
        backend("openvino").open(plan, label="e", settings=settings, max_batch=1)
    assert str(plan) in str(caught.value)


def test_divisions_in_a_plan_of_onnxruntime_are_guarded(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[1, 3, 4, 4] x) => (float[1, 3, 4, 4] y)
    <int64[1] a = {-9223372036854775808}, int64[1] b = {-1}> {
        c = Div (a, b)
        d = Cast <to = 1> (c)
        y = Add (x, d)
    }"""
    plan, image = tmp_path / "plan_32.onnx", np.zeros((1, 3, 4, 4), np.float32)
    onnx.save(onnx.parser.parse_model(text), plan)
    target = backend("onnxruntime")
    with target.open(plan, label="e", settings=RunSettings(), max_batch=1) as runner:
        assert (runner.execute(image) == np.float32(-(2.0**63))).all()
