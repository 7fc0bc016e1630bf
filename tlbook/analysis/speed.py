"""How much sooner, and by how much ahead: times with their censoring, areas between curves, intervals.

Intervals are 95 %, Student's t over seeds, conditional on the one P and the one split.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from tlbook.analysis.convergence import RUN, at_last_epoch
from tlbook.scales import CONTROLS, INITS, RATES, TARGETS

LEVEL = 0.95
EARLY = 0.1  # of a run: where most of a head start lies
ORDER = {name: place for place, name in enumerate((*TARGETS, *INITS, *CONTROLS, *RATES))}


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, low and high; NaN bounds for fewer than two values."""
    x = np.asarray(values, float)
    if len(x) < 2:
        return float(x.mean()) if len(x) else np.nan, np.nan, np.nan
    half = stats.t.ppf(0.5 + LEVEL / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)


def widest_interval(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """The union of all `t_interval` of values that are known only to lie in [low_i, high_i].

    The lower bound, mean - c sd, is concave in the values and the upper one convex, so both are extreme at
    corners of the box; all 2^n corners are tried. NaN for fewer than two values.
    """
    corners = [t_interval(corner)[1:] for corner in itertools.product(*zip(lows, highs, strict=True))]
    return min(low for low, _ in corners), max(high for _, high in corners)


def share(part: Sequence[float], whole: Sequence[float]) -> tuple[float, float, float]:
    """mean(part) / mean(whole) of values paired by seed, with Fieller's interval.

    The interval holds every ratio r at which the mean of part - r whole may be 0 (Fieller 1954). Where whole
    itself may be 0, a share of it means nothing: NaN for all three, and for fewer than two seeds.
    """
    a, b = np.asarray(part, float), np.asarray(whole, float)
    n = len(a)
    if n < 2:
        return np.nan, np.nan, np.nan
    c = stats.t.ppf(0.5 + LEVEL / 2, n - 1) ** 2 / n
    (var_a, cov), (_, var_b) = np.cov(a, b)
    # (mean_a - r mean_b)^2 <= c (var_a - 2 r cov + r^2 var_b): a quadratic in r
    square, line = b.mean() ** 2 - c * var_b, a.mean() * b.mean() - c * cov
    if square <= 0:
        return np.nan, np.nan, np.nan
    root = np.sqrt(max(line**2 - square * (a.mean() ** 2 - c * var_a), 0.0))
    return float(a.mean() / b.mean()), float((line - root) / square), float((line + root) / square)


def times(curves: pd.DataFrame, metrics: dict[str, str], images: dict[str, int]) -> pd.DataFrame:
    """When each run first reached RI-T's final test metric, and what is known of it.

    ``curves`` is the table control_curves, in which each init has one rate; ``metrics`` maps a role to its
    metric, ``images`` to the training images of an epoch. The level is the mean final test metric of RI-T.
    Test is measured now and then, so the time lies between ``low``, the last measured epoch before (0 if
    there is none), and ``value``, the first at or above. A run that never got there has ``reached`` 0 and its
    last epoch in both: all that is known is that it takes longer. Columns as the table time_to_level.
    """
    rows = []
    for role, own in curves.groupby("role"):
        test = own[(own.metric == metrics[role]) & (own.split == "test")]
        level = float(at_last_epoch(test[test.init == "RI-T"]).value.mean())
        for keys, run in test.groupby(RUN):
            low, value, reached = _first(run.sort_values("epoch"), level)
            for name, factor in (("epochs", 1), ("images", images[role])):
                row = dict(zip(RUN, keys, strict=True)) | {"unit": name, "low": float(low * factor)}
                rows.append(row | {"value": float(value * factor), "reached": reached})
    return pd.DataFrame(rows)


def leads(curves: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """How far each run is ahead of the RI-T of its seed, in points (100 AUC): at the end, and on average.

    The mean over a run is the area between the two curves, by trapezia between measured epochs, divided by
    the epochs: ``over`` is "whole" (of the shorter run), "tenth" (its first tenth) or "end". ``split`` is
    test or train; ``curves`` and ``metrics`` as in `times`. A seed without RI-T is left out. Columns as the
    table lead.
    """
    rows = []
    for role, own in curves.groupby("role"):
        points = 100.0 if metrics[role] == "auc" else 1.0
        for split in ("test", "train"):
            runs = own[(own.metric == metrics[role]) & (own.split == split)]
            base = dict(list(runs[runs.init == "RI-T"].groupby("seed")))
            for keys, run in runs[(runs.init != "RI-T") & runs.seed.isin(base)].groupby(RUN):
                found = dict(zip(RUN, keys, strict=True)) | {"split": split}
                ahead = _ahead(run, base[found["seed"]])
                rows += [found | {"over": over, "value": points * value} for over, value in ahead.items()]
    return pd.DataFrame(rows, columns=[*RUN, "split", "over", "value"])


def speed_summary(times: pd.DataFrame, epochs: dict[str, int]) -> pd.DataFrame:
    """For reading: epochs and images until RI-T's final metric, over seeds, and how many times sooner.

    ``times`` is the table time_to_level, ``epochs`` maps a role to the epochs of its RI-T. The mean counts a
    run that never got there at its last epoch (the restricted mean, which censoring at the end leaves
    known); its interval is the widest that any times within the measured intervals give, cut at 0. *Times
    sooner* is RI-T's epochs divided by the mean; without an upper bound (inf) where the interval touches 0.
    """
    rows = []
    for keys, runs in _groups(times, ["role", "init", "rate"]):
        row = dict(zip(("role", "init", "rate"), keys, strict=True))
        row |= {"n": runs.seed.nunique(), "reached": int(runs[runs.unit == "epochs"].reached.sum())}
        for unit, own in runs.groupby("unit"):
            low, high = widest_interval(own.low, own.value)
            row |= {unit: own.value.mean(), f"{unit}_low": max(low, 0.0) if low == low else low}
            row[f"{unit}_high"] = high
        last = epochs[row["role"]]
        row["sooner"] = last / row["epochs"] if row["epochs"] else np.inf
        row["sooner_low"] = last / row["epochs_high"]
        row["sooner_high"] = last / row["epochs_low"] if row["epochs_low"] else np.inf
        rows.append(row)
    return pd.DataFrame(rows)


def lead_summary(lead: pd.DataFrame) -> pd.DataFrame:
    """The table lead over seeds: role, init, rate, split, over, n, mean, low, high, and the share of P-T's.

    Shares are paired by seed, with Fieller's interval (`share`), and NaN for P-T itself.
    """
    rows = []
    for keys, runs in _groups(lead, ["role", "init", "rate", "split", "over"]):
        row = dict(zip(("role", "init", "rate", "split", "over"), keys, strict=True))
        mean, low, high = t_interval(runs.value)
        row |= {"n": len(runs), "mean": mean, "low": low, "high": high}
        here = (lead.role == row["role"]) & (lead.split == row["split"]) & (lead.over == row["over"])
        whole = lead[here & (lead.init == "P-T")]
        both = runs.merge(whole, on="seed")
        found = (np.nan,) * 3 if row["init"] == "P-T" else share(both.value_x, both.value_y)
        rows.append(row | dict(zip(("share", "share_low", "share_high"), found, strict=True)))
    return pd.DataFrame(rows)


def _groups(table: pd.DataFrame, keys: list[str]):
    """Groups in the book's order: roles, P-T and RI-T first, the low rate first."""
    return sorted(table.groupby(keys), key=lambda group: [ORDER.get(name, 99) for name in group[0]])


def _first(run: pd.DataFrame, level: float) -> tuple[int, int, int]:
    """(last measured epoch below, first at or above the level, 1), or (last, last, 0) if there is none."""
    there = run[run.value >= level].epoch
    last = int(run.epoch.iloc[-1])
    if there.empty:
        return last, last, 0
    before = run[run.epoch < there.iloc[0]].epoch
    return (int(before.iloc[-1]) if len(before) else 0), int(there.iloc[0]), 1


def _ahead(run: pd.DataFrame, base: pd.DataFrame) -> dict[str, float]:
    """Mean difference of two curves over the whole of the shorter and its first tenth, and of their ends."""
    one, other = (frame.set_index("epoch").value.sort_index() for frame in (run, base))
    last = min(one.index[-1], other.index[-1])
    found = {"end": float(one.iloc[-1] - other.iloc[-1])}
    for name, until in (("whole", last), ("tenth", EARLY * last)):
        at = np.unique([*one.index, *other.index, until]).astype(float)
        at = at[at <= until]
        gap = np.interp(at, one.index, one.values) - np.interp(at, other.index, other.values)
        found[name] = float(np.trapezoid(gap, at) / until)
    return found
