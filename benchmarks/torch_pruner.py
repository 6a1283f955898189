"""Prune ONNX graphs with Torch-Pruning; competing_pruners.py runs this file in a Python with torch.

    pip install torch torchvision onnx onnxruntime onnx2torch torch-pruning
    python benchmarks/torch_pruner.py GRAPHS OUTPUT

GRAPHS is a folder with the clean graphs of one model, ``HxW.onnx``. onnx2torch converts each of
them. Torch-Pruning removes the same share of each group of channels, those of the least group
magnitude, which is its default. The weights that remain are written into the ONNX graph, as
``OUTPUT/<share>/HxW.onnx``.

The graphs are converted with more and more help (``torch_modules.LEVELS``), until the pruned model
runs and torch_check.py finds no missing dependency. ``OUTPUT/report.txt`` states what failed until
then.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

TORCH_METHOD = "Torch-Pruning, group magnitude"
"""What the method is called in the table."""
_RATIOS = tuple(round(0.02 * n, 2) for n in range(2, 21))
"""Shares of the channels to remove."""
_FIRST = 0.25
"""The share that is removed to find out how much help is required."""
_MULTIPLE = 8
"""Numbers of channels are multiples of it, as for the other methods."""
_PACKAGES = ("torch", "torchvision", "onnx2torch", "torch-pruning")


def pruned_by_torch(python: Path, graphs: Path, output: Path) -> str:
    """Run this file with another Python, unless it has run before; return the report."""
    report = output / "report.txt"
    if not report.exists():
        subprocess.run([python, __file__, graphs, output], check=True)
    return report.read_text("utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graphs", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    models = {path.name: onnx.load(path) for path in sorted(options.graphs.glob("*.onnx"))}
    lines = [", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)]
    convert, notes = _first_right(list(models.values()))
    lines += notes
    options.output.mkdir(parents=True, exist_ok=True)
    for ratio in _RATIOS if convert is not None else ():
        assert convert is not None
        folder = options.output / f"{ratio:.2f}"
        folder.mkdir(exist_ok=True)
        try:
            made = {name: _pruned(convert(model), model, ratio) for name, model in models.items()}
            _check_equal(list(made.values()))
        except Exception as error:  # whatever Torch-Pruning raises
            lines.append(f"{ratio:.0%} of the channels: {_text(error)}")
            shutil.rmtree(folder)
            continue
        for name, model in made.items():
            onnx.save(model, folder / name)
    (options.output / "report.txt").write_text("\n".join(lines) + "\n", "utf-8")


def _first_right(
    models: list[onnx.ModelProto],
) -> tuple[Callable[[onnx.ModelProto], Any] | None, list[str]]:
    """Return the conversion with the least help whose pruned models are right, and what failed."""
    from torch_check import check_groups
    from torch_modules import LEVELS

    notes, first = [], models[0]
    for title, convert in LEVELS:
        try:
            for model in models:
                _pruned(convert(model), model, _FIRST)
            make = partial(convert, first)
            check_groups(make, _example(first), _FIRST, _MULTIPLE)
        except Exception as error:  # whatever onnx2torch, torch or Torch-Pruning raise
            notes.append(f"{title}: {_text(error)}")
        else:
            notes.append(f"{title}: the pruned model is right")
            return convert, notes
    return None, notes


def _text(error: Exception) -> str:
    """Return the type and the message of an error in one line, without the trace of torch.fx."""
    message = " ".join(str(error).partition("Original traceback")[0].split())
    return f"{type(error).__name__}: {message}"[:500]


def _pruned(made: Any, model: onnx.ModelProto, ratio: float) -> onnx.ModelProto:
    """Prune a converted model, check that it runs, and return the ONNX graph with its weights.

    ``made``: the ``torch_modules.Converted`` of ``model``.
    """
    from torch_check import pruner_of, run

    example = _example(model)
    pruner_of(made, example, ratio, _MULTIPLE).step()
    run(made.module, example)
    return _written(made.model, made.constants())


def _example(model: onnx.ModelProto) -> Any:
    """Return a random image for a graph, (1, C, H, W)."""
    import torch

    torch.manual_seed(0)
    dims = [dim.dim_value or 1 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return 2 * torch.rand(dims) - 1


def _written(model: onnx.ModelProto, constants: Iterator[tuple[str, int, Any]]) -> onnx.ModelProto:
    """Return a graph with new constants: first result of the node, index of the input, array."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes = {node.output[0]: node for node in result.graph.node}
    for name, index, array in constants:
        new = f"{name}.pruned.{index}"
        result.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), new))
        nodes[name].input[index] = new
    read = {name for node in result.graph.node for name in node.input}
    unread = [each for each in result.graph.initializer if each.name not in read]
    for each in unread:
        result.graph.initializer.remove(each)
    del result.graph.value_info[:]  # the old shapes
    return onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)


def _check_equal(models: list[onnx.ModelProto]) -> None:
    """Check that the graphs of all input sizes keep the same channels.

    Their layers have the same weights. Constants of another shape, such as the embeddings of fewer
    positions, must have as many channels, along the last axis.
    """
    first, *others = (
        {each.name: each for each in model.graph.initializer if ".pruned." in each.name}
        for model in models
    )
    for other in others:
        for name, one in first.items():
            two = other.get(name)
            if one.data_type != onnx.TensorProto.FLOAT:  # the shape of a Reshape
                continue
            if two is None or one.dims[-1] != two.dims[-1]:
                raise ValueError(f"input sizes have different channels: {name}")
            if one.dims == two.dims and one.raw_data != two.raw_data:
                raise ValueError(f"input sizes have different weights: {name}")


if __name__ == "__main__":
    main()
