"""A bundle, opened: one runner per input width, each loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ..errors import InputFileError, OcrTrtError
from ..spec import DetectorSpec, RecognizerSpec
from .base import BuiltWith, Runner, RunSettings
from .bundle import Bundle
from .targets import backend
from .tuned import Choice, Mode, choice_for

OpenRunner = Callable[[int], Runner]


class Engine:
    """A model as the pipeline sees it: its spec, and a runner for each width.

    ``open_runner`` makes the runner for a width; whatever runs the model, a bundle, the baseline or
    a graph in memory, looks the same from here. A context manager.
    """

    def __init__(
        self, *, label: str, spec: DetectorSpec | RecognizerSpec, open_runner: OpenRunner
    ) -> None:
        self.label, self.spec = label, spec
        self._open, self._runners, self._lock = open_runner, dict[int, Runner](), Lock()

    @property
    def widths(self) -> tuple[int, ...]:
        """Input widths in pixels, ascending."""
        return self.spec.widths

    def runner(self, width: int | None = None) -> Runner:
        """Return the runner for one width, the widest by default."""
        width = width or self.widths[-1]
        with self._lock:
            if width not in self._runners:
                self._runners[width] = self._open(width)
            return self._runners[width]

    def close(self) -> None:
        """Close all runners."""
        with self._lock:
            runners, self._runners = self._runners, {}
        for runner in runners.values():
            runner.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def engine_from_bundle(
    bundle: Bundle,
    *,
    mode: Mode = "latency",
    threads: int = 0,
    streams: int = 0,
    label: str = "",
    use_graphs: bool = True,
) -> Engine:
    """Open a bundle.

    Args:
        bundle: from :func:`load_bundle`.
        mode: ``latency``: one batch at a time, as fast as may be; ``throughput``: several at once,
            for whoever calls from several threads. Streams and threads are those that ``ocr-trt
            tune`` found to be best for the mode, if it was run.
        threads: of the CPU, all streams together, in place of the mode's.
        streams: how many batches run at once, in place of the mode's.
        label: what reports call it in place of ``bundle.label``.
        use_graphs: let a GPU repeat recorded work (CUDA graphs).

    Raises:
        InputFileError: its int8 weights are too large for this processor.
        ValueError: ``threads`` or ``streams`` are negative.
    Raises (when a runner is opened):
        TargetMissingError: its target cannot run here.
        InputFileError: the target cannot load the plan, or the plan is not what the spec says.
    """
    target = backend(bundle.manifest.target)
    _check_weights(bundle)
    label, spec = label or bundle.label, bundle.spec
    choice = (
        Choice(streams=streams, threads=threads) if streams or threads else choice_for(bundle, mode)
    )
    entries = {entry.width: entry for entry in bundle.manifest.engines}
    built = BuiltWith(
        version=bundle.manifest.versions.get(target.name, ""), settings=bundle.manifest.settings
    )

    def open_runner(width: int) -> Runner:
        plan, model = bundle.path(entries[width].plan), bundle.path(entries[width].model)
        settings = RunSettings(
            threads=choice.threads,
            built=built,
            model=model,
            streams=choice.streams,
            use_graphs=use_graphs,
            is_trusted=bundle.is_trusted,
        )
        most = spec.input.max_batch
        try:
            runner = target.open(plan, label=label, settings=settings, max_batch=most)
        except InputFileError as error:
            raise InputFileError(f"{plan}: {error}") from error
        except OcrTrtError:
            raise
        except Exception as error:  # every runtime has its own
            reason = str(error).strip().splitlines()
            raise InputFileError(
                f"{plan}: {target.name} cannot load it: {reason[0] if reason else error!r}"
            ) from error
        expected = (spec.input.channels, spec.input.height, width)
        if runner.max_batch < most:
            runner.close()
            raise InputFileError(
                f"{plan}: takes {runner.max_batch} images at once, but the spec says {most}"
            )
        if runner.shape != expected:
            runner.close()
            raise InputFileError(f"{plan}: takes {runner.shape}, but the spec says {expected}")
        return runner

    return Engine(label=label, spec=spec, open_runner=open_runner)


def _check_weights(bundle: Bundle) -> None:
    manifest = bundle.manifest
    largest = manifest.largest_weight
    expected = backend(manifest.target).needs().style.largest_weight
    if manifest.precision in ("int8", "best") and largest > expected:
        raise InputFileError(
            f"{bundle.folder}: built on a processor that sums int8 products in 32 bits; this one "
            f"does so in 16 bits and clips them, so its weights may be {expected} at most, and are "
            f"up to {largest}; build the bundle again here"
        )
