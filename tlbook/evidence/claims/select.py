"""Selections of runs that statistics share: the better rate, final and best metrics, block sizes by place.

Everything is by seed. The better rate per role and init (and block size) is the one with the higher mean dev
metric at the final epoch, low on ties; test metrics are only reported.
"""

from __future__ import annotations

import math

import pandas as pd

from tlbook.evidence.claims.rules import (
    Evidence,
    NotRecorded,
    Sample,
    by_seed,
    final,
    metric_of,
    paired,
    sample,
)

NATURAL = ("real", "clipart", "quickdraw")
QUARTER = 0.25  # 56 of 224 pixels, where the paper's relative drop is largest
SMALL = 1 / 16  # the smallest block must be this small a fraction of the side to stand for the paper's 1
SIGN = "0: the claim is about the sign"
UNIT = {"accuracy": "points", "auc": "AUC"}


def better_rate(evidence: Evidence, table: str, **where: object) -> str:
    """The rate with the higher mean dev metric (at the final epoch, where the table has epochs); low on
    ties."""
    rows = evidence.rows(table, uses=False, split="dev", metric=metric_of(str(where["role"])), **where)
    take = final if "epoch" in rows else by_seed
    means = {rate: take(group).mean() for rate, group in rows.groupby("rate")}
    if len(means) == 1:
        evidence.note(f"one rate of {where['init']} ({where['role']}) is recorded")
    better = max(sorted(means, reverse=True), key=means.__getitem__)  # reverse: 'low' first, so it wins ties
    if table == "learning_curves":
        evidence.note(f"better rate of {where['init']} ({where['role']}): {better}")
    return better


def curve(
    evidence: Evidence, role: str, init: str, rate: str = "better", split: str = "test"
) -> pd.DataFrame:
    """The unshuffled runs' metric of the role, by epoch and seed."""
    if rate == "better":
        rate = better_rate(evidence, "learning_curves", role=role, init=init)
    return evidence.rows(
        "learning_curves", role=role, init=init, rate=rate, split=split, metric=metric_of(role)
    )


def ends(evidence: Evidence, role: str, init: str, rate: str = "better", split: str = "test") -> pd.Series:
    """Final metric by seed of the unshuffled runs."""
    return final(curve(evidence, role, init, rate, split))


def best(evidence: Evidence, role: str, init: str, rate: str = "better") -> pd.DataFrame:
    """By seed: `value`, the test metric at the measured epoch with the best dev metric (earliest on ties),
    and `fraction`, that epoch as a fraction of the run."""
    dev = curve(evidence, role, init, rate, "dev")
    test = curve(evidence, role, init, rate, "test")
    last = dev["epoch"].max()
    rows = {}
    for seed, group in dev.sort_values("epoch").groupby("seed"):
        epoch = group.loc[group["value"].idxmax(), "epoch"]
        value = test[(test["seed"] == seed) & (test["epoch"] == epoch)]["value"]
        if len(value) != 1:
            raise NotRecorded(f"{init} seed {seed} ({role}) has no test value at its best epoch {epoch}")
        rows[seed] = {"value": value.iloc[0], "fraction": epoch / last}
    return pd.DataFrame.from_dict(rows, orient="index").sort_index()


def sizes(evidence: Evidence, role: str) -> pd.DataFrame:
    """block_size and block_fraction of a role, sorted from '*' to unshuffled, one row each."""
    # of the role's metric: a diverged run has a NaN loss, which must not hide the sizes
    rows = evidence.rows("block_shuffle", uses=False, role=role, metric=metric_of(role))
    return rows[["block_size", "block_fraction"]].drop_duplicates().sort_values("block_fraction")


def size_at(evidence: Evidence, role: str, place: str) -> str:
    """The block size at a place that every scale has: 'pixels' ('*'), 'smallest' block (at most SMALL of the
    side), 'quarter' (the size nearest a quarter of the side by ratio, at most a factor 2 off, and not the
    smallest), or 'unshuffled'. Raises NotRecorded."""
    found = sizes(evidence, role).set_index("block_size")["block_fraction"]
    blocks = found[(found > 0) & (found < 1)]
    off = (blocks.iloc[1:] / QUARTER).map(lambda ratio: abs(math.log2(ratio)))
    chosen = {
        "pixels": found[found == 0],
        "unshuffled": found[found == 1],
        "smallest": blocks[blocks <= SMALL],
        "quarter": off[off <= 1].sort_values(kind="stable"),
    }[place]
    if chosen.empty:
        raise NotRecorded(f"block_shuffle has no {place} block size for {role}")
    return str(chosen.index[0])


def shuffled(
    evidence: Evidence, role: str, init: str, size: str, split: str = "test", metric: str | None = None
) -> pd.Series:
    """A metric by seed at one block size and its better rate; notes what RI-T's training reached there, since
    shuffled runs are exempt from having fitted their training set."""
    where = {"role": role, "init": init, "block_size": size}
    rate = better_rate(evidence, "block_shuffle", **where)
    rows = evidence.rows("block_shuffle", split=split, metric=metric or metric_of(role), rate=rate, **where)
    if init == "RI-T" and (rows["block_fraction"] < 1).all():
        train = evidence.rows(
            "block_shuffle", uses=False, split="train", metric=metric_of(role), rate=rate, **where
        )
        evidence.shuffled.setdefault(role, {})[size] = by_seed(train).mean()
    return by_seed(rows)


def gap(evidence: Evidence, role: str, place: str) -> pd.Series:
    """P-T minus RI-T in final test metric at a place's block size, by seed."""
    size = size_at(evidence, role, place)
    p_t, ri_t = paired(evidence, *(shuffled(evidence, role, init, size) for init in ("P-T", "RI-T")))
    return p_t - ri_t


def relative_drop(evidence: Evidence, role: str, size: str) -> pd.Series:
    """100 (P-T - RI-T) / P-T in final test metric at a block size, by seed."""
    p_t, ri_t = paired(evidence, *(shuffled(evidence, role, init, size) for init in ("P-T", "RI-T")))
    return 100 * (p_t - ri_t) / p_t


def speed(evidence: Evidence, role: str, init: str, size: str) -> pd.Series:
    """Mean training metric over the epochs (optimisation speed) at a block size, by seed."""
    return shuffled(evidence, role, init, size, "train", f"mean_{metric_of(role)}")


def difference(evidence: Evidence, first: pd.Series, second: pd.Series) -> Sample:
    """first - second, paired by seed."""
    one, other = paired(evidence, first, second)
    return sample(one - other)


def spearman(first: pd.Series, second: pd.Series) -> float:
    """Rank correlation, -1 to 1; NaN if one of them is constant."""
    one, other = first.rank(), second.rank()
    if one.nunique() < 2 or other.nunique() < 2:
        return math.nan
    return float(one.corr(other))
