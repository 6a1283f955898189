"""The settings of a Triton model repository."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import UserError
from .pipeline_file import PipelineParameters

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How to write a model repository."""

    name: str = "ocr"
    """The name of the pipeline, and the prefix of the names of the other models."""
    version: int = 1
    """The version of all models. The pipeline calls the other models at its own version."""
    max_batch: int | None = None
    """The largest batch that Triton forms, and that the pipeline sends in one request; None: that
    of the bundle.
    """
    pads: bool = True
    """OpenVINO: let Triton form batches, which its backend pads to the largest one. False: every
    request runs alone, at its own size."""
    queue_delay: int = 500
    """How long a request waits for others to fill a batch, in microseconds."""
    instances: int = 1
    """Instances of each model that runs a plan."""
    is_stand_in: bool = False
    """Let Python models run the plans, in place of Triton's backends."""
    parameters: PipelineParameters = field(default_factory=PipelineParameters)
    """The parameters of the pipeline."""

    def __post_init__(self) -> None:
        # The name becomes the name of folders.
        if not _NAME.fullmatch(self.name):
            raise UserError(
                f"the name {self.name!r:.80} cannot be used: it needs 1 to 64 of the characters "
                "A-Z, a-z, 0-9, '.', '_' and '-', and begins with a letter or digit"
            )
