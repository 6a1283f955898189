"""Measure how the time of a conversion grows with the number of nodes.

    python benchmarks/conversion_scaling.py [--nodes 1000 5000] [--graphs add conv] [--passes]

Prints a table for docs/limits.md: seconds of processor time per 1000 nodes, for each kind of graph.
``--passes`` also prints the passes that take most of the time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import onnx

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.spec import ModelSpec, SourceSpec, spec_from_dict
from ocr_trt.tests.convert.scaling_graphs import GRAPHS, SHAPE, model_of


def spec_of(path: Path) -> ModelSpec:
    return spec_from_dict(
        {
            "name": "chain",
            "role": "detector",
            "source": SourceSpec(path=path),
            "input": {"name": "x", "shape": SHAPE, "layout": "NCHW"},
            "output": {"name": "y"},
        },
        "chain",
    )


def measure(kind: str, nodes: int) -> tuple[int, float, Counter[str]]:
    """Convert a graph; return its nodes, the seconds of processor time, and those of each step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model = model_of(kind, nodes)
        onnx.save(model, path)
        spec, steps = spec_of(path), Counter[str]()
        start = last = time.process_time()
        source = open_source(spec.source)
        last = time.process_time()
        steps["open"] = last - start

        def watch(name: str, graph: object) -> None:
            nonlocal last
            now = time.process_time()
            steps[name] += now - last
            last = now

        convert(source, spec, watch=watch)
        steps["end"] = time.process_time() - last
        return len(model.graph.node), time.process_time() - start, steps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 5000, 20000, 50000])
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS))
    parser.add_argument("--passes", action="store_true")
    arguments = parser.parse_args()
    for kind in arguments.graphs:
        for nodes in arguments.nodes:
            try:
                count, seconds, steps = measure(kind, nodes)
            except Exception as error:
                print(f"{kind:16s} {nodes:6d} {type(error).__name__}: {error!s:.300}", flush=True)
                continue
            line = f"{kind:16s} {count:6d} {seconds:8.2f} s {1000 * seconds / count:8.3f} s/1000"
            if arguments.passes:
                line += "  " + ", ".join(f"{n} {s:.2f}" for n, s in steps.most_common(8))
            print(line, flush=True)


if __name__ == "__main__":
    main()
