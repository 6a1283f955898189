"""Points lost or gained against the baseline, as text."""

from __future__ import annotations

from .manifest import PointsInterval

_NOTHING = 0.005
"""Points: a smaller loss or gain is 0.00."""


def signed_points(points: float) -> str:
    """Return points with a sign; a value that rounds to 0 has a plus."""
    # Adding 0.0 turns -0.0 into 0.0. A loss of -1e-9 is rounding: "-0.00" would look like a gain.
    return f"{points + 0.0:+.2f}".replace("-0.00", "+0.00")


def loss_text(loss: float, interval: PointsInterval | None = None, *, of: str = "") -> str:
    """Return "loses 0.12 points", or "gains 0.12 points" for a negative loss.

    Args:
        loss: points lost.
        interval: of the loss; it is added with its signs, which are those of the loss.
        of: the metric.
    """
    word = "gains" if loss <= -_NOTHING else "loses"
    text = f"{word} {abs(loss):.2f} points{f' of {of}' if of else ''}"
    if interval is None:
        return text
    return f"{text} (95 % interval of the loss: {bounds_text(interval.low, interval.high)})"


def bounds_text(low: float, high: float) -> str:
    """Return the bounds of an interval of the points lost."""
    return f"{signed_points(low)} to {signed_points(high)}"
