"""Recognize lines for many threads at once: lines that wait at the same time share batches."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread

from ..common.input_size import InputSize
from ..engines.engine import Engine
from ..errors import ClosedError
from ..ocr.ctc import Reading
from ..ocr.types import Image
from ..spec import RecognizerSpec
from .clock import Clock
from .line_parts import PartResult, Parts
from .stages import read_batch, spec_of


@dataclass(kw_only=True, eq=False)
class _Call:
    """The lines of one call of :meth:`DynamicBatches.recognize`: results by part, or an error."""

    results: dict[int, PartResult] = field(default_factory=dict)
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A part of a line that waits for a batch. ``since``: seconds, as ``time.monotonic``."""

    call: _Call
    index: int
    image: Image
    is_whole: bool
    since: float


class DynamicBatches:
    """Reads lines of many threads with one recognizer; one batch runs per stream.

    A batch of a size starts as soon as a stream is free and one of these holds: the batch is full;
    its oldest line has waited for ``wait`` seconds; or no other :meth:`page` is in progress that
    could still add lines. So a single page never waits, and while all streams are busy, batches
    fill up.

    Args:
        recognizer: the engine.
        wait: how long a line waits for others at most, in seconds, while a stream is free.
        on_batch: called with the number of lines of each batch.
    """

    def __init__(
        self, recognizer: Engine, wait: float, on_batch: Callable[[int], None] = lambda _: None
    ) -> None:
        self._engine, self._wait, self._on_batch = recognizer, wait, on_batch
        self._spec = spec_of(recognizer, RecognizerSpec)
        self._max_batch = min(recognizer.runner(size).max_batch for size in recognizer.sizes)
        self._state = Condition()  # guards everything below
        self._waiting: dict[InputSize, deque[_Waiting]] = defaultdict(deque)
        self._pages, self._calls, self._is_closed = 0, 0, False
        self._threads = [
            Thread(target=self._work, name=f"batches-{number}", daemon=True)
            for number in range(recognizer.runner().streams)
        ]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def page(self) -> Iterator[None]:
        """Announce, for a block, a page whose lines will be recognized."""
        with self._state:
            self._pages += 1
        try:
            yield
        finally:
            with self._state:
                self._pages -= 1
                # Lines of others may have waited for those of this page.
                self._state.notify_all()

    def recognize(self, engine: Engine, lines: Sequence[Image], clock: Clock) -> list[Reading]:
        """Read RGB lines (h, w, 3) as ``stages.recognize`` does; waits for their batches.

        ``clock``: the stage "recognize" includes the time that the lines wait for a batch.

        Raises:
            ClosedError: :meth:`close` was called.
        """
        assert engine is self._engine
        with clock("fit"):
            parts = Parts.of_sizes([line.shape[:2] for line in lines], self._spec)
            images = parts.cut(lines, self._spec)
        with clock("recognize"):
            results = self._read(parts, images)
        with clock("text"):
            return parts.readings(results, self._spec)

    def _read(self, parts: Parts, images: Sequence[Image]) -> list[PartResult]:
        call, now = _Call(), time.monotonic()
        with self._state:
            if self._is_closed:
                raise ClosedError("the batches are closed; create others")
            for index, size in enumerate(parts.sizes):
                self._waiting[size].append(
                    _Waiting(
                        call=call,
                        index=index,
                        image=images[index],
                        is_whole=parts.is_whole[index],
                        since=now,
                    )
                )
            self._calls += 1
            self._state.notify_all()
            try:
                self._state.wait_for(lambda: call.error or len(call.results) == len(parts))
            finally:
                self._calls -= 1
        if call.error is not None:
            raise call.error
        return [call.results[index] for index in range(len(parts))]

    def _work(self) -> None:
        """Run batches until the object is closed and no line waits."""
        while (batch := self._next()) is not None:
            size, members = batch
            try:
                self._on_batch(len(members))
                self._run(size, members)
            except Exception as error:  # of any type; raised in the thread of its call
                if len({id(member.call) for member in members}) == 1:
                    self._fail(members[0].call, error)
                else:
                    self._run_separately(size, members)

    def _next(self) -> tuple[InputSize, list[_Waiting]] | None:
        with self._state:
            while True:
                now = time.monotonic()
                oldest = sorted((line[0].since, size) for size, line in self._waiting.items())
                for since, size in oldest:  # the oldest first, so that no size starves
                    if self._is_due(size, now - since):
                        return size, self._take(size)
                if self._is_closed and not oldest:
                    return None
                # Until the first line has waited long enough, or something changes.
                self._state.wait(max(0.0, oldest[0][0] + self._wait - now) if oldest else None)

    def _is_due(self, size: InputSize, waited: float) -> bool:
        is_full = len(self._waiting[size]) >= self._max_batch
        nobody_comes = self._calls >= self._pages
        return is_full or nobody_comes or waited >= self._wait or self._is_closed

    def _take(self, size: InputSize) -> list[_Waiting]:
        lines = self._waiting[size]
        members = [lines.popleft() for _ in range(min(self._max_batch, len(lines)))]
        if not lines:
            del self._waiting[size]
        return members

    def _run(self, size: InputSize, members: Sequence[_Waiting]) -> None:
        images = [member.image for member in members]
        is_whole = [member.is_whole for member in members]
        results = read_batch(self._engine, images, is_whole, size)
        with self._state:
            for member, result in zip(members, results, strict=True):
                member.call.results[member.index] = result
            self._state.notify_all()

    def _run_separately(self, size: InputSize, members: Sequence[_Waiting]) -> None:
        """Run the lines of each call alone, so that a failure does not affect other calls."""
        calls = {id(member.call): member.call for member in members}
        for call in calls.values():
            if call.error is not None:  # another batch of it has failed meanwhile
                continue
            try:
                self._run(size, [member for member in members if member.call is call])
            except Exception as error:  # of any type; raised in the thread of the call
                self._fail(call, error)

    def _fail(self, call: _Call, error: Exception) -> None:
        """End a call with an error, and remove its lines that wait: nobody will use their texts."""
        with self._state:
            call.error = error
            for size, line in list(self._waiting.items()):
                kept = deque(member for member in line if member.call is not call)
                if kept:
                    self._waiting[size] = kept
                else:
                    del self._waiting[size]
            self._state.notify_all()

    def close(self) -> None:
        """Read the lines that wait, and end the threads. Later calls raise ClosedError."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        for thread in self._threads:
            thread.join()
