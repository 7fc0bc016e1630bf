"""The scorecard: every claim of the paper against every recorded scale, at one glance and part by part.

It reads records only, and needs no torch.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tlbook import scales
from tlbook.book import explorer, records
from tlbook.book.pages import Table, mark, part_rows
from tlbook.errors import TlbookError
from tlbook.evidence import claims
from tlbook.evidence.claims.rules import INCONCLUSIVE, NOT_RECORDED, NOT_REPRODUCED, REPRODUCED, Claim

PAGES = {
    "feature_reuse": ("1. Feature reuse", "01_feature_reuse"),
    "differences": ("2. Differences", "02_differences"),
    "loss_landscape": ("3. Loss landscape", "03_loss_landscape"),
    "criticality": ("4. Criticality", "04_criticality"),
    "checkpoints": ("5. Checkpoints", "05_checkpoints"),
}
ANCHOR = "the-papers-claims-and-the-verdicts"  # of the section with the verdicts, on each of these pages


@functools.lru_cache(maxsize=8)
def read(root: Path = records.FOLDER) -> dict[str, pd.DataFrame]:
    """Scale -> its parts as `claims.evaluate` gives them, the highest recorded scale first.

    Raises TlbookError where nothing is recorded in ``root``, or where there is no such folder.
    """
    if not Path(root).is_dir():
        raise TlbookError(f"There is no folder of records {root}.")
    names = [n for n in reversed(scales.SCALES) if any((Path(root) / n).glob("*/provenance.json"))]
    if not names:
        raise TlbookError(
            f"Nothing is recorded in {root}; `tlbook reproduce --scale laptop --record {root}` does it."
        )
    return {n: claims.evaluate(records.load_scale(n, root), scales.get(n).judged) for n in names}


def claim(number: int) -> Claim:
    """The claim of that number. Raises TlbookError where there is none."""
    for one in claims.CLAIMS:
        if one.number == number:
            return one
    raise TlbookError(f"There is no claim {number}; the claims are 1 to {claims.CLAIMS[-1].number}.")


def row_id(number: int | str) -> str:
    """The id of a claim's row in `Glance`, to which prose links."""
    return f"claim-{number}"


def verdict(number: int, found: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    """(verdict, scale) of a claim at the highest scale that has records of it."""
    last = (NOT_RECORDED, next(reversed(found)))
    for scale, parts in found.items():
        row = claims.on_claims(parts, [claim(number)]).iloc[0]
        if row.verdict != NOT_RECORDED:
            return row.verdict, scale
    return last


def part(number: int, place: int, found: Mapping[str, pd.DataFrame]) -> pd.Series:
    """The row of a claim's part, counted from 1, at the highest scale that recorded it."""
    for parts in found.values():
        own = parts[(parts.claim == number) & (parts.part == place) & (parts.verdict != NOT_RECORDED)]
        if len(own):
            return own.iloc[0]
    raise TlbookError(f"Part {place} of claim {number} is not recorded.")


def counts(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a scale: its claims by verdict. "Tested" are those with a verdict of the first three; so are the
    parts of them."""
    rows = []
    for scale, parts in found.items():
        judged = claims.on_claims(parts, None)
        given = judged.verdict.value_counts()
        decided = {v: int(given.get(v, 0)) for v in (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE)}
        others = {v: int(given.get(v, 0)) for v in claims.VERDICTS[3:]}
        row = {"scale": scale, "claims": len(claims.CLAIMS), "tested": sum(decided.values())}
        of_parts = {"parts tested": judged.tested.sum(), "parts reproduced": judged.reproduced.sum()}
        rows.append(row | decided | others | of_parts)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Glance:
    """All claims x scales as one table, by question, each claim with a link to the section of its page."""

    found: Mapping[str, pd.DataFrame]

    def _repr_html_(self) -> str:
        heads = "".join(f"<th scope='col'>{html.escape(scale)}</th>" for scale in self.found)
        verdicts = {n: claims.on_claims(parts, None).set_index("claim") for n, parts in self.found.items()}
        body = "".join(self._question(question, verdicts) for question in PAGES)
        return (
            "<div class='tlb-table' tabindex='0' role='group' aria-label='All claims and scales'><table>"
            f"<thead><tr><th scope='col'>claim</th><th scope='col'>of the paper</th>{heads}</tr></thead>"
            f"{body}</table></div>"
        )

    def _question(self, question: str, verdicts: Mapping[str, pd.DataFrame]) -> str:
        title, page = PAGES[question]
        rows = [f"<tr><th scope='rowgroup' colspan='{2 + len(verdicts)}'>{title}</th></tr>"]
        for claim in claims.of_question(question):
            cells = "".join(f"<td>{_cell(frame.loc[claim.number])}</td>" for frame in verdicts.values())
            link = f"<a href='{page}.html#{ANCHOR}'>{claim.number}</a>"
            text = f"{html.escape(claim.text)} <span class='tlb-where'>({html.escape(claim.where)})</span>"
            rows.append(f"<tr id='{row_id(claim.number)}'><td>{link}</td><td>{text}</td>{cells}</tr>")
        return f"<tbody>{''.join(rows)}</tbody>"


def _cell(row: pd.Series) -> str:
    """Mark, verdict, and how many of the tested parts are reproduced."""
    counted = f"<br><small>{row.reproduced} of {row.tested} parts</small>" if row.tested else ""
    return f"<b>{mark(row.verdict)}</b> {row.verdict}{counted}"


def details(found: Mapping[str, pd.DataFrame]) -> explorer.Explorer:
    """Tabs of questions; a line a claim, which opens to its parts at every scale: statistic, the paper's
    value, ours with its interval, rule, verdict, and what would settle it."""
    panels = {}
    for question, (title, _) in PAGES.items():
        panels[title] = _Claims(tuple(claims.of_question(question)), found)
    return explorer.tabs(panels, label="Question")


@dataclass(frozen=True)
class _Claims:
    claims: tuple[Claim, ...]
    found: Mapping[str, pd.DataFrame]

    def _repr_html_(self) -> str:
        return "".join(map(self._one, self.claims))

    def _one(self, claim: Claim) -> str:
        said = "; ".join(
            f"{mark(row.verdict)} {row.verdict} ({scale})"
            for scale, parts in self.found.items()
            for row in claims.on_claims(parts, [claim]).itertuples()
        )
        tables = []
        for scale, parts in self.found.items():
            own = parts[parts.claim == claim.number]
            rows = part_rows(own)
            rows.insert(0, "scale", scale)
            rows.insert(rows.columns.get_loc("verdict") + 1, "would be settled by", list(own.settle))
            tables.append(rows)
        head = f"<b>{claim.number}. {said}</b><br>{html.escape(claim.text)} ({html.escape(claim.where)})"
        return f"<details><summary>{head}</summary>{Table(pd.concat(tables))._repr_html_()}</details>"
