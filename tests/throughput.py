"""Pictures per second of the whole pipeline: TensorFlow, one worker, a worker per core.

    python tests/throughput.py demo-output      a folder that `ocr-trt demo` has filled

All read the 20 sample pictures, in turns; medians of five rounds after one that is not counted.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

from ocr_trt.convert.sources import open_source
from ocr_trt.engines.baseline import baseline_runner
from ocr_trt.engines.bundle import load_bundle
from ocr_trt.models.reference import SAMPLES
from ocr_trt.ocr.image import image_files, load_image
from ocr_trt.pipeline.engine import Engine, engine_from_bundle
from ocr_trt.pipeline.reader import OcrReader, TextLine
from ocr_trt.pipeline.workers import in_order
from ocr_trt.spec import load_spec

ROUNDS = 5


def baseline(spec_file: Path) -> Engine:
    """Return the model itself; its runners keep the source, which owns the variables."""
    spec = load_spec(spec_file)
    source = open_source(spec.source)
    return Engine(
        label="tensorflow",
        spec=spec,
        open_runner=lambda width: baseline_runner(source, spec, width),
    )


def read(reader: OcrReader, file: Path) -> list[TextLine]:
    """Read one picture, decoding included."""
    return reader.read(load_image(file))


def main() -> None:
    """Print a line for each."""
    demo, cores = Path(sys.argv[1]), len(os.sched_getaffinity(0))
    roles = ("detector", "recognizer")
    bundles = [load_bundle(demo / "bundles" / f"reference-{r}-openvino-int8") for r in roles]

    def readers(count: int, threads: int) -> list[OcrReader]:
        return [
            OcrReader(*(engine_from_bundle(bundle, threads=threads) for bundle in bundles))
            for _ in range(count)
        ]

    systems = {
        "tensorflow": [OcrReader(*(baseline(demo / "models" / f"{r}.yaml") for r in roles))],
        "openvino int8": readers(1, 0),
        f"openvino int8, {cores} workers": readers(cores, 1),
    }
    files = image_files(SAMPLES / "test")
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(ROUNDS + 1):
        for name, workers in systems.items():
            start = time.perf_counter()
            list(in_order(read, workers, files))
            seconds[name].append(time.perf_counter() - start)
    rates = {name: len(files) / statistics.median(found[1:]) for name, found in seconds.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate:.2f} pictures/s, {rate / rates['tensorflow']:.2f}x")


if __name__ == "__main__":
    main()
