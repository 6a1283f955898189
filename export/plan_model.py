"""One model of a repository: a plan, the batches that Triton forms for it, and its warm-up."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.input_size import InputSize, by_area, listed
from ..engines.bundle import Bundle
from ..engines.manifest import EngineEntry
from ..spec import RecognizerSpec
from .export_settings import ExportSettings
from .model_config import tensor_fields
from .pipeline_file import RemoteModel
from .ports import Port, ports_of

LABELS = "labels.txt"


@dataclass(frozen=True, kw_only=True)
class PlanModel:
    """A plan of a bundle as a model of the repository."""

    name: str
    bundle: Bundle
    entries: tuple[EngineEntry, ...]
    """One for each input size of the plan: several if its height or width is free."""
    input: Port
    output: Port
    batch: int
    """``max_batch_size`` of the configuration; 0: Triton forms no batches."""
    largest_request: int
    """The largest batch of one request of the pipeline."""

    @classmethod
    def all_of(cls, bundle: Bundle, settings: ExportSettings) -> list[PlanModel]:
        """Return one model for each plan of a bundle.

        Raises:
            InputFileError: the graph of a plan cannot be read.
        """
        by_plan = defaultdict[str, list[EngineEntry]](list)
        for entry in bundle.manifest.engines:
            by_plan[entry.plan].append(entry)
        return [cls._of(bundle, entries, settings) for entries in by_plan.values()]

    @classmethod
    def _of(
        cls, bundle: Bundle, entries: Sequence[EngineEntry], settings: ExportSettings
    ) -> PlanModel:
        source, output = ports_of(bundle.path(entries[0].model))
        largest = min(settings.max_batch or sys.maxsize, bundle.spec.input.max_batch)
        batch = largest
        # OpenVINO's backend pads a batch in a buffer of the input, and the buffer of an input whose
        # sides are free has the size of the previous batch, or none.
        if bundle.manifest.target == "openvino" and (source.has_free_sides or not settings.pads):
            batch = 0
        return cls(
            name=f"{settings.name}_{bundle.spec.role}_{'x'.join(map(_side, source.shape[2:]))}",
            bundle=bundle,
            entries=tuple(sorted(entries, key=lambda entry: by_area(entry.size))),
            input=source,
            output=output,
            # A plan of a fixed batch cannot be batched: its first axis is a part of its shape.
            batch=batch if source.has_free_batch else 0,
            largest_request=largest if source.has_free_batch else 1,
        )

    @property
    def entry(self) -> EngineEntry:
        """The smallest input size; the files of all sizes are the same."""
        return self.entries[0]

    def described_input(self) -> str:
        """Return (C, H, W) of the input as text, with all widths or heights of a free plan."""
        shape = "x".join(map(_side, self.input.shape[1:]))
        if not self.input.has_free_sides:
            return shape
        return f"{shape}; any of {listed(entry.size for entry in self.entries)}"

    @property
    def is_batched(self) -> bool:
        """Whether Triton forms batches."""
        return self.batch > 0

    def remote(self) -> RemoteModel:
        """Return what the pipeline needs to call the model."""
        return RemoteModel(
            name=self.name,
            input=self.input,
            output=self.output,
            max_batch=self.largest_request,
            is_batched=self.is_batched,
        )

    def files(self, name: str) -> list[Path]:
        """Return a file of the bundle, and those that belong to it: weights beside a graph."""
        stem = name.partition(".")[0]
        names = sorted(n for n in self.bundle.manifest.files if n.partition(".")[0] == stem)
        return [self.bundle.path(name) for name in names]

    def image_shape(self, batch: int, size: InputSize) -> list[int]:
        """Return the shape of an input, with the batch axis only if Triton does not add it."""
        own = [self.input.shape[1], *size]
        return own if self.is_batched else [batch, *own]

    def common_fields(self, settings: ExportSettings) -> dict[str, Any]:
        """Return the fields of the configuration that do not depend on the backend."""
        output = tensor_fields(self.output, is_batched=self.is_batched)
        if isinstance(self.bundle.spec, RecognizerSpec):
            output["label_filename"] = LABELS
        fields = {
            "name": self.name,
            "max_batch_size": self.batch,
            "input": [tensor_fields(self.input, is_batched=self.is_batched)],
            "output": [output],
            "model_warmup": self._warm_ups(),
            **version_fields(),
        }
        if self.batch > 1:
            delay = {"max_queue_delay_microseconds": settings.queue_delay}
            fields["dynamic_batching"] = delay
        return fields

    def batch_sizes(self) -> list[int]:
        """Return the batch sizes to prepare for: a single image and the largest batch.

        A plan of many sizes that Triton does not batch gets single images: each shape takes memory,
        and the pipeline sends it few images at once (:class:`.bls.BlsRunner`).
        """
        if self.input.has_free_sides and not self.is_batched:
            return [1]
        return sorted({1, self.largest_request})

    def _warm_ups(self) -> list[dict[str, Any]]:
        """Return one warm-up for each of :meth:`batch_sizes`.

        A plan of many sizes is warmed up at the smallest and at the largest, which needs the most
        memory. Every other size would take time and memory, also if no image ever uses it.
        """
        sizes = dict.fromkeys((self.entries[0].size, self.entries[-1].size))
        return [
            {
                "name": f"batch {batch}, {size}",
                # Triton sends this many requests of one image; without batching, one request.
                "batch_size": batch if self.is_batched else 1,
                "inputs": {
                    self.input.name: {
                        "data_type": "TYPE_FP32",
                        "dims": self.image_shape(batch, size),
                        "zero_data": True,
                    }
                },
            }
            for size in sizes
            for batch in self.batch_sizes()
        ]

    def labels(self) -> str:
        """Return one line per class of a recognizer; the blank is an empty line."""
        spec = self.bundle.spec
        assert isinstance(spec, RecognizerSpec)
        names = [c if c.isprintable() else ascii(c)[1:-1] for c in spec.charset]
        names.insert(spec.blank, "")
        return "".join(f"{name}\n" for name in names)


def _side(length: int) -> str:
    """Return a side of an input as text."""
    return "any" if length == -1 else str(length)


def version_fields() -> dict[str, Any]:
    """Return which versions Triton serves.

    Two, so that a pipeline that is still answering requests finds the models of its own version
    while a new version is loaded.
    """
    return {"version_policy": {"latest": {"num_versions": 2}}}
