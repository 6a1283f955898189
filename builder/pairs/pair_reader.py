"""Read pairs on the images, judge them, and leave out variants that are over the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...common.progress import Reporter
from ...errors import SpecError
from ...measure.end_to_end_result import EndToEndResult
from ...ocr.dataset import Dataset
from .open_variants import OpenVariant, exact_of
from .pair_verdict import PairVerdict, judge_pair
from .pairs import VariantPair
from .read_pairs import EnginePair, read_with_pairs


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """When a pair is accepted."""

    budget: float
    """Points of end-to-end hmean."""
    accepts_unsure: bool = False

    def accepts(self, verdict: PairVerdict) -> bool:
        """Whether a pair counts as within the budget."""
        return verdict.verdict in ("shown", "agrees", *(("unsure",) if self.accepts_unsure else ()))


class PairReader:
    """Reads pairs on the images, and judges them against the models themselves.

    Raises:
        InputFileError: an image cannot be read.
        SpecError: the models themselves read nothing right.
    """

    def __init__(
        self, models: EnginePair, samples: Dataset, criterion: Criterion, reporter: Reporter
    ) -> None:
        self._samples, self._reporter, self.criterion = samples, reporter, criterion
        name = "the models themselves"
        self._truth = read_with_pairs({name: models}, samples.scenes, reporter)[name]
        _check_baseline(self._truth, samples, criterion.budget)
        self.verdicts: dict[VariantPair, PairVerdict] = {}

    def read(self, pairs: Sequence[VariantPair]) -> None:
        """Read and judge the pairs that were not read before."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.verdicts]
        if not new:
            return
        named = {str(number): engines_of(pair) for number, pair in enumerate(new)}
        results = read_with_pairs(named, self._samples.scenes, self._reporter)
        for pair, result in zip(new, results.values(), strict=True):
            self.verdicts[pair] = judge_pair(
                result, self._truth, self.criterion.budget, labeled=self._samples.labeled
            )

    def is_accepted(self, pair: VariantPair) -> bool:
        """Whether a pair that was read is within the budget."""
        return self.criterion.accepts(self.verdicts[pair])


def engines_of(pair: VariantPair) -> EnginePair:
    """Return the engines of both variants."""
    return pair[0].engine, pair[1].engine


def _check_baseline(truth: EndToEndResult, samples: Dataset, budget: float) -> None:
    """Refuse models that read nothing: compared with them, any pair would be within the budget."""
    value = truth.useless_value(labeled=samples.labeled)
    if value is not None and budget < 100:
        raise SpecError(
            f"the models themselves give {value} on {samples.folder}, so no pair can be judged by "
            "them; compare both specs with the models' own preprocessing, and the images with "
            "those they were trained on"
        )


def screened(
    detectors: Sequence[OpenVariant], recognizers: Sequence[OpenVariant], reader: PairReader
) -> tuple[list[OpenVariant], list[OpenVariant]]:
    """Return the variants that are not over the budget with the exact variant of the other model.

    With another variant of the other model, such a pair is expected to lose even more. The exact
    variants always remain.
    """
    finder, recognizer = exact_of(detectors), exact_of(recognizers)
    reader.read(
        [*((each, recognizer) for each in detectors), *((finder, each) for each in recognizers)]
    )

    def is_over(*pair: OpenVariant) -> bool:
        return reader.verdicts[pair[0], pair[1]].verdict == "over"

    return (
        [each for each in detectors if each is finder or not is_over(each, recognizer)],
        [each for each in recognizers if each is recognizer or not is_over(finder, each)],
    )
