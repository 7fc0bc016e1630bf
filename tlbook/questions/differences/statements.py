"""What the paper claims on question 2 (section 3.2, Tables 1 and 2), claims 11 to 16.

Pairs are of final models at the paper's rates, P-T low and RI-T high, unless a statement says otherwise.
"""

from __future__ import annotations

import numpy as np

from tlbook.evidence.statements import Claim, Statement, Statistic
from tlbook.evidence.statistics import (
    ALL,
    PT_P,
    PT_PT,
    PT_RI,
    RI_P,
    RI_RI,
    XRAY,
    Kind,
    mean_of,
    mean_over_pairs,
    minus,
)  # fmt: skip
from tlbook.vocabulary import PAPER_RATES

MODULES = ("conv1", "layer1", "layer2", "layer3", "layer4")  # those of Table 1
BOTH_HIGH = {"P-T": "high", "RI-T": "high", "P": "-"}


def cka(kind: Kind, *modules: str) -> Statistic:
    """Linear CKA of the same module's output, mean over modules and pairs."""
    one = [
        mean_over_pairs("similarity", kind, metric="cka", module=name, module_b=name)
        for name in modules or MODULES
    ]
    return mean_of(*one)


def kappa(kind: Kind) -> Statistic:
    return mean_over_pairs("mistakes", kind, metric="kappa")


def difficulty(examples: str) -> Statistic:
    """Of a set of test examples; a pair in which it is empty has none (NaN) and is left out."""
    return mean_over_pairs("mistake_difficulty", PT_RI, lambda value: value.dropna(), examples=examples)


def log_distance(kind: Kind, rates=PAPER_RATES) -> Statistic:
    """Mean log of the sum of the modules' l2 distances at the end of training."""
    return mean_over_pairs("distance", kind, np.log, rates, module="all", metric="l2_sum")


def log_ratio(far: Kind, near: Kind, rates=PAPER_RATES) -> Statistic:
    return minus(log_distance(far, rates), log_distance(near, rates))


CLAIMS = (
    Claim(11, "3.2", "text", "Two P-T share more mistakes than two RI-T do.", (
        Statement(
            letter="a", text="error consistency κ, two P-T minus two RI-T",
            statistic=minus(kappa(PT_PT), kappa(RI_RI)), asks=">", targets=ALL, unit="κ",
        ),
    )),
    Claim(12, "3.2", "text", "What only P-T gets wrong is harder than what only RI-T gets wrong.", (
        Statement(
            letter="a", text="mean difficulty of examples, only P-T wrong minus only RI-T wrong",
            statistic=minus(difficulty("only_first_wrong"), difficulty("only_second_wrong")),
            asks=">", targets=ALL, unit="fraction",
        ),
    )),
    Claim(13, "3.2", "Table 1",
        "Two P-T are more alike than P-T and P; a pair with an RI-T is hardly alike.", (
        Statement(
            letter="a", text="CKA, mean over modules, two P-T minus P-T and P",
            statistic=minus(cka(PT_PT), cka(PT_P)), asks=">", targets=XRAY, unit="CKA",
        ),
        Statement(
            letter="b", text="CKA, mean over modules, P-T and RI-T",
            statistic=cka(PT_RI), asks="<", limit=0.2, targets=XRAY, unit="CKA",
            why="0.2: less than half of what the paper's two P-T have, and ten times its own value here",
        ),
    )),
    Claim(14, "3.2", "Table 1", "P-T leaves P with depth.", (
        Statement(
            letter="a", text="CKA of P-T and P, layer4 minus conv1",
            statistic=minus(cka(PT_P, "layer4"), cka(PT_P, "conv1")), asks="<", targets=XRAY, unit="CKA",
        ),
    )),
    Claim(15, "3.2", "Table 1", "Two RI-T are about as unlike as a P-T and an RI-T.", (
        Statement(
            letter="a", text="CKA, mean over modules, two RI-T minus P-T and RI-T",
            statistic=minus(cka(RI_RI), cka(PT_RI)), asks="within", band=0.1, targets=XRAY, unit="CKA",
            why="0.1: over twice the paper's largest difference at a module, half of what 'unlike' allows",
        ),
    )),
    Claim(16, "3.2", "Table 2", "Two P-T are closer in weights than two RI-T; P-T stays nearer to P.", (
        Statement(
            letter="a", text="log ratio of l2 distances, two RI-T to two P-T",
            statistic=log_ratio(RI_RI, PT_PT), asks=">", targets=ALL, unit="log ratio",
        ),
        Statement(
            letter="b", text="the same with both at the high rate (ours: not the rate's doing)",
            statistic=log_ratio(RI_RI, PT_PT, BOTH_HIGH), asks=">", targets=("real", "clipart"),
            unit="log ratio",
        ),
        Statement(
            letter="c", text="log ratio of l2 distances, RI-T and P to P-T and P",
            statistic=log_ratio(RI_P, PT_P), asks=">", targets=ALL, unit="log ratio",
        ),
    )),
)  # fmt: skip
