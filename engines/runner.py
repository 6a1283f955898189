"""A plan or model that is loaded: images in, one array out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar
from weakref import finalize

import numpy as np
import numpy.typing as npt

from ..common.error_text import cause
from ..common.input_size import InputSize
from ..common.open_state import OpenState
from ..errors import EngineBuildError, OcrTrtError
from .fair_semaphore import FairSemaphore

Batch = npt.NDArray[np.float32]

_T = TypeVar("_T")
_CACHED_BYTES = 4 << 20
"""Bytes of output that processors keep in their caches, so that reading it is fast."""


class FreePlan(ABC):
    """A loaded plan whose height and width are free: one for all input sizes of an engine."""

    bytes_per_pixel = 0.0
    """Output bytes per pixel of the input, from the first batch at any size; 0 before it."""

    @abstractmethod
    def runner(self, size: InputSize, *, label: str, max_batch: int) -> Runner:
        """Return a runner for one input size. All runners of the plan share its streams."""


class Runner(ABC):
    """A loaded plan or model: images (N, C, H, W) float32 in, one float32 array out.

    A context manager. Call :meth:`close` where ``with`` is not used; other threads may be running
    batches then. Subclasses override :meth:`_execute` and :meth:`_release`.
    """

    streams = 1
    """How many batches run at once. If more threads call :meth:`run`, they wait."""
    check_output: Callable[[npt.NDArray[np.float32], int], None] | None = None
    """Checks each output of :meth:`run` for a number of images; for plans of unknown origin."""
    runs_on_cpu = False
    """Whether the batch is computed on the CPU, whose caches limit :attr:`good_batch`."""
    plan: FreePlan | None = None
    """The plan that runners of other input sizes use, too; it stays loaded as long as one does."""
    note = ""
    """A sentence that reports must contain, such as why a baseline does not run in TensorFlow."""

    def __init__(self, *, label: str, shape: tuple[int, int, int], max_batch: int) -> None:
        self.label = label
        self.shape = shape
        """(C, H, W) of one image."""
        self.max_batch = max_batch
        self._open = OpenState(label)
        finalize(self, self._open.exit)  # also if the interpreter ends before `close`
        self._pool: ThreadPoolExecutor | None = None
        # ``submit`` creates the pool, because most callers never use it; ``_starting`` guards it.
        self._free, self._starting = FairSemaphore(1), Lock()
        self._output_bytes = 0  # of one image; known after the first batch

    @property
    def good_batch(self) -> int:
        """The number of images from which on a larger batch is not faster, at most ``max_batch``.

        On the CPU, a recognizer with many thousand classes writes megabytes for each line. A batch
        whose output exceeds the caches takes as long as its lines one by one, and more memory.
        """
        if not self.runs_on_cpu:
            return self.max_batch
        if not self._output_bytes and self.plan is None:  # of one size, which ran when it opened
            return self.max_batch
        return self.batch_in_caches

    @property
    def knows_good_batch(self) -> bool:
        """Whether :attr:`good_batch` is final; the first batch of a plan of many sizes decides."""
        return self.plan is None or not self.runs_on_cpu or bool(self.plan.bytes_per_pixel)

    @property
    def batch_in_caches(self) -> int:
        """The number of images whose output fits the caches; 1 before the first batch.

        If a plan serves many sizes, its first batch decides for all of them. Otherwise the first
        batch of each size would be smaller, and so the numbers, which differ in their last bits
        between batch sizes, would depend on the order of the images.
        """
        size, plan = self._output_bytes, self.plan
        if plan is not None:
            size = int(plan.bytes_per_pixel * self.shape[1] * self.shape[2])
        return min(self.max_batch, max(1, _CACHED_BYTES // size)) if size else 1

    def run(self, images: Batch) -> npt.NDArray[np.float32]:
        """Run a batch (N, C, H, W) float32; return the output in the converted graph's layout.

        Raises:
            ValueError: wrong dtype, shape or batch size.
            EngineBuildError: the runtime fails.
            ClosedError: the runner is closed.
        """
        return self._run_on(images, lambda feed, see: see(self.execute(feed)), lambda own: own)

    def run_and(self, images: Batch, use: Callable[[npt.NDArray[np.float32]], _T]) -> _T:
        """Run a batch (N, C, H, W) float32; return what ``use`` returns for the output.

        The output may be memory of the runtime that the next batch overwrites, so ``use`` must not
        keep it. Copying it would take longer than finding the best of thousands of classes in it.

        Raises:
            ValueError: wrong dtype, shape or batch size.
            EngineBuildError: the runtime fails.
            ClosedError: the runner is closed.
        """
        return self._run_on(images, self.execute_and, use)

    def _run_on(
        self,
        images: Batch,
        execute: Callable[[Any, Callable[[Batch], _T]], _T],
        use: Callable[[Batch], _T],
    ) -> _T:
        """Check and prepare a batch, execute it, and check the output before it is used."""
        if images.dtype != np.float32 or images.shape[1:] != self.shape:
            raise ValueError(
                f"{self.label} accepts float32 (N, {', '.join(map(str, self.shape))}), "
                f"got {images.dtype} {images.shape}"
            )
        if not 1 <= len(images) <= self.max_batch:
            raise ValueError(
                f"{self.label} accepts 1 to {self.max_batch} images, got {len(images)}"
            )

        is_used = False

        def checked(output: Batch) -> _T:
            nonlocal is_used
            if self.check_output is not None:
                self.check_output(output, len(images))
            self._output_bytes = output.nbytes // len(images)
            plan = self.plan
            if plan is not None and not plan.bytes_per_pixel:
                plan.bytes_per_pixel = self._output_bytes / (self.shape[1] * self.shape[2])
            is_used = True
            return use(output)

        try:
            return execute(self.prepare(images), checked)
        except (OcrTrtError, AssertionError, ValueError, MemoryError):
            raise
        except Exception as error:  # the runtimes have no common base class of their errors
            if is_used:  # an error of ``use``, not of the runtime
                raise
            raise EngineBuildError(
                f"{self.label} fails on images of shape {list(images.shape)}: {cause(str(error))}"
            ) from error

    def submit(self, images: Batch) -> Future[npt.NDArray[np.float32]]:
        """Run a batch in one of the runner's own threads; the future holds its result or error.

        Waits while two batches per stream are unfinished. Callers are served in order of arrival.

        Raises:
            ClosedError: the runner is closed.
        """
        with self._open.continued():
            self._open.begin()  # ends with the future
            try:
                pool, free = self._threads()
                free.acquire()
            except BaseException:
                self._open.end()
                raise
            future = pool.submit(self._run_submitted, images)

        def end(_: object) -> None:
            free.release()
            self._open.end()

        future.add_done_callback(end)
        return future

    def _threads(self) -> tuple[ThreadPoolExecutor, FairSemaphore]:
        with self._starting:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.streams, thread_name_prefix=self.label)
                # Two per stream: one runs, and one is ready when that ends.
                self._free = FairSemaphore(2 * self.streams)
            return self._pool, self._free

    def _run_submitted(self, images: Batch) -> npt.NDArray[np.float32]:
        with self._open.continued():  # also if the runner was closed in the meantime
            return self.run(images)

    def prepare(self, images: Batch) -> Any:
        """Convert images to the input of :meth:`execute`; this is not part of a latency."""
        return np.ascontiguousarray(images)

    def execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one prepared feed and wait for the result. Benchmarks time this method.

        Raises:
            ClosedError: the runner is closed.
        """
        with self._open.in_use():
            return self._execute(feed)

    def execute_and(self, feed: Any, use: Callable[[npt.NDArray[np.float32]], _T]) -> _T:
        """Run one prepared feed; return what ``use`` returns for the output, as in `run_and`."""
        with self._open.in_use():
            return self._execute_and(feed, use)

    @abstractmethod
    def _execute(self, feed: Any) -> npt.NDArray[np.float32]:
        """Run one prepared feed on the open runtime."""

    def _execute_and(self, feed: Any, use: Callable[[npt.NDArray[np.float32]], _T]) -> _T:
        """Run one prepared feed on the open runtime, and call ``use`` for the output."""
        return use(self._execute(feed))

    def close(self) -> None:
        """Wait for batches in progress, and free the engine's memory.

        Later batches raise ClosedError. A second call does nothing.
        """
        self._open.close(self._close)

    def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            # Its batches have ended. One of its threads may be the one that closes the runner.
            pool.shutdown(wait=False)
        self.plan = None
        self._release()

    def _release(self) -> None:  # noqa: B027  # most baselines have nothing to free
        """Free the memory of the runtime. Called once, while no batch is in progress."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
