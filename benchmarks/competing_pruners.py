"""Compare the compression of this project with other pruning at equal FLOPs, without training.

    python benchmarks/competing_pruners.py SPEC --calibration DIR --data DIR --held-out 100

Every method gets the same clean graphs and, if it uses images, the same calibration images:

* the path of ``build --compress``, with both decisions and with each of them alone; its cost is
  FLOPs here, not measured time, so that all methods have the same goal;
* magnitude pruning of the same groups of channels, the same share of each group;
* with ``--torch-python``: Torch-Pruning, see torch_pruner.py.

``--output`` keeps the graphs and their accuracies, so that a second run only has to time the
graphs. Remove the folder after a change of the code. Accuracies are those of the fp32 graphs in
onnxruntime. Times are medians at batch 1, relative to those of the whole model in the same
precision; all graphs run in OpenVINO in one interleaved run. The int8 graphs have arbitrary ranges,
which do not change the times.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import onnx
from pruning_accuracy import AccuracyJudge
from pruning_methods import METHODS, Pruner, kept_flops, nearest
from torch_pruner import TORCH_METHOD, pruned_by_torch

from ocr_trt.builder.convert import convert_sizes
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.quantize import quantize, quantized_tensors
from ocr_trt.common.progress import LogReporter
from ocr_trt.convert.graph import Graphs
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import EngineEntry
from ocr_trt.engines.targets import backend
from ocr_trt.measure.latency import Contender, LatencySettings, measure
from ocr_trt.measure.machine import machine
from ocr_trt.models.evaluate import held_out_scenes, held_out_words
from ocr_trt.models.make_samples import write_scenes, write_words
from ocr_trt.ocr.dataset import Dataset, load_dataset
from ocr_trt.spec import ModelSpec, load_spec

PRECISIONS = ("fp32", "int8")
_FITTED = {"detector": 48, "recognizer": 200, "classifier": 200}
"""Largest number of calibration images, as in ``build --compress``."""
_TOLERANCE = 0.02
"""How much the FLOPs of methods may differ in a comparison at equal FLOPs."""
_ANY_RANGE = 4.0
"""Range of every tensor in graphs that are only timed."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A smaller model. ``share``: the FLOPs that were requested, relative to the whole model."""

    share: float
    title: str
    graphs: Graphs


def main() -> None:
    options = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger = logging.getLogger("competing_pruners")
    logger.setLevel(logging.INFO)
    reporter, spec = LogReporter(logger), load_spec(options.spec)
    whole = _kept(options.output / "whole", spec, lambda: _converted(spec, reporter))
    rows = [*_own_rows(options, spec, whole, reporter), *_torch_rows(options, spec, whole)]
    rows.sort(key=lambda row: -row.share)  # stable: the methods keep their order
    times = _times([whole, *(row.graphs for row in rows)], spec, options.duration)
    with tempfile.TemporaryDirectory() as scratch:
        data = dict(_datasets(options, spec, Path(scratch)))
        judge = AccuracyJudge(spec, whole, data, options.output / "accuracy.jsonl", reporter)
        _print_table(rows, whole, judge, times)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spec", type=Path)
    parser.add_argument("--calibration", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--held-out", type=int, default=0, metavar="N", help="scenes or words")
    parser.add_argument(
        "--flops", default="0.8,0.6", help="shares of the FLOPs that remain (default: %(default)s)"
    )
    parser.add_argument(
        "--methods", default=",".join(METHODS), help="without Torch-Pruning (default: %(default)s)"
    )
    parser.add_argument(
        "--torch-python",
        type=Path,
        metavar="PATH",
        help="Python with torch, torchvision, onnx2torch and torch-pruning",
    )
    parser.add_argument(
        "--duration", type=float, default=10.0, help="seconds for each graph; 0: no times"
    )
    parser.add_argument("--output", type=Path, default=Path("pruned"), metavar="DIR")
    return parser.parse_args()


def _shares(options: argparse.Namespace) -> list[float]:
    return [float(each) for each in options.flops.split(",")]


def _converted(spec: ModelSpec, reporter: LogReporter) -> Graphs:
    return convert_sizes(open_source(spec.source), spec, reporter).graphs


def _kept(folder: Path, spec: ModelSpec, make: Callable[[], Graphs]) -> Graphs:
    """Return the graphs in a folder; make and write them if they are not there."""
    paths = {size: folder / f"{size}.onnx" for size in spec.input_sizes}
    if not all(path.exists() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        for size, graph in make().items():
            onnx.save(graph, paths[size])
    return {size: onnx.load(path) for size, path in paths.items()}


def _own_rows(
    options: argparse.Namespace, spec: ModelSpec, whole: Graphs, reporter: LogReporter
) -> Iterator[Row]:
    calibration = load_calibration(options.calibration, spec, _FITTED[spec.role])
    log = options.output / "options.jsonl"
    pruner = Pruner(spec, whole, list(calibration.batches()), log, reporter)
    for share in _shares(options):
        for method in options.methods.split(","):
            title = METHODS[method]
            folder = options.output / f"{method}-{share:g}"
            graphs = _kept(folder, spec, lambda m=method, s=share: pruner.pruned(m, s))  # type: ignore[misc]
            yield Row(share=share, title=title, graphs=graphs)


def _torch_rows(options: argparse.Namespace, spec: ModelSpec, whole: Graphs) -> Iterator[Row]:
    """Yield what Torch-Pruning makes of the graphs, if its Python was given."""
    if options.torch_python is None:
        return
    folder = options.output / "torch"
    pruned_by_torch(options.torch_python, options.output / "whole", folder)
    made = [
        {size: onnx.load(each / f"{size}.onnx") for size in spec.input_sizes}
        for each in sorted(folder.iterdir())
        if each.is_dir()
    ]
    for share in _shares(options) if made else ():
        graphs = nearest(made, lambda each: kept_flops(each, whole), share)
        yield Row(share=share, title=TORCH_METHOD, graphs=graphs)


def _datasets(
    options: argparse.Namespace, spec: ModelSpec, scratch: Path
) -> Iterator[tuple[str, Dataset]]:
    yield f"`{options.data}`", load_dataset(options.data)
    if options.held_out:
        folder, count = scratch / "held-out", options.held_out
        if spec.role == "detector":
            scenes = enumerate(held_out_scenes(count))
            write_scenes(folder, ((f"{n:04}.png", scene) for n, scene in scenes))
        else:
            write_words(folder, held_out_words(count))
        yield f"{count} held-out images", load_dataset(folder)


def _times(models: Sequence[Graphs], spec: ModelSpec, duration: float) -> list[dict[str, float]]:
    """Return the median of each model and precision, relative to that of the first model."""
    if not duration:
        return [{} for _ in models]
    size, target = spec.input.size, backend("openvino")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        contenders = []
        for number, graphs in enumerate(models):
            for precision in PRECISIONS:
                plan = Path(scratch) / f"{number}-{precision}{target.suffix}"
                graph = graphs[size] if precision == "fp32" else _any_int8(graphs[size])
                target.build(graph, plan, BuildSettings(max_batch=spec.input.max_batch))
                entry = EngineEntry(
                    height=size.height, width=size.width, model=plan.name, plan=plan.name
                )
                engine = Engine.from_plans(target, plan.parent, [entry], spec=spec, label=plan.stem)
                runner = stack.enter_context(engine).runner(size)
                contenders.append(Contender(runner=runner, shape=(1, *runner.shape)))
        stats = [each.p50 for each in measure(contenders, LatencySettings(duration_s=duration))]
    of_each = [stats[n : n + len(PRECISIONS)] for n in range(0, len(stats), len(PRECISIONS))]
    return [
        {name: own / base for name, own, base in zip(PRECISIONS, each, of_each[0], strict=True)}
        for each in of_each
    ]


def _any_int8(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in int8 with ranges that serve for timing only."""
    target = backend("openvino")
    lowered = target.lower(graph)
    names = quantized_tensors(lowered, everywhere=True, products=True)
    return quantize(lowered, dict.fromkeys(names, _ANY_RANGE), target.needs().style).model


def _print_table(
    rows: Sequence[Row],
    whole: Graphs,
    judge: AccuracyJudge,
    times: Sequence[dict[str, float]],
) -> None:
    found = machine()
    tools = ", ".join(f"{name} {metadata.version(name)}" for name in ("onnxruntime", "openvino"))
    print(f"{judge.spec.name}; {found['processor']}, {found['cores']} cores; {tools}")
    for name in judge.data:
        print(f"{judge.title} of the model on {name}: {judge.baseline(name):.2f}")
    lost = " | ".join(f"{judge.title}, points lost on {name}" for name in judge.data)
    print(f"\n| method | FLOPs | {lost} | agreement | distance | fp32 time | int8 time |")
    print(f"|---|---:|{'---:|' * len(judge.data)}---:|---:|---:|---:|")
    for row, time in zip(rows, times[1:], strict=True):
        found_of = [judge.measured(row.title, row.graphs, name) for name in judge.data]
        points = " | ".join(f"{each.value:.2f}, {each.points}" for each in found_of)
        ratios = " | ".join(f"{time[p]:.2f}" if time else "not measured" for p in PRECISIONS)
        kept = kept_flops(row.graphs, whole)
        far = "" if abs(kept - row.share) <= _TOLERANCE else ", none is nearer"
        print(
            f"| {row.title} | {100 * kept:.1f} %{far} | {points} "
            f"| {found_of[-1].agreement:.1f} % | {found_of[-1].distance:.4f} | {ratios} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
