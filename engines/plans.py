"""The plans of an engine: which file serves an input size, how it is opened and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np

from ..common.error_text import cause, check_memory, first_line
from ..common.input_size import InputSize
from ..common.onnx_files import check_external_files
from ..errors import EngineBuildError, InputFileError, OcrTrtError
from ..spec import ModelSpec
from .base import Backend, RunSettings
from .manifest import EngineEntry
from .plan_interface import check_result
from .refusal import refusal_error
from .runner import FreePlan, Runner


class Plans:
    """The plans of a model in a folder, one for each input size."""

    def __init__(
        self, target: Backend, folder: Path, entries: Sequence[EngineEntry], settings: RunSettings
    ) -> None:
        self._target, self._folder, self._settings = target, folder, settings
        self._entries = {entry.size: entry for entry in entries}
        # One plan serves several sizes if its height and width are free.
        counts = Counter(entry.plan for entry in entries)
        self._shared = {plan for plan, count in counts.items() if count > 1}
        self._free = WeakValueDictionary[str, FreePlan]()

    def name(self, size: InputSize) -> str:
        """Return the file name of a plan."""
        return self._entries[size].plan

    def is_open(self, size: InputSize) -> bool:
        """Whether the plan of a size is loaded, because another size uses it."""
        return self.name(size) in self._free

    def opened(self, spec: ModelSpec, label: str, size: InputSize) -> Runner:
        """Open the plan of an input size; a plan of all sizes is loaded once."""
        entry = self._entries[size]
        settings = replace(self._settings, model=self._folder / entry.model)
        plan, max_batch = self._folder / entry.plan, spec.input.max_batch
        if entry.plan in self._shared:
            free = self._free.get(entry.plan) or self._target.open_free(plan, settings=settings)
            self._free[entry.plan] = free
            runner = free.runner(size, label=label, max_batch=max_batch)
            runner.plan = free  # keeps it loaded
            return runner
        return self._target.open(plan, label=label, settings=settings, max_batch=max_batch)

    def built(self, spec: ModelSpec, label: str, size: InputSize) -> Runner:
        """Open a plan that this process built; a failure states which node the target refuses."""
        try:
            return self.opened(spec, label, size)
        except OcrTrtError:
            raise
        except Exception as error:  # the runtimes have no common base class of their errors
            check_memory(error, self._folder / self._entries[size].plan)
            import onnx

            model = onnx.load(self._folder / self._entries[size].model)
            refused = self._target.refusals(model) or {"": cause(str(error))}
            raise refusal_error(self._target.name, model, refused) from error

    def _check_files(self, entry: EngineEntry) -> None:
        """Refuse a plan of another format, and graphs whose weights are outside the folder."""
        plan, model = self._folder / entry.plan, self._folder / entry.model
        # OpenVINO, for example, reads ONNX files too.
        if plan.suffix != self._target.suffix:
            raise InputFileError(
                f"{plan}: expected the suffix {self._target.suffix} of {self._target.name}"
            )
        for file in (plan, model):
            if file.suffix == ".onnx":
                check_external_files(file)

    def checked(self, spec: ModelSpec, label: str, size: InputSize) -> Runner:
        """Open a plan of unknown origin; every failure becomes an error that names its file."""
        plan = self._folder / self._entries[size].plan
        self._check_files(self._entries[size])
        is_known = self.is_open(size)  # it has run at another size
        try:
            runner = self.opened(spec, label, size)
        except (InputFileError, EngineBuildError) as error:
            raise InputFileError(f"{plan}: {error}") from error
        except OcrTrtError:
            raise
        except Exception as error:  # the runtimes have no common base class of their errors
            check_memory(error, plan)
            raise InputFileError(
                f"{plan}: {self._target.name} cannot load it: {first_line(error)}"
            ) from error
        try:
            self._check_runner(runner, plan, spec, size, is_known=is_known)
        except BaseException:
            runner.close()
            raise
        return runner

    def _check_runner(
        self, runner: Runner, plan: Path, spec: ModelSpec, size: InputSize, *, is_known: bool
    ) -> None:
        """Check that an open plan accepts and returns what the spec states.

        A plan that ``is_known`` does not run: each further size would cost time and memory, also if
        no image ever uses it.
        """
        shape, max_batch = (spec.input.channels, *size), spec.input.max_batch
        if runner.max_batch < max_batch:
            raise InputFileError(
                f"{plan}: accepts {runner.max_batch} images at once, "
                f"but the spec states {max_batch}"
            )
        if runner.shape != shape:
            raise InputFileError(
                f"{plan}: accepts images (C, H, W) {runner.shape}, but the spec states {shape}"
            )
        runner.check_output = partial(check_result, name=str(plan), spec=spec, size=size)
        if self._target.runs_on_cpu and not is_known:  # a GPU plan is checked at its first batch
            try:
                runner.run(np.zeros((1, *shape), np.float32))
            except EngineBuildError as error:
                raise InputFileError(f"{plan}: {error}") from error
