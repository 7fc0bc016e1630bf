"""Intervals by Student's t, for everything that is repeated over seeds or runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
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
    return around(mean, float(standard_error(array)), array.size)


def jackknife(value: float, without: Sequence[float]) -> tuple[float, float, float]:
    """A statistic and its 95 % interval, from its values with each of n seeds left out; NaN bounds for n <
    2."""
    array = np.asarray(without, dtype=float)
    return around(float(value), float(jackknife_error(array)), array.size)


def over_pairs(rows: pd.DataFrame) -> tuple[float, float, float]:
    """The mean of ``value`` over pairs of runs (columns seed, seed_b), and its 95 % interval with each seed
    left out in turn; lines within one run, which share nothing, are one value a seed."""
    if (rows.seed == rows.seed_b).all():
        return student(rows.value)
    seeds = sorted({*rows.seed, *rows.seed_b})
    left = [rows.value[(rows.seed != seed) & (rows.seed_b != seed)] for seed in seeds]
    without = [one.mean() for one in left] if all(map(len, left)) else []
    return jackknife(rows.value.mean(skipna=False), without)


def standard_error(values: np.ndarray) -> np.ndarray:
    """Of the mean over the last axis; NaN for fewer than two values."""
    n = np.shape(values)[-1]
    return (
        np.std(values, axis=-1, ddof=1) / math.sqrt(n) if n > 1 else np.full(np.shape(values)[:-1], math.nan)
    )


def jackknife_error(without: np.ndarray) -> np.ndarray:
    """Standard error from leave-one-out values (last axis): the root of (n - 1) / n times the sum of their
    squared deviations from their mean. Exact for what adds up over seeds; too large, by at most 1.6 at n = 5,
    where pairs differ by themselves and not by their seeds."""
    return (np.shape(without)[-1] - 1) * standard_error(without)


def around(centre: float, error: float, n: int, level: float = LEVEL) -> tuple[float, float, float]:
    """An estimate from n seeds and its interval with n - 1 degrees of freedom, given its standard error."""
    if n < 2:
        return centre, math.nan, math.nan
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    return centre, centre - half, centre + half


def beyond(distance: float, error: float, n: int) -> float:
    """One-sided p-value of an estimate that lies ``distance`` beyond a limit, by Student's t."""
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / error, n - 1))
