"""Claims 11 to 16: how P-T and RI-T differ. Statistics over mistakes, mistake_difficulty, similarity,
distance.

Pairs are of final models at the paper's rates, P-T low and RI-T high, unless a part says otherwise. A
statistic is made of means over pairs; its interval is the delete-one-run jackknife.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.claims.rules import Claim, Evidence, NotRecorded, Part, Sample, leave_one_out
from tlbook.evidence.claims.select import NATURAL, SIGN, spearman

ROLES = (*NATURAL, "xray")
RATE = {"P-T": "low", "RI-T": "high", "P": "-"}
STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")
PT_PT, RI_RI, PT_RI, PT_P, RI_P = (
    ("P-T", "P-T"),
    ("RI-T", "RI-T"),
    ("P-T", "RI-T"),
    ("P-T", "P"),
    ("RI-T", "P"),
)


def pairs(
    evidence: Evidence, table: str, kind: tuple[str, str], rate: dict[str, str] = RATE, **where: object
) -> pd.DataFrame:
    """Rows of pairs of one kind, (init, init_b), at the rates of `rate`; a run is not its own pair."""
    rows = evidence.rows(
        table, init=kind[0], init_b=kind[1], rate=rate[kind[0]], rate_b=rate[kind[1]], **where
    )
    own = (
        (rows["init"] == rows["init_b"]) & (rows["rate"] == rows["rate_b"]) & (rows["seed"] == rows["seed_b"])
    )
    if own.all():
        raise NotRecorded(f"{table} has no pair of two {kind[0]} runs")
    return rows[~own]


def mean(rows: pd.DataFrame) -> float:
    """Mean of `value` over pairs."""
    return float(rows["value"].mean())


def minus(groups: Sequence[pd.DataFrame]) -> float:
    """Mean of the first group minus mean of the second."""
    return mean(groups[0]) - mean(groups[1])


def ratio(groups: Sequence[pd.DataFrame]) -> float:
    """Mean of the first group over mean of the second; NaN if that is 0."""
    below = mean(groups[1])
    return mean(groups[0]) / below if below else math.nan


def _compare(
    table: str,
    first: tuple[str, str],
    second: tuple[str, str],
    how: Callable[[Sequence[pd.DataFrame]], float] = minus,
    rate: dict[str, str] = RATE,
    **where: object,
) -> Callable[[Evidence], Sample]:
    """A statistic of two kinds of pairs."""

    def statistic(evidence: Evidence) -> Sample:
        groups = [pairs(evidence, table, kind, rate, **where) for kind in (first, second)]
        return leave_one_out(groups, how)

    return statistic


def _claim11() -> Claim:
    parts = []
    for role in ROLES:
        for metric, words in (
            ("shared", "mistakes both make / mistakes either makes"),
            ("kappa", "error consistency (kappa)"),
        ):
            for other, name in ((RI_RI, "two RI-T"), (PT_RI, "P-T and RI-T")):
                parts.append(
                    Part(
                        role,
                        f"{words}: two P-T minus {name}",
                        "fraction",
                        ("mistakes", "learning_curves"),
                        _compare("mistakes", PT_PT, other, role=role, metric=metric),
                        ">",
                        0.0,
                        SIGN,
                    )
                )
    return Claim(
        11,
        "3.2",
        "text",
        "Two P-T share more mistakes than two RI-T do (ours besides: than a P-T and an "
        "RI-T do), also beyond what their error rates make likely.",
        tuple(parts),
    )


def _difficulty(role: str, *examples: str) -> Callable[[Evidence], Sample]:
    """Mean difficulty of one set of examples, or of the first minus the second."""

    def statistic(evidence: Evidence) -> Sample:
        groups = [pairs(evidence, "mistake_difficulty", PT_RI, role=role, examples=name) for name in examples]
        return leave_one_out(groups, minus if len(groups) == 2 else lambda one: mean(one[0]))

    return statistic


def _claim12() -> Claim:
    only_p_t, only_ri_t = "only_first_wrong", "only_second_wrong"
    why = "0.5: 'mostly' is for more than half of the models outside the comparison"
    reads = ("mistake_difficulty", "learning_curves")
    parts = []
    for role in ROLES:
        parts += [
            Part(
                role,
                "mean difficulty: only P-T wrong minus only RI-T wrong",
                "fraction",
                reads,
                _difficulty(role, only_p_t, only_ri_t),
                ">",
                0.0,
                SIGN,
            ),
            Part(
                role,
                "mean difficulty of examples that only P-T gets wrong",
                "fraction",
                reads,
                _difficulty(role, only_p_t),
                ">",
                0.0,
                why,
                0.5,
            ),
            Part(
                role,
                "mean difficulty of examples that only RI-T gets wrong",
                "fraction",
                reads,
                _difficulty(role, only_ri_t),
                "<",
                0.0,
                why,
                0.5,
            ),
        ]
    return Claim(
        12,
        "3.2",
        "text",
        "Examples that only P-T gets wrong are mostly hard; those that only RI-T gets wrong are mostly easy.",
        tuple(parts),
    )


def _cka(kind: tuple[str, str], module: str) -> float:
    return paper.value("table1", init=kind[0], init_b=kind[1], module=module)


def _similarity(first: tuple[str, str], second: tuple[str, str], module: str) -> Callable[[Evidence], Sample]:
    return _compare("similarity", first, second, role="xray", module=module, module_b=module, metric="cka")


def _one_similarity(kind: tuple[str, str], module: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        rows = pairs(evidence, "similarity", kind, role="xray", module=module, module_b=module, metric="cka")
        return leave_one_out([rows], lambda groups: mean(groups[0]))

    return statistic


CKA = ("similarity", "learning_curves")


def _claim13() -> Claim:
    why = "0.1: ten times the paper's largest value here is still far from the 0.4 and more of two P-T"
    parts = [
        Part(
            "xray",
            f"CKA at {module}: two P-T minus P-T and P",
            "CKA",
            ("similarity",),
            _similarity(PT_PT, PT_P, module),
            ">",
            0.0,
            SIGN,
            paper=_cka(PT_PT, module) - _cka(PT_P, module),
        )
        for module in STAGES
    ]
    parts += [
        Part(
            "xray",
            f"CKA at {module}: {' and '.join(kind)}",
            "CKA",
            CKA,
            _one_similarity(kind, module),
            "<",
            0.0,
            why,
            0.1,
            _cka(kind, module),
        )
        for kind in (PT_RI, RI_RI)
        for module in STAGES
    ]
    return Claim(
        13,
        "3.2",
        "Table 1",
        "Two P-T are more alike than P-T and P at every layer; a pair with an RI-T is hardly alike anywhere.",
        tuple(parts),
    )


def _depth_trend(groups: Sequence[pd.DataFrame]) -> float:
    means = groups[0].groupby("module")["value"].mean().reindex(STAGES).reset_index(drop=True)
    return spearman(pd.Series(range(len(means))), means)


def _falls_with_depth(evidence: Evidence) -> Sample:
    rows = pairs(evidence, "similarity", PT_P, role="xray", metric="cka")
    rows = rows[rows["module"].isin(STAGES) & (rows["module"] == rows["module_b"])]
    missing = set(STAGES) - set(rows["module"])
    if missing:
        raise NotRecorded(f"similarity has no P-T & P rows at {', '.join(sorted(missing))}")
    return leave_one_out([rows], _depth_trend)


def _claim14() -> Claim:
    table = pd.Series([_cka(PT_P, module) for module in STAGES])
    parts = (
        Part(
            "xray",
            "rank correlation with depth of the CKA of P-T and P, five layers",
            "correlation",
            ("similarity",),
            _falls_with_depth,
            "<",
            0.0,
            "0.5: 'falls' asks for a clear trend",
            -0.5,
            spearman(pd.Series(range(len(STAGES))), table),
        ),
        Part(
            "xray",
            "CKA at layer4: P-T and RI-T minus P-T and P",
            "CKA",
            CKA,
            _similarity(PT_RI, PT_P, "layer4"),
            ">",
            0.0,
            SIGN,
            paper=_cka(PT_RI, "layer4") - _cka(PT_P, "layer4"),
        ),
    )
    return Claim(
        14,
        "3.2",
        "Table 1",
        "CKA of P-T and P falls with depth; at layer4 P-T is nearer to an RI-T than to its own P.",
        parts,
    )


def _claim15() -> Claim:
    why = "0.05: the paper's largest difference is 0.04"
    parts = tuple(
        Part(
            "xray",
            f"CKA at {module}: two RI-T minus P-T and RI-T",
            "CKA",
            CKA,
            _similarity(RI_RI, PT_RI, module),
            "within",
            0.05,
            why,
            paper=_cka(RI_RI, module) - _cka(PT_RI, module),
        )
        for module in STAGES
    )
    return Claim(
        15, "3.2", "Table 1", "Two RI-T are about as unlike as a P-T and an RI-T, in no fixed order.", parts
    )


def _far(
    role: str, far: tuple[str, str], near: tuple[str, str], rate: dict[str, str] = RATE
) -> Callable[[Evidence], Sample]:
    """Ratio of two kinds' distances at the last recorded epoch, summed over modules."""

    def statistic(evidence: Evidence) -> Sample:
        groups = [
            pairs(evidence, "distance", kind, rate, role=role, module="all", metric="l2_sum")
            for kind in (far, near)
        ]
        return leave_one_out([rows[rows["epoch"] == rows["epoch"].max()] for rows in groups], ratio)

    return statistic


def _claim16() -> Claim:
    reads = ("distance", "learning_curves")
    why = "1: the claim is which of the two is larger"
    same = {"P-T": "high", "RI-T": "high", "P": "-"}

    def printed(role: str, kind: tuple[str, str]) -> float:
        return paper.value("table2", role=role, init=kind[0], init_b=kind[1])

    parts = []
    for role in ROLES:
        parts += [
            Part(
                role,
                "distance of two RI-T / of two P-T",
                "ratio",
                reads,
                _far(role, RI_RI, PT_PT),
                ">",
                0.0,
                why,
                1.0,
                printed(role, RI_RI) / printed(role, PT_PT),
            ),
            Part(
                role,
                "distance of RI-T and P / of P-T and P",
                "ratio",
                reads,
                _far(role, RI_P, PT_P),
                ">",
                0.0,
                why,
                1.0,
                printed(role, RI_P) / printed(role, PT_P),
            ),
            Part(
                role,
                "distance of two RI-T / of two P-T, both at the high rate (ours: not the rate's doing)",
                "ratio",
                reads,
                _far(role, RI_RI, PT_PT, same),
                ">",
                0.0,
                why,
                1.0,
            ),
        ]
    return Claim(
        16,
        "3.2",
        "Table 2",
        "Two P-T are closer in parameter space than two RI-T; P-T stays near P, RI-T is far from it.",
        tuple(parts),
    )


CLAIMS = (_claim11(), _claim12(), _claim13(), _claim14(), _claim15(), _claim16())
