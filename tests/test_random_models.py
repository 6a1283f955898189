"""Random Keras models convert, or are refused for a reason; see ``random_models.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from ocr_trt.errors import ConversionError

from . import random_models
from .random_layers.plans import Plan, build, draw_plan
from .random_models import BUG, EQUAL, FAILURES, LATE, REFUSED, WRONG, examine, shrink

PLAN = Plan(
    role="detector",
    format="keras",
    policy="float32",
    batch=None,
    shape=(16, 16, 3),
    is_free=False,
    maps=(("maps.norm", 1), ("maps.conv", 2), ("maps.activation", 3)),
    sequences=(),
    seed=1,
)


def test_plan_depends_only_on_seed_and_number() -> None:
    assert draw_plan(1, 5) == draw_plan(1, 5)
    assert draw_plan(1, 5) != draw_plan(2, 5)
    one, other = (build(PLAN) for _ in range(2))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        assert (a == b).all()


def test_each_outcome_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine(0, PLAN, tmp_path / "model").kind == EQUAL
    convert = random_models.convert_widths

    def planted(error: str):  # type: ignore[no-untyped-def]
        def changed(*arguments):  # type: ignore[no-untyped-def]
            converted = convert(*arguments)
            if error == WRONG:
                for weights in converted.graphs[16].graph.initializer:
                    weights.raw_data = bytes(len(weights.raw_data))
            if error == BUG:
                raise KeyError("a bug")
            if error == REFUSED:
                raise ConversionError("no")
            while error == LATE:
                pass
            return converted

        return changed

    for kind in (WRONG, BUG, REFUSED, LATE):
        monkeypatch.setattr(random_models, "convert_widths", planted(kind))
        seconds = 1.0 if kind == LATE else 60.0
        assert examine(0, PLAN, tmp_path / "model", seconds).kind == kind
    monkeypatch.setattr(random_models, "convert_widths", planted(BUG))
    outcome = examine(0, PLAN, tmp_path / "model")
    assert shrink(outcome, tmp_path / "model").plan.maps == ()


@pytest.mark.full
def test_random_models_equal_tensorflow_or_are_refused() -> None:
    # The limit is for hangs: a busy machine needs longer than the usual 60 seconds for some models.
    found = list(random_models.outcomes(200, seed=1, seconds=240.0))
    failed = [outcome for outcome in found if outcome.kind in FAILURES]
    assert not failed, random_models.report(failed, seed=1)
