"""Differences of bundles: each kind is reported, and equal bundles have none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from ocr_trt.common.files import whole_folder
from ocr_trt.engines.bundle import Bundle, file_entries, load_bundle, own_files, write_manifest
from ocr_trt.engines.bundle_diff import bundle_differences
from ocr_trt.engines.manifest import Calibration, EngineEntry, Latency, Manifest, OcrMetric, Verdict
from ocr_trt.errors import InputFileError
from ocr_trt.spec import spec_from_dict

GRAPH = """<ir_version: 10, opset_import: ["" : 20]>
agraph (float[1,3,32,32] x) => (float[1,3,32,32] y)
<float w = {2.0}>
{ z = Mul(x, w)
  y = Relu(z) }"""
CALIBRATION = Calibration(
    method="mse", images=16, data_sha256="1" * 64, ranges={"x": 1.0, "z": 2.0}
)
METRIC = OcrMetric(
    name="hmean", engine=0.9, baseline=0.905, samples=20, labeled=True, engine_run_by="openvino"
)
VERDICT = Verdict(
    baseline="tensorflow 2.21.0",
    max_difference=1e-6,
    metric=METRIC,
    latency=Latency(engine=2.0, baseline=10.0),
)


PLAN = hashlib.sha256(b"plan").hexdigest()[:12]
HOW = "on 20 samples against labels, run by openvino"


def bundle(
    folder: Path,
    graph: str | bytes = GRAPH,
    role: str = "det",
    plan: bytes = b"plan",
    **change: Any,
) -> Bundle:
    folder.parent.mkdir(exist_ok=True)
    spec = spec_from_dict(
        {
            "name": role, "role": "detector", "source": {"path": "model"},
            "output": {"name": "y"}, "input": {"name": "x", "shape": [1, 32, 32, 3]},
        }
    )  # fmt: skip
    with whole_folder(folder, own_files(folder)) as scratch:
        if isinstance(graph, str):
            data = onnx.parser.parse_model(graph).SerializeToString()
        else:
            data = graph
        (scratch / "model_32.onnx").write_bytes(data)
        (scratch / "plan_32.xml").write_bytes(plan)
        fields: dict[str, Any] = {
            "target": "openvino", "precision": "int8", "source_sha256": "0" * 64,
            "versions": {"openvino": "1"}, "calibration": CALIBRATION, "verdict": VERDICT,
            "int8_share": 0.9,
        }  # fmt: skip
        manifest = Manifest(
            spec=spec,
            engines=(EngineEntry(height=32, width=32, model="model_32.onnx", plan="plan_32.xml"),),
            files=file_entries(scratch),
            **{**fields, **change},
        )
        write_manifest(scratch, manifest)
    return load_bundle(folder)


def differences(tmp_path: Path, **change: Any) -> list[tuple[str, str | None, str | None]]:
    first, second = bundle(tmp_path / "a"), bundle(tmp_path / "b", **change)
    return [(d.what, d.first, d.second) for d in bundle_differences(first, second)]


def test_equal_bundles_in_different_folders_have_no_differences(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    first, second = bundle(tmp_path / "a"), bundle(tmp_path / "deep" / "b")
    assert first.spec.source.path != second.spec.source.path
    assert bundle_differences(first, second) == ()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"role": "other"}, ("spec.name", "det", "other")),
        ({"target": "onnxruntime"}, ("target", "openvino", "onnxruntime")),
        ({"precision": "best"}, ("precision", "int8", "best")),
        ({"source_sha256": "a" * 64}, ("source", "SHA-256 000000000000", "SHA-256 aaaaaaaaaaaa")),
        ({"int8_share": None}, ("FLOPs in int8", "90.0 %", None)),
        ({"largest_weight": 63}, ("largest int8 weight", "127", "63")),
        ({"versions": {"openvino": "2"}}, ("version of openvino", "1", "2")),
        ({"settings": {"floor": 75}}, ("setting floor", None, "75")),
        ({"precision_exceptions": {"Conv_1": "first"}}, ("in float: Conv_1", None, "first")),
        ({"graph": GRAPH.replace("Relu", "Sigmoid")}, ("nodes at 32x32: Relu", "1", None)),
        ({"graph": GRAPH.replace("Relu", "Sigmoid")}, ("nodes at 32x32: Sigmoid", None, "1")),
        ({"plan": b"other"}, ("plan at 32x32", f"SHA-256 {PLAN}", "SHA-256 d9298a10d1b0")),
        (
            {"calibration": CALIBRATION.model_copy(update={"method": "entropy"})},
            ("calibration method", "mse", "entropy"),
        ),
        (
            {"calibration": CALIBRATION.model_copy(update={"ranges": {"x": 1.1, "z": 4.0}})},
            ("2 ranges; the largest change is that of z", "2", "4"),
        ),
        (
            {"calibration": CALIBRATION.model_copy(update={"ranges": {"x": 1.0, "z": 0.0}})},
            ("1 ranges; the largest change is that of z", "2", "0"),
        ),
        (
            {"calibration": CALIBRATION.model_copy(update={"ranges": {"x": 1.0}})},
            ("range of z", "2", None),
        ),
        (
            {"verdict": VERDICT.model_copy(update={"latency": None})},
            ("latency", "2.00 ms, 5.00x", None),
        ),
    ],
)
def test_each_difference_is_reported(
    change: dict[str, Any], found: tuple[str, str | None, str | None], tmp_path: Path
) -> None:
    differing = differences(tmp_path, **change)
    assert found in differing
    assert len(differing) == (3 if "Sigmoid" in str(change) else 1)


def test_lost_points_are_reported(tmp_path: Path) -> None:
    worse = METRIC.model_copy(update={"engine": 0.8})
    differing = differences(tmp_path, verdict=VERDICT.model_copy(update={"metric": worse}))
    assert differing == [
        ("hmean", f"90.00 {HOW}", f"80.00 {HOW}"),
        ("points lost", "+0.50", "+10.50"),
    ]


def test_changed_weights_and_changed_connections_are_reported(tmp_path: Path) -> None:
    wired = GRAPH.replace("Mul(x, w)", "Mul(w, x)")
    for number, graph in enumerate((GRAPH.replace("2.0", "3.0"), wired)):
        differing = differences(tmp_path / str(number), graph=graph)
        assert [what for what, *_ in differing] == ["graph at 32x32"]


def test_what_ran_the_engine_is_reported(tmp_path: Path) -> None:
    other = METRIC.model_copy(update={"engine_run_by": "onnxruntime"})
    ((what, _, second),) = differences(
        tmp_path, verdict=VERDICT.model_copy(update={"metric": other})
    )
    assert what == "hmean"
    assert str(second).endswith("run by onnxruntime")


def test_damaged_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="not a valid ONNX model"):
        differences(tmp_path, graph=b"\x08\xff\xff")
