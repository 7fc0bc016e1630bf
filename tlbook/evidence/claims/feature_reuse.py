"""Claims 1 to 5: what is the role of feature reuse? Statistics over learning_curves, convergence,
block_shuffle.

All statistics are paired by seed, P-T against RI-T; intervals by Student's t. Unshuffled in a block_shuffle
statistic is the run without augmentation, and that RI-T must have fitted its training set. Shuffled RI-T
need not (that they hardly train is part of the claims); what they reached is in the note.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.claims.rules import Claim, Evidence, Part, Sample, by_seed, metric_of, paired, sample
from tlbook.evidence.claims.select import (
    NATURAL,
    SIGN,
    UNIT,
    best,
    better_rate,
    difference,
    ends,
    relative_drop,
    size_at,
)

CURVES = ("learning_curves",)
SHUFFLED = ("block_shuffle",)


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


def part(
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
    """A part of a claim of question 1; most are about a sign, so the margin and its reason have defaults."""
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
        part(
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
        part(
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
        part(
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
            part(
                both,
                f"relative drop, unshuffled: {role} minus quickdraw",
                "points",
                SHUFFLED,
                _contrast(_unshuffled_drop, role, "quickdraw"),
                ">",
                paper_drop(role, "unshuffled") - paper_drop("quickdraw", "unshuffled"),
            ),
            part(
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
        part(
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
        part(
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
        part(
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
        part(
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
        part(
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


CLAIMS = (_claim1(), _claim2(), _claim3(), _claim4(), _claim5())
