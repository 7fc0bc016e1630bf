"""What we ask of other P's: fixed before the first of them was trained.

`AGAIN` are the paper's statements that are asked again of each P, with the limits that they have; `CLAIMS`
are ours, on pairs of P-T from two P's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, NotRecorded
from tlbook.evidence.statements import Claim, Statement, Statistic
from tlbook.evidence.statistics import ALL, NATURAL, chance, minus

# Of the claims that issue 27 names all statements but 16b, which is about the high rate.
AGAIN = ("1a", "1b", "2a", "3a", "9a", "11a", "16a", "16c", "17a", "17b", "26a", "27a")
# A statement holds for every P if each P's value lies on the paper's side of the limit. Over P's, each one
# value, it is judged by Student's interval like any other. 4: with fewer, that interval is more than twice as
# wide as the P's are spread.
LEAST_PS = 4


def pairs(evidence: Evidence, table: str, role: str, one_p: bool, **where: object) -> pd.DataFrame:
    """Rows of pairs of P-T at the end: of one P (other heads and orders) or of two (the same seed)."""
    rows = evidence.rows(table, role=role, init="P-T", init_b="P-T", **where)
    rows = vocabulary.at_last_epoch(rows[(rows.p == rows.p_b) == one_p])
    if rows.empty:
        raise NotRecorded(f"{table} has no pair of two P-T of {'one P' if one_p else 'two Ps'} on {role}")
    return rows


def mean_over(table: str, one_p: bool, change: Callable = lambda value: value, **where: object) -> Statistic:
    """The mean of ``change(value)`` over such pairs."""

    def mean(evidence: Evidence, role: str) -> float:
        return float(change(pairs(evidence, table, role, one_p, **where).value).mean(skipna=False))

    return mean


def share_left(evidence: Evidence, role: str) -> float:
    """What is left of the test metric above chance at the lowest point between two P-T of two P's, as a share
    of what the lower end has: the mean over pairs."""
    where = {"split": "test", "checkpoint": "final", "checkpoint_b": "final"}
    rows = pairs(evidence, "p_interpolation", role, False, **where)
    keys = ["p", "p_b", *vocabulary.PAIR]
    ends = rows[rows.alpha.isin((0, 1))].groupby(keys).value.min()
    guess = chance(evidence, role)
    left = (rows.groupby(keys).value.min() - guess) / (ends - guess)
    return float(left.mean(skipna=False))


def cka(one_p: bool) -> Statistic:
    return mean_over("p_similarity", one_p, metric="cka")


CLAIMS = (
    # 0.5, as claim 19 has it: a barrier that takes half of what there is above chance is one.
    Claim("P1", "3.3", "ours", "It is P that ties two P-T: from two P's there is a barrier.", (
        Statement(
            letter="a", text="share of the metric above chance left between two P-T of two P's, same seed",
            statistic=share_left, asks="<", limit=0.5, targets=NATURAL, unit="fraction",
            why="0.5, as for claim 19: a barrier that takes half of what there is above chance is one",
        ),
    )),
    Claim("P2", "3.2", "ours", "Two P-T of two P's are further apart than two of one.", (
        Statement(
            letter="a", text="log ratio of l2 distances, two P-T of two P's to two of one",
            statistic=minus(
                mean_over("p_distance", False, np.log, metric="l2_sum", module="all"),
                mean_over("p_distance", True, np.log, metric="l2_sum", module="all"),
            ),
            asks=">", targets=ALL, unit="log ratio",
        ),
    )),
    Claim("P3", "3.2", "ours", "Their features are less alike, too.", (
        Statement(
            letter="a", text="CKA, mean over modules, two P-T of one P minus two of two P's",
            statistic=minus(cka(True), cka(False)), asks=">", targets=ALL, unit="CKA",
        ),
    )),
    # 0.2: what claim 13 calls hardly alike. Another basin with features of the same kind would be above it.
    Claim("P4", "3.2", "ours", "But they are alike: other weights, features of the same kind.", (
        Statement(
            letter="a", text="CKA, mean over modules, two P-T of two P's", statistic=cka(False), asks=">",
            limit=0.2, targets=ALL, unit="CKA", why="0.2, as for claim 13: what is below is hardly alike",
        ),
    )),
)  # fmt: skip
