"""What we ask of partial transfer and of probes: fixed before the first run, judged as the paper's are.

"Lower layers are general, deeper ones specific" (Yosinski et al. 2014; the paper, section 3.4). Modules are
counted without the head, which is always drawn anew; all runs are at one rate, P-T's.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, by_seed
from tlbook.evidence.statements import Claim, Premise, Statement, Statistic
from tlbook.evidence.statistics import NATURAL, XRAY, mean_of, minus

Count = Callable[[int], int]  # of a network's modules -> how many come from P
EVERY: Count = lambda modules: modules  # noqa: E731
ALL_BUT_ONE: Count = lambda modules: modules - 1  # noqa: E731
HALF: Count = lambda modules: modules // 2  # noqa: E731


def kept(part: str, count: Count, split: str = "test") -> Statistic:
    """A metric at the end of the runs whose ``part`` ("first", "last") of so many modules came from P."""

    def at(evidence: Evidence, role: str) -> pd.Series:
        rows = evidence.rows("partial", uses=False, role=role)
        where = {"part": part, "modules": count(int(rows.modules.max())), "split": split}
        return by_seed(evidence.rows("partial", role=role, metric=vocabulary.metric_of(rows), **where))

    return at


def fits(*runs: tuple[str, Count]) -> Premise:
    # 90 %, as for every comparison; of accuracies, on average, since at one rate a target may fit less well.
    return Premise(
        text="runs that fit their training set on average over the targets",
        statistic=mean_of(*(kept(part, count, "train") for part, count in runs)), asks=">", limit=90.0,
    )  # fmt: skip


def probe(init: str, place: str, method: str = "linear") -> Statistic:
    """Test metric of a probe of frozen features: at the "first" or "last" module, or the mean of all."""

    def at(evidence: Evidence, role: str) -> pd.Series:
        where = {"role": role, "init": init, "method": method}
        known = evidence.rows("probes", uses=False, **where)
        rows = evidence.rows("probes", metric=vocabulary.metric_of(known), **where)
        names = vocabulary.by_depth(rows.module)
        chosen = {"first": names[:1], "last": names[-1:]}.get(place, names)
        means = rows[rows.module.isin(chosen)].groupby("seed").value.mean().reset_index()
        return by_seed(means)

    return at


def over_depth(evidence: Evidence, role: str) -> pd.Series:
    return minus(probe("P", "last"), probe("P", "first"))(evidence, role)


LOWER_HALF = minus(kept("first", HALF), kept("last", HALF))
POINTS = {"unit": "points"}
OUR_PROBE = "test {} of a linear probe, mean over modules, P's features minus random ones"

CLAIMS = (
    # As many modules from below as from above; for an odd number the middle one is in neither.
    Claim("T1", "3.4", "ours", "The lower half of P is worth more than the upper half.", (
        Statement(
            letter="a", text="test accuracy with the first half of the modules from P minus with the last",
            statistic=LOWER_HALF, asks=">", targets=NATURAL, **POINTS, fitted=False,
            premise=fits(("first", HALF), ("last", HALF)),
        ),
        Statement(
            letter="b", text="test AUC with the first half of the modules from P minus with the last",
            statistic=LOWER_HALF, asks=">", targets=XRAY, unit="AUC", fitted=False,
        ),
    )),
    Claim("T2", "3.4", "ours", "The top module is specific: drawing it anew costs next to nothing.", (
        Statement(
            letter="a", text="test accuracy with all modules from P minus with all but the last",
            statistic=minus(kept("first", EVERY), kept("first", ALL_BUT_ONE)), asks="within", band=2.0,
            targets=NATURAL, **POINTS, fitted=False, premise=fits(("first", ALL_BUT_ONE)),
            why="2 points: a quarter of what P is worth here, and what five seeds can tell from nothing",
        ),
    )),
    Claim("T3", "3.4", "ours", "The first module is not replaced by what lies above it.", (
        Statement(
            letter="a", text="test accuracy with all modules from P minus with all but the first",
            statistic=minus(kept("first", EVERY), kept("last", ALL_BUT_ONE)), asks=">", targets=NATURAL,
            **POINTS, fitted=False, premise=fits(("last", ALL_BUT_ONE)),
        ),
    )),
    # No training: what is in the features before anything is fine-tuned.
    Claim("T4", "3.4", "ours", "P's features tell a target's classes apart better than random ones.", (
        Statement(
            letter="a", text=OUR_PROBE.format("accuracy"), targets=NATURAL, **POINTS, asks=">",
            statistic=minus(probe("P", "all"), probe("random", "all")),
        ),
        Statement(
            letter="b", text=OUR_PROBE.format("AUC"), targets=XRAY, unit="AUC", asks=">",
            statistic=minus(probe("P", "all"), probe("random", "all")),
        ),
    )),
    Claim("T5", "3.4", "ours", "Deeper features serve targets that look like the source more.", (
        Statement(
            letter="a",
            text="P's linear probe, last module minus first, mean of real and clipart minus quickdraw",
            statistic=over_depth, targets=("real", "clipart"), against=("quickdraw",), asks=">", **POINTS,
        ),
    )),
)  # fmt: skip
