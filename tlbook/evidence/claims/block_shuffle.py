"""Claims 6 to 10: feature reuse under block shuffling (Figure 3). Statistics over block_shuffle.

Block sizes stand at places that every scale has: '*', the smallest block, a quarter of the side, unshuffled
(the run without augmentation). That unshuffled RI-T must have fitted its training set; shuffled ones need
not (that they hardly train is part of the claims): what they reached is in the note. All statistics are
paired by seed.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.claims.feature_reuse import SHUFFLED, paper_bar, paper_drop, paper_gap, part
from tlbook.evidence.claims.rules import Claim, Evidence, Sample, paired, sample
from tlbook.evidence.claims.select import (
    NATURAL,
    difference,
    gap,
    relative_drop,
    shuffled,
    size_at,
    sizes,
    spearman,
    speed,
)


def paper_trend(role: str, init: str) -> float:
    """Spearman correlation of accuracy with block size over the bars of Figure 3."""
    rows = paper.figure3().query("role == @role and init == @init and metric == 'accuracy'")
    return spearman(rows["block_fraction"], rows["value"])


def _loses(role: str, init: str) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(
        evidence,
        *(
            shuffled(evidence, role, init, size_at(evidence, role, place))
            for place in ("unshuffled", "smallest")
        ),
    )


def _trend(role: str, init: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        order = sizes(evidence, role)
        series = [shuffled(evidence, role, init, size) for size in order["block_size"]]
        table = pd.concat(paired(evidence, *series), axis=1).set_axis(list(order["block_fraction"]), axis=1)
        fractions = pd.Series(table.columns, dtype=float)
        return sample(
            pd.Series(
                {seed: spearman(fractions, row.reset_index(drop=True)) for seed, row in table.iterrows()}
            )
        )

    return statistic


def _claim6() -> Claim:
    why = "0.5: 'broadly, not strictly' still asks for a clear trend"
    parts = []
    for role in NATURAL:
        for init in ("P-T", "RI-T"):
            parts += [
                part(
                    role,
                    f"{init}, test accuracy unshuffled minus at the smallest block",
                    "points",
                    SHUFFLED,
                    _loses(role, init),
                    ">",
                    paper_bar(role, init, "unshuffled") - paper_bar(role, init, "smallest"),
                ),
                part(
                    role,
                    f"{init}, rank correlation of test accuracy with block size",
                    "correlation",
                    SHUFFLED,
                    _trend(role, init),
                    ">",
                    paper_trend(role, init),
                    0.0,
                    why,
                    0.5,
                ),
            ]
    return Claim(
        6,
        "3.1",
        "Figure 3, left",
        "Shuffling blocks lowers both P-T and RI-T, broadly more the smaller the blocks.",
        tuple(parts),
    )


def _drop_change(role: str, first: str, second: str) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(
        evidence,
        *(relative_drop(evidence, role, size_at(evidence, role, place)) for place in (first, second)),
    )


def _claim7() -> Claim:
    why = "5 points: the paper's 4 points (clipart at block 2) count as nearly nothing"
    parts = []
    for role in ("real", "clipart"):
        parts += [
            part(
                role,
                "relative drop at a quarter of the side minus unshuffled",
                "points",
                SHUFFLED,
                _drop_change(role, "quarter", "unshuffled"),
                ">",
                paper_drop(role, "quarter") - paper_drop(role, "unshuffled"),
            ),
            part(
                role,
                "relative drop at the smallest block minus at a quarter of the side",
                "points",
                SHUFFLED,
                _drop_change(role, "smallest", "quarter"),
                "<",
                paper_drop(role, "smallest") - paper_drop(role, "quarter"),
            ),
            part(
                role,
                "P-T minus RI-T in test accuracy at the smallest block",
                "points",
                SHUFFLED,
                lambda evidence, role=role: sample(gap(evidence, role, "smallest")),
                "within",
                paper_gap(role, "smallest"),
                5.0,
                why,
            ),
        ]
    return Claim(
        7,
        "3.1",
        "Figure 3, left",
        "The relative drop rises as blocks shrink to a quarter of the side, then "
        "falls; in points the advantage nearly vanishes on real and clipart.",
        tuple(parts),
    )


def _above_all_larger(place: str) -> Callable[[Evidence], Sample]:
    """Relative drop on quickdraw at a place minus the largest of those at blocks larger than the smallest."""

    def statistic(evidence: Evidence) -> Sample:
        first = size_at(evidence, "quickdraw", "smallest")
        larger = [size for size in sizes(evidence, "quickdraw")["block_size"] if size not in ("*", first)]
        here = relative_drop(evidence, "quickdraw", size_at(evidence, "quickdraw", place))
        others = paired(evidence, *(relative_drop(evidence, "quickdraw", size) for size in larger))
        return difference(evidence, here, pd.concat(others, axis=1).max(axis=1))

    return statistic


def _claim8() -> Claim:
    others = paper.figure3().query("role == 'quickdraw' and metric == 'relative_drop'")
    largest = others.loc[~others["block_size"].isin(["*", "1"]), "value"].max()
    why = "50: 'hardly trains' must mean under half of the training set on average over training"
    parts = []
    for place, words in (("pixels", "'*'"), ("smallest", "the smallest block")):
        parts += [
            part(
                "quickdraw",
                f"relative drop at {words} minus the largest at larger blocks",
                "points",
                SHUFFLED,
                _above_all_larger(place),
                ">",
                paper_drop("quickdraw", place) - largest,
            ),
            part(
                "quickdraw",
                f"RI-T's mean training accuracy at {words}",
                "percent",
                SHUFFLED,
                lambda evidence, place=place: sample(
                    speed(evidence, "quickdraw", "RI-T", size_at(evidence, "quickdraw", place))
                ),
                "<",
                paper_bar("quickdraw", "RI-T", place, "mean_accuracy"),
                0.0,
                why,
                50.0,
            ),
        ]
    return Claim(
        8,
        "3.1",
        "Figure 3",
        "On quickdraw the relative drop is largest at '*' and the smallest block, "
        "since RI-T hardly trains there.",
        tuple(parts),
    )


def _claim9() -> Claim:
    parts = tuple(
        part(
            role,
            f"P-T minus RI-T in test accuracy at {words}",
            "points",
            SHUFFLED,
            lambda evidence, role=role, place=place: sample(gap(evidence, role, place)),
            ">",
            paper_gap(role, place),
        )
        for role in NATURAL
        for place, words in (("pixels", "'*'"), ("smallest", "the smallest block"))
    )
    return Claim(
        9,
        "3.1",
        "Figure 3, left",
        "P-T stays ahead where no visual structure is left ('*' and the smallest "
        "block), which the authors read as low-level statistics being transferred.",
        parts,
    )


def _slowest(role: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        series = [speed(evidence, role, "P-T", size) for size in sizes(evidence, role)["block_size"]]
        return sample(pd.concat(paired(evidence, *series), axis=1).min(axis=1))

    return statistic


def _speed_gap(evidence: Evidence, role: str, place: str) -> pd.Series:
    size = size_at(evidence, role, place)
    p_t, ri_t = paired(evidence, *(speed(evidence, role, init, size) for init in ("P-T", "RI-T")))
    return p_t - ri_t


def _speed_change(role: str, place: str) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(
        evidence, _speed_gap(evidence, role, place), _speed_gap(evidence, role, "unshuffled")
    )


def _speed_lost(role: str) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(
        evidence,
        *(
            speed(evidence, role, "RI-T", size_at(evidence, role, place))
            for place in ("smallest", "unshuffled")
        ),
    )


def _claim10() -> Claim:
    why = "75: the lower end of what the paper shows for P-T"
    bars = paper.figure3().query("init == 'P-T' and metric == 'mean_accuracy'")
    lowest = bars.groupby("role")["value"].min()
    unshuffled = {role: paper_gap(role, "unshuffled", "mean_accuracy") for role in NATURAL}
    parts = []
    for role in NATURAL:
        lost = [paper_bar(role, "RI-T", place, "mean_accuracy") for place in ("smallest", "unshuffled")]
        parts += [
            part(
                role,
                "P-T's mean training accuracy at the block size where it is lowest",
                "percent",
                SHUFFLED,
                _slowest(role),
                ">",
                float(lowest[role]),
                0.0,
                why,
                75.0,
            ),
            part(
                role,
                "RI-T's mean training accuracy at the smallest block minus unshuffled",
                "points",
                SHUFFLED,
                _speed_lost(role),
                "<",
                lost[0] - lost[1],
            ),
        ]
        parts += [
            part(
                role,
                f"P-T minus RI-T in mean training accuracy, at {words} minus unshuffled",
                "points",
                SHUFFLED,
                _speed_change(role, place),
                ">",
                paper_gap(role, place, "mean_accuracy") - unshuffled[role],
            )
            for place, words in (("pixels", "'*'"), ("smallest", "the smallest block"))
        ]
    return Claim(
        10,
        "3.1",
        "Figure 3, right",
        "P-T trains fast at every block size, RI-T slowly at small ones: the "
        "speed advantage grows under shuffling.",
        tuple(parts),
    )


CLAIMS = (_claim6(), _claim7(), _claim8(), _claim9(), _claim10())
