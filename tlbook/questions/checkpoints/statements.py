"""What the paper claims on question 5 (section 3.5, Figure 7), claims 26 to 30.

Checkpoints are named by their fraction of pre-training: the rate drops at 1/3 and 2/3. Each is fine-tuned at
its better rate by dev. The seeds are those of fine-tuning; pre-training ran once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, NotRecorded, by_seed
from tlbook.evidence.statements import Claim, Premise, Statement, Statistic
from tlbook.evidence.statistics import NATURAL, minus

NEAR = 0.06  # a checkpoint this far, as a fraction of pre-training, stands for the wanted one
ROUNDED = 1e-5  # recorded fractions have six digits: 26 of 39 epochs is 0.666667, and no later than 2/3
FLAT = "1 point: about three times the error with which the paper's plot can be read"


def checkpoints(evidence: Evidence, role: str) -> pd.Series:
    """The fine-tuned checkpoints by their fraction of pre-training."""
    rows = evidence.rows("finetuned", uses=False, role=role).drop_duplicates("checkpoint")
    return rows.set_index("checkpoint_fraction").checkpoint.sort_index()


def chosen(evidence: Evidence, role: str, place: str) -> int:
    """The checkpoint 'at 2/3' of pre-training, the 'last', or the nearest 'before' or 'after' the first drop
    of the rate."""
    known = checkpoints(evidence, role)
    wanted = {"at 2/3": 2 / 3, "last": 1.0}.get(place, 1 / 3)
    before = known.index <= wanted + ROUNDED
    known = {"before": known[before], "after": known[~before]}.get(place, known)
    off = np.abs(known.index.to_numpy() - wanted)
    if not len(off) or off.min() > NEAR:
        raise NotRecorded(f"finetuned has no checkpoint {place} {wanted:.2f} of pre-training for {role}")
    return int(known.iloc[off.argmin()])


def tuned(evidence: Evidence, role: str, checkpoint: int, split: str = "test", prefix: str = "") -> pd.Series:
    rows = evidence.rows("finetuned", uses=False, role=role, checkpoint=checkpoint)
    kind = {"role": role, "checkpoint": checkpoint, "rate": vocabulary.better_rate(rows)}
    return by_seed(
        evidence.rows("finetuned", split=split, metric=prefix + vocabulary.metric_of(rows), **kind)
    )


def change(start: str, to: str, *which: str) -> Statistic:
    """The metric after fine-tuning from one checkpoint minus from another; ``which``: split and prefix."""

    def difference(evidence: Evidence, role: str) -> pd.Series:
        after, before = (
            tuned(evidence, role, chosen(evidence, role, place), *which) for place in (to, start)
        )
        return after - before

    return difference


def source(evidence: Evidence) -> pd.Series:
    """The source's test accuracy by checkpoint."""
    return evidence.rows("source_accuracy", split="test", metric="accuracy").set_index("checkpoint").value


def jump(evidence: Evidence, role: str) -> float:
    """The change of the source's accuracy across the first drop of the rate."""
    accuracy = source(evidence)
    at = [chosen(evidence, role, place) for place in ("after", "before")]
    if not accuracy.index.isin(at).sum() == 2:
        raise NotRecorded("source_accuracy has no value on both sides of the first drop of the rate")
    return float(accuracy[at[0]] - accuracy[at[1]])


def bend(evidence: Evidence, role: str) -> pd.Series:
    """Least-squares slope of target on source accuracy in the early half of the source's range minus in the
    late half, over pre-trained checkpoints (random weights, checkpoint 0, are none)."""
    accuracy = source(evidence)
    known = [one for one in checkpoints(evidence, role) if one > 0 and one in accuracy.index]
    table = pd.DataFrame({one: tuned(evidence, role, one) for one in known})
    upstream = accuracy[known].to_numpy()
    early = upstream <= (upstream.min() + upstream.max()) / 2
    if min(len(np.unique(upstream[half])) for half in (early, ~early)) < 2:
        raise NotRecorded(
            "finetuned has fewer than two checkpoints in a half of the source's range of accuracy"
        )
    slopes = [np.polyfit(upstream[half], table.to_numpy()[:, half].T, 1)[0] for half in (early, ~early)]
    return pd.Series(slopes[0] - slopes[1], table.index)


CLAIMS = (
    Claim(26, "3.5", "Figure 7, left", "Fine-tuned accuracy is flat from 2/3 of pre-training on.", (
        Statement(
            letter="a", text="test accuracy, from the last checkpoint minus from that at 2/3",
            statistic=change("at 2/3", "last"), asks="within", band=1.0, targets=NATURAL, unit="points",
            why=FLAT,
        ),
    )),
    Claim(27, "3.5", "Figure 7, left", "A jump of the source's accuracy brings little downstream.", (
        Statement(
            letter="a",
            text="change across the first drop of the rate, the source's accuracy minus the target's",
            statistic=minus(jump, change("before", "after")), asks=">", targets=NATURAL, unit="points",
            premise=Premise(text="a source that changes by 2 points", statistic=jump, asks=">", limit=2.0),
        ),
    )),
    Claim(28, "3.5", "Figure 7, right", "Optimisation speed is flat from 2/3 of pre-training on.", (
        Statement(
            letter="a", text="mean training accuracy, from the last checkpoint minus from that at 2/3",
            statistic=change("at 2/3", "last", "train", "mean_"), asks="within", band=1.0, targets=NATURAL,
            unit="points", why=FLAT,
        ),
    )),
    Claim(29, "3.5", "text of the summary",
        "The checkpoint best on the source need not be best on the target.", ()),
    Claim(30, "3.5", "Abnar et al. (2022), not this paper", "Downstream saturates as upstream grows.", (
        Statement(
            letter="a",
            text="slope of target on source accuracy, early half of the source's range minus late half",
            statistic=bend, asks=">", targets=NATURAL, unit="points/point",
        ),
    )),
)  # fmt: skip
