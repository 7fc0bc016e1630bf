"""Barriers of the loss landscape: metrics along the straight line between two models, and what stands in
the way (paper, section 3.3, Figures 4 and 16).

``theta(alpha) = (1 - alpha) first + alpha second`` over every weight, the head too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models.interpolation import check_pair, interpolate
from tlbook.questions.loss_landscape.method.evaluation import Evaluator, Measured, tabulated

PLACES = 6  # decimals of alpha, so that tables and records name the same points
REACH = 0.5  # how far a line is followed beyond its ends, as a share of its length
LOWER_IS_BETTER = ("loss", "calibrated_loss")


def alphas(points: int, outside: int = 0) -> np.ndarray:
    """``points`` places from 0 to 1 evenly, both ends among them, and ``outside`` more beyond each end,
    evenly up to -0.5 and 1.5. Fewer than 2 points, or a negative number outside, are refused."""
    if points < 2 or outside < 0:
        raise TlbookError(f"A line needs at least 2 points and 0 outside, not {points} and {outside}.")
    beyond = np.linspace(0, REACH, outside + 1)[1:]
    return np.concatenate([-beyond[::-1], np.linspace(0, 1, points), 1 + beyond]).round(PLACES)


def along(
    evaluator: Evaluator,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    places: Iterable[float],
    splits: Sequence[str] = (),
    ends: tuple[Measured, Measured] | None = None,
) -> pd.DataFrame:
    """Metrics along the line from ``first`` to ``second``: columns alpha, split, metric, value.

    ``ends`` are their own metrics where they were measured before. Models that differ in architecture or in
    classes, or hold NaN, are refused.
    """
    check_pair(first, second)
    known = dict(zip((0.0, 1.0), ends, strict=True)) if ends else {}
    return tabulated(
        "alpha",
        (
            (alpha, known.get(alpha) or evaluator.measure(interpolate(first, second, alpha), splits))
            for alpha in map(float, places)
        ),
    )


def barrier(places: Sequence[float], values: Sequence[float], metric: str = "accuracy") -> dict[str, float]:
    """What stands in the way on one line, 0 <= alpha <= 1; points beyond are left out.

    height: the largest drop below the straight line between the two ends (for a loss: rise above it), 0 if
    there is none; place: the alpha where it stands (NaN for height 0); width: the length of alpha over which
    the drop exceeds half of its height, between points in a straight line; lowest: the worst point (for a
    loss the highest). Metrics in their unit, alpha 0 to 1. NaN values make all of it NaN.
    """
    at, values = np.asarray(places, float), np.asarray(values, float)
    order = np.argsort(at)
    at, values = at[order], values[order]
    inside = (at >= 0) & (at <= 1)
    at, values = at[inside], values[inside]
    if len(at) < 2 or at[0] != 0 or at[-1] != 1:
        raise TlbookError("A barrier is measured between two models: the line must hold alpha 0 and 1.")
    if np.isnan(values).any():
        return dict.fromkeys(("height", "place", "width", "lowest"), float("nan"))
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    drop = sign * ((1 - at) * values[0] + at * values[-1] - values)
    lowest = float(values.max() if sign < 0 else values.min())
    height = float(drop.max())
    # what rounding leaves of a straight line is no barrier
    if height <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return {"height": 0.0, "place": float("nan"), "width": 0.0, "lowest": lowest}
    return {
        "height": height,
        "place": float(at[drop.argmax()]),
        "width": _length_above(at, drop, height / 2),
        "lowest": lowest,
    }


def _length_above(at: np.ndarray, values: np.ndarray, level: float) -> float:
    """How long a polygon lies above a level."""
    length = 0.0
    for left, right, low, high in zip(at[:-1], at[1:], values[:-1], values[1:], strict=True):
        above = (max(low, high) - level) / abs(high - low) if low != high else float(low > level)
        length += (right - left) * min(max(above, 0.0), 1.0)
    return length


def barriers(lines: pd.DataFrame) -> pd.DataFrame:
    """`barrier` of every line of the table interpolation: its keys but alpha, then quantity and value."""
    keys = [name for name in lines.columns if name not in ("alpha", "value")]
    rows = []
    for key, line in lines.groupby(keys, sort=False):
        named = dict(zip(keys, key, strict=True))
        measures = barrier(line.alpha, line.value, named["metric"])
        rows += [named | {"quantity": name, "value": value} for name, value in measures.items()]
    return pd.DataFrame(rows)
