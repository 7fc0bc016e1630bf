"""What the paper claims on question 3 (section 3.3, Figures 4 and 16), claims 17 to 21.

Lines run between final models (on X-rays: best models, as in Figure 4) at the paper's rates, P-T low and RI-T
high; only 0 <= alpha <= 1 counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, NotRecorded
from tlbook.evidence.statements import Claim, Premise, Statement, Statistic
from tlbook.evidence.statistics import (
    NATURAL,
    PT_PT,
    PT_RI,
    RI_RI,
    XRAY,
    Kind,
    best,
    chance,
    end,
    mean_of,
    minus,
    pairs,
)  # fmt: skip

REACH = 0.1  # steps of up to a tenth of each filter's norm
SEEN = "0.01: twice the error with which the paper's plot can be read"


def lines(evidence: Evidence, role: str, kind: Kind, at: str, pairing: str) -> pd.DataFrame:
    """Lower end and lowest point of the test metric on each line (columns lower, lowest)."""
    where = {"pairing": pairing, "split": "test", "checkpoint": at.split()[0], "checkpoint_b": at.split()[-1]}
    if pairing == "same_run":
        rate = vocabulary.PAPER_RATES[kind[0]]
        where |= {"init": kind[0], "init_b": kind[1], "rate": rate, "rate_b": rate}
        rows = evidence.rows("interpolation", role=role, **where)
    else:
        rows = pairs(evidence, "interpolation", role, kind, **where)
    rows = rows[(rows.metric == vocabulary.metric_of(rows)) & rows.alpha.between(0, 1)]
    ends = rows[rows.alpha.isin((0, 1))].groupby(vocabulary.PAIR).value
    if (ends.size() != 2).any() or ends.ngroups != rows.groupby(vocabulary.PAIR).ngroups:
        raise NotRecorded(
            f"a line of interpolation ({role}, {' & '.join(kind)}) does not reach both of its ends"
        )
    return pd.DataFrame({"lower": ends.min(), "lowest": rows.groupby(vocabulary.PAIR).value.min()})


def fall(kind: Kind, at: str = "final", pairing: str = "independent") -> Statistic:
    """Lower end minus lowest point: the mean over pairs, or, of lines within one run, one value a seed."""

    def below(evidence: Evidence, role: str) -> pd.Series | float:
        found = lines(evidence, role, kind, at, pairing)
        falls = found.lower - found.lowest
        return (
            falls.droplevel([name for name in vocabulary.PAIR if name != "seed"])
            if pairing == "same_run"
            else float(falls.mean(skipna=False))
        )

    return below


def share_left(*kinds: Kind, at: str = "final", pairing: str = "independent") -> Statistic:
    """What the lowest point has above chance, as a share of what the lower end has: 0 is a barrier down to
    chance, 1 is none. The mean over pairs; of several kinds of pairs the largest."""

    def left(evidence: Evidence, role: str) -> float:
        guess = chance(evidence, role)
        found = [lines(evidence, role, kind, at, pairing) for kind in kinds]
        return max(float(((line.lowest - guess) / (line.lower - guess)).mean(skipna=False)) for line in found)

    return left


def rise(init: str, rate: str) -> Statistic:
    """Training loss after random steps (relative to each filter's norm) minus at the model, mean over the
    recorded lengths up to `REACH`."""

    def steps(evidence: Evidence, role: str) -> pd.Series:
        kind = {"role": role, "init": init, "rate": rate, "normalisation": "filter"}
        loss = evidence.rows("flatness", split="train", metric="loss", **kind)
        table = loss[loss.distance <= REACH].pivot(index="seed", columns="distance", values="value")
        if 0 not in table or table.shape[1] < 2:
            raise NotRecorded(f"flatness has no step from the {init} ({rate}) itself to {REACH} on {role}")
        return table.drop(columns=0).mean(axis=1, skipna=False) - table[0]

    return steps


def at_both_rates(make: Callable[[str, str], Statistic], init: str) -> Statistic:
    return mean_of(*(make(init, rate) for rate in ("low", "high")))


def largest_loss(evidence: Evidence, role: str) -> float:
    """The largest of the median final training losses of both inits at both rates."""
    kinds = [(init, rate) for init in ("P-T", "RI-T") for rate in ("low", "high")]
    return float(np.max([np.median(end(*kind, "train", "loss")(evidence, role)) for kind in kinds]))


CLAIMS = (
    Claim(17, "3.3", "Figures 4 and 16", "No barrier between two P-T.", (
        Statement(
            letter="a", text="drop of test accuracy below the lower end, two P-T",
            statistic=fall(PT_PT), asks="<", limit=2.0, targets=NATURAL, unit="points",
            why="2 points: twice the error with which the paper's plot can be read",
        ),
        Statement(
            letter="b", text="drop of test AUC below the lower end, two P-T, best checkpoints",
            statistic=fall(PT_PT, "best"), asks="<", limit=0.01, targets=XRAY, unit="AUC", why=SEEN,
        ),
    )),
    Claim(18, "3.3", "Figure 4",
        "A barrier down to chance between two RI-T, and between P-T and RI-T.", tuple(
        Statement(
            letter=letter, text=f"share of the metric above chance left at the lowest point, {words}",
            statistic=statistic, asks="<", limit=0.25, targets=targets, unit="fraction",
            why="0.25: twice what is left at the paper's least complete fall (two RI-T on X-rays)",
        )
        for letter, words, statistic, targets in (
            ("a", "two RI-T", share_left(RI_RI), NATURAL),
            ("b", "P-T and RI-T", share_left(PT_RI), NATURAL),
            ("c", "the larger of both kinds, best checkpoints", share_left(RI_RI, PT_RI, at="best"), XRAY),
        )
    )),
    Claim(19, "3.3", "Figure 16", "Two RI-T from the same init have a barrier too.", (
        Statement(
            letter="a",
            text="share of the metric above chance left at the lowest point, two RI-T of one init",
            statistic=share_left(RI_RI, pairing="same_init"), asks="<", limit=0.5, targets=NATURAL,
            unit="fraction",
            why="0.5: a barrier that takes half of what there is above chance is one",
        ),
    )),
    Claim(20, "3.3", "Figure 4, right", "From best to final of one RI-T the line dips.", (
        Statement(
            letter="a", text="drop of test AUC below the lower end, from best to final of one RI-T",
            statistic=fall(RI_RI, "best final", "same_run"), asks=">", limit=0.01, targets=XRAY, unit="AUC",
            why=SEEN,
            premise=Premise(
                text="an RI-T whose dev AUC falls by more than 0.01 from best to final",
                statistic=minus(best("RI-T", "high", "dev"), end("RI-T", "high", "dev")), asks=">",
                limit=0.01,
            ),
        ),
    )),
    Claim(21, "3.3", "text of the summary only", "P-T lies in a flatter basin.", (
        Statement(
            letter="a",
            text="rise of the training loss at equal relative steps, RI-T minus P-T, mean of both rates",
            statistic=minus(at_both_rates(rise, "RI-T"), at_both_rates(rise, "P-T")),
            asks=">", targets=("real", "clipart"), unit="nats",
            premise=Premise(
                text="P-T and RI-T that end with a training loss under 0.2 at both rates",
                statistic=largest_loss, asks="<", limit=0.2, each=True,
            ),
        ),
    )),
)  # fmt: skip
