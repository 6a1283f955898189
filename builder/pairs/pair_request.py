"""What to optimize: a detector and a recognizer together, on images of the user."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...common.files import check_destination
from ...engines.base import BuildSettings
from ...engines.build_cache import BuildCache
from ...engines.target_groups import AUTO, target_groups
from ...errors import InputFileError, OutputError, SpecError, TargetMissingError
from ...measure.latency import LatencySettings
from ...ocr.dataset import Dataset
from ...spec import DetectorSpec, RecognizerSpec
from ..learned_widths import WidthSettings
from .pair_files import own_pair_files


@dataclass(frozen=True, kw_only=True)
class PairRequest:
    """Two models, the images to measure them on, and the accuracy that they may lose together."""

    detector: DetectorSpec
    recognizer: RecognizerSpec
    samples: Dataset
    """Images with labeled boxes and texts. Without labels, the lines that both models read in their
    own framework are the ground truth."""
    output: Path
    """The folder for both bundles and the report."""
    budget: float
    """Points of end-to-end hmean that a pair may lose; see :func:`default_budget`."""
    calibration: Path | None = None
    """A folder of images for calibration; None: ``samples``."""
    targets: tuple[str, ...] = (AUTO,)
    accepts_unsure: bool = False
    """Whether a pair is accepted by its estimated loss if the images cannot show that it is within
    the budget."""
    compress: bool = False
    """Whether compressed variants of both models are built, too; it takes minutes for each."""
    widths: WidthSettings = field(default_factory=WidthSettings)
    """Which input widths of the recognizer are considered."""
    duration_s: float = 3.0
    """Seconds for which the fastest pair is timed in the final run."""
    cache: BuildCache | None = None
    """Where bundles are kept and reused from; without it, an interrupted run starts again."""

    @property
    def build_latency(self) -> LatencySettings:
        """How long a build times each engine: briefly, because pairs are timed later."""
        return LatencySettings(duration_s=min(1.0, self.duration_s))


def default_budget(detector: DetectorSpec, recognizer: RecognizerSpec) -> float:
    """Return the sum of what both specs allow, in points: the budget named ``end-to-end``."""
    return min(100.0, detector.accuracy.max_loss + recognizer.accuracy.max_loss)


def check_pair_request(request: PairRequest) -> None:
    """Check a request before any slow work.

    Raises:
        SpecError: both specs have the same name.
        InputFileError: the images are not whole images, or no label has a text.
        UserError: an unknown target.
        TargetMissingError: a target cannot run here, so that pairs cannot be timed.
        OutputError: the output folder cannot be written, or is a folder that is read.
    """
    if request.detector.name == request.recognizer.name:
        raise SpecError(
            f"both specs are named {request.detector.name!r}, so their bundles would have one "
            "name; rename one"
        )
    _check_samples(request.samples)
    for group in target_groups(request.targets, "fp32", BuildSettings()):
        for target in group.members:
            if not target.can_run(BuildSettings()):
                raise TargetMissingError(
                    f"{target.name} cannot run on this machine, so pairs cannot be timed; run "
                    "`ocr-trt optimize` on the machine that will read the images"
                )
    _check_output(request)


def _check_samples(samples: Dataset) -> None:
    if not samples.scenes:
        raise InputFileError(
            f"{samples.folder}: contains line images only, but a detector and a recognizer are "
            "measured together on whole images; name a folder of whole images"
        )
    words = (each for s in samples.scenes for each in zip(s.texts, s.ignore, strict=True))
    if samples.labeled and not any(text and not is_ignored for text, is_ignored in words):
        raise InputFileError(
            f"{samples.folder}: no box in its labels.json has a text, so reading cannot be "
            'measured; add "text" to the boxes, or remove labels.json to measure the agreement '
            "with the models themselves"
        )


def _check_output(request: PairRequest) -> None:
    output = request.output.resolve()
    read = [request.samples.folder, request.calibration]
    read += [request.detector.source.path, request.recognizer.source.path]
    for folder in (each.resolve() for each in read if each is not None):
        if folder.is_dir() and output.is_relative_to(folder):
            raise OutputError(
                f"{request.output}: is in {folder}, which is read; nothing was written; choose "
                "another folder"
            )
    # Last: this check creates the parent folder.
    check_destination(request.output, own_pair_files)
