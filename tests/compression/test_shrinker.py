"""Which decisions are applied together, and the graphs that they lead to."""

from __future__ import annotations

import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.compression.decisions import Factor, Prune
from ocr_trt.compression.shrinker import Shrinker

from .graphs import images, unet

SIZE = InputSize(16, 12)
FACTOR = Factor(layer="f", rank=6)


@pytest.fixture(scope="module")
def shrinker() -> Shrinker:
    found = Shrinker({SIZE: unet()}, images(unet(), 8), multiple=2)
    found.prepare()
    return found


def test_progress_counts_images() -> None:
    done = list[int]()
    Shrinker({SIZE: unet()}, images(unet(), 3)).prepare(done.append)
    assert (done[-1], sorted(done)) == (3, done)


@pytest.mark.parametrize(
    ("kept", "is_factored"), [((0, 1), False), (tuple(range(6)), True)], ids=["small", "large"]
)
def test_a_layer_that_pruning_left_small_is_not_factored(
    shrinker: Shrinker, kept: tuple[int, ...], is_factored: bool
) -> None:
    prune = Prune(group="b", kept=kept)
    assert shrinker.applied([FACTOR]) == [FACTOR]
    assert (FACTOR in shrinker.applied([prune, FACTOR])) == is_factored
    model = shrinker.restructured([prune, FACTOR])[SIZE].model
    names = {name for node in model.graph.node for name in node.output}
    assert ("f.first" in names) == is_factored


def test_options_are_distinct_and_can_be_applied(shrinker: Shrinker) -> None:
    options = shrinker.options()
    assert len(set(options)) == len(options)
    for each in options:
        assert shrinker.applied([each]) == [each]
        assert shrinker.restructured([each])[SIZE].model != shrinker.graphs[SIZE]
