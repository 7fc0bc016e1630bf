"""Every claim of the paper as parts that tables can decide, and the verdicts on them.

The rules stand in `rules`, the claims and their statistics in one module per question. Tables come in as a
dictionary of all recorded tables by name (see a room's ``tables.toml``); a table that is missing makes the parts
that read it "not recorded". Claims about questions 2 to 5 need `learning_curves` too: an RI-T that has not
fitted its training set proves nothing, and that table says whether it has (`block_shuffle` says it of its
own).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from tlbook.errors import TlbookError
from tlbook.evidence.claims import (
    block_shuffle,
    checkpoints,
    criticality,
    differences,
    feature_reuse,
    loss_landscape,
)
from tlbook.evidence.claims.rules import (
    NOT_REPRODUCED,
    REPRODUCED,
    VERDICTS,
    Claim,
    Evidence,
    Part,
    Recorded,
    Sample,
    combine,
    decide,
)

__all__ = [
    "CLAIMS",
    "VERDICTS",
    "Claim",
    "Evidence",
    "Part",
    "Sample",
    "evaluate",
    "on_claims",
    "of_question",
    "report",
    "to_json",
    "verdicts",
]

BY_QUESTION: dict[str, tuple[Claim, ...]] = {
    "feature_reuse": (*feature_reuse.CLAIMS, *block_shuffle.CLAIMS),
    "differences": differences.CLAIMS,
    "loss_landscape": loss_landscape.CLAIMS,
    "criticality": criticality.CLAIMS,
    "checkpoints": checkpoints.CLAIMS,
}
CLAIMS: tuple[Claim, ...] = tuple(claim for claims in BY_QUESTION.values() for claim in claims)

PART_COLUMNS = (
    "claim",
    "part",
    "role",
    "statistic",
    "unit",
    "paper",
    "value",
    "low",
    "high",
    "n",
    "direction",
    "against",
    "margin",
    "verdict",
    "note",
    "settle",
)
CLAIM_COLUMNS = ("claim", "section", "where", "text", "parts", "tested", "reproduced", "verdict", "note")


def of_question(question: str) -> tuple[Claim, ...]:
    """The claims of one question. Raises TlbookError for a question that does not exist."""
    if question not in BY_QUESTION:
        raise TlbookError(f"no question is called {question!r}; the questions are {', '.join(BY_QUESTION)}")
    return BY_QUESTION[question]


Which = str | Sequence[Claim] | None  # a question's name, some claims, or all


def _chosen(which: Which) -> Sequence[Claim]:
    return CLAIMS if which is None else of_question(which) if isinstance(which, str) else which


def evaluate(tables: Mapping[str, pd.DataFrame], judged: bool = True, which: Which = None) -> pd.DataFrame:
    """One row per part of every claim of `which` (a question's name, claims, or None for all): its
    statistic, the paper's value, ours with its 95 % interval over n runs, the rule, the verdict, a note, and
    what would settle it where nothing is decided. With `judged=False` the statistics stay and no verdict is
    given."""
    recorded = Recorded(tables)
    rows = [
        {
            "claim": claim.number,
            "part": number,
            "role": part.role,
            "statistic": part.name,
            "unit": part.unit,
            "paper": math.nan if part.paper is None else part.paper,
            "direction": part.direction,
            "against": part.against,
            "margin": part.margin,
            **decide(part, recorded, judged),
        }
        for claim in _chosen(which)
        for number, part in enumerate(claim.parts, start=1)
    ]
    return pd.DataFrame(rows, columns=list(PART_COLUMNS))


def verdicts(tables: Mapping[str, pd.DataFrame], judged: bool = True, which: Which = None) -> pd.DataFrame:
    """One row per claim: how many of its parts are tested and reproduced, and the verdict on the whole."""
    return on_claims(evaluate(tables, judged, which), which)


def on_claims(parts: pd.DataFrame, which: Which) -> pd.DataFrame:
    """One row per claim, as `verdicts`, from the parts' rows of `evaluate`."""
    rows = []
    for claim in _chosen(which):
        own = parts[parts["claim"] == claim.number]
        given = own["verdict"].value_counts()
        tested = int(sum(count for verdict, count in given.items() if verdict in VERDICTS[:3]))
        rows.append(
            {
                "claim": claim.number,
                "section": claim.section,
                "where": claim.where,
                "text": claim.text,
                "parts": len(own),
                "tested": tested,
                "reproduced": int(given.get(REPRODUCED, 0)),
                "verdict": combine(list(own["verdict"])),
                "note": ", ".join(f"{given[verdict]} {verdict}" for verdict in VERDICTS if verdict in given),
            }
        )
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def report(
    tables: Mapping[str, pd.DataFrame],
    judged: bool = True,
    which: Which = None,
    details: bool = True,
) -> str:
    """The verdicts as plain text: a line per claim, below it (with `details`) a line per part that has a
    value, and "n of m claims reproduced" at the end."""
    parts = evaluate(tables, judged, which)
    claims = on_claims(parts, which)
    lines = []
    for claim in claims.itertuples():
        lines.append(f"{claim.claim:>2}  {claim.verdict:<24}  {claim.text}  [{claim.where}; {claim.note}]")
        if details:
            own = parts[(parts["claim"] == claim.claim) & parts["value"].notna()]
            lines += [f"      {_part_line(part)}" for part in own.itertuples()]
    tested = claims["tested"] > 0
    reproduced = int((claims["verdict"] == REPRODUCED).sum())
    refuted = int((claims["verdict"] == NOT_REPRODUCED).sum())
    lines.append(
        f"{reproduced} of {int(tested.sum())} tested claims reproduced, {refuted} not; "
        f"{len(claims)} claims in all"
    )
    return "\n".join(lines)


def rule(part) -> str:
    """What a part asks for, in signs: "> 0", "< 0.5", "0 ± 2"; ``part`` is a row of `evaluate`."""
    if part.direction == "within":
        return f"{part.against:g} ± {part.margin:g}"
    return f"{part.direction} {part.against + (part.margin if part.direction == '>' else -part.margin):g}"


def interval(part) -> str:
    """The 95 % interval of a row of `evaluate`, in three digits; "–" where there is none."""
    return "–" if math.isnan(part.low) else f"{part.low:.3g} to {part.high:.3g}"


def _part_line(part) -> str:
    theirs = "no value" if math.isnan(part.paper) else f"{part.paper:.3g}"
    line = (
        f"{part.role}: {part.statistic}: {part.value:.3g} ({interval(part)}, n={part.n}; paper {theirs}; "
        f"asks {rule(part)}): {part.verdict}"
    )
    line += f" [{part.note}]" if part.note else ""
    return f"{line} -> settled by {part.settle}" if part.settle else line


def to_json(tables: Mapping[str, pd.DataFrame], judged: bool = True, which: Which = None) -> str:
    """Claims with their parts as JSON text; NaN becomes null."""
    parts = evaluate(tables, judged, which)
    listed = []
    for claim in _records(on_claims(parts, which)):
        own = _records(parts[parts["claim"] == claim["claim"]].drop(columns="claim"))
        listed.append({**claim, "part_count": claim["parts"], "parts": own})
    return json.dumps(listed, indent=1, ensure_ascii=False)


def _records(frame: pd.DataFrame) -> list[dict]:
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]
