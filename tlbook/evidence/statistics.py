"""Statistics that statements of several questions are made of: functions that make a statistic, and sums of
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, NotRecorded, by_seed
from tlbook.evidence.statements import Statistic

NATURAL = ("real", "clipart", "quickdraw")
XRAY = ("xray",)
ALL = NATURAL + XRAY

Kind = tuple[str, str]  # the inits of a pair
PT_PT, RI_RI, PT_RI, PT_P, RI_P = (
    ("P-T", "P-T"), ("RI-T", "RI-T"), ("P-T", "RI-T"), ("P-T", "P"), ("RI-T", "P"),
)  # fmt: skip


def minus(first: Statistic, second: Statistic) -> Statistic:
    """The difference of two statistics, by seed where both have seeds."""

    def difference(evidence: Evidence, role: str) -> pd.Series | float:
        one, other = first(evidence, role), second(evidence, role)
        if isinstance(one, pd.Series) and isinstance(other, pd.Series):
            one, other = one.align(other, join="inner")
        return one - other

    return difference


def mean_of(*statistics: Statistic) -> Statistic:
    """Their mean, by seed where they have seeds."""

    def mean(evidence: Evidence, role: str) -> pd.Series | float:
        return sum(statistic(evidence, role) for statistic in statistics) / len(statistics)

    return mean


# Runs


def curve(evidence: Evidence, role: str, init: str, rate: str, split: str, metric: str = "") -> pd.DataFrame:
    """One metric (default: the role's) of the unshuffled runs, epoch by epoch; rate 'better' is chosen by
    dev."""
    rows = evidence.rows("learning_curves", uses=False, role=role, init=init)
    rate = vocabulary.better_rate(rows) if rate == "better" else rate
    metric = metric or vocabulary.metric_of(rows)
    return evidence.rows("learning_curves", role=role, init=init, rate=rate, split=split, metric=metric)


def end(init: str, rate: str = "better", split: str = "test", metric: str = "") -> Statistic:
    """A metric (default: the role's) at the last epoch of the unshuffled runs."""

    def last(evidence: Evidence, role: str) -> pd.Series:
        return by_seed(vocabulary.at_last_epoch(curve(evidence, role, init, rate, split, metric)))

    return last


def best(init: str, rate: str = "better", split: str = "test") -> Statistic:
    """The role's metric at the measured epoch with the best dev metric, the earliest on ties."""

    def at_best(evidence: Evidence, role: str) -> pd.Series:
        dev = curve(evidence, role, init, rate, "dev").dropna(subset="value").sort_values("epoch")
        epochs = dev.loc[dev.groupby("seed").value.idxmax(), ["seed", "epoch"]]
        return by_seed(curve(evidence, role, init, rate, split).merge(epochs))

    return at_best


# Pairs of runs


def pairs(
    evidence: Evidence,
    table: str,
    role: str,
    kind: Kind,
    rates: Mapping[str, str] = vocabulary.PAPER_RATES,
    **where,
) -> pd.DataFrame:
    """Rows of pairs of one kind at those rates; a run is not its own pair."""
    init, other = kind
    where = {"role": role, "init": init, "init_b": other, "rate": rates[init], "rate_b": rates[other]} | where
    rows = evidence.rows(table, **where)
    rows = rows[(rows.init != rows.init_b) | (rows.rate != rows.rate_b) | (rows.seed != rows.seed_b)]
    if rows.empty:
        raise NotRecorded(f"{table} has no pair of two {init} runs on {role}")
    return rows


def mean_over_pairs(
    table: str,
    kind: Kind,
    change: Callable[[pd.Series], pd.Series] = lambda value: value,
    rates: Mapping[str, str] = vocabulary.PAPER_RATES,
    **where: object,
) -> Statistic:
    """The mean of ``change(value)`` over the pairs of one kind, at the last epoch where the table has
    epochs."""

    def mean(evidence: Evidence, role: str) -> float:
        rows = vocabulary.at_last_epoch(pairs(evidence, table, role, kind, rates, **where))
        return float(np.mean(change(rows.value).to_numpy()))

    return mean


def chance(evidence: Evidence, role: str) -> float:
    """Uniform guessing in the role's metric: percent, or 0.5."""
    return float(evidence.rows("domains", uses=False, role=role).chance.iloc[0])
