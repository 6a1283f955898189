"""``open_reader``: a reader of bundles."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..engines.bundle import load_bundle
from ..engines.engine import Engine
from ..engines.tuned import LARGEST_CHOICE, Mode
from ..errors import UserError, unknown
from .any_reader import Reader
from .parallel_lines import reads_lines_in_parallel, recognizer_of_lines
from .reader import ReadSettings

_log = logging.getLogger(__name__)


def open_reader(  # noqa: PLR0913  # one argument per setting
    detector: str | os.PathLike[str] | None,
    recognizer: str | os.PathLike[str],
    *,
    classifier: str | os.PathLike[str] | None = None,
    mode: Mode = "latency",
    streams: int = 0,
    threads: int = 0,
    settings: ReadSettings | None = None,
    is_trusted: bool = False,
) -> Reader:
    """Open bundles of a detector, a recognizer and perhaps a classifier, and load all their plans.

    >>> import ocr_trt
    >>> with ocr_trt.open_reader("bundles/detector", "bundles/recognizer") as reader:
    ...     print(reader.read("receipt.png").text)
    TOTAL 12.50
    THANK YOU

    Args:
        detector: folder of the detector bundle; None: each image is one line of text.
        recognizer: folder of the recognizer bundle.
        classifier: folder of a classifier bundle, which finds lines that are turned; None: lines
            are read as they are, apart from tall boxes, whose text may run down or up.
        mode: ``latency``: one image at a time, in the shortest time: a recognizer with one plan for
            all widths reads several of its lines at once; ``throughput``: several images at once,
            for a server or many images. The numbers of streams and threads are those that
            ``ocr-trt optimize`` measured on this machine, if it was run.
        streams: how many batches each engine runs at once, in place of the mode's number.
        threads: CPU threads of each engine, in place of the mode's number.
        settings: how images are read.
        is_trusted: run the code that version-compatible TensorRT plans contain. Only for plans from
            a source you trust.

    Raises:
        InputFileError: a folder is not a bundle, or a file in it is missing or was changed.
        SpecError: a bundle has another role.
        TargetMissingError: its target cannot run here.
        UserError: ``mode`` is unknown, or ``streams`` or ``threads`` are negative.
        TypeError: an argument has another type.
    """
    _check_arguments(mode=mode, streams=streams, threads=threads, settings=settings)
    return _Opening(
        # Absolute, because a process that unpickles the reader may be in another folder.
        detector=None if detector is None else Path(detector).absolute(),
        recognizer=Path(recognizer).absolute(),
        classifier=None if classifier is None else Path(classifier).absolute(),
        mode=mode,
        streams=streams,
        threads=threads,
        settings=settings or ReadSettings(),
        is_trusted=is_trusted,
    ).open()


def _check_arguments(*, mode: str, streams: int, threads: int, settings: object) -> None:
    """Check what would otherwise fail in the middle of opening, or have no effect."""
    if mode not in get_args(Mode):
        raise UserError(unknown("mode", str(mode), get_args(Mode)))
    for name, number in (("streams", streams), ("threads", threads)):
        if not isinstance(number, int):
            raise TypeError(f"{name} is {number!r}; expected a whole number")
        if not 0 <= number <= LARGEST_CHOICE:
            raise UserError(f"{name} is {number}; expected 0 to {LARGEST_CHOICE:,}")
    if not isinstance(settings, (ReadSettings, type(None))):
        raise TypeError(f"settings is {settings!r:.80}; expected ocr_trt.ReadSettings(...)")


@dataclass(frozen=True, kw_only=True)
class _Opening:
    """The arguments of :func:`open_reader`, from which a pickled reader is opened again."""

    detector: Path | None
    recognizer: Path
    classifier: Path | None
    mode: Mode
    streams: int
    threads: int
    settings: ReadSettings
    is_trusted: bool

    def open(self) -> Reader:
        with ExitStack() as stack:
            detector, classifier = (
                None if path is None else stack.enter_context(self._engine(path))
                for path in (self.detector, self.classifier)
            )
            bundle = load_bundle(self.recognizer, is_trusted=self.is_trusted)
            # Without a detector, an image is a single line.
            parallel = self.mode == "latency" and detector is not None and not self.streams
            parallel = parallel and reads_lines_in_parallel(bundle)
            recognizer = stack.enter_context(
                recognizer_of_lines(bundle, self.threads)
                if parallel
                else self._engine(self.recognizer)
            )
            engines = (detector, recognizer, classifier)
            for engine in engines:
                if engine is None:
                    continue
                for size in engine.sizes:  # so that a wrong plan fails here
                    engine.runner(size)
                _log.info("opened %s, %s", engine.label, self.mode)
            # After its runners: the end of the interpreter goes the other way, so that reads that
            # have begun can still use them.
            reader = Reader(
                detector,
                recognizer,
                self.settings,
                classifier=classifier,
                parallel_lines=parallel,
                reopen=self.open,
            )
            stack.pop_all()  # from here on, the reader closes the engines
        return reader

    def _engine(self, path: Path) -> Engine:
        bundle = load_bundle(path, is_trusted=self.is_trusted)
        return Engine.from_bundle(
            bundle, mode=self.mode, streams=self.streams, threads=self.threads
        )
