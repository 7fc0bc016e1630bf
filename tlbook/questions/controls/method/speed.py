"""How much sooner, and by how much ahead: times with their censoring, areas between curves, intervals.

Intervals are 95 %, Student's t over seeds, conditional on the one P and the one split.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from tlbook.intervals import LEVEL, student
from tlbook.scales import CONTROLS, INITS, RATES, TARGETS
from tlbook.vocabulary import RUN, at_last_epoch

EARLY = 0.1  # of a run: where most of a head start lies
OVER = ("end", "whole", "tenth")  # what a lead is over
WORDS = (*TARGETS, *INITS, *CONTROLS, *RATES, "test", "train", *OVER)
ORDER = {word: place for place, word in enumerate(WORDS)}  # numbers of images stand for themselves


def widest_interval(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
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
    ``last`` epoch in both: all that is known is that it takes longer. Columns as the table time_to_level.
    """
    rows = []
    for role, own in curves.groupby("role"):
        test = own[(own.metric == metrics[role]) & (own.split == "test")]
        level = float(at_last_epoch(test[test.init == "RI-T"]).value.mean())
        for keys, run in test.groupby(RUN):
            low, value, last, reached = _first(run.sort_values("epoch"), level)
            for name, factor in (("epochs", 1.0), ("images", float(images[role]))):
                row = dict(zip(RUN, keys, strict=True)) | {"unit": name, "low": low * factor}
                rows.append(row | {"value": value * factor, "last": last * factor, "reached": reached})
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


def speed_summary(times: pd.DataFrame) -> pd.DataFrame:
    """Over seeds: epochs and images until RI-T's final metric, with intervals, and how many times sooner.

    ``times`` is the table time_to_level or few_images_time. The mean counts a run that never got there at its
    last epoch (the mean time restricted to the length of a run, which is known whatever would come later);
    its interval is the widest that any times within the measured intervals give, cut at 0 and at that epoch,
    outside of which it cannot lie. ``sooner`` is the length of RI-T's runs divided by that mean; without an
    upper bound (inf) where the interval touches 0.
    Columns role, init, rate (and images, where the table has them), n, reached (how many runs got there),
    epochs, epochs_low, epochs_high, images_seen and its bounds, sooner and its bounds.
    """
    keys = ["role", *({"images"} & set(times.columns)), "init", "rate"]
    rows = []
    for found, runs in _groups(times, keys):
        row = dict(zip(keys, found, strict=True))
        row |= {"n": runs.seed.nunique(), "reached": int(runs[runs.unit == "epochs"].reached.sum())}
        for unit, name in (("epochs", "epochs"), ("images", "images_seen")):
            own = runs[runs.unit == unit]
            low, high = np.clip(widest_interval(own.low, own.value), 0.0, own["last"].max())
            row |= {name: own.value.mean(), f"{name}_low": low, f"{name}_high": high}
        same = (times.init == "RI-T") & (times.unit == "epochs") & (times.role == row["role"])
        last = times[same & (times.images == row["images"] if "images" in row else True)]["last"].max()
        ends = {"sooner": "epochs", "sooner_low": "epochs_high", "sooner_high": "epochs_low"}
        rows.append(row | {name: last / row[end] if row[end] != 0 else np.inf for name, end in ends.items()})
    return pd.DataFrame(rows)


def lead_summary(lead: pd.DataFrame) -> pd.DataFrame:
    """The table lead over seeds: role, init, rate, split, over, n, mean, low, high, and the share of P-T's.

    Shares are paired by seed, with Fieller's interval (`share`), and NaN for P-T itself.
    """
    keys = ["role", "init", "rate", "split", "over"]
    rows = []
    for found, runs in _groups(lead, keys):
        row = dict(zip(keys, found, strict=True))
        mean, low, high = student(runs.value)
        row |= {"n": len(runs), "mean": mean, "low": low, "high": high}
        here = (lead.role == row["role"]) & (lead.split == row["split"]) & (lead.over == row["over"])
        both = runs.merge(lead[here & (lead.init == "P-T")], on="seed")
        shares = (np.nan,) * 3 if row["init"] == "P-T" else share(both.value_x, both.value_y)
        rows.append(row | dict(zip(("share", "share_low", "share_high"), shares, strict=True)))
    return pd.DataFrame(rows)


def shares_to_read(lead: pd.DataFrame) -> pd.DataFrame:
    """`lead_summary` of the redrawn inits, for reading: leads in points, shares of P-T's lead in percent."""
    found = lead_summary(lead)
    found = found[found.init.isin(CONTROLS)]
    shares = 100 * found[["share", "share_low", "share_high"]]
    return pd.DataFrame(
        {
            "role": found.role,
            "init": found.init,
            "metric": found.split,
            "over": found.over,
            "n": found.n,
            "lead": found["mean"],
            "95 % interval": between(found.low, found.high),
            "share of P-T's (%)": shares.share,
            "95 % interval ": between(shares.share_low, shares.share_high),
        }
    )


def speed_to_read(times: pd.DataFrame) -> pd.DataFrame:
    """`speed_summary` for reading."""
    found = speed_summary(times)
    kept = [name for name in ("role", "images", "init", "rate") if name in found]
    return found[kept].assign(
        **{
            "got there": [f"{r.reached} of {r.n}" for r in found.itertuples()],
            "epochs": found.epochs,
            "95 % interval": between(found.epochs_low, found.epochs_high),
            "images seen": found.images_seen.round().astype(int),
            "times sooner": found.sooner,
            "95 % interval ": between(found.sooner_low, found.sooner_high),
        }
    )


def between(low: pd.Series, high: pd.Series) -> list[str]:
    """Intervals as text, "–" where there is none."""

    def text(one: float, other: float) -> str:
        if np.isnan(one) or np.isnan(other):
            return "–"
        return f"{one:.3g} or more" if np.isinf(other) else f"{one:.3g} to {other:.3g}"

    return [text(one, other) for one, other in zip(low, high, strict=True)]


def _groups(table: pd.DataFrame, keys: list[str]):
    """Groups in the book's order: roles, P-T and RI-T first, the low rate first."""
    return sorted(table.groupby(keys), key=lambda group: [ORDER.get(name, name) for name in group[0]])


def _first(run: pd.DataFrame, level: float) -> tuple[int, int, int, int]:
    """(measured epoch before, first one at or above the level, last, 1), or (last, last, last, 0)."""
    there = run[run.value >= level].epoch
    last = int(run.epoch.iloc[-1])
    if there.empty:
        return last, last, last, 0
    before = run[run.epoch < there.iloc[0]].epoch
    return (int(before.iloc[-1]) if len(before) else 0), int(there.iloc[0]), last, 1


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
