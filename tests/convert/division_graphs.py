"""Graphs that divide integers so that processors cannot; as a script, runs them all.

python tests/convert/division_graphs.py FOLDER     prints the name of each graph that ran
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.targets import backend
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.spec import spec_from_dict

HEAD = '<ir_version: 9, opset_import: ["" : 18, "own" : 1]> '
FLOATS = "f = Cast <to = 1> (d) y = Add (x, f)"


def model_of(body: str, functions: str = "", **constants: Any) -> onnx.ModelProto:
    text = f"{HEAD} g (float[1, 3, 8, 8] x) => (float[1, c, h, w] y) {{ {body} }}{functions}"
    model = onnx.parser.parse_model(text)
    for name, value in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return model


OWN = ' <domain: "own", opset_import: ["" : 18]> divide (a, b) => (c) { c = Div (a, b) }'


def divisions() -> dict[str, onnx.ModelProto]:
    """Return graphs that divide the smallest integer by -1, or by a 0 that is computed."""
    found = {}
    for dtype, code in ((np.int64, 7), (np.int32, 6)):
        ends = {"a": dtype([np.iinfo(dtype).min]), "b": dtype([-1]), "zero": dtype([0])}
        varying = f"i = Cast <to = {code}> (x) z = Sub (i, i) p = Add (z, a) q = Add (z, b)"
        for op in ("Div", "Mod"):
            label = f"{op} {np.dtype(dtype)}"
            found |= {
                f"{label}, constants": model_of(f"d = {op} (a, b) {FLOATS}", **ends),
                f"{label}, computed": model_of(f"{varying} d = {op} (p, b) {FLOATS}", **ends),
                f"{label}, both": model_of(f"{varying} d = {op} (p, q) {FLOATS}", **ends),
                f"{label}, 0": model_of(f"{varying} d = {op} (p, z) {FLOATS}", **ends),
            }
    long = {"a": np.int64([-(2**63)]), "b": np.int64([-1])}
    found["in a function"] = model_of(f"d = own.divide (a, b) {FLOATS}", OWN, **long)
    branch = "int64[n] t{0}) {{ t{0} = Div (a, b) }}"
    body = (
        "m = ReduceMax <keepdims = 0> (x) c = Cast <to = 9> (m) "
        f"d = If (c) <then_branch = t () => ({branch.format(1)}, "
        f"else_branch = e () => ({branch.format(2)}> {FLOATS}"
    )
    return found | {"in a branch": model_of(body, **long)}


def spec_of(path: Path, **more: Any) -> Any:
    entry = {"name": "x", "shape": [1, 3, 8, 8], "layout": "NCHW", **more}
    spec = {"name": "m", "role": "detector", "source": {"path": path}, "input": entry}
    return spec_from_dict({**spec, "output": {"name": "y"}})


def run(model: onnx.ModelProto, folder: Path) -> None:
    """Run and convert a graph, and run the result in both runtimes."""
    path, image = folder / "model.onnx", np.zeros((1, 3, 8, 8), np.float32)
    onnx.save(model, path)
    spec = spec_of(path)
    source = open_source(spec.source)
    first = baseline_runner(source, spec)
    results, graph = [first.execute(first.prepare(image))], convert(source, spec).model
    for target in map(backend, ("onnxruntime", "openvino")):
        plan = folder / f"plan{target.suffix}"
        target.build(graph, plan, BuildSettings())
        with target.open(plan, label="e", settings=RunSettings(), max_batch=1) as runner:
            results.append(runner.execute(image))
    assert all(result.shape == image.shape for result in results)


if __name__ == "__main__":
    for name, model in divisions().items():
        run(model, Path(sys.argv[1]))
        print(name, flush=True)
