"""Intervals by Student's t, for everything that is repeated over seeds or runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95


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
