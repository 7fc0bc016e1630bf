"""Claims 17 to 21: barriers and basins. Statistics over interpolation, flatness (and domains for chance).

Lines run between final models at the paper's rates, P-T low and RI-T high, unless a part says otherwise; only
0 <= alpha <= 1 counts. A drop is the lower end minus the lowest point of a line (never below 0, since the
ends are on the line). What is left at the lowest point, above chance, is a fraction of what the lower end
has above chance: 0 is a barrier down to chance, 1 none. Intervals over pairs: jackknife; within one run:
Student's t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.claims.differences import PT_PT, PT_RI, RATE, RI_RI, mean, minus, pairs
from tlbook.evidence.claims.rules import (
    Claim,
    Evidence,
    NotRecorded,
    Part,
    Sample,
    by_seed,
    leave_one_out,
    metric_of,
    sample,
)
from tlbook.evidence.claims.select import NATURAL, SIGN, UNIT, difference, ends

NARROW = {"accuracy": 2.0, "auc": 0.01}
NARROW_WHY = {
    "accuracy": "2 points: twice the error with which the plot can be read",
    "auc": "0.01: twice the error with which the plot can be read",
}
LINES = ("interpolation", "learning_curves")
PAIR = ["init", "rate", "seed", "init_b", "rate_b", "seed_b"]


def lines(
    evidence: Evidence,
    role: str,
    kind: tuple[str, str],
    pairing: str = "independent",
    checkpoints: tuple[str, str] = ("final", "final"),
) -> pd.DataFrame:
    """Test metric along the lines of one kind of pairs, 0 <= alpha <= 1; both ends must be there."""
    where = {
        "role": role,
        "pairing": pairing,
        "checkpoint": checkpoints[0],
        "checkpoint_b": checkpoints[1],
        "split": "test",
        "metric": metric_of(role),
    }
    if pairing == "same_run":
        rate = RATE[kind[0]]
        rows = evidence.rows("interpolation", init=kind[0], init_b=kind[0], rate=rate, rate_b=rate, **where)
        rows = rows[rows["seed"] == rows["seed_b"]]
    else:
        rows = pairs(evidence, "interpolation", kind, **where)
    rows = rows[rows["alpha"].between(0, 1)]
    for key, line in rows.groupby(PAIR):
        if line["alpha"].min() != 0 or line["alpha"].max() != 1:
            raise NotRecorded(f"the line {' '.join(map(str, key))} ({role}) does not reach both of its ends")
    return rows


def per_line(rows: pd.DataFrame, measure: Callable[[pd.DataFrame], float]) -> pd.DataFrame:
    """One row per pair with `value` the measure of its line; keeps pairing."""
    found = [
        {**dict(zip(PAIR, key, strict=True)), "pairing": line["pairing"].iloc[0], "value": measure(line)}
        for key, line in rows.groupby(PAIR)
    ]
    return pd.DataFrame(found)


def lower_end(line: pd.DataFrame) -> float:
    """The metric of the worse of the two models."""
    return float(line.loc[line["alpha"].isin([0, 1]), "value"].min())


def drop(line: pd.DataFrame) -> float:
    """Lower end minus lowest point."""
    return lower_end(line) - float(line["value"].min())


def spread(line: pd.DataFrame) -> float:
    """Highest minus lowest point."""
    return float(line["value"].max() - line["value"].min())


def left(chance: float) -> Callable[[pd.DataFrame], float]:
    """(lowest point - chance) / (lower end - chance); NaN where the lower end is at chance."""

    def measure(line: pd.DataFrame) -> float:
        above = lower_end(line) - chance
        return (float(line["value"].min()) - chance) / above if above > 0 else np.nan

    return measure


def chance(evidence: Evidence, role: str) -> float:
    """Uniform guessing in the role's metric: percent, or 0.5."""
    return float(evidence.rows("domains", role=role)["chance"].iloc[0])


def _mean_of(groups: Sequence[pd.DataFrame]) -> float:
    return mean(groups[0])


def _over_pairs(
    role: str,
    kind: tuple[str, str],
    measure: Callable[[pd.DataFrame], float],
    checkpoints: tuple[str, str] = ("final", "final"),
) -> Callable[[Evidence], Sample]:
    return lambda evidence: leave_one_out(
        [per_line(lines(evidence, role, kind, checkpoints=checkpoints), measure)], _mean_of
    )


def _left(
    role: str,
    kind: tuple[str, str],
    pairing: str = "independent",
    checkpoints: tuple[str, str] = ("final", "final"),
) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        measure = left(chance(evidence, role))
        return leave_one_out([per_line(lines(evidence, role, kind, pairing, checkpoints), measure)], _mean_of)

    return statistic


def _paper(
    role: str, kind: tuple[str, str], quantity: str, checkpoints=("final", "final"), figure="figure4"
) -> float:
    return paper.value(
        figure,
        role=role,
        init=kind[0],
        init_b=kind[1],
        checkpoint=checkpoints[0],
        checkpoint_b=checkpoints[1],
        quantity=quantity,
    )


def _paper_left(role: str, kind: tuple[str, str], checkpoints=("final", "final")) -> float:
    ends = [_paper(role, kind, quantity, checkpoints) for quantity in ("end", "end_b")]
    guess = 0.5 if role == "xray" else 100 / 345
    return (_paper(role, kind, "minimum", checkpoints) - guess) / (min(ends) - guess)


def _paper_drop(role: str, kind: tuple[str, str], checkpoints=("final", "final")) -> float:
    ends = [_paper(role, kind, quantity, checkpoints) for quantity in ("end", "end_b")]
    return min(ends) - _paper(role, kind, "minimum", checkpoints)


def _claim17() -> Claim:
    best, last = ("best", "best"), ("final", "final")
    shown = {
        "real": _paper_drop("real", PT_PT),
        "clipart": None,
        "quickdraw": _paper_drop("quickdraw", PT_PT),
    }
    parts = [
        Part(
            role,
            "drop below the lower end between two P-T (low), test accuracy",
            "points",
            ("interpolation",),
            _over_pairs(role, PT_PT, drop),
            "within",
            NARROW["accuracy"],
            NARROW_WHY["accuracy"],
            paper=shown[role],
        )
        for role in NATURAL
    ]
    parts += [
        Part(
            "xray",
            f"drop below the lower end between two P-T (low), {at[0]} checkpoints, test AUC",
            "AUC",
            ("interpolation",),
            _over_pairs("xray", PT_PT, drop, at),
            "within",
            NARROW["auc"],
            NARROW_WHY["auc"],
            paper=_paper_drop("xray", PT_PT, at),
        )
        for at in (best, last)
    ]
    parts.append(
        Part(
            "xray",
            "highest minus lowest point between two P-T (low), best checkpoints, test AUC",
            "AUC",
            ("interpolation",),
            _over_pairs("xray", PT_PT, spread, best),
            "within",
            NARROW["auc"],
            NARROW_WHY["auc"],
            paper=0.002,
        )
    )
    return Claim(
        17,
        "3.3",
        "Figures 4 and 16",
        "No barrier between two P-T: along the line the metric stays at or above the lower end.",
        tuple(parts),
    )


def _claim18() -> Claim:
    why = "0.25: the paper's least complete fall (xray, two RI-T) leaves an eighth; a quarter is twice that"
    parts = []
    for kind, words in ((RI_RI, "two RI-T (high)"), (PT_RI, "P-T (low) and RI-T (high)")):
        for role in (*NATURAL, "xray"):
            at = ("best", "best") if role == "xray" else ("final", "final")
            parts.append(
                Part(
                    role,
                    f"share of the metric above chance left at the lowest point between {words}, {at[0]}",
                    "fraction",
                    ("interpolation", "domains", "learning_curves"),
                    _left(role, kind, checkpoints=at),
                    "<",
                    0.0,
                    why,
                    0.25,
                    None if role == "clipart" else _paper_left(role, kind, at),
                )
            )
    return Claim(
        18,
        "3.3",
        "Figure 4",
        "A barrier down to chance between two RI-T from different inits, and between P-T and RI-T.",
        tuple(parts),
    )


def _lower_by(role: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        measure = left(chance(evidence, role))
        groups = [
            per_line(lines(evidence, role, RI_RI, pairing), measure)
            for pairing in ("same_init", "independent")
        ]
        return leave_one_out(groups, minus)

    return statistic


def _claim19() -> Claim:
    reads = ("interpolation", "domains", "learning_curves")
    still, little = (
        "0.5: a barrier that takes half of what there is above chance is one",
        "0.3: 'a little'; the paper's largest such difference is 0.25 (quickdraw)",
    )
    parts = []
    for role in NATURAL:
        guess = 100 / 345
        end = paper.value(
            "figure2", role=role, init="RI-T", rate="high", checkpoint="final", metric="accuracy"
        )
        same = (_paper(role, RI_RI, "minimum", figure="figure16") - guess) / (end - guess)
        other = None if role == "clipart" else same - _paper_left(role, RI_RI)
        parts += [
            Part(
                role,
                "share above chance left at the lowest point between two RI-T (high) from the same init",
                "fraction",
                reads,
                _left(role, RI_RI, "same_init"),
                "<",
                0.0,
                still,
                0.5,
                same,
            ),
            Part(
                role,
                "that share, same init minus different inits",
                "fraction",
                reads,
                _lower_by(role),
                "within",
                0.3,
                little,
                paper=other,
            ),
        ]
    return Claim(
        19,
        "3.3",
        "Figure 16",
        "Two RI-T from the same init still have a barrier, only a little lower.",
        tuple(parts),
    )


def _own_line(init: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        rows = lines(evidence, "xray", (init, init), "same_run", ("best", "final"))
        return sample(by_seed(per_line(rows, drop)))

    return statistic


def _claim20() -> Claim:
    at = ("best", "final")
    parts = (
        Part(
            "xray",
            "drop below the lower end from best to final of one P-T (low), test AUC",
            "AUC",
            ("interpolation",),
            _own_line("P-T"),
            "within",
            NARROW["auc"],
            NARROW_WHY["auc"],
            paper=_paper_drop("xray", PT_PT, at),
        ),
        Part(
            "xray",
            "drop below the lower end from best to final of one RI-T (high), test AUC",
            "AUC",
            LINES,
            _own_line("RI-T"),
            ">",
            NARROW["auc"],
            NARROW_WHY["auc"],
            paper=_paper_drop("xray", RI_RI, at),
        ),
    )
    return Claim(
        20,
        "3.3",
        "Figure 4, right",
        "From best to final of one run the line is smooth for P-T and dips for RI-T.",
        parts,
    )


def rise(evidence: Evidence, role: str, init: str, normalisation: str) -> pd.Series:
    """By seed: training loss at random steps minus at the model, mean over the recorded distances up to the
    one nearest 0.1 (a tenth of the weights' norm)."""
    rows = evidence.rows(
        "flatness",
        role=role,
        init=init,
        rate=RATE[init],
        normalisation=normalisation,
        split="train",
        metric="loss",
    )
    distances = np.unique(rows["distance"])
    if distances[0] != 0 or len(distances) < 2:
        raise NotRecorded(f"flatness needs distance 0 and another for {init} on {role}")
    reach = min(distances[1:], key=lambda distance: abs(distance - 0.1))
    table = rows.pivot(index="seed", columns="distance", values="value")
    steps = [distance for distance in distances[1:] if distance <= reach]
    return (table[steps].sub(table[0.0], axis=0)).mean(axis=1)


def _flatter(role: str, normalisation: str) -> Callable[[Evidence], Sample]:
    return lambda evidence: difference(
        evidence, *(rise(evidence, role, init, normalisation) for init in ("RI-T", "P-T"))
    )


def _generalises(role: str) -> Callable[[Evidence], Sample]:
    def shortfall(evidence: Evidence, init: str) -> pd.Series:
        train, test = (ends(evidence, role, init, RATE[init], split) for split in ("train", "test"))
        return train - test

    return lambda evidence: difference(evidence, *(shortfall(evidence, init) for init in ("RI-T", "P-T")))


def _claim21() -> Claim:
    parts = []
    for role in (*NATURAL, "xray"):
        parts += [
            Part(
                role,
                f"rise of the training loss at random steps ({name}): RI-T (high) minus P-T (low)",
                "nats",
                ("flatness", "learning_curves"),
                _flatter(role, name),
                ">",
                0.0,
                SIGN,
            )
            for name in ("raw", "filter")
        ]
        parts.append(
            Part(
                role,
                "training minus test metric: RI-T (high) minus P-T (low)",
                UNIT[metric_of(role)],
                ("learning_curves",),
                _generalises(role),
                ">",
                0.0,
                SIGN,
            )
        )
    return Claim(
        21,
        "3.3",
        "text of the summary only",
        "P-T lies in a flatter basin and generalises better.",
        tuple(parts),
    )


CLAIMS = (_claim17(), _claim18(), _claim19(), _claim20(), _claim21())
