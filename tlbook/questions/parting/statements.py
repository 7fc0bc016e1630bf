"""What we ask of runs that share their first steps: fixed before the first run, judged as the paper's
statements are.

A pair is one run, and another that is the same up to an epoch and orders its batches by another seed from
there on (Frankle et al. 2020, who call a barrier between the two instability).
"""

from __future__ import annotations

import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, by_seed
from tlbook.evidence.statements import Claim, Premise, Statement, Statistic
from tlbook.evidence.statistics import minus

# Both numbers of images need a target that has them, and a rate that P-T bears too (quickdraw has the first
# and not the second).
ON = ("clipart",)
TIED = "2 points, as for claim 17: what is less is no barrier"
EARLY = 0.05  # of training: a twentieth is early (Frankle et al. 2020: runs become stable early in training)


def at(init: str, rate: str, images: str, shared: str, quantity: str = "height") -> Statistic:
    """The barrier between the two runs of each seed in the test metric: on "few" or "many" images, parted at
    the "start" or as late as `EARLY`."""

    def of(evidence: Evidence, role: str) -> pd.Series:
        where = {"role": role, "init": init, "rate": rate, "quantity": quantity}
        rows = evidence.rows("parted", uses=False, **where)
        where["images"] = rows.images.min() if images == "few" else rows.images.max()
        known = evidence.rows("parted", uses=False, **where).fraction
        where["fraction"] = 0.0 if shared == "start" else known[known <= EARLY].max()
        return by_seed(evidence.rows("parted", metric=vocabulary.metric_of(rows), **where))

    return of


def fits(init: str, rate: str, images: str) -> Premise:
    # 90 %: a run that has not fitted its images may lie nowhere in particular.
    return Premise(
        text=f"{init} ({rate}) that fits its training set", asks=">", limit=90.0,
        statistic=at(init, rate, images, "start", "training"),
    )  # fmt: skip


def _points(letter: str, text: str, statistic: Statistic, asks: str, premise: Premise, **limit) -> Statement:
    return Statement(
        letter=letter, text=text, statistic=statistic, asks=asks, premise=premise, targets=ON,
        unit="points", fitted=False, **limit,
    )  # fmt: skip


RI_T, P_T = ("RI-T", "high"), ("P-T", "low")  # the paper's rates
WORDS = {"few": "few images", "many": "many images"}
HEIGHT = "barrier between two {} that {}, {}"
LIMIT = {"limit": 2.0, "why": TIED}

CLAIMS = (
    # At the start they share the weights and nothing else: the paper's Figure 16.
    Claim("K1", "3.3", "ours", "Two RI-T that share only their init are not tied.", tuple(
        _points(letter, HEIGHT.format("RI-T", "share their init", WORDS[images]), at(*RI_T, images, "start"),
            ">", fits(*RI_T, images), **LIMIT)
        for letter, images in (("a", "few"), ("b", "many"))
    )),
    # Claim 17 with nothing shared but P and the head.
    Claim("K2", "3.3", "ours", "Two P-T are tied from the start.", tuple(
        _points(letter, HEIGHT.format("P-T", "share their start", WORDS[images]), at(*P_T, images, "start"),
            "<", fits(*P_T, images), **LIMIT)
        for letter, images in (("a", "few"), ("b", "many"))
    )),
    Claim("K3", "3.3", "ours", "A twentieth of training ties two RI-T.", tuple(
        _points(letter, HEIGHT.format("RI-T", "share up to a twentieth of training", WORDS[images]),
            at(*RI_T, images, "early"), "<", fits(*RI_T, images), **LIMIT)
        for letter, images in (("a", "few"), ("b", "many"))
    )),
    # Why two RI-T of one init keep 85 % here and 15 % in the paper: it has many more images, and both the
    # number of updates and the rate could do it. Updates are the same here.
    Claim("K4", "3.3", "ours", "More images, or a higher rate, drive two RI-T of one init further apart.", (
        _points("a", "barrier between two RI-T that share their init, many images minus few",
            minus(at(*RI_T, "many", "start"), at(*RI_T, "few", "start")), ">", fits(*RI_T, "many")),
        _points("b", "barrier between two RI-T that share their init, few images, high rate minus low",
            minus(at("RI-T", "high", "few", "start"), at("RI-T", "low", "few", "start")), ">",
            fits("RI-T", "low", "few")),
    )),
)  # fmt: skip
