"""Points lost and gained, as text."""

from __future__ import annotations

import pytest

from ocr_trt.engines.manifest import PointsInterval
from ocr_trt.engines.points_text import loss_text, signed_points


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (0.12, "loses 0.12 points"),
        (-0.09, "gains 0.09 points"),
        (0.0, "loses 0.00 points"),
        (-0.0, "loses 0.00 points"),
        (-1e-9, "loses 0.00 points"),
        (-0.006, "gains 0.01 points"),
        (-100.0, "gains 100.00 points"),
    ],
)
def test_a_negative_loss_is_a_gain(loss: float, text: str) -> None:
    assert loss_text(loss) == text
    assert loss_text(loss, of="CER").endswith(" points of CER")


def test_an_interval_keeps_the_signs_of_the_loss() -> None:
    text = loss_text(-0.25, PointsInterval(low=-1.5, high=-1e-9), of="hmean")
    assert text == "gains 0.25 points of hmean (95 % interval of the loss: -1.50 to +0.00)"


@pytest.mark.parametrize(
    ("points", "text"), [(0.254, "+0.25"), (-0.3, "-0.30"), (-0.001, "+0.00"), (-0.0, "+0.00")]
)
def test_signed_points(points: float, text: str) -> None:
    assert signed_points(points) == text
