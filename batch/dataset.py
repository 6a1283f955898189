"""The job as a pipeline of Ray Data: list, filter, divide, read, write."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import ray.data
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig
from ray.data.datasource import FilenameProvider
from ray.exceptions import RayError

from ..errors import EngineBuildError, OcrTrtError, UserError
from .attempts import Attempts
from .output_folder import OutputFolder
from .reading_actor import ReaderOptions, ReadingActor
from .row_source import RowSource
from .sources import Inputs
from .table_schema import result_schema

_HELPER_CPUS = 0.5
"""CPUs of a task that lists or writes rows. Less would start more processes, each of 200 MiB."""
_ROOT = "/"
_FILTER_MEMORY = 128 << 20
"""Bytes that Ray reserves for the filter of rows that are done; it adds the size of their ids."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The actors that read."""

    actors: int
    threads: int
    """CPUs of each actor."""
    gpus: int
    """GPUs of each actor."""
    block: int
    """Images that an actor reads at once."""


def read_and_write(
    inputs: Inputs,
    output: OutputFolder,
    options: ReaderOptions,
    pool: Pool,
    *,
    is_verbose: bool = False,
) -> None:
    """Read the images that are not in the checkpoints, and write one result file per block.

    Raises:
        OcrTrtError: an actor cannot open the bundles, or the cluster lost too much to continue.
    """
    if not is_verbose:
        # Ray Data prints tracebacks of errors that are raised as well.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)
    context = DataContext.get_current()
    # Rows of one image are in one block, which is written and recorded as a whole. So blocks are
    # divided by rows only, and never by size.
    context.target_max_block_size = None
    context.checkpoint_config = _checkpoints(output)
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    helper = {"num_cpus": _HELPER_CPUS}
    rows = ray.data.read_datasource(
        RowSource(inputs), override_num_blocks=len(inputs.pieces), num_cpus=_HELPER_CPUS
    )
    pages = rows.repartition(target_num_rows_per_block=pool.block).map_batches(
        ReadingActor,
        batch_size=None,  # a whole block
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=pool.actors, initial_size=pool.actors),
        fn_constructor_kwargs={"options": options, "attempts": Attempts(folder=output.attempts)},
        num_cpus=pool.threads,
        num_gpus=pool.gpus,
    )
    try:
        pages.write_parquet(
            _ROOT,
            filesystem=_files_of(output),
            filename_provider=_RunNames(output.run),
            ray_remote_args=helper,
            schema=result_schema(has_polygons=options.has_polygons),
        )
    except RayError as error:
        raise _reason(error) from error


def _checkpoints(output: OutputFolder) -> CheckpointConfig:
    # The checkpoints stay after the job: they state which result files count.
    config = CheckpointConfig(
        "id",
        output.checkpoints.relative_to(output.path).as_posix(),
        override_filesystem=_files_of(output),
        delete_checkpoint_on_success=False,
    )
    config.checkpoint_actor_memory_bytes = _FILTER_MEMORY
    config.checkpoint_actor_pool_max_size = 1
    return config


def _files_of(output: OutputFolder) -> SubTreeFileSystem:
    """Return a file system whose root is the output folder.

    Ray Data parses paths as URLs, so names with ``?`` or ``#`` must not be in them.
    """
    return SubTreeFileSystem(str(output.path), LocalFileSystem())


class _RunNames(FilenameProvider):
    """Names result files by the number of the run, so that those of a killed run are recognized."""

    def __init__(self, run: int) -> None:
        super().__init__(file_format="parquet")
        self._run = run

    def get_filename_for_task(self, write_uuid: str, task_index: int) -> str:
        """Return a name that depends on these arguments only, as Ray Data requires."""
        return f"{self._run:05}-{write_uuid}_{task_index:06}.parquet"


def _reason(error: BaseException) -> OcrTrtError:
    """Return the error of an actor as it was raised there, or what Ray reports."""
    for each in _causes(error):
        if isinstance(each, OcrTrtError) and not isinstance(each, RayError):
            return each
        if isinstance(each, ModuleNotFoundError) and (each.name or "").startswith("ocr_trt"):
            return UserError(
                f"a machine of the cluster cannot import ocr_trt: {each}; install the same version "
                "of ocr-trt with the extra ray on all machines"
            )
    text = str(error).strip().splitlines()
    return EngineBuildError(f"Ray ended the job: {text[-1] if text else type(error).__name__}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # RayTaskError keeps the error of the task in `cause`.
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__
