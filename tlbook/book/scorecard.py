"""The scorecard: every statement of the paper against the recorded scales, and what rules 1 said before.

It reads records only, and needs no torch.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from tlbook import questions, scales
from tlbook.book import explorer, records
from tlbook.book.pages import Table, mark, statement_rows
from tlbook.errors import TlbookError
from tlbook.evidence import statements, style
from tlbook.evidence.selection import Evidence, NotRecorded
from tlbook.evidence.statements import NOT_REPRODUCED, OPEN, REPRODUCED, Claim
from tlbook.question import Question

ANCHOR = "the-paper-s-claims-and-the-verdicts"  # of the section with the verdicts, on each question's page
INCONCLUSIVE = "inconclusive"  # rules 1's word for open
BEFORE = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE)  # the verdicts of rules 1 on a tested part
COLOURS = {REPRODUCED: "#009e73", NOT_REPRODUCED: "#d55e00", OPEN: "#0072b2"}  # others are grey
PILOT_AT = 4  # the place of the pilot's column in `Glance`
LEAST, REACH = -2.0, 3.0  # how far the forest plot goes; the paper's value is at 1


@functools.lru_cache(maxsize=8)
def read(root: Path = records.FOLDER) -> dict[str, pd.DataFrame]:
    """Scale -> its statements as `statements.evaluate` gives them, the highest recorded scale first.

    Raises TlbookError where nothing is recorded in ``root``, or where there is no such folder.
    """
    if not Path(root).is_dir():
        raise TlbookError(f"There is no folder of records {root}.")
    names = [name for name in reversed(scales.SCALES) if any((Path(root) / name).glob("*/provenance.json"))]
    if not names:
        raise TlbookError(
            f"Nothing is recorded in {root}; `tlbook reproduce --scale laptop --record {root}` does it."
        )
    claims = questions.claims()
    return {n: statements.evaluate(claims, records.load_scale(n, root), scales.get(n).judged) for n in names}


def pilot(root: Path = records.FOLDER) -> dict[str, pd.DataFrame]:
    """`read` of the pilot beside a folder of records: the same statistics on seeds 0 to 2; empty without
    one."""
    folder = Path(root) / records.PILOT.name
    return read(folder) if folder.is_dir() else {}


def statement(name: str) -> statements.Statement:
    """The statement of that name (`1a`). Raises TlbookError where there is none."""
    known = {f"{one.number}{s.letter}": s for one in questions.claims() for s in one.statements}
    if name not in known:
        raise TlbookError(f"There is no statement {name}; statements are {', '.join(known)}.")
    return known[name]


@functools.cache
def on_target(name: str, role: str = "") -> statements.Estimate:
    """The book's own estimate of a statement (`1a`), at the largest recorded scale; of one target alone, if
    one is named.

    Raises TlbookError where there is no such statement, where it does not speak of that target alone, or
    where it is not recorded.
    """
    asked = statement(name)
    if role and (role not in asked.targets or asked.against):
        raise TlbookError(f"Statement {name} does not speak of {role} alone, but of {asked.spoken_of}.")
    try:
        return estimate(asked, _tables(next(iter(read()))), *((role,) if role else ()))
    except NotRecorded as missing:
        raise TlbookError(f"Statement {name} is not recorded: {missing}.") from None


@functools.cache
def _tables(scale: str) -> dict[str, pd.DataFrame]:
    """The book's own tables of a scale, read once for all values that prose cites."""
    return records.load_scale(scale)


def estimate(
    asked: statements.Statement, tables: Mapping[str, pd.DataFrame], *roles: str
) -> statements.Estimate:
    """A statement's estimate over some targets (default: its own). Raises NotRecorded."""
    one = dataclasses.replace(asked, targets=roles) if roles else asked
    return statements.estimate(one, Evidence(tables).of(statements.confirming(tables)))


def verdict(name: str) -> str:
    """The verdict on a statement (`1a`) at the largest recorded scale. Raises TlbookError where there is
    none of that name."""
    statement(name)  # refuses
    judged = next(iter(read().values()))
    return judged.verdict[judged.claim.astype(str) + judged.letter == name].iloc[0]


def claim(number: int) -> Claim:
    """The claim of that number. Raises TlbookError where there is none."""
    known = {one.number: one for one in questions.claims()}
    if number not in known:
        raise TlbookError(f"There is no claim {number}; the claims are 1 to {max(known)}.")
    return known[number]


def row_id(number: int | str) -> str:
    """The id of a claim's first row in `Glance`, to which prose links."""
    return f"claim-{number}"


# What rules 1 said, on seeds 0 to 2


@functools.cache
def rules1() -> pd.DataFrame:
    """The parts of rules 1 with their verdicts, as they were when rules 2 took their place (`rules1.csv`)."""
    with resources.files("tlbook.evidence").joinpath("rules1.csv").open(encoding="utf-8") as file:
        return pd.read_csv(
            file, keep_default_na=False, na_values={name: [""] for name in ("paper", "value", "low", "high")}
        )


def verdict_before(number: int) -> str:
    """Rules 1's verdict on a claim: reproduced if all of its tested parts were, not reproduced if one was
    not."""
    claim(number)  # refuses
    parts = rules1()
    tested = set(parts.verdict[(parts.claim == number) & parts.verdict.isin(BEFORE)])
    if NOT_REPRODUCED in tested:
        return NOT_REPRODUCED
    return REPRODUCED if tested == {REPRODUCED} else INCONCLUSIVE


def part_before(number: int, place: int) -> pd.Series:
    """The row of a claim's part under rules 1, counted from 1."""
    parts = rules1()
    rows = parts[(parts.claim == number) & (parts.part == place) & parts.value.notna()]
    if rows.empty:
        raise TlbookError(f"Rules 1 have no value of part {place} of claim {number}.")
    return rows.iloc[0]


@dataclass(frozen=True)
class Before:
    """Rules 1's verdicts, folded: a line a claim, which opens to its parts."""

    def _repr_html_(self) -> str:
        commit = rules1()["commit"].iloc[0]
        lines = "".join(self._line(one) for one in questions.claims())
        head = f"What rules 1 said of seeds 0 to 2 (judged by commit {commit})"
        return f"<details><summary><b>{head}</b></summary>{lines}</details>"

    def _line(self, one: Claim) -> str:
        parts, said = rules1(), verdict_before(one.number)
        parts = parts[parts.claim == one.number]
        rows = parts[["role", "statistic", "unit", "paper", "value"]].assign(
            interval=[statements.interval(row) for row in parts.itertuples()],
            n=parts.n, asks=parts.asks, note=parts.note,
            verdict=parts.verdict.map(mark) + " " + parts.verdict,
        )  # fmt: skip
        counted = f"{(parts.verdict == REPRODUCED).sum()} of {len(parts)} parts reproduced"
        head = f"{mark(said)} {said} · {one.number}. {html.escape(one.text)} ({counted})"
        return f"<details><summary>{head}</summary>{Table(rows)._repr_html_()}</details>"


# What rules 2 say


def counts(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a scale: its statements by verdict, and how many verdicts survive Holm's correction over all."""
    rows = []
    for scale, judged in found.items():
        given = judged.verdict.value_counts()
        rows.append(
            {"scale": scale, "statements": len(judged)}
            | {name: int(given.get(name, 0)) for name in statements.VERDICTS}
            | {"survive Holm's correction": int(judged.holm.sum())}
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Glance:
    """All statements of a scale by question, each with its verdict in a sign and words; "n of m" on top. The
    number of a claim links to the section of its page. ``pilot``: the same statements of the seeds before."""

    judged: pd.DataFrame
    anchors: bool = True
    pilot: pd.DataFrame | None = None

    def _repr_html_(self) -> str:
        heads = ["", "statement", "on", "ours, 95 % interval", "paper", "ours / paper", "asks", "verdict"]
        if self.pilot is not None:
            heads.insert(PILOT_AT, "pilot")
        head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
        body = "".join(self._question(one, len(heads)) for one in questions.every().values() if one.claims)
        return (
            f"<p><b>{statements.summary(self.judged)}.</b></p>"
            "<div class='tlb-table' tabindex='0' role='group' aria-label='All statements'>"
            "<table class='tlb-statements'>"
            f"<thead><tr>{head}</tr></thead>{body}</table></div>"
        )

    def _question(self, question: Question, width: int) -> str:
        rows = [f"<tr><th scope='rowgroup' colspan='{width}'>{question.number}. {question.title}</th></tr>"]
        for one in question.claims:
            link = f"<a href='{question.notebook}.html#{ANCHOR}'>{one.number}</a>"
            name = f" id='{row_id(one.number)}'" if self.anchors else ""
            said = f"<b>{html.escape(one.text)}</b> <span class='tlb-where'>({html.escape(one.where)})</span>"
            none = "" if one.statements else ", shown, not judged"
            rows.append(f"<tr{name}><td>{link}</td><td colspan='{width - 1}'>{said}{none}</td></tr>")
            own = self.judged[self.judged.claim == one.number]
            rows += [
                f"<tr>{''.join(f'<td>{cell}</td>' for cell in self._row(r))}</tr>" for r in own.itertuples()
            ]
        return f"<tbody>{''.join(rows)}</tbody>"

    def _row(self, row) -> list[str]:
        cells = _cells(row)
        if self.pilot is not None:
            cells.insert(PILOT_AT, _value(_same(self.pilot, row)))
        return cells


def _same(judged: pd.DataFrame, row):
    """The row of the same statement."""
    return next(judged[(judged.claim == row.claim) & (judged.letter == row.letter)].itertuples())


def _cells(row) -> list[str]:
    theirs = ["–" if math.isnan(number) else f"{number:.3g}" for number in (row.paper, row.ratio)]
    settled = row.verdict in (REPRODUCED, NOT_REPRODUCED)
    said = f"<b>{mark(row.verdict)}</b> {html.escape(statements.in_words(row))}"
    said += "<br><small>not after Holm's correction</small>" if settled and not row.holm else ""
    said += f"<br><small>{row.collapsed}</small>" if row.collapsed else ""
    signs = f"<br><small>{row.with_sign} so</small>" if row.with_sign and row.targets.count(",") else ""
    return [
        f"{row.claim}{row.letter}", f"{html.escape(row.statement)} ({row.unit})", row.targets + signs,
        _value(row), *theirs, html.escape(row.asks), said,
    ]  # fmt: skip


def _value(row) -> str:
    """A value over its interval."""
    words = statements.interval(row).replace(" ", "\N{NO-BREAK SPACE}")
    return "–" if math.isnan(row.value) else f"<b>{row.value:.3g}</b><br>{words}"


def glance(
    found: Mapping[str, pd.DataFrame], pilot: Mapping[str, pd.DataFrame] | None = None
) -> explorer.Explorer:
    """`Glance` of every scale in tabs, the pilot of the same scale beside it; prose links to the first."""
    shown = {
        scale: Glance(judged, place == 0, (pilot or {}).get(scale))
        for place, (scale, judged) in enumerate(found.items())
    }
    return explorer.tabs(shown, label="Scale")


def details(found: Mapping[str, pd.DataFrame]) -> explorer.Explorer:
    """Tabs of scales, then of questions: all that is known of every statement, and what each would need."""
    panels = {}
    for scale, judged in found.items():
        own = {
            f"{one.number}. {one.title}": Table(
                statement_rows(judged[judged.claim.isin([c.number for c in one.claims])])
            )
            for one in questions.every().values()
            if one.claims
        }
        panels[scale] = explorer.tabs(own, label="Question")
    return explorer.tabs(panels, label="Scale")


# The forest plot


def forests(
    found: Mapping[str, pd.DataFrame], pilot: Mapping[str, pd.DataFrame] | None = None
) -> explorer.Explorer:
    """`forest` of every scale in tabs."""
    drawn = {scale: forest(judged, (pilot or {}).get(scale)) for scale, judged in found.items()}
    return explorer.tabs(drawn, label="Scale")


def forest(judged: pd.DataFrame, pilot: pd.DataFrame | None = None) -> Figure:
    """Every statement with its interval, one panel a question: the limit at 0 and the paper's value at 1
    (where it prints one), the paper's side shaded. A statement of 'within' is drawn in units of its band. The
    pilot's value and interval stand above, thin and grey."""
    style.apply()
    asked = [one for one in questions.every().values() if one.claims]
    parts = [judged[judged.claim.isin([claim.number for claim in one.claims])] for one in asked]
    heights = [len(rows) + 1.5 for rows in parts]
    figure, axes = plt.subplots(
        len(asked),
        1,
        figsize=(9, 0.36 * sum(heights)),
        height_ratios=heights,
        sharex=True,
        layout="constrained",
    )
    for ax, question, rows in zip(axes, asked, parts, strict=True):
        for place, row in enumerate(rows.itertuples()):
            _draw(ax, len(rows) - place, row, None if pilot is None else _same(pilot, row))
        names = [_label(row) for row in rows.itertuples()]
        ax.set_yticks(range(len(rows), 0, -1), names, fontsize=7)
        ax.set(xlim=(LEAST, REACH), ylim=(0.4, len(rows) + 0.6))
        ax.axvline(0, color="0.4", linewidth=0.8)
        ax.set_title(f"{question.number}. {question.title}", loc="left", fontsize=9)
        ax.grid(False)
    axes[-1].set_xlabel("0 is the limit, a diamond the paper's value; shaded is the paper's side", fontsize=8)
    words = (
        f"Forest plot of {len(judged)} statements: ours with 95 % intervals, the limit, and the paper's value"
    )
    return style.described(figure, f"{words}; {statements.summary(judged)}.")


def _label(row) -> str:
    return "\n".join(textwrap.wrap(f"{row.claim}{row.letter}  {row.statement}, {row.unit}", 62)[:2])


def _draw(ax, y: float, row, before=None) -> None:
    """One statement, moved and scaled so that its limit is at 0 and the paper's value, on its side, at 1."""
    if row.band:
        scale, shaded = row.band, (-1, 1)
    else:
        known = [abs(value - row.limit) for value in (row.paper, row.value) if not math.isnan(value)]
        scale, shaded = next((one for one in known if one), 1.0), (0, REACH)
        scale *= -1 if row.asks.startswith("<") else 1
    ax.fill_betweenx((y - 0.4, y + 0.4), *shaded, color="0.93", linewidth=0)
    colour = COLOURS.get(row.verdict, "0.45")
    numbers = (row.value, row.low, row.high, row.paper)
    value, low, high, paper = ((number - row.limit) / scale for number in numbers)
    if not math.isnan(value):
        _mark(ax, y, value, low, high, color=colour, linewidth=1.6, markersize=5)
    if before is not None and not math.isnan(before.value):
        numbers = ((number - row.limit) / scale for number in (before.value, before.low, before.high))
        _mark(ax, y + 0.28, *numbers, color="0.6", linewidth=0.8, markersize=2.5)
    ax.plot([paper], [y], marker="D", markerfacecolor="none", color="black", markersize=5, linestyle="none")
    ax.annotate(
        mark(row.verdict), (REACH, y), xytext=(4, 0), textcoords="offset points", va="center", color=colour
    )


def _mark(ax, y: float, value: float, low: float, high: float, *, markersize: float, **line) -> None:
    """A value and its interval, an arrow at the edge where the value lies beyond."""
    within = max(LEAST + 0.05, min(REACH - 0.05, value))
    shape = "o" if within == value else "<" if value < 0 else ">"
    ax.plot([low, high], [y, y], solid_capstyle="butt", **line)
    ax.plot([within], [y], marker=shape, color=line["color"], markersize=markersize)
