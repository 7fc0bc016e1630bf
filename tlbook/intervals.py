"""95 % intervals by Student's t, for everything that is repeated over runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95


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
