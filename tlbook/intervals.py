"""95 % intervals by Student's t, for everything that is repeated over runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """n, mean, low and high of `student`, as columns of a summary."""
    return {"n": len(values)} | dict(zip(("mean", "low", "high"), student(values), strict=True))


def widest(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """The union of all `student` intervals of values that are known only to lie in [low_i, high_i].

    The lower bound, mean - c sd, is concave in the values and the upper one convex, so both are extreme at
    corners of the box; all 2^n corners are tried. NaN for fewer than two values.
    """
    corners = [student(corner)[1:] for corner in itertools.product(*zip(lows, highs, strict=True))]
    return min(low for low, _ in corners), max(high for _, high in corners)


def share(part: Sequence[float], whole: Sequence[float]) -> tuple[float, float, float]:
    """mean(part) / mean(whole) of values paired by seed, with Fieller's interval.

    The interval holds every ratio r at which the mean of part - r whole may be 0 (Fieller 1954). Where whole
    itself may be 0, a share of it means nothing: NaN for all three, and for fewer than two seeds.
    """
    a, b = np.asarray(part, float), np.asarray(whole, float)
    n = len(a)
    if n < 2:
        return math.nan, math.nan, math.nan
    c = stats.t.ppf(0.5 + LEVEL / 2, n - 1) ** 2 / n
    (var_a, cov), (_, var_b) = np.cov(a, b)
    # (mean_a - r mean_b)^2 <= c (var_a - 2 r cov + r^2 var_b): a quadratic in r
    square, line = b.mean() ** 2 - c * var_b, a.mean() * b.mean() - c * cov
    if square <= 0:
        return math.nan, math.nan, math.nan
    root = np.sqrt(max(line**2 - square * (a.mean() ** 2 - c * var_a), 0.0))
    return float(a.mean() / b.mean()), float((line - root) / square), float((line + root) / square)


def between(low: float, high: float) -> str:
    """An interval as text: "1.2 to 3.4", "1.2 or more" without an upper bound, "–" where there is none."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{low:.3g} or more" if math.isinf(high) else f"{low:.3g} to {high:.3g}"


def student(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval by Student's t with n - 1 degrees of freedom; NaN bounds for n < 2."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean()) if array.size else math.nan
    if array.size < 2:
        return mean, math.nan, math.nan
    return around(mean, float(array.std(ddof=1)) / math.sqrt(array.size), array.size)


def around(centre: float, error: float, n: int) -> tuple[float, float, float]:
    """An estimate from n runs and its 95 % interval, given its standard error."""
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * error
    return centre, centre - half, centre + half
