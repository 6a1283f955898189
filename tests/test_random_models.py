"""Random Keras models convert, or are refused for a reason; see ``random_models.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from ocr_trt.errors import ConversionError

from . import random_models
from .random_layers.plans import Plan, build, draw_plan
from .random_models import BUG, EQUAL, LATE, REFUSED, WRONG, examine, shrink

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


def check_outcomes(folder: Path) -> None:
    """Examine models of which each outcome is known; raises AssertionError."""
    assert examine(0, PLAN, folder).kind == EQUAL
    convert = random_models.convert_sizes

    def planted(error: str):  # type: ignore[no-untyped-def]
        def changed(*arguments):  # type: ignore[no-untyped-def]
            converted = convert(*arguments)
            if error == WRONG:
                initializers = next(iter(converted.graphs.values())).graph.initializer
                for weights in (each for each in initializers if len(each.dims) > 1):
                    weights.raw_data = bytes(len(weights.raw_data))
            if error == BUG:
                raise KeyError("a bug")
            if error == REFUSED:
                raise ConversionError("no")
            while error == LATE:
                pass
            return converted

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for kind in (WRONG, BUG, REFUSED, LATE):
            patch.setattr(random_models, "convert_sizes", planted(kind))
            seconds = 1.0 if kind == LATE else 60.0
            assert examine(0, PLAN, folder, seconds).kind == kind
        patch.setattr(random_models, "convert_sizes", planted(BUG))
        assert shrink(examine(0, PLAN, folder), folder).plan.maps == ()


def run_alone(*command: str) -> None:
    """Run Python in a process of its own: a random model may end TensorFlow's process."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]


def test_each_outcome_is_detected(tmp_path: Path) -> None:
    run_alone(
        "-c",
        "from pathlib import Path; from ocr_trt.tests.test_random_models import check_outcomes; "
        f"check_outcomes(Path({str(tmp_path / 'model')!r}))",
    )


@pytest.mark.full
@pytest.mark.timeout(3000)  # run_alone has the same limit
def test_random_models_equal_tensorflow_or_are_refused() -> None:
    # The limit is for hangs: a busy machine needs longer than the usual 60 seconds for some models.
    run_alone(random_models.__file__, "--models", "200", "--seed", "1", "--seconds", "240")
