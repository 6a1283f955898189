"""The output folder of a job: result files, checkpoints, and what makes a second run continue.

``*.parquet`` are results. ``_batch/`` has everything else; readers of parquet folders ignore names
that begin with an underscore::

    _batch/job.json             what was read, and with which bundles
    _batch/index.parquet        the paths of all images
    _batch/checkpoint-00003/    Ray Data's row checkpoints; 3 is the number of this run
    _batch/attempts/            how often blocks were begun

A result file ``00003-<id>_<task>-0.parquet`` counts if the checkpoint ``00003-<id>_<task>.parquet``
exists; Ray Data creates it after the result file is complete. Tasks of a run whose driver was
killed may live longer than the driver. They cannot add results: the next run renames the folder of
checkpoints, so that they find none to write to, and removes result files without a checkpoint.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pd
import pyarrow.parquet as pq

from ..common.files import check_writable, write_whole
from ..common.frozen_model import StrictModel
from ..common.json_files import read_model
from ..common.path_text import is_text, path_text
from ..errors import OutputError

_STATE = "_batch"
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{5})")
_RESULT = re.compile(r"(?P<task>[0-9]{5}-[0-9a-f]{32}_[0-9]{6,})-[0-9]+\.parquet")
_PENDING = ".pending.parquet"
_LARGEST_JOB = 1 << 20


class JobRecord(StrictModel):
    """What a run must have in common with the earlier ones in its output folder."""

    source: str
    """The absolute path or pattern."""
    content: str
    """Which columns of which files are read, if it is parquet."""
    detector: str | None
    """SHA-256 of the manifest of its bundle; None: each image is a line."""
    recognizer: str
    """SHA-256 of the manifest of its bundle."""
    settings: dict[str, str | float]
    """How images are read."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much of a job is done."""

    images: int = 0
    """Images that have a result or an error."""
    failed: int = 0
    """Images of these for which at least one page has an error."""
    pages: int = 0
    """Rows."""


class OutputFolder:
    """An output folder that this process has locked; :meth:`open` locks it.

    Attributes:
        path: the folder.
        run: the number of this run in it, counted from 1.
    """

    def __init__(self, path: Path, run: int) -> None:
        self.path, self.run = path, run

    @staticmethod
    @contextlib.contextmanager
    def open(path: Path) -> Iterator[OutputFolder]:
        """Lock a folder, create it if it does not exist, and remove what killed runs left in it.

        Raises:
            OutputError: it contains other files, cannot be written, or another process uses it.
        """
        path = path.absolute()
        if not is_text(path):
            raise OutputError(
                f"{path_text(path)}: the path is not UTF-8, so parquet files cannot be written "
                "there; nothing was written; choose another folder"
            )
        state = path / _STATE
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is not a folder; nothing was written")
        if not state.is_dir() and path.is_dir() and any(path.iterdir()):
            raise OutputError(
                f"{path}: contains files that ocr-trt batch did not write; nothing was written; "
                "choose another folder"
            )
        check_writable(state)
        with _locked(state):
            folder = OutputFolder(path, _next_run(state))
            folder.remove_uncommitted()
            folder.remove_damaged()
            for path in (folder.attempts, folder.index):
                _remove(path)
            folder.attempts.mkdir()
            try:
                yield folder
            finally:
                folder.remove_uncommitted()

    @property
    def _state(self) -> Path:
        return self.path / _STATE

    @property
    def index(self) -> Path:
        """The file for the paths of all images."""
        return self._state / "index.parquet"

    @property
    def attempts(self) -> Path:
        """The folder that counts how often blocks were begun."""
        return self._state / "attempts"

    @property
    def checkpoints(self) -> Path:
        """The folder of Ray Data's row checkpoints in this run."""
        return self._state / f"checkpoint-{self.run:05}"

    def check_record(self, record: JobRecord) -> None:
        """Write the record of the job, or compare it with that of the earlier runs.

        Raises:
            OutputError: the folder has results of another source, other bundles or other settings.
        """
        file = self._state / "job.json"
        if not file.exists():
            write_whole(file, record.model_dump_json(indent=2) + "\n")
            return
        earlier = read_model(file, JobRecord, limit=_LARGEST_JOB)
        changed = [name for name in JobRecord.model_fields if _differ(name, earlier, record)]
        if changed:
            raise OutputError(
                f"{self.path}: has results of an earlier run, which differs in: "
                f"{', '.join(changed)}; "
                "nothing was written; choose another folder, or run the earlier command again"
            )

    def remove_uncommitted(self) -> None:
        """Remove unfinished checkpoints, and result files without a checkpoint."""
        for file in self.checkpoints.glob(f"*{_PENDING}"):
            file.unlink(missing_ok=True)
        committed = {file.stem for file in self.checkpoints.glob("*.parquet")}
        for file in self.path.glob("*.parquet"):
            match = _RESULT.fullmatch(file.name)
            if match and match["task"] not in committed:
                file.unlink(missing_ok=True)

    def remove_damaged(self) -> None:
        """Remove results that cannot be read, such as after a power failure.

        Their checkpoints are removed first, so that this run reads their images again.

        Raises:
            OutputError: a folder is in the place of a result.
            OSError: the file system fails; the result may be whole.
        """
        for task, file in self.committed().items():
            if not file.is_file():
                raise OutputError(f"{file}: is not a file; remove it")
            try:
                count_rows(file)
            except (OSError, pa.ArrowException) as error:
                if getattr(error, "errno", None) is not None:  # pyarrow's own errors have none
                    raise
                (self.checkpoints / f"{task}.parquet").unlink()
                file.unlink()

    def committed(self) -> dict[str, Path]:
        """Return the result files that count, by the name of their checkpoint."""
        names = {file.stem for file in self.checkpoints.glob("*.parquet")}
        found = {}
        for file in self.path.glob("*.parquet"):
            match = _RESULT.fullmatch(file.name)
            if match and match["task"] in names:
                found[match["task"]] = file
        return found

    def counts(self, tasks: dict[str, Counts]) -> Counts:
        """Count what is done. ``tasks`` has the counts of files that were counted earlier."""
        for task, file in self.committed().items():
            if task not in tasks:
                tasks[task] = count_rows(file)
        values = list(tasks.values())
        return Counts(
            images=sum(each.images for each in values),
            failed=sum(each.failed for each in values),
            pages=sum(each.pages for each in values),
        )

    def errors(self, number: int) -> list[tuple[str, int, str]]:
        """Return the ids, pages and messages of the first rows with errors."""
        files = sorted(self.committed().values())
        if not files:
            return []
        rows = pd.dataset(files).scanner(
            ["id", "page", "error"], filter=pd.field("error").is_valid()
        )
        return [tuple(row.values()) for row in rows.head(number).to_pylist()]


def count_rows(file: Path) -> Counts:
    """Count the rows of a result file."""
    table = pq.read_table(file, columns=["id", "error"])
    failed = table.filter(pc.is_valid(table["error"]))
    return Counts(
        images=pc.count_distinct(table["id"]).as_py(),
        failed=pc.count_distinct(failed["id"]).as_py(),
        pages=len(table),
    )


def _remove(path: Path) -> None:
    """Remove a file or folder of the state, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _differ(name: str, earlier: JobRecord, record: JobRecord) -> bool:
    return getattr(earlier, name) != getattr(record, name)


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{state.parent}: another ocr-trt batch writes to this folder; wait for it, or "
                    "choose another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)


def _next_run(state: Path) -> int:
    """Return the number of this run, and take over the checkpoints of the earlier ones.

    The rename ends the write access of tasks of a killed run: the path that they know is gone.
    """
    runs = sorted(int(m[1]) for m in map(_CHECKPOINT.fullmatch, os.listdir(state)) if m)  # noqa: PTH208
    run = runs[-1] + 1 if runs else 1
    new = state / f"checkpoint-{run:05}"
    if runs:
        (state / f"checkpoint-{runs[-1]:05}").rename(new)
    else:
        new.mkdir()
    return run
