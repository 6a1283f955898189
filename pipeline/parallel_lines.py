"""Read the lines of one image on all streams of a recognizer at once.

This is for recognizers with one plan for all widths: nearly each line has a width, and so a batch,
of its own. Two such lines on one thread each are done sooner than one after the other on two
threads, also because preparing and decoding them runs in parallel. Full batches, which a recognizer
with few widths gets, are faster on all threads one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..common.cores import usable_cores
from ..common.input_size import InputSize
from ..engines.bundle import Bundle
from ..engines.engine import Engine
from ..engines.targets import backend
from ..engines.tuned import choice_for
from ..ocr.ctc import Reading
from ..ocr.types import Image
from ..spec import RecognizerSpec
from .clock import Clock
from .line_parts import PartResult, Parts
from .stages import batches_by_size, read_batch, recognize, spec_of
from .workers import in_order

_MOST_STREAMS = 8
"""By default. Each stream needs memory of its own, and most images have few lines per width."""


def reads_lines_in_parallel(bundle: Bundle) -> bool:
    """Whether a recognizer has one plan for all its widths, and runs on the CPU."""
    engines = bundle.manifest.engines
    has_one_plan = len(engines) > len({entry.plan for entry in engines})
    return has_one_plan and backend(bundle.manifest.target).runs_on_cpu


def recognizer_of_lines(bundle: Bundle, threads: int = 0) -> Engine:
    """Open a recognizer with several streams, for :func:`recognize_in_parallel`.

    Args:
        bundle: of a recognizer for which :func:`reads_lines_in_parallel`.
        threads: CPU threads of all streams together; 0: the numbers that ``ocr-trt optimize``
            measured for throughput, if it was run, or all cores.
    """
    tuned = choice_for(bundle, "throughput")
    if not threads and tuned.threads:
        return Engine.from_bundle(bundle, mode="throughput")
    streams = min(threads or tuned.streams or usable_cores(), _MOST_STREAMS)
    return Engine.from_bundle(bundle, streams=streams, threads=threads)


def recognize_in_parallel(engine: Engine, lines: Sequence[Image], clock: Clock) -> list[Reading]:
    """Read RGB text lines (h, w, 3) as ``stages.recognize`` does, with equal results.

    ``clock``: with several streams, "recognize" includes preparing and decoding the lines.
    """
    spec = spec_of(engine, RecognizerSpec)
    parts = Parts.of_sizes([line.shape[:2] for line in lines], spec)
    runner = engine.runner(parts.sizes[0]) if lines else None
    if runner is None or runner.streams == 1 or runner.plan is None:
        return recognize(engine, lines, clock)
    with clock("fit"):
        images = parts.cut(lines, spec)

    def read(size: InputSize, batch: Sequence[int]) -> list[PartResult]:
        is_whole = [parts.is_whole[index] for index in batch]
        return read_batch(engine, [images[index] for index in batch], is_whole, size)

    results: dict[int, PartResult] = {}
    with clock("recognize"):
        todo = list(batches_by_size(parts.sizes, engine))
        if todo and not engine.runner(todo[0][0]).knows_good_batch:
            # The first batch decides how large all others are, so it must always be the same one.
            size, first = todo.pop(0)
            results.update(zip(first, read(size, first), strict=True))
        # The widest first, so that no stream has a long batch left when the others are done.
        pieces = [piece for batch in reversed(todo) for piece in _pieces(engine, *batch)]
        threads = range(min(len(pieces), runner.streams) or 1)
        outputs = in_order(lambda _, piece: read(*piece), threads, pieces)
        for (_, batch), output in zip(pieces, outputs, strict=True):
            results.update(zip(batch, output, strict=True))
    with clock("text"):
        return parts.readings([results[index] for index in range(len(parts))], spec)


def _pieces(
    engine: Engine, size: InputSize, batch: Sequence[int]
) -> list[tuple[InputSize, Sequence[int]]]:
    """Split a batch as ``read_batch`` would, so that several streams can share it."""
    step = engine.runner(size).good_batch
    return [(size, batch[start : start + step]) for start in range(0, len(batch), step)]
