"""The paper's statements asked again of each P: which hold for every one, and whose spread it is.

Frames in, frames out; no network is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tlbook import intervals, questions
from tlbook.evidence import statements
from tlbook.evidence.selection import Evidence, NotRecorded
from tlbook.evidence.statements import Claim, Estimate, Statement
from tlbook.questions.another_p.names import NONE, OWN
from tlbook.questions.another_p.statements import AGAIN, LEAST_PS

Tables = Mapping[str, pd.DataFrame]


def asked_again() -> list[tuple[Claim, Statement]]:
    """The paper's claims and statements that are asked of every P, in their order."""
    every = [(claim, one) for claim in questions.claims() for one in claim.statements]
    return [(claim, one) for claim, one in every if f"{claim.number}{one.letter}" in AGAIN]


def p_names(tables: Tables) -> list[str]:
    """The P's of the tables, the book's own first, then by seed."""
    names = set(tables["p_learning_curves"].p) - {NONE}
    return sorted(names, key=lambda name: -1 if name == OWN else int(name))


def tables_of(tables: Tables, p: str) -> dict[str, pd.DataFrame]:
    """The tables of one P under the names that the paper's statements read, with the runs that have no P."""
    found = {}
    for name, frame in tables.items():
        columns = [column for column in ("p", "p_b") if column in frame]
        for column in columns:
            frame = frame[frame[column].isin((p, NONE))]
        found[name.removeprefix("p_")] = frame.drop(columns=columns)
    return found


def by_p(tables: Tables) -> pd.DataFrame:
    """A row a statement and P: those of `statements.judge`, and p."""
    rows = []
    for p in p_names(tables):
        of_p = tables_of(tables, p)
        seeds = statements.confirming(of_p)
        rows += [
            statements.judge(claim, one, Evidence(of_p).of(seeds)) | {"p": p} for claim, one in asked_again()
        ]
    return pd.DataFrame(rows)


def over_ps(tables: Tables) -> pd.DataFrame:
    """A row a statement: does it hold for every P, what is its interval over P's, and whose is the spread?

    Columns claim, statement, targets, unit, asks; own with own_low and own_high (the book's P over seeds);
    lowest and highest of the P's; holds, for how many of ``n`` P's the value lies on the paper's side; mean,
    low and high (Student's interval, each P one value) and the verdict by it; `spread`'s sd_ps and sd_seeds.
    """
    judged, rows = by_p(tables), []
    for claim, one in asked_again():
        here = judged[(judged.claim == claim.number) & (judged.letter == one.letter)].dropna(subset="value")
        values = here.value.to_numpy()
        own = here[here.p == OWN]
        row = {"claim": f"{claim.number}{one.letter}", "statement": one.text, "targets": one.spoken_of}
        row |= {"unit": one.unit, "asks": one.rule}
        row |= {
            name: float(own[column].iloc[0]) if len(own) else math.nan
            for name, column in (("own", "value"), ("own_low", "low"), ("own_high", "high"))
        }
        row |= {"n": len(values), "holds": sum(map(one.holds, values))}
        row |= {name: float(find(values)) if len(values) else math.nan for name, find in _ENDS.items()}
        row |= dict(zip(("mean", "low", "high"), intervals.student(values), strict=True))
        found = Estimate(row["mean"], float(intervals.standard_error(values)), tuple(range(len(values))), {})
        few = statements.NOT_TESTED if len(values) else statements.NOT_RECORDED
        row["verdict"] = statements.verdict(one, found) if len(values) >= LEAST_PS else few
        row |= spread([_by_seed(one, tables_of(tables, p)) for p in here.p])
        rows.append(row)
    return pd.DataFrame(rows)


_ENDS = {"lowest": np.min, "highest": np.max}


def _by_seed(one: Statement, tables: Tables) -> pd.Series | None:
    """The statement's value by seed over its targets; None where it is one number over pairs."""
    evidence = Evidence(tables, statements.confirming(tables))
    try:
        sides = [[one.statistic(evidence, role) for role in side] for side in (one.targets, one.against)]
    except NotRecorded:
        return None
    if not all(isinstance(value, pd.Series) for side in sides for value in side):
        return None
    means = [sum(side) / len(side) for side in sides if side]
    return means[0] - means[1] if one.against else means[0]


def spread(values: Sequence[pd.Series | None]) -> dict[str, float]:
    """Standard deviations between P's and between seeds, from one value a P and seed (two-way, without
    repetition): P's share of the variance of their means is what the residual does not explain, at least 0.
    NaN where there is no value a seed, or only one P or seed."""
    nothing = {"sd_ps": math.nan, "sd_seeds": math.nan}
    if len(values) < 2 or any(value is None for value in values):
        return nothing
    table = pd.concat(values, axis=1, join="inner").to_numpy().T  # P's x seeds
    ps, seeds = table.shape
    if seeds < 2:
        return nothing
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = (residual**2).sum() / ((ps - 1) * (seeds - 1))
    between = max(0.0, table.mean(1).var(ddof=1) - error / seeds)
    return {"sd_ps": math.sqrt(between), "sd_seeds": math.sqrt(table.var(axis=1, ddof=1).mean())}


def to_read(*frames: pd.DataFrame) -> pd.DataFrame:
    """`over_ps` for reading; ``frames`` are the tables in the order of `NAMES`."""
    summary = over_ps(dict(zip(NAMES, frames, strict=True)))
    return pd.DataFrame(
        {
            "": summary.claim,
            "statistic": summary.statement,
            "on": summary.targets,
            "unit": summary.unit,
            "asks": summary.asks,
            "own P": summary.own,
            "95 % over seeds": list(map(intervals.between, summary.own_low, summary.own_high)),
            "lowest P": summary.lowest,
            "highest P": summary.highest,
            "holds for": [f"{row.holds} of {row.n} P's" if row.n else "–" for row in summary.itertuples()],
            "95 % over P's": list(map(intervals.between, summary.low, summary.high)),
            "over P's": summary.verdict,
            "sd, P's": summary.sd_ps,
            "sd, seeds": summary.sd_seeds,
        }
    )


NAMES = (
    *("p_learning_curves", "p_block_shuffle", "p_finetuned", "p_source_accuracy"),
    *("p_mistakes", "p_distance", "p_interpolation"),
)  # what the paper's statements read
