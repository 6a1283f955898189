"""Layers of OpenVINO's plans: names, precisions, bytes, times."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.layer_time import BETWEEN, LayerTime
from ocr_trt.engines.openvino import convolution_peaks as peaks
from ocr_trt.engines.openvino import profile
from ocr_trt.engines.targets import backend

pytest.importorskip("openvino")

CONV = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,16,32,32] x) => (float[N,32,32,32] y) <float[32,16,3,3] w, float[32] b> {
        c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
        y = Relu(c)
    }
"""


def layers(text: str, weights: dict[str, np.ndarray], folder: Path, batch: int) -> list[LayerTime]:
    model = onnx.parser.parse_model(text)
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for node in model.graph.node:
        node.name = node.output[0]
    plan = folder / "plan.xml"
    backend("openvino").build(model, plan, BuildSettings())
    dims = model.graph.input[0].type.tensor_type.shape.dim
    images = np.ones((batch, *(d.dim_value for d in dims[1:])), np.float32)
    return list(backend("openvino").layer_times(plan, images, RunSettings()))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_SECONDS", 0.05)


@pytest.mark.parametrize("batch", [1, 4])
def test_fused_layer_lists_its_nodes_and_bytes(
    batch: int, rng: np.random.Generator, tmp_path: Path
) -> None:
    weights = {
        "w": rng.normal(size=(32, 16, 3, 3)).astype(np.float32),
        "b": rng.normal(size=32).astype(np.float32),
    }
    result = layers(CONV, weights, tmp_path, batch)
    (conv,) = [layer for layer in result if layer.kind == "Convolution"]
    assert {"c", "y"} <= set(conv.nodes)
    assert conv.precision == "fp32"
    assert conv.bytes == 4 * (batch * (16 + 32) * 32 * 32 + 32 * 16 * 9 + 32)
    assert [layer.kind for layer in result].count(BETWEEN) == 1
    assert result[-1].kind == BETWEEN
    assert conv.milliseconds > 0


def test_layers_that_the_counters_do_not_resolve_take_no_time(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sums(request: Any, runs: int) -> dict[str, float]:
        return dict.fromkeys(original(request, runs), 0.0)

    original = profile._sums
    monkeypatch.setattr(profile, "_sums", sums)
    weights = {"w": rng.normal(size=(32, 16, 3, 3)).astype(np.float32), "b": np.ones(32, "f")}
    found = layers(CONV, weights, tmp_path, 1)
    (conv,) = [layer for layer in found if layer.kind == "Convolution"]
    assert {"c", "y"} <= set(conv.nodes)
    assert conv.milliseconds == 0
    assert all(layer.milliseconds == 0 for layer in found[:-1])


def test_times_are_those_of_one_run(rng: np.random.Generator, tmp_path: Path) -> None:
    weights = {
        "w": rng.normal(size=(32, 16, 3, 3)).astype(np.float32),
        "b": rng.normal(size=32).astype(np.float32),
    }
    result = layers(CONV, weights, tmp_path, 32)
    settings = RunSettings()
    with backend("openvino").open(
        tmp_path / "plan.xml", label="conv", settings=settings, max_batch=32
    ) as runner:
        feed = np.ones((32, 16, 32, 32), np.float32)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            runner.execute(feed)
            times.append(1000 * (time.perf_counter() - start))
    # The tolerance is a factor of five, because other programs may use the machine.
    total = sum(layer.milliseconds for layer in result)
    assert statistics.median(times) / 5 < total < 5 * statistics.median(times)


def test_bytes_of_int8_layers_are_those_stored(rng: np.random.Generator, tmp_path: Path) -> None:
    text = """
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,16,32,32] x) => (float[1,16,32,32] y)
        <int8[16,16,3,3] w, float[1] b, float s = {0.01}, int8 z = {0}> {
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            v = DequantizeLinear(w, s, z)
            c = Conv <pads = [1, 1, 1, 1]> (d, v)
            r = Relu(c)
            p = QuantizeLinear(r, s, z)
            e = DequantizeLinear(p, s, z)
            y = Conv <pads = [1, 1, 1, 1]> (e, v)
        }
    """
    weights = {"w": rng.integers(-63, 64, (16, 16, 3, 3)).astype(np.int8)}
    result = layers(text, weights, tmp_path, 1)
    first = next(layer for layer in result if "c" in layer.nodes)
    assert first.precision == "int8"
    assert "e" in first.nodes  # the fused pair has the name of its last node
    assert first.bytes == pytest.approx(2 * 16 * 32 * 32 + 16 * 16 * 9, abs=16 * 8)


def test_slice_counts_only_the_bytes_it_reads(tmp_path: Path) -> None:
    text = """
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[1,8,64,64] x) => (float[1,8,32,32] y)
        <int64[2] from = {0, 0}, int64[2] to = {64, 64}, int64[2] axes = {2, 3},
         int64[2] steps = {2, 2}> {
            s = Slice(x, from, to, axes, steps)
            y = Relu(s)
        }
    """
    result = layers(text, {}, tmp_path, 1)
    (part,) = [layer for layer in result if layer.kind == "StridedSlice"]
    assert part.bytes == 2 * 4 * 8 * 32 * 32


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("output", ["all steps", "the last step"])
def test_recurrent_layers_name_their_node(
    output: str, op: str, batch: int, rng: np.random.Generator, tmp_path: Path
) -> None:
    """OpenVINO's importer calls them by names of its own, such as LSTMSequence_72."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    names = "r" if output == "all steps" else "unused, r"
    after = "Squeeze(u, axis)" if output == "all steps" else "Identity(u)"
    text = f"""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[N,6,7] x) => (float[N,T,8] y) <float[2,{5 * gates},7] w,
            float[2,{5 * gates},5] q, float[5,8] m, int64[1] zero = {{0}}> {{
            t = Transpose <perm = [1, 0, 2]> (x)
            {names} = {op} <hidden_size = 5, direction = "bidirectional"> (t, w, q)
            u = Slice(r, zero, stop, axis)
            v = {after}
            d = MatMul(v, m)
            y = Transpose <perm = [1, 0, 2]> (d)
        }}
    """
    axis = 1 if output == "all steps" else 0
    weights = {
        "w": rng.normal(size=(2, 5 * gates, 7)).astype(np.float32),
        "q": rng.normal(size=(2, 5 * gates, 5)).astype(np.float32),
        "m": rng.normal(size=(5, 8)).astype(np.float32),
        "stop": np.array([1]), "axis": np.array([axis]),
    }  # fmt: skip
    result = layers(text, weights, tmp_path, batch)
    recurrent = [each for each in result if each.kind in ("RNNSeq", "RNNCell", "TensorIterator")]
    assert len(recurrent) == 2  # the two directions
    assert all("r" in each.nodes for each in recurrent)
    assert not any("r" in each.nodes and "d" in each.nodes for each in result)


def test_other_targets_report_no_layer_times(tmp_path: Path) -> None:
    images = np.ones((1, 3, 8, 8), np.float32)
    assert backend("onnxruntime").layer_times(tmp_path, images, RunSettings()) == ()
    assert backend("onnxruntime").peaks(lambda share: None) == {}


def test_peaks_of_every_precision_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino as ov

    monkeypatch.setattr(peaks, "_SIZES", ((64, 32), (64, 48)))
    monkeypatch.setattr(peaks, "_SECONDS", 0.05)
    shares: list[float] = []
    result = backend("openvino").peaks(shares.append)
    has_bf16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert set(result) == {"fp32", "int8", *(["bf16"] if has_bf16 else [])}
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    assert all(1e9 < rate < 1e15 for rate in result.values())
    assert result["int8"] > 0.7 * result["fp32"]
