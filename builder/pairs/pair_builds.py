"""Build the variants of both models in two stages, and open them.

The first stage varies how the models are computed. The second stage varies the input sizes, only
for the variants that the caller kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from ...calibration.images import load_calibration
from ...common.progress import Reporter
from ...common.scratch import scratch_folder
from .built_variants import FailedVariant, base_request, build_variants
from .open_variants import OpenVariant, open_variants
from .other_inputs import detector_inputs, recognizer_inputs
from .pair_data import PairData
from .pair_request import PairRequest
from .variants import Variant, ways_of, with_inputs


class PairBuilds:
    """The variants of a detector and a recognizer, open until ``stack`` closes them.

    Their bundles are in a scratch folder beside the output, and in the build cache.
    """

    def __init__(
        self, request: PairRequest, data: PairData, stack: ExitStack, reporter: Reporter
    ) -> None:
        self._request, self._data = request, data
        self._stack, self._reporter = stack, reporter
        parent = request.output.absolute().parent
        self._scratch = stack.enter_context(scratch_folder(parent))
        self.detectors: list[OpenVariant] = []
        self.recognizers: list[OpenVariant] = []
        self.failed: list[FailedVariant] = []

    def build_ways(self) -> None:
        """Build each model in every way that a target supports.

        Raises:
            OcrTrtError: the exact variant of a model cannot be built.
        """
        request, data = self._request, self._data
        finder = base_request(
            request,
            request.detector,
            data.scenes,
            data.detector_calibration,
            self._scratch / "detector",
        )
        reader = base_request(
            request,
            request.recognizer,
            data.words,
            data.recognizer_calibration,
            self._scratch / "recognizer",
        )
        for base, spec, opened in (
            (finder, request.detector, self.detectors),
            (reader, request.recognizer, self.recognizers),
        ):
            # Compression removes as much as the budget of the user's spec allows.
            compressed = replace(base, spec=spec) if request.compress else None
            opened += self._opened(ways_of(base, compressed))

    def build_inputs(
        self, detectors: Sequence[OpenVariant], recognizers: Sequence[OpenVariant]
    ) -> None:
        """Build each model at other input sizes, in the ways of some variants."""
        request, data = self._request, self._data
        # Of the samples, because their sizes are those of production.
        images = load_calibration(data.scenes.folder, request.detector)
        sizes = detector_inputs(request.detector, images, self._reporter)
        widths = recognizer_inputs(request.recognizer, data.lines, request.widths, self._reporter)
        self.detectors += self._opened(with_inputs([each.variant for each in detectors], sizes))
        self.recognizers += self._opened(
            with_inputs([each.variant for each in recognizers], widths)
        )

    def _opened(self, variants: Sequence[Variant]) -> list[OpenVariant]:
        result = build_variants(variants, self._reporter)
        self.failed += result.failed
        return open_variants(result.built, self._stack)
