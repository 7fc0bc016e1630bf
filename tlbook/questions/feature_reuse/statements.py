"""What the paper claims on question 1 (section 3.1, Figures 2 and 3), claims 1 to 10."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, NotRecorded, by_seed
from tlbook.evidence.statements import Claim, Premise, Statement, Statistic
from tlbook.evidence.statistics import NATURAL, XRAY, best, curve, end, mean_of, minus

SMALL = 1 / 16  # the smallest block must be this small a part of the side to stand for the paper's 1 of 224
FALL = "0.01: twice the error with which the paper's plot can be read, so that a fall can be seen"


def passing(evidence: Evidence, role: str) -> pd.Series:
    """The fraction of training at which P-T (low) is first measured at or above the end of the same seed's
    RI-T (better rate); 1 if never."""
    level = end("RI-T")(evidence, role)
    rows = curve(evidence, role, "P-T", "low", "test")
    there = rows[rows.value >= rows.seed.map(level)].groupby("seed").epoch.min() / rows.epoch.max()
    seeds = sorted(set(rows.seed) & set(level.index))
    return there.reindex(seeds).fillna(1.0)


def sign_of(difference: Statistic) -> Statistic:
    return lambda evidence, role: np.sign(difference(evidence, role))


def shuffled(init: str, place: str, split: str = "test", prefix: str = "") -> Statistic:
    """A metric of the runs of Figure 3, at the better rate of that block size: '*', 'smallest' or
    'unshuffled'."""

    def at(evidence: Evidence, role: str) -> pd.Series:
        rows = evidence.rows("block_shuffle", uses=False, role=role, init=init)
        blocks = rows.block_fraction[(rows.block_fraction > 0) & (rows.block_fraction <= SMALL)]
        if place == "smallest" and blocks.empty:
            raise NotRecorded(f"block_shuffle has no block of {SMALL} of the side or less for {role}")
        where = {
            "role": role,
            "init": init,
            "block_fraction": {"*": 0.0, "smallest": blocks.min(), "unshuffled": 1.0}[place],
        }
        here = evidence.rows("block_shuffle", uses=False, **where)
        metric = prefix + vocabulary.metric_of(here)
        rate = vocabulary.better_rate(here)
        return by_seed(evidence.rows("block_shuffle", split=split, metric=metric, rate=rate, **where))

    return at


def lead(place: str, split: str = "test", prefix: str = "") -> Statistic:
    """P-T minus RI-T at one block size."""
    return minus(*(shuffled(init, place, split, prefix) for init in ("P-T", "RI-T")))


def relative_drop(place: str) -> Statistic:
    """100 (P-T - RI-T) / P-T in test accuracy at one block size."""
    return lambda evidence, role: 100 * lead(place)(evidence, role) / shuffled("P-T", place)(evidence, role)


def speed(place: str) -> Statistic:
    return shuffled("RI-T", place, "train", "mean_")


def fits(init: str) -> Premise:
    return Premise(
        text=f"a {init} that fits its training set at its better rate",
        statistic=end(init, split="train"), asks=">", limit=90.0, each=True,
    )  # fmt: skip


GAIN = minus(end("P-T"), end("RI-T"))
POINTS = {"unit": "points"}
ENDS = "final test metric, P-T minus RI-T, each at its better rate"

CLAIMS = (
    Claim(1, "3.1", "Figure 2", "Fine-tuning from P ends higher than training from random weights.", (
        Statement(letter="a", text=ENDS, statistic=GAIN, asks=">", targets=NATURAL, **POINTS),
        Statement(letter="b", text=ENDS, statistic=GAIN, asks=">", targets=XRAY, unit="AUC"),
    )),
    Claim(2, "3.1", "Figure 2", "P-T is soon as good as RI-T ever gets.", (
        Statement(
            letter="a",
            text="fraction of training until P-T (low) passes the end of the same seed's RI-T; 1 if never",
            statistic=passing, asks="<", limit=0.25, targets=NATURAL, unit="fraction",
            why="0.25: the paper's slowest target needs a tenth, and test is measured at few epochs",
        ),
    )),
    Claim(3, "3.1", "Figures 2 and 3", "The gain is larger where the target looks like the source.", (
        Statement(
            letter="a", text="final test accuracy, P-T minus RI-T: mean of real and clipart minus quickdraw",
            statistic=GAIN, asks=">", targets=("real", "clipart"), against=("quickdraw",), **POINTS,
        ),
    )),
    Claim(4, "3.1", "Figure 2", "Which rate is better depends on the init: low for P-T, high for RI-T.", (
        Statement(
            letter="a",
            text="sign of the difference in final dev accuracy, P-T at the low minus at the high rate",
            statistic=sign_of(minus(end("P-T", "low", "dev"), end("P-T", "high", "dev"))),
            asks=">", targets=NATURAL, unit="sign", premise=fits("P-T"), fitted=False,
        ),
        Statement(
            letter="b",
            text="sign of the difference in final dev accuracy, RI-T at the high minus at the low rate",
            statistic=sign_of(minus(end("RI-T", "high", "dev"), end("RI-T", "low", "dev"))),
            asks=">", targets=NATURAL, unit="sign", premise=fits("RI-T"), fitted=False,
        ),
    )),
    Claim(5, "3.1", "Figure 2", "On X-rays training goes on too long: test AUC peaks and falls.", (
        Statement(
            letter="a", text="test AUC at the best dev epoch minus final, P-T (low)", why=FALL,
            statistic=minus(best("P-T", "low"), end("P-T", "low")), asks=">", limit=0.01, targets=XRAY,
            unit="AUC",
        ),
        Statement(
            letter="b", text="test AUC at the best dev epoch minus final, RI-T (better rate)", why=FALL,
            statistic=minus(best("RI-T"), end("RI-T")), asks=">", limit=0.01, targets=XRAY, unit="AUC",
        ),
    )),
    Claim(6, "3.1", "Figure 3, left", "Shuffling blocks lowers both P-T and RI-T.", tuple(
        Statement(
            letter=letter, text=f"test accuracy of {init}, unshuffled minus at the smallest block",
            statistic=minus(shuffled(init, "unshuffled"), shuffled(init, "smallest")),
            asks=">", targets=NATURAL, **POINTS,
        )
        for letter, init in (("a", "P-T"), ("b", "RI-T"))
    )),
    Claim(7, "3.1", "Figure 3, left",
        "P matters relatively less where no structure is left (real, clipart).", (
        Statement(
            letter="a", text="relative drop 100 (P-T - RI-T) / P-T, at the smallest block minus unshuffled",
            statistic=minus(relative_drop("smallest"), relative_drop("unshuffled")),
            asks="<", targets=("real", "clipart"), **POINTS,
        ),
    )),
    Claim(8, "3.1", "Figure 3, left", "Quickdraw is the exception: shuffled, RI-T hardly trains there.", (
        Statement(
            letter="a", text="relative drop 100 (P-T - RI-T) / P-T, at '*' minus unshuffled",
            statistic=minus(relative_drop("*"), relative_drop("unshuffled")),
            asks=">", targets=("quickdraw",), **POINTS,
            premise=Premise(
                text="an RI-T that hardly trains at '*', under 75 % in mean training accuracy",
                statistic=speed("*"), asks="<", limit=75.0,
            ),
        ),
    )),
    Claim(9, "3.1", "Figure 3, left",
        "P-T stays ahead where no visual structure is left: low-level statistics.", (
        Statement(
            letter="a", text="test accuracy, P-T minus RI-T, mean over '*' and the smallest block",
            statistic=mean_of(lead("*"), lead("smallest")), asks=">", targets=NATURAL, **POINTS,
        ),
    )),
    Claim(10, "3.1", "Figure 3, right", "P-T trains fast at every block size, RI-T slowly at small ones.", (
        Statement(
            letter="a", text="mean training accuracy, P-T minus RI-T, at the smallest block minus unshuffled",
            statistic=minus(lead("smallest", "train", "mean_"), lead("unshuffled", "train", "mean_")),
            asks=">", targets=NATURAL, **POINTS,
            premise=Premise(
                text="an RI-T that trains slowly at the smallest block, under 75 % in mean training accuracy",
                statistic=speed("smallest"), asks="<", limit=75.0,
            ),
        ),
    )),
)  # fmt: skip
