"""Compare a compressed engine with the uncompressed one: time, FLOPs, accuracy.

    python benchmarks/compression.py SPEC --calibration DIR --data DIR --precision int8

Builds both with ``ocr-trt build`` if they are not in ``--output`` yet, then times them and the
model in one interleaved run at batch 1, and measures them on the samples of ``--data``. For the
reference models, ``--held-out N`` adds N synthetic scenes or words that no training has seen
(``make fonts``). All intervals are of the points lost against the model, paired by image.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ocr_trt.builder import BuildRequest, build
from ocr_trt.builder.compression_trials import points_interval
from ocr_trt.calibration.images import load_calibration
from ocr_trt.common.progress import SilentReporter
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.bundle import Bundle, load_bundle
from ocr_trt.engines.engine import Engine
from ocr_trt.measure.accuracy import run_samples
from ocr_trt.measure.latency import Contender, LatencySettings, measure
from ocr_trt.measure.machine import machine
from ocr_trt.models.evaluate import held_out_scenes, held_out_words
from ocr_trt.models.make_samples import write_scenes, write_words
from ocr_trt.ocr.dataset import Dataset, load_dataset
from ocr_trt.ocr.metrics.metric import METRICS
from ocr_trt.spec import ModelSpec, load_spec


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spec", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--target", default="openvino")
    parser.add_argument("--held-out", type=int, default=0, help="scenes or words")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds for each engine")
    parser.add_argument("--output", type=Path, default=Path("bundles"))
    options = parser.parse_args()
    spec = load_spec(options.spec)
    bundles = [_bundle(options, spec, compress=each) for each in (False, True)]
    print(f"{spec.name}, {options.target} {options.precision}, {machine()}")
    print(f"{bundles[1].label}: {bundles[1].manifest.compression and _summary(bundles[1])}")
    with ExitStack() as stack:
        source = open_source(spec.source)
        baseline = stack.enter_context(Engine.from_source(source, bundles[0].spec))
        engines = [stack.enter_context(Engine.from_bundle(each)) for each in bundles]
        _print_times([baseline, *engines], options.duration)
        for name, data in _datasets(options, spec, stack):
            _print_accuracy(name, data, baseline, engines)


def _bundle(options: argparse.Namespace, spec: ModelSpec, *, compress: bool) -> Bundle:
    request = BuildRequest(
        spec=spec,
        precision=options.precision,
        targets=(options.target,),
        output=options.output,
        calibration=load_calibration(options.calibration, spec),
        samples=load_dataset(options.data),
        method="auto" if options.precision == "best" else "mse",
        settings=BuildSettings(max_batch=spec.input.max_batch),
        compress=compress,
    )
    folder = request.bundle_folder(options.target)
    if not folder.exists():
        (result,) = build(request)
        if result.error is not None:
            raise SystemExit(f"{folder.name}: {result.error}")
    return load_bundle(folder)


def _summary(bundle: Bundle) -> str:
    compression = bundle.manifest.compression
    assert compression is not None
    return f"{100 * compression.kept_flops:.1f} % of the FLOPs; {compression.reason}"


def _print_times(engines: list[Engine], duration: float) -> None:
    contenders = [Contender(runner=r, shape=(1, *r.shape)) for r in (e.runner() for e in engines)]
    measured = measure(contenders, LatencySettings(duration_s=duration))
    model, plain, small = (each.p50 for each in measured)
    print("median ms at batch 1, one interleaved run:")
    print(f"  model {model:.2f}, uncompressed {plain:.2f} ({model / plain:.2f}x), ", end="")
    print(f"compressed {small:.2f} ({model / small:.2f}x)")
    print(f"  compressed / uncompressed = {small / plain:.3f}")


def _datasets(
    options: argparse.Namespace, spec: ModelSpec, stack: ExitStack
) -> Iterator[tuple[str, Dataset]]:
    yield str(options.data), load_dataset(options.data)
    if not options.held_out:
        return
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "held-out"
    if spec.role == "detector":
        scenes = held_out_scenes(options.held_out)
        write_scenes(folder, ((f"{n:04}.png", scene) for n, scene in enumerate(scenes)))
    else:
        write_words(folder, held_out_words(options.held_out))
    yield f"{options.held_out} held-out images", load_dataset(folder)


def _print_accuracy(name: str, data: Dataset, baseline: Engine, engines: list[Engine]) -> None:
    reporter = SilentReporter()
    truth = run_samples(baseline, data, reporter)
    title = METRICS[truth.metric].title
    print(f"{name}: {title} of the model {100 * truth.value:.2f}")
    for label, engine in zip(("uncompressed", "compressed"), engines, strict=True):
        result = run_samples(engine, data, reporter)
        lost = result.compare(truth, labeled=data.labeled, run_by="").loss
        interval = points_interval(result, truth, labeled=data.labeled)
        ends = f" ({interval.low:+.2f} to {interval.high:+.2f})" if interval else ""
        agreement = 100 - result.compare(truth, labeled=False, run_by="").loss
        print(
            f"  {label}: {title} {100 * result.value:.2f}, points lost {lost:+.2f}{ends}, "
            f"agreement {agreement:.2f} %"
        )


if __name__ == "__main__":
    main()
