"""Claims 1 to 10: what is the role of feature reuse? Statistics over learning_curves, convergence,
block_shuffle.

All statistics are paired by seed, P-T against RI-T; intervals by Student's t. Unshuffled in a block_shuffle
statistic is the run without augmentation. Shuffled RI-T need not have fitted their training set (that they
hardly train is part of the claims); what they reached is in the note.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from tlbook import paper
from tlbook.claims.rules import Claim, Evidence, Part, Sample, by_seed, metric_of, paired, sample
from tlbook.claims.select import (
    NATURAL,
    SIGN,
    UNIT,
    best,
    better_rate,
    difference,
    ends,
    gap,
    relative_drop,
    shuffled,
    size_at,
    sizes,
    spearman,
    speed,
)

CURVES = ("learning_curves",)
SHUFFLED = ("block_shuffle", "learning_curves")


def paper_end(role: str, init: str, rate: str = "better", checkpoint: str = "final") -> float:
    """Figure 2's value; better is the rate the paper calls better: P-T low, RI-T high."""
    rate = {"P-T": "low", "RI-T": "high"}[init] if rate == "better" else rate
    metric = metric_of(role)
    return paper.value("figure2", role=role, init=init, rate=rate, metric=metric, checkpoint=checkpoint)


def paper_gain(role: str, checkpoint: str = "final") -> float:
    """P-T minus RI-T in Figure 2, each at its better rate."""
    return paper_end(role, "P-T", checkpoint=checkpoint) - paper_end(role, "RI-T", checkpoint=checkpoint)


PAPER_SIZE = {"pixels": "*", "smallest": "1", "quarter": "56", "unshuffled": "224"}


def paper_bar(role: str, init: str, place: str, metric: str = "accuracy") -> float:
    """A bar of Figure 3 (accuracy, mean_accuracy)."""
    return paper.value("figure3", role=role, init=init, metric=metric, block_size=PAPER_SIZE[place])


def paper_drop(role: str, place: str) -> float:
    """A relative drop printed in Figure 3."""
    return paper_bar(role, "P-T & RI-T", place, "relative_drop")


def paper_gap(role: str, place: str, metric: str = "accuracy") -> float:
    """P-T minus RI-T in a bar of Figure 3."""
    return paper_bar(role, "P-T", place, metric) - paper_bar(role, "RI-T", place, metric)


def paper_trend(role: str, init: str) -> float:
    """Spearman correlation of accuracy with block size over the bars of Figure 3."""
    rows = paper.figure3().query("role == @role and init == @init and metric == 'accuracy'")
    return spearman(rows["block_fraction"], rows["value"])


def _part(
    role: str,
    name: str,
    unit: str,
    reads: tuple[str, ...],
    statistic: Callable[[Evidence], Sample],
    direction: str,
    paper_value: float | None,
    margin: float = 0.0,
    why: str = SIGN,
    against: float = 0.0,
) -> Part:
    return Part(role, name, unit, reads, statistic, direction, margin, why, against, paper_value)


def _gain(role: str, checkpoint: str = "final") -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        values = [
            ends(evidence, role, init) if checkpoint == "final" else best(evidence, role, init)["value"]
            for init in ("P-T", "RI-T")
        ]
        return difference(evidence, *values)

    return statistic


def _claim1() -> Claim:
    parts = [
        _part(
            role,
            "P-T minus RI-T, final test metric, each at its better rate",
            UNIT[metric_of(role)],
            CURVES,
            _gain(role),
            ">",
            paper_gain(role),
        )
        for role in (*NATURAL, "xray")
    ]
    parts.append(
        _part(
            "xray",
            "P-T minus RI-T, test AUC at the best dev epoch, each at its better rate",
            "AUC",
            CURVES,
            _gain("xray", "best"),
            ">",
            paper_gain("xray", "best"),
        )
    )
    return Claim(
        1,
        "3.1",
        "Figure 2",
        "Fine-tuning from P ends higher than training from random weights on every "
        "target, each at its better learning rate.",
        tuple(parts),
    )


def _reaches(role: str, reference: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        better = better_rate(evidence, "learning_curves", role=role, init="RI-T")
        ends(evidence, role, "RI-T", better)  # the level is RI-T's, so RI-T counts as used
        rows = evidence.rows(
            "convergence",
            role=role,
            init="P-T",
            rate="low",
            reference=reference,
            metric="fraction",
            reference_rate=better,
        )
        never = rows.loc[rows["reached"] == 0, "seed"]
        if len(never):
            evidence.note(f"seeds {', '.join(map(str, sorted(never)))} never reach it and count as 1")
        return sample(by_seed(rows))

    return statistic


def _claim2() -> Claim:
    why = (
        "a quarter of training: the paper's slowest target needs a tenth, and test is measured at few epochs"
    )
    epochs = paper.figure2().query("metric == 'epochs_to_reference'").set_index("role")["value"]
    paper_values = {role: float(epochs[role]) / 100 for role in NATURAL} | {"xray": None}
    parts = [
        _part(
            role,
            f"fraction of training until P-T (low) reaches RI-T's {reference} test metric",
            "fraction",
            ("learning_curves", "convergence"),
            _reaches(role, reference),
            "<",
            paper_values[role],
            0.0,
            why,
            0.25,
        )
        for role, reference in (
            ("real", "final"),
            ("clipart", "final"),
            ("quickdraw", "final"),
            ("xray", "best"),
        )
    ]
    return Claim(
        2,
        "3.1",
        "Figure 2",
        "P-T also gets there faster: at the low rate it passes what RI-T ends with early in training.",
        tuple(parts),
    )


def _contrast(
    values: Callable[[Evidence, str], pd.Series], first: str, second: str
) -> Callable[[Evidence], Sample]:
    """A statistic of two roles: values of `first` minus values of `second`, paired by seed."""
    return lambda evidence: difference(evidence, values(evidence, first), values(evidence, second))


def _points(evidence: Evidence, role: str) -> pd.Series:
    p_t, ri_t = paired(evidence, *(ends(evidence, role, init) for init in ("P-T", "RI-T")))
    return p_t - ri_t


def _unshuffled_drop(evidence: Evidence, role: str) -> pd.Series:
    return relative_drop(evidence, role, size_at(evidence, role, "unshuffled"))


def _claim3() -> Claim:
    parts = []
    for role in ("real", "clipart"):
        both = f"{role} & quickdraw"
        parts += [
            _part(
                both,
                f"relative drop, unshuffled: {role} minus quickdraw",
                "points",
                SHUFFLED,
                _contrast(_unshuffled_drop, role, "quickdraw"),
                ">",
                paper_drop(role, "unshuffled") - paper_drop("quickdraw", "unshuffled"),
            ),
            _part(
                both,
                f"P-T minus RI-T in final test accuracy: {role} minus quickdraw",
                "points",
                CURVES,
                _contrast(_points, role, "quickdraw"),
                ">",
                paper_gain(role) - paper_gain("quickdraw"),
            ),
        ]
    return Claim(
        3,
        "3.1",
        "Figures 2 and 3",
        "The gain from pre-training is larger on the targets that look like "
        "the source (real, clipart) than on quickdraw.",
        tuple(parts),
    )


def _rates(role: str, first: tuple[str, str], second: tuple[str, str]) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(evidence, ends(evidence, role, *first), ends(evidence, role, *second))


def _claim4() -> Claim:
    comparisons = [(role, ("P-T", "low"), ("P-T", "high"), ">") for role in NATURAL]
    comparisons += [(role, ("RI-T", "high"), ("RI-T", "low"), ">") for role in NATURAL]
    comparisons += [("quickdraw", ("P-T", "high"), ("RI-T", rate), "<") for rate in ("low", "high")]
    parts = [
        _part(
            role,
            f"{' '.join(first)} minus {' '.join(second)}, final test accuracy",
            "points",
            CURVES,
            _rates(role, first, second),
            direction,
            paper_end(role, *first) - paper_end(role, *second),
        )
        for role, first, second, direction in comparisons
    ]
    parts.append(
        _part(
            "xray",
            "P-T at the high rate, final training AUC",
            "AUC",
            CURVES,
            lambda evidence: sample(ends(evidence, "xray", "P-T", "high", "train")),
            "<",
            None,
            0.0,
            "0.6: the paper says 'failed to converge'; that is within 0.1 of guessing",
            0.6,
        )
    )
    return Claim(
        4,
        "3.1",
        "Figure 2",
        "Which learning rate is better depends on the init: low for P-T, high for RI-T; "
        "on quickdraw P-T at the high rate ends below both RI-T, on xray it does not converge.",
        tuple(parts),
    )


def _falls(init: str, rate: str) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(
        evidence, best(evidence, "xray", init, rate)["value"], ends(evidence, "xray", init, rate)
    )


def _earlier(evidence: Evidence) -> Sample:
    p_t, ri_t = (
        best(evidence, "xray", init, rate)["fraction"] for init, rate in (("P-T", "low"), ("RI-T", "better"))
    )
    return difference(evidence, p_t, ri_t)


def _claim5() -> Claim:
    why = "0.01: twice the error with which the paper's plot can be read, so that a fall can be seen"

    def fall(init: str, rate: str) -> float:
        return paper_end("xray", init, rate, "best") - paper_end("xray", init, rate, "final")

    def peak(init: str, rate: str) -> float:
        epochs = [
            paper.value("figure2", role="xray", init=init, rate=rate, metric="epoch", checkpoint=checkpoint)
            for checkpoint in ("best", "final")
        ]
        return epochs[0] / epochs[1]

    parts = (
        _part(
            "xray",
            "P-T (low), test AUC at the best dev epoch minus final",
            "AUC",
            CURVES,
            _falls("P-T", "low"),
            ">",
            fall("P-T", "low"),
            0.01,
            why,
        ),
        _part(
            "xray",
            "RI-T (better rate), test AUC at the best dev epoch minus final",
            "AUC",
            CURVES,
            _falls("RI-T", "better"),
            ">",
            fall("RI-T", "high"),
            0.01,
            why,
        ),
        _part(
            "xray",
            "best dev epoch as a fraction of training, P-T (low) minus RI-T (better rate)",
            "fraction",
            CURVES,
            _earlier,
            "<",
            peak("P-T", "low") - peak("RI-T", "high"),
        ),
    )
    return Claim(5, "3.1", "Figure 2", "CheXpert over-trains: P-T peaks early and falls, RI-T later.", parts)


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
                _part(
                    role,
                    f"{init}, test accuracy unshuffled minus at the smallest block",
                    "points",
                    SHUFFLED,
                    _loses(role, init),
                    ">",
                    paper_bar(role, init, "unshuffled") - paper_bar(role, init, "smallest"),
                ),
                _part(
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
            _part(
                role,
                "relative drop at a quarter of the side minus unshuffled",
                "points",
                SHUFFLED,
                _drop_change(role, "quarter", "unshuffled"),
                ">",
                paper_drop(role, "quarter") - paper_drop(role, "unshuffled"),
            ),
            _part(
                role,
                "relative drop at the smallest block minus at a quarter of the side",
                "points",
                SHUFFLED,
                _drop_change(role, "smallest", "quarter"),
                "<",
                paper_drop(role, "smallest") - paper_drop(role, "quarter"),
            ),
            _part(
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
            _part(
                "quickdraw",
                f"relative drop at {words} minus the largest at larger blocks",
                "points",
                SHUFFLED,
                _above_all_larger(place),
                ">",
                paper_drop("quickdraw", place) - largest,
            ),
            _part(
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
        _part(
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
            _part(
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
            _part(
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
            _part(
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


CLAIMS = (
    _claim1(),
    _claim2(),
    _claim3(),
    _claim4(),
    _claim5(),
    _claim6(),
    _claim7(),
    _claim8(),
    _claim9(),
    _claim10(),
)
