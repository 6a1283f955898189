"""Comparison of this project's quantization with that of other tools, on the reference models.

    pip install nncf
    python benchmarks/quantizers.py      writes docs/calibration.md; needs `make fonts`

Every tool gets the same float graph and the same calibration images. Its engine in OpenVINO is
measured on the same held-out images, and all engines are timed in one interleaved run. TensorRT-RTX
tries to build its graph.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnx_ir as ir
from competing_quantizers import COMPETITORS, Contest, score_of, stock_plan

from ocr_trt.builder import BuildRequest, build
from ocr_trt.calibration.images import load_calibration
from ocr_trt.calibration.lint import lint, prepared
from ocr_trt.calibration.noise import run_all
from ocr_trt.common.cpu import has_exact_int8
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.manifest import EngineEntry
from ocr_trt.engines.targets import backend
from ocr_trt.errors import EngineBuildError
from ocr_trt.measure.latency import Contender, LatencySettings, measure
from ocr_trt.measure.machine import machine, versions
from ocr_trt.models.evaluate import held_out_scenes, held_out_words
from ocr_trt.models.make_samples import write_scenes, write_words
from ocr_trt.models.reference_models import SAMPLES, ReferenceRole, export_reference
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.spec import RecognizerSpec, load_spec

DOCUMENT = Path(__file__).parent.parent / "docs" / "calibration.md"
IMAGES = 64
"""The largest number of calibration images; the detector has the package's 16."""


@dataclass(kw_only=True)
class Row:
    """The result of one tool. ``graph``: its ONNX graph; ``plan``: the file that OpenVINO loads."""

    name: str
    graph: onnx.ModelProto
    plan: Path | None
    seconds: float
    metric: float = float("nan")
    noise: float = float("nan")
    share: float = 0.0
    latency: float = float("nan")
    builds: str = ""
    notes: list[str] = field(default_factory=list)


def _competitor_rows(contest: Contest) -> Iterator[Row]:
    for make in COMPETITORS:
        start = time.monotonic()
        name = (make.__doc__ or "").splitlines()[0].rstrip(".")
        name = name.replace("Onnxruntime", "onnxruntime")  # docstrings begin with a capital
        print(f"  {name}", file=sys.stderr)
        graph = make(contest)
        yield Row(
            name=name,
            graph=graph,
            plan=stock_plan(graph, contest.folder / f"{make.__name__}.xml"),
            seconds=time.monotonic() - start,
        )


def _own_rows(contest: Contest) -> Iterator[Row]:
    for precision, name in (
        ("fp32", "float graph"),
        ("int8", "ocr-trt `int8`"),
        ("best", "ocr-trt `best`"),
    ):
        print(f"  {name}", file=sys.stderr)
        start = time.monotonic()
        (result,) = build(
            BuildRequest(
                spec=contest.spec,
                targets=("openvino",),
                precision=precision,
                method="auto" if precision == "best" else "mse",
                output=contest.folder / precision,
                calibration=load_calibration(SAMPLES / "calibration", contest.spec, IMAGES),
                samples=load_dataset(SAMPLES / "test"),
                settings=BuildSettings(max_batch=contest.spec.input.max_batch),
            )
        )
        if result.error is not None:
            raise result.error
        bundle = load_bundle(result.folder)
        (entry,) = bundle.manifest.engines
        found = bundle.manifest.calibration
        row = Row(
            name=name,
            graph=onnx.load(bundle.path(entry.model)),
            plan=bundle.path(entry.plan),
            seconds=time.monotonic() - start,
        )
        if precision == "best" and found is not None:
            row.notes.append(f"it selected {', '.join((found.method, *found.corrections))}")
        yield row


def measured_rows(contest: Contest) -> list[Row]:
    """Build every tool's engine and measure it."""
    rows = [*_own_rows(contest), *_competitor_rows(contest)]
    size, feeds = contest.spec.input.size, _measured_batches(contest)
    exact = run_all({size: contest.graph}, feeds)
    rtx = backend("tensorrt-rtx")
    with ExitStack() as stack:
        engines = {}
        for row in rows:
            row.noise = _noise(exact, run_all({size: row.graph}, feeds))
            row.share = _share(row.graph)
            try:
                rtx.build(row.graph, contest.folder / "plan", _RTX)
                row.builds = "yes"
            except EngineBuildError as error:
                row.builds = "no"
                row.notes.append(str(error)[:200])
            engine = _opened(row, contest)
            if engine is not None:
                engines[row.name] = stack.enter_context(engine)
                row.metric = 100 * score_of(engine, contest.samples, contest.spec)
        runners = [engine.runner() for engine in engines.values()]
        contenders = [Contender(runner=r, shape=(1, *r.shape)) for r in runners]
        stats = measure(contenders, LatencySettings(duration_s=4.0))
        for name, found in zip(engines, stats, strict=True):
            next(row for row in rows if row.name == name).latency = found.p50
    return rows


def _opened(row: Row, contest: Contest) -> Engine | None:
    """Return a row's engine in OpenVINO; None, with a note in the row, if it does not compile."""
    if row.plan is None:
        return None
    height, width = contest.spec.input.size
    entry = EngineEntry(height=height, width=width, model=row.plan.name, plan=row.plan.name)
    target, folder = backend("openvino"), row.plan.parent
    engine = Engine.from_plans(target, folder, [entry], spec=contest.spec, label=row.name)
    try:
        engine.runner()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        row.notes.append(f"OpenVINO cannot compile it: {lines[-1][:160]}")
        return None
    return engine


_RTX = BuildSettings(max_batch=16, options={"compute-capability": "8.6,8.9,12.0"})


def _measured_batches(contest: Contest) -> list[tuple[int, np.ndarray]]:
    return list(load_calibration(SAMPLES / "test", contest.spec, 16).batches())


def _noise(exact: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    signal = sum(float(((one - one.mean()) ** 2).sum()) for one in exact)
    noise = sum(float(((a - b) ** 2).sum()) for a, b in zip(exact, other, strict=True))
    return 10 * float(np.log10(signal / noise)) if noise else float("inf")


def _share(graph: onnx.ModelProto) -> float:
    found = lint(prepared(ir.from_proto(graph)))
    total = sum(each.flops for each in found)
    return sum(each.flops for each in found if each.runs == "int8") / total if total else 0.0


def contest_of(role: ReferenceRole, folder: Path) -> Contest:
    """Prepare a reference model and its images."""
    spec = load_spec(export_reference(role, folder / "models"))
    if isinstance(spec, RecognizerSpec):
        spec = spec.model_copy(update={"buckets": ()})
    source = open_source(spec.source)
    graph = convert(source, spec).model
    held_out = folder / f"{role}-held-out"
    if role == "detector":
        write_scenes(held_out, ((f"{i}.png", s) for i, s in enumerate(held_out_scenes())))
    else:
        write_words(held_out, held_out_words())
    samples = load_dataset(held_out)
    calibration = load_calibration(SAMPLES / "calibration", spec, IMAGES)
    return Contest(
        spec=spec,
        graph=graph,
        inlined=onnx.inliner.inline_local_functions(graph),
        batches=[batch for _, batch in calibration.batches()],
        baseline=Engine.from_source(source, spec),
        samples=samples,
        folder=folder,
        source=source,
    )


def _table(contest: Contest, rows: list[Row]) -> list[str]:
    is_detector = contest.spec.role == "detector"
    exact = 100 * score_of(contest.baseline, contest.samples, contest.spec)
    shown = exact if is_detector else 100 - exact
    what = "hmean" if is_detector else "CER"
    lines = [
        f"| | {what} | signal to noise, dB | int8 share | OpenVINO, ms | TensorRT-RTX builds "
        "| build time |",
        "|---|---:|---:|---:|---:|---|---:|",
        f"| {contest.baseline.label} | {shown:.2f} | | | | | |",
    ]
    for row in rows:
        value = row.metric if is_detector else 100 - row.metric
        metric = "fails" if np.isnan(value) else f"{value:.2f}"
        latency = "fails" if np.isnan(row.latency) else f"{row.latency:.1f}"
        share = f"{100 * row.share:.1f} %" if row.builds == "yes" else "refused"
        noise = "reference" if np.isinf(row.noise) else f"{row.noise:.1f}"
        lines.append(
            f"| {row.name} | {metric} | {noise} | {share} | {latency} | {row.builds} "
            f"| {row.seconds:.0f} s |"
        )
    return lines


BY_HAND = "## Where ocr-trt is not best"
INTRODUCTION = """\
# Comparison with other quantizers

`python benchmarks/quantizers.py` writes the tables. The text below the tables is written by hand.

- Every tool gets the same float graph of a reference model and the same calibration images.
- All results are measured on the same held-out images: 100 scenes for the detector, 500 words for
  the recognizer. Their fonts and words were used for neither training nor calibration.
- The metric is that of the engine in OpenVINO. All engines are timed at batch 1 in one interleaved
  run.
- Signal to noise: at the output of the quantized graph in onnxruntime, against the float graph.
- int8 share: the share of FLOPs that TensorRT runs in int8, as `ocr-trt inspect QUANTIZED.onnx`
  reports it. `refused`: TensorRT-RTX does not build the graph.
- Build time: from the TensorFlow model for ocr-trt, and from the float graph for the other tools.
- Tools that optimize a metric (`best`, accuracy control) use the 20 sample images for it.
"""


def _introduction() -> list[str]:
    import nncf

    here, found = machine(), versions()
    sums = f"{'with' if has_exact_int8() else 'without'} exact int8 sums"
    why = "[0014](decisions/0014-int8-sums.md)"
    tools = ", ".join(f"{name} {found[name]}" for name in ("onnxruntime", "openvino"))
    return [
        *INTRODUCTION.splitlines(),
        "",
        f"{here['processor']}, {here['cores']} cores, {sums} ({why}),",
        f"{tools}, nncf {nncf.__version__}.",
    ]


def main() -> None:
    """Write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--role", choices=("detector", "recognizer"), help="print this role only; write nothing"
    )
    options = parser.parse_args()
    roles: tuple[ReferenceRole, ...] = (
        (options.role,) if options.role else ("detector", "recognizer")
    )
    lines = _introduction()
    with tempfile.TemporaryDirectory() as scratch:
        for role in roles:
            print(role, file=sys.stderr)
            contest = contest_of(role, Path(scratch) / role)
            rows = measured_rows(contest)
            size = contest.spec.input.size
            lines += ["", f"## The {role}, {size}", "", *_table(contest, rows)]
            notes = [f"- {row.name}: {note}" for row in rows for note in row.notes]
            lines += ["", *notes] if notes else []
    text = "\n".join(lines) + "\n"
    print(text)
    if not options.role:
        DOCUMENT.write_text(f"{text}\n{_by_hand()}", "utf-8")


def _by_hand() -> str:
    """Return the part of the document that people write. Review it after each run."""
    old = DOCUMENT.read_text("utf-8")
    return old[old.index(BY_HAND) :]


if __name__ == "__main__":
    main()
