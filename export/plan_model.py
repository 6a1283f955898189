"""One model of a repository: a plan, the batches that Triton forms for it, and its warm-up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    entry: EngineEntry
    input: Port
    output: Port
    batch: int
    """``max_batch_size`` of the configuration; 0: Triton forms no batches."""

    @classmethod
    def of(cls, bundle: Bundle, entry: EngineEntry, settings: ExportSettings) -> PlanModel:
        """Return the model for one input size of a bundle.

        Raises:
            InputFileError: the graph of the plan cannot be read.
        """
        source, output = ports_of(bundle.path(entry.model))
        batch = min(settings.max_batch or bundle.spec.input.max_batch, bundle.spec.input.max_batch)
        if bundle.manifest.target == "openvino" and not settings.pads:
            batch = 0
        height, width = source.shape[2:]
        return cls(
            name=f"{settings.name}_{bundle.spec.role}_{height}x{width}",
            bundle=bundle,
            entry=entry,
            input=source,
            output=output,
            # A plan of a fixed batch cannot be batched: its first axis is a part of its shape.
            batch=batch if source.has_free_batch else 0,
        )

    @property
    def is_batched(self) -> bool:
        """Whether Triton forms batches."""
        return self.batch > 0

    @property
    def largest_request(self) -> int:
        """The largest batch of one request."""
        if self.is_batched:
            return self.batch
        return self.bundle.spec.input.max_batch if self.input.has_free_batch else 1

    def remote(self) -> RemoteModel:
        """Return what the pipeline needs to call the model."""
        return RemoteModel(
            name=self.name, input=self.input, output=self.output, max_batch=self.largest_request
        )

    def files(self, name: str) -> list[Path]:
        """Return a file of the bundle, and those that belong to it: weights beside a graph."""
        stem = name.partition(".")[0]
        names = sorted(n for n in self.bundle.manifest.files if n.partition(".")[0] == stem)
        return [self.bundle.path(name) for name in names]

    def image_shape(self, batch: int) -> list[int]:
        """Return the shape of an input, with the batch axis only if Triton does not add it."""
        own = list(self.input.shape[1:])
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
        """Return the batch sizes to prepare for: a single image and the largest batch."""
        return sorted({1, self.largest_request})

    def _warm_ups(self) -> list[dict[str, Any]]:
        """Return one warm-up for each of :meth:`batch_sizes`."""
        return [
            {
                "name": f"batch {size}",
                # Triton sends this many requests of one image; without batching, one request.
                "batch_size": size if self.is_batched else 1,
                "inputs": {
                    self.input.name: {
                        "data_type": "TYPE_FP32",
                        "dims": self.image_shape(size),
                        "zero_data": True,
                    }
                },
            }
            for size in self.batch_sizes()
        ]

    def labels(self) -> str:
        """Return one line per class of a recognizer; the blank is an empty line."""
        spec = self.bundle.spec
        assert isinstance(spec, RecognizerSpec)
        names = [c if c.isprintable() else ascii(c)[1:-1] for c in spec.charset]
        names.insert(spec.blank, "")
        return "".join(f"{name}\n" for name in names)


def version_fields() -> dict[str, Any]:
    """Return which versions Triton serves.

    Two, so that a pipeline that is still answering requests finds the models of its own version
    while a new version is loaded.
    """
    return {"version_policy": {"latest": {"num_versions": 2}}}
