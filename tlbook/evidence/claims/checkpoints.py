"""Claims 26 to 30: which pre-training checkpoint to use? Statistics over finetuned and source_accuracy.

Checkpoints are named by their fraction of pre-training, so that scales compare: the learning rate drops at
1/3 and 2/3. Per role and checkpoint the better rate is the one with the higher mean dev metric, low on ties.
Checkpoint 0 is random weights, so a statistic that uses it uses an RI-T, held to its own training metric.
Values are per seed of fine-tuning (one pre-training run); intervals by Student's t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.claims.rules import (
    Claim,
    Evidence,
    NotRecorded,
    Part,
    Sample,
    by_seed,
    metric_of,
    paired,
    sample,
)
from tlbook.evidence.claims.select import NATURAL, SIGN, difference

EARLY = 1 / 9  # the paper's checkpoint 10 of 90
NEAR = 0.06  # a checkpoint this far (as a fraction of pre-training) from the wanted one stands for it
ROUNDED = 1e-5  # recorded fractions have six digits: 26 of 39 epochs is 0.666667, and no later than 2/3
READS = ("finetuned",)
BOTH = ("finetuned", "source_accuracy")
SAME = "1 point: about three times the error with which the plot can be read"


def available(evidence: Evidence, role: str) -> pd.Series:
    """Checkpoint by its fraction, sorted, of those fine-tuned on a role."""
    rows = evidence.rows("finetuned", role=role, split="test", metric=metric_of(role))
    pairs = rows[["checkpoint_fraction", "checkpoint"]].drop_duplicates().sort_values("checkpoint_fraction")
    return pd.Series(pairs["checkpoint"].to_numpy(), index=pairs["checkpoint_fraction"].to_numpy())


def nearest(found: pd.Series, fraction: float) -> int:
    """The checkpoint nearest a fraction of pre-training, the earlier on ties; NotRecorded if none is near."""
    place = min(found.index, key=lambda one: (round(abs(one - fraction), 9), one))
    if abs(place - fraction) > NEAR:
        raise NotRecorded(f"no fine-tuned checkpoint is near {fraction:.2f} of pre-training")
    return int(found[place])


def around(found: pd.Series, step: float) -> tuple[int, int]:
    """The last checkpoint up to a learning-rate drop and the first after it; NotRecorded if one is not
    near."""
    before = [place for place in found.index if place <= step + ROUNDED]
    after = [place for place in found.index if place > step + ROUNDED]
    if not before or not after or step - before[-1] > NEAR or after[0] - step > NEAR:
        raise NotRecorded(f"no fine-tuned checkpoints on both sides of {step:.2f} of pre-training")
    return int(found[before[-1]]), int(found[after[0]])


def last(found: pd.Series) -> int:
    """The last checkpoint; NotRecorded if pre-training's end was not fine-tuned."""
    return nearest(found, 1.0)


def tuned(
    evidence: Evidence, role: str, checkpoint: int, split: str = "test", prefix: str = "", uses: bool = True
) -> pd.Series:
    """Metric by seed after fine-tuning from a checkpoint at its better rate; prefix 'mean_' is optimisation
    speed (with split 'train'). `uses=False` where the values of checkpoint 0 do not enter the statistic."""
    where = {"role": role, "checkpoint": checkpoint}
    dev = evidence.rows("finetuned", split="dev", metric=metric_of(role), **where)
    means = dev.groupby("rate")["value"].mean()
    rate = max(sorted(means.index, reverse=True), key=means.__getitem__)
    if checkpoint == 0 and uses:  # random weights: an RI-T, which must have fitted its training set
        evidence.random.add(("finetuned", role, rate))
    return by_seed(
        evidence.rows("finetuned", split=split, metric=prefix + metric_of(role), rate=rate, **where)
    )


def source(evidence: Evidence, checkpoint: int) -> float:
    """The source's test accuracy (percent) of a checkpoint."""
    rows = evidence.rows("source_accuracy", checkpoint=checkpoint, split="test", metric="accuracy")
    return float(rows["value"].iloc[0])


def _change(
    role: str, start: float, end: float, split: str = "test", prefix: str = ""
) -> Callable[[Evidence], Sample]:
    """Metric at the checkpoint nearest `end` minus at that nearest `start`."""

    def statistic(evidence: Evidence) -> Sample:
        found = available(evidence, role)
        return difference(
            evidence, *(tuned(evidence, role, nearest(found, place), split, prefix) for place in (end, start))
        )

    return statistic


def _paper(role: str, checkpoint: int, metric: str = "accuracy") -> float | None:
    rows = paper.figure7().query("role == @role and checkpoint == @checkpoint and metric == @metric")
    return float(rows["value"].iloc[0]) if len(rows) else None


def _paper_change(role: str, start: int, end: int, metric: str = "accuracy") -> float | None:
    values = _paper(role, end, metric), _paper(role, start, metric)
    return None if None in values else values[0] - values[1]


def _claim26() -> Claim:
    last = "test accuracy from the last checkpoint minus from that at "
    early = "test accuracy from the checkpoint at 1/9 of pre-training minus from checkpoint 0"
    parts = []
    for role in NATURAL:
        parts.append(_between(role, early, 0.0, EARLY, ">", paper=(0, 10)))
        parts.append(_between(role, f"{last}2/3", 2 / 3, 1.0, "within", paper=(60, 90)))
    parts.append(_between("quickdraw", f"{last}1/3", 1 / 3, 1.0, "within", paper=(30, 90)))
    for role in ("real", "clipart"):
        parts.append(_between(role, f"{last}1/3 (not yet flat)", 1 / 3, 1.0, ">", paper=(30, 90)))
    return Claim(
        26,
        "3.5",
        "Figure 7, left",
        "Fine-tuned accuracy follows source accuracy early and flattens long "
        "before pre-training ends: at 2/3 on all three targets, at 1/3 only on quickdraw.",
        tuple(parts),
    )


def _between(
    role: str, what: str, first: float, second: float, relation: str, paper: tuple[int, int]
) -> Part:
    """The change between checkpoints at two fractions of pre-training: above 0, or within a point of it."""
    margin, why = (1.0, SAME) if relation == "within" else (0.0, SIGN)
    change, papers = _change(role, first, second), _paper_change(role, *paper)
    return Part(role, what, "points", READS, change, relation, margin, why, paper=papers)


def _across(role: str, step: float, less_source: bool) -> Callable[[Evidence], Sample]:
    """Downstream change over a learning-rate drop, or (less_source) the source's change minus it."""

    def statistic(evidence: Evidence) -> Sample:
        before, after = around(available(evidence, role), step)
        change = difference(evidence, tuned(evidence, role, after), tuned(evidence, role, before))
        if not less_source:
            return change
        jump = source(evidence, after) - source(evidence, before)
        return Sample(tuple(jump - value for value in change.values))

    return statistic


def _claim27() -> Claim:
    steps = ((1 / 3, "1/3", 30, 31), (2 / 3, "2/3", 59, 61))
    parts = []
    for role in NATURAL:
        for step, words, before, after in steps:
            jump, change = _paper_change("source", before, after), _paper_change(role, before, after)
            parts += [
                Part(
                    role,
                    f"test accuracy across the drop at {words}: after minus before",
                    "points",
                    READS,
                    _across(role, step, False),
                    "within",
                    1.0,
                    SAME,
                    paper=change,
                ),
                Part(
                    role,
                    f"source accuracy's change across the drop at {words} minus the target's",
                    "points",
                    BOTH,
                    _across(role, step, True),
                    ">",
                    0.0,
                    SIGN,
                    paper=jump - change,
                ),
            ]
    return Claim(
        27,
        "3.5",
        "Figure 7, left",
        "Big steps in source accuracy at a learning-rate drop bring small ones downstream.",
        tuple(parts),
    )


def _front_loaded(role: str) -> Callable[[Evidence], Sample]:
    """Gain in mean training accuracy over the first ninth minus over the rest of pre-training."""

    def statistic(evidence: Evidence) -> Sample:
        found = available(evidence, role)
        start, early, end = paired(
            evidence,
            *(tuned(evidence, role, nearest(found, place), "train", "mean_") for place in (0.0, EARLY, 1.0)),
        )
        return sample((early - start) - (end - early))

    return statistic


def _claim28() -> Claim:
    parts = []
    for role in NATURAL:
        gains = [_paper_change(role, *ends, "mean_accuracy") for ends in ((0, 10), (10, 90))]
        parts += [
            Part(
                role,
                "mean training accuracy: gain over the first ninth of pre-training minus over the rest",
                "points",
                READS,
                _front_loaded(role),
                ">",
                0.0,
                SIGN,
                paper=None if None in gains else gains[0] - gains[1],
            ),
            Part(
                role,
                "mean training accuracy from the last checkpoint minus from that at 2/3",
                "points",
                READS,
                _change(role, 2 / 3, 1.0, "train", "mean_"),
                "within",
                1.0,
                SAME,
                paper=_paper_change(role, 60, 90, "mean_accuracy"),
            ),
        ]
    return Claim(28, "3.5", "Figure 7, right", "Optimisation speed flattens the same way.", tuple(parts))


def _other_is_better(evidence: Evidence) -> Sample:
    role = "quickdraw"
    found = available(evidence, role)
    dev = {checkpoint: tuned(evidence, role, checkpoint, "dev", uses=False).mean() for checkpoint in found}
    best_here = max(sorted(dev), key=dev.__getitem__)
    top = {checkpoint: source(evidence, checkpoint) for checkpoint in found}
    best_there = max(sorted(top), key=top.__getitem__)
    evidence.note(f"best on dev: checkpoint {best_here}; best on the source: {best_there}")
    return difference(evidence, tuned(evidence, role, best_here), tuned(evidence, role, best_there))


def _claim29() -> Claim:
    part = Part(
        "quickdraw",
        "test accuracy from the checkpoint best on dev minus from that best on the source",
        "points",
        BOTH,
        _other_is_better,
        ">",
        0.0,
        SIGN,
        paper=_paper_change("quickdraw", 90, 61),
    )
    return Claim(
        29,
        "3.5",
        "text of the summary; Figure 7 hints",
        "The checkpoint best on the source need not be best on the target.",
        (part,),
    )


def bend(upstream: np.ndarray, downstream: np.ndarray) -> float:
    """Least-squares slope of downstream on upstream in the middle third of upstream's range minus in its top
    third: positive where downstream saturates. (The bottom third stays out: a target can be learnt from
    random weights, so downstream starts flat too.) NotRecorded if a third has fewer than two different
    points."""
    low, span = upstream.min(), upstream.max() - upstream.min()
    slopes = []
    for start in (1 / 3, 2 / 3):
        third = (upstream >= low + start * span) & (upstream <= low + (start + 1 / 3) * span)
        if len(np.unique(upstream[third])) < 2:
            raise NotRecorded(
                "fewer than two checkpoints in the middle or top third of the source's accuracy"
            )
        slopes.append(np.polyfit(upstream[third], downstream[third], 1)[0])
    return float(slopes[0] - slopes[1])


def _saturates(role: str) -> Callable[[Evidence], Sample]:
    def statistic(evidence: Evidence) -> Sample:
        found = available(evidence, role)
        upstream = np.array([source(evidence, checkpoint) for checkpoint in found])
        # The slopes leave the bottom third of the source's range out, and with it checkpoint 0.
        values = [tuned(evidence, role, checkpoint, uses=False) for checkpoint in found]
        table = pd.concat(paired(evidence, *values), axis=1)
        return sample(pd.Series({seed: bend(upstream, row.to_numpy()) for seed, row in table.iterrows()}))

    return statistic


def _claim30() -> Claim:
    parts = tuple(
        Part(
            role,
            "slope of target on source accuracy, middle third of the source's range minus top third",
            "points/point",
            BOTH,
            _saturates(role),
            ">",
            0.0,
            SIGN,
        )
        for role in NATURAL
    )
    return Claim(
        30,
        "3.5",
        "Abnar et al. (2022), not this paper",
        "Downstream accuracy saturates as upstream accuracy grows.",
        parts,
    )


CLAIMS = (_claim26(), _claim27(), _claim28(), _claim29(), _claim30())
