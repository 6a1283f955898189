"""A detector that plain fp16 ruins: the reference detector, with three activations 2^14 times as
large and the layers that read them divided by as much. The same function in fp32, bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.calibration.autocast import autocast, float_tensors
from ocr_trt.calibration.emulate import emulated
from ocr_trt.calibration.half import FP16
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.observe import observe
from ocr_trt.convert.graph import array_of, new_initializer
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.engine import Engine
from ocr_trt.measure.accuracy import run_labels
from ocr_trt.models.reference_models import SAMPLES, export_reference
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import DetectorSpec, load_spec

pytest.importorskip("tensorflow")

SCALED = {"Conv_2": "Conv_3", "Conv_8": "Conv_9", "Conv_13": "Conv_14"}
"""Layers whose results are scaled, and the only layers that read them, behind a ReLU."""


def twin_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = ir.from_proto(model)
    nodes = {node.outputs[0].name: node for node in copy.graph}
    for maker, reader in SCALED.items():
        for name, factor, inputs in ((maker, 2.0**14, (1, 2)), (reader, 2.0**-14, (1,))):
            for index in inputs:
                scaled = array_of(nodes[name].inputs[index]) * np.float32(factor)
                value = new_initializer(copy.graph, scaled, f"{name}.scaled")
                nodes[name].replace_input_with(index, value)
    return ir.to_proto(copy)


def hmean(model: onnx.ModelProto, spec: DetectorSpec) -> float:
    scenes = load_dataset(SAMPLES / "test").scenes
    with Engine.from_graphs(lambda _: model, spec=spec, label="x") as engine:
        return 100 * run_labels(engine, scenes).value


@pytest.mark.full
def test_fp16_keeps_the_text_by_keeping_the_right_layers_in_fp32(tmp_path: Path) -> None:
    spec = load_spec(export_reference("detector", tmp_path))
    assert isinstance(spec, DetectorSpec)
    model = convert(open_source(spec.source), spec).model
    twin = twin_of(model)
    exact = hmean(twin, spec)
    assert exact == hmean(model, spec)
    assert exact > 85

    careless = autocast(twin, {}, replace(FP16, limit=np.inf))
    assert careless.kept == {}
    assert hmean(emulated(careless.model), spec) < 1, "plain fp16 finds nothing"

    feeds = list(load_calibration(SAMPLES / "calibration", spec, limit=4).batches())
    seen = observe({spec.input.size: twin}, feeds, 4, histograms=[], peaks=float_tensors(twin))
    ours = autocast(twin, seen.peaks)
    convolutions = {name for name in ours.kept if name.startswith("Conv")}
    assert convolutions == {*SCALED.keys(), *SCALED.values()}
    assert len(ours.kept) == 9, "those, and the ReLUs between them"
    assert abs(exact - hmean(emulated(ours.model), spec)) <= 0.2
