"""Compare the estimated memory of models of the zoo with the memory that runtimes really use.

    python benchmarks/peak_memory.py      prints the table of docs/limits.md

Each model runs in a process of its own, because the peak of a process includes earlier runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CASES = {
    "craft": 1280,
    "differentiable_binarization": 2048,
    "linknet": 2048,
    "segnet": 1024,
    "subclassed": 1024,
}
"""Functions of ``tests/families/detectors.py``, and the height and width of the input."""
STATUS = Path("/proc/self/status")


def _kib(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def growth(run: Callable[[], Any]) -> int:
    """Return by how many bytes a call raises the peak of this process above what it uses now."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to the present use
    before = _kib("VmRSS:")
    run()
    return 1024 * (_kib("VmHWM:") - before)


def measure(name: str, side: int) -> dict[str, Any]:
    """Return the estimate and the peaks of one model, in bytes."""
    import onnx_ir as ir
    import tensorflow as tf

    from ocr_trt.common.onnx_session import onnx_session
    from ocr_trt.convert.analysis.activations import peak_of_model
    from ocr_trt.convert.pipeline import _upgraded
    from ocr_trt.convert.sources.tf_graph import onnx_from_function
    from ocr_trt.tests.families import detectors

    model, shape = getattr(detectors, name)(), (1, side, side, 3)

    def call(x: Any) -> Any:
        return tf.convert_to_tensor(model(x, training=False))

    graph = _upgraded(onnx_from_function(call, "x", shape, "y"))
    function, image = tf.function(call), np.zeros(shape, np.float32)
    function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    tensor = tf.constant(image)
    session = onnx_session(ir.to_proto(graph))
    weights = [value.const_value for value in graph.graph.initializers.values()]
    # Input and weights are in memory before the run.
    given = image.nbytes + sum(weight.nbytes for weight in weights if weight is not None)
    return {
        "estimate": peak_of_model(graph).bytes,
        "tensorflow": given + growth(lambda: function(tensor)),
        "onnxruntime": given + growth(lambda: session.run(None, {"x": image})),
    }


def main() -> None:
    """Measure all models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="measure one model in this process, and print JSON")
    only = parser.parse_args().only
    if only:
        print(json.dumps(measure(only, CASES[only])))
        return
    print(
        "| model of the zoo | input | estimate | TensorFlow | onnxruntime |\n|---|---|---|---|---|"
    )
    for name, side in CASES.items():
        command = [sys.executable, __file__, "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        shares = [f"{found[key] / found['estimate']:.2f}" for key in ("tensorflow", "onnxruntime")]
        megabytes = f"{found['estimate'] / 2**20:.0f} MiB"
        label = name.replace("_", "-")
        print(f"| {label} | {side} x {side} | {megabytes} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
