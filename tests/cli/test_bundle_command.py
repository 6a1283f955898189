"""``ocr-trt bundle``: contents, integrity, differences and layers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from ocr_trt.engines.bundle import file_entry
from tests.cli.in_process import fails, run, succeeds


def test_bundles_are_shown_verified_and_compared(bundles: dict[str, Path], tmp_path: Path) -> None:
    both = list(bundles.values())
    text = succeeds("bundle", "show", *both)
    for fact in ("version of openvino", "measured against"):
        assert fact in text
    assert str(both[0]) in text.splitlines()
    differences = json.loads(succeeds("bundle", "diff", *both, "--json"))
    assert {"what": "spec.role", "first": "detector", "second": "recognizer"} in differences
    assert succeeds("bundle", "diff", both[0], both[0]) == "no difference\n"
    fails(run("bundle", "diff", both[0]), 2, "requires two bundles, got 1")
    copy = shutil.copytree(both[0], tmp_path / "copy")
    succeeds("bundle", "verify", copy)
    next(copy.glob("*.onnx")).write_bytes(b"changed")
    fails(run("bundle", "verify", copy), 2, ".onnx differs", "built")


def test_layers_of_a_plan_are_listed(bundles: dict[str, Path], tmp_path: Path) -> None:
    fails(run("bundle", "layers", bundles["detector"]), 2, "has no list of layers", "GPU")
    copy = Path(shutil.copytree(bundles["detector"], tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (plan,) = (copy / engine["plan"] for engine in manifest["engines"])
    layers = plan.with_suffix(".layers.json")
    tensor = {"Name": "x", "Format/Datatype": "Row major linear FP16 format"}
    layer = {"Name": "fused", "LayerType": "kgen", "Inputs": [tensor]}
    layer["Metadata"] = "[ONNX Layer: first/Conv2D]"
    layers.write_text(json.dumps({"Layers": [layer]}))
    manifest["files"][layers.name] = file_entry(layers).model_dump()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    text = succeeds("bundle", "layers", copy)
    assert re.search(r"fused .*kgen .*fp16 .*first/Conv2D", text)
    (layers_of_plan,) = json.loads(succeeds("bundle", "layers", copy, "--json"))
    assert layers_of_plan["layers"][0]["precision"] == "fp16"
