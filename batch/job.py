"""``run_batch``: read all images of a source with Ray Data, and write parquet."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from ..common.files import file_sha256
from ..common.path_text import path_text
from ..engines.bundle import load_bundle
from ..engines.manifest import NAME
from ..engines.targets import backend
from ..errors import SpecError
from ..pipeline.reader import ReadSettings
from ..spec import DetectorSpec, RecognizerSpec, has_polygon_boxes
from .division import (
    HELPERS,
    block_size,
    divide_cpus,
    gpus_of_cluster,
    machines_of_cluster,
    this_machine,
)
from .output_folder import JobRecord, OutputFolder
from .progress import Meter, Progress, Watch, watched
from .ray_session import ray_session
from .reading_actor import ReaderOptions
from .sources import Inputs, SourceOptions, open_source

_SHOWN_ERRORS = 5


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """What to read, with which bundles and settings, and where to write the results."""

    source: str
    """A folder, pattern, list, image or parquet; see :func:`.sources.open_source`."""
    output: Path
    detector: Path | None
    """Folder of the detector bundle; None: each image is one line of text."""
    recognizer: Path
    """Folder of the recognizer bundle."""
    address: str = ""
    """HOST:PORT of a Ray cluster, or ``auto``; "": Ray is started on this machine."""
    actors: int = 0
    """How many processes read; 0: as many as the CPUs allow."""
    threads: int = 0
    """CPU threads of each actor; 0: 1, or up to 4 if memory is short."""
    block: int = 0
    """Images that are read and written together; 0: 8 to 256, by the number of images."""
    sources: SourceOptions = field(default_factory=SourceOptions)
    settings: ReadSettings = field(default_factory=ReadSettings)
    is_trusted: bool = False
    verbose: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchSummary:
    """What a run did."""

    progress: Progress
    """At the end of the run."""
    earlier: int
    """Images that earlier runs had read."""
    pages: int
    """Rows of all result files."""
    actors: int
    threads: int
    errors: tuple[tuple[str, int, str], ...]
    """The id, page and message of the first rows with errors."""


def run_batch(
    job: BatchJob,
    *,
    watch: Watch = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> BatchSummary:
    """Read all images, or those that earlier runs with the same output folder did not read.

    Args:
        job: what to do.
        watch: called about once per second with the progress, in another thread.
        note: called with facts that the user should read.

    Raises:
        InputFileError: a source or a bundle cannot be read.
        OutputError: the output folder cannot be used.
        UserError: there is no cluster at the address, or it does not have the CPUs.
    """
    checked = _checked(job)
    with OutputFolder.open(job.output) as output:
        inputs = open_source(job.source, job.sources, output.index)
        output.check_record(
            checked.record.model_copy(update={"content": _fingerprint(inputs, job)})
        )
        for text in inputs.notes:
            note(text)
        meter = Meter(output, inputs.total)
        division = partial(divide_cpus, actors=job.actors, threads=job.threads)
        here = [this_machine()]
        local = 0 if job.address else math.prod(division(here)) + HELPERS
        with ray_session(job.address, local, verbose=job.verbose):
            from .dataset import Pool, read_and_write

            machines = machines_of_cluster() if job.address else here
            gpus = gpus_of_cluster() if checked.needs_gpu else 0
            spare = HELPERS if job.address else 0
            actors, threads = division(machines, spare=spare, gpus=gpus)
            pool = Pool(
                actors=actors, threads=threads, gpus=int(checked.needs_gpu),
                block=job.block or block_size(inputs.total, actors),
            )  # fmt: skip
            with watched(meter, watch):
                options = _reader_options(job, inputs, threads, has_polygons=checked.has_polygons)
                read_and_write(inputs, output, options, pool, is_verbose=job.verbose)
        progress = meter.look()
        return BatchSummary(
            progress=progress,
            earlier=meter.before.images,
            pages=meter.pages,
            actors=actors,
            threads=threads,
            errors=tuple(output.errors(_SHOWN_ERRORS)),
        )


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """What the bundles of a job state: whether they need a GPU, and whether lines have polygons."""

    record: JobRecord
    needs_gpu: bool
    has_polygons: bool


def _checked(job: BatchJob) -> _Checked:
    """Check the bundles of a job."""
    digests: list[str | None] = []
    needs_gpu = has_polygons = False
    for path, role in ((job.detector, DetectorSpec), (job.recognizer, RecognizerSpec)):
        if path is None:
            digests.append(None)
            continue
        bundle = load_bundle(path, is_trusted=job.is_trusted)
        if not isinstance(bundle.spec, role):
            name = "detector" if role is DetectorSpec else "recognizer"
            raise SpecError(f"{path}: is a {bundle.spec.role}, expected a {name}")
        has_polygons |= has_polygon_boxes(bundle.spec)
        needs_gpu |= not backend(bundle.manifest.target).runs_on_cpu
        digests.append(file_sha256(path / NAME))
    detector, recognizer = digests
    assert recognizer is not None
    source = job.source if "://" in job.source else path_text(Path(job.source).absolute())
    record = JobRecord(
        source=source, content="", detector=detector, recognizer=recognizer,
        settings=asdict(job.settings),
    )  # fmt: skip
    return _Checked(record=record, needs_gpu=needs_gpu, has_polygons=has_polygons)


def _fingerprint(inputs: Inputs, job: BatchJob) -> str:
    """Return what must not change between runs so that ids keep their meaning.

    Numbers of rows are ids if a parquet file has no id column, so its rows must stay as they are.
    A file of another size has other rows, even if it has as many.
    """
    columns = inputs.columns
    if columns.id is not None:
        return f"{columns.id}, {columns.image}" if job.sources.id_column else ""
    rows, files = Counter[str](), dict[str, str]()
    for piece in inputs.pieces:
        rows[piece.name] += piece.rows
        files[piece.name] = piece.file
    facts = [(name, rows[name], Path(files[name]).stat().st_size) for name in sorted(files)]
    text = json.dumps([columns.image, facts])
    return hashlib.sha256(text.encode()).hexdigest()


def _reader_options(
    job: BatchJob, inputs: Inputs, threads: int, *, has_polygons: bool
) -> ReaderOptions:
    folders = (Path(inputs.root), job.output.absolute())
    return ReaderOptions(
        detector=None if job.detector is None else job.detector.absolute(),
        recognizer=job.recognizer.absolute(),
        threads=threads,
        settings=job.settings,
        is_trusted=job.is_trusted,
        has_polygons=has_polygons,
        folders=folders,
    )
