"""What we ask of a P of shuffled images: fixed before its first run, judged as the paper's statements are.

The paper says that low-level statistics are transferred too, and speed training up (section 3.1). A P that
saw its source with its blocks in disorder has such statistics and no shapes. Every init stands at its
better rate by dev (the mean-var init at the one that it trains at).
"""

from __future__ import annotations

import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, by_seed
from tlbook.evidence.statements import Claim, Premise, Statement, Statistic
from tlbook.evidence.statistics import NATURAL, mean_of, minus

TABLE = "from_shuffled"
SHUFFLED = {"Pixels-T": "a P of shuffled pixels", "Blocks-T": "a P of shuffled blocks"}


def level(init: str, like: str = "", split: str = "test", prefix: str = "") -> Statistic:
    """A metric at the end of the runs of an init, on whole images; or, ``like`` an init, on images that are
    shuffled in blocks of the size that this one's P saw."""

    def at(evidence: Evidence, role: str) -> pd.Series:
        where: dict[str, object] = {"role": role, "init": init, "block_fraction": 1.0}
        if like:
            seen = evidence.rows(TABLE, uses=False, role=role, init=like)
            where["block_fraction"] = seen.source_fraction.iloc[0]
        rows = evidence.rows(TABLE, uses=False, **where)
        where |= {"rate": vocabulary.better_rate(rows), "metric": prefix + vocabulary.metric_of(rows)}
        return by_seed(evidence.rows(TABLE, split=split, **where))

    return at


def speed(init: str) -> Statistic:
    """The mean training metric over a run: how fast it learns."""
    return level(init, split="train", prefix="mean_")


def lead(init: str, like: str = "") -> Statistic:
    return minus(level(init, like), level("RI-T", like))


def times_chance(init: str) -> Statistic:
    """How many times as often as chance the P of an init is right about its own, shuffled, source."""

    def at(evidence: Evidence, role: str) -> float:
        rows = evidence.rows("shuffled_sources", uses=False, init=init, split="test", metric="accuracy")
        last = rows[rows.epoch == rows.epoch.max()].iloc[0]
        return float(last.value / last.chance)

    return at


def learned(init: str) -> Premise:
    # 4: colours alone give a few times chance; a P that is not there has learned nothing that could be given.
    return Premise(
        text=f"{SHUFFLED[init]} that is right on its source four times as often as chance",
        statistic=times_chance(init), asks=">", limit=4.0,
    )  # fmt: skip


def _each(text: str, statistic, **how) -> tuple[Statement, ...]:
    """The same of both shuffled P's."""
    return tuple(
        Statement(
            letter=letter, text=text.format(words), statistic=statistic(init), asks=">", targets=NATURAL,
            unit="points", premise=learned(init), **how,
        )
        for letter, (init, words) in zip("ab", SHUFFLED.items(), strict=True)
    )  # fmt: skip


# Every limit is 0, since a sign is claimed; what makes it worth asking stands beside it.
CLAIMS = (
    # The paper: low-level statistics give "in particular" speed.
    Claim("S1", "3.1", "ours", "A P that knows no shapes still speeds training up.", _each(
        "mean training accuracy from {} minus from random weights",
        lambda init: minus(speed(init), speed("RI-T")),
    )),
    # Speed could be the size of the weights alone, as that of the mean-var init is.
    Claim("S2", "3.1", "ours", "Its speed is more than the size of its weights.", _each(
        "mean training accuracy from {} minus from the mean-var init",
        lambda init: minus(speed(init), speed("MeanVar-T")),
    )),
    Claim("S3", "3.1", "ours", "It also ends higher than random weights.", _each(
        "final test accuracy from {} minus from random weights", lead,
    )),
    # On images in the same disorder P's filters meet what they were made for.
    Claim("S4", "3.1", "ours", "Where the target is shuffled alike, it ends higher too.", _each(
        "final test accuracy, images shuffled alike, from {} minus from random weights",
        lambda init: lead(init, init),
    )),
    # More than half: what P gives beyond it is larger than what it gives. Written as a difference, since a
    # share of a gain that may be 0 means nothing.
    Claim("S5", "3.1", "ours", "More than half of what P gives needs shapes.", _each(
        "mean of P and random weights minus {}, final test accuracy",
        lambda init: minus(mean_of(level("P-T"), level("RI-T")), level(init)),
    )),
)  # fmt: skip
