"""Kernels in place of function bodies: marked nodes, and the order to TensorRT."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from ocr_trt.engines.nvidia import builder
from ocr_trt.engines.nvidia.builder_child import _BuildError, _check_plugins
from ocr_trt.engines.nvidia.mark_plugins import mark_plugins
from ocr_trt.engines.nvidia.options import NvidiaOptions
from ocr_trt.errors import EngineBuildError
from ocr_trt.plugins import max_pool_argmax_2d, max_unpool_2d


def graph(dtype: str = "float") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 20, "ocr_trt" : 1]>
        agraph ({dtype}[1,2,8,8] x) => ({dtype}[1,2,8,8] y)
        <{dtype}[1,2,4,4] pooled, {dtype}[1,2,4,4] place, {dtype}[1,2,4,4] active> {{
            pooled, place = ocr_trt.MaxPoolArgmax2d(x)
            active = Relu(pooled)
            y = ocr_trt.MaxUnpool2d(active, place)
        }}
        {max_pool_argmax_2d.BODY}
        {max_unpool_2d.BODY}"""
    )


def marks(model: onnx.ModelProto) -> dict[str, dict[str, str]]:
    return {n.op_type: {a.name: a.s.decode() for a in n.attribute} for n in model.graph.node}


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_custom_ops_name_their_plugins(dtype: str) -> None:
    before = graph(dtype)
    marked, count = mark_plugins(before)
    named = {"plugin_namespace": "ocr_trt", "plugin_version": "1"}
    assert marks(marked) == {"MaxPoolArgmax2d": named, "Relu": {}, "MaxUnpool2d": named}
    assert count == 2
    assert marks(before)["MaxUnpool2d"] == {}, "the graph in the bundle stays as it is"
    assert len(marked.functions) == 2


def test_dtype_without_a_kernel_is_refused() -> None:
    with pytest.raises(EngineBuildError, match=r"MaxPoolArgmax2d .* BFLOAT16"):
        mark_plugins(graph("bfloat16"))


def test_a_model_without_custom_ops_has_nothing_to_mark() -> None:
    plain = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> agraph (float[1] x) => (float[1] y) '
        "{ y = Relu(x) }"
    )
    marked, count = mark_plugins(plain)
    assert count == 0
    assert marks(marked) == {"Relu": {}}


@pytest.mark.parametrize("expected", [True, False])
def test_builder_gets_a_marked_graph_only_where_kernels_are_expected(
    expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, Any], onnx.ModelProto]] = []

    def child(order: Any, name: str) -> subprocess.CompletedProcess[str]:
        seen.append((json.loads(json.dumps(order)), onnx.load(order["model"])))
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(builder, "_in_child", child)
    settings = builder.Builder(module="tensorrt", options=NvidiaOptions(plugins=expected))
    builder.build_in_child(settings, graph(), tmp_path / "plan")
    ((order, model),) = seen
    assert order["plugins"] == (2 if expected else 0)
    assert bool(marks(model)["MaxUnpool2d"]) == expected


class Layers:
    """A parsed network, some of whose layers are plugins."""

    class LayerType:
        PLUGIN_V3 = "plugin"

    def __init__(self, *kinds: str) -> None:
        self.kinds, self.num_layers = kinds, len(kinds)

    def get_layer(self, index: int) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(type=self.kinds[index])


def test_function_body_in_place_of_a_requested_kernel_is_refused() -> None:
    _check_plugins(Layers, Layers("plugin", "activation", "plugin"), 2)
    with pytest.raises(_BuildError, match="1 of 2 kernels"):
        _check_plugins(Layers, Layers("plugin", "activation"), 2)
