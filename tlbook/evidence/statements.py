"""What the paper claims, as data, and the rules that judge it (rules 2).

A claim is a few statements; a statement is one statistic and one limit. The statistic is a function of the
recorded tables (`Evidence`) and a target. It returns one value a seed (a Series), or, of pairs of runs, one
number over all pairs, which is computed again with each seed left out (jackknife). Targets are averaged
first, with equal weights, within each seed; the seed is the unit. Intervals are 95 % by Student's t and
conditional on the one P and the one split. The same statistic is applied to the paper's own numbers
(`evidence.paper`)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tlbook import intervals
from tlbook.evidence import paper
from tlbook.evidence.selection import Evidence, NotRecorded

PILOT = frozenset({0, 1, 2})  # the seeds that shaped the rules: they judge nothing
MINIMUM_SEEDS = 5
MANY_SEEDS = 100  # nobody trains more only to settle a statement

REPRODUCED, NOT_REPRODUCED, OPEN = "reproduced", "not reproduced", "open"
PREMISE_ABSENT, NOT_TESTED = "premise absent", "not tested"
NOT_RECORDED, NOT_JUDGED = "not recorded", "not judged"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, OPEN, PREMISE_ABSENT, NOT_TESTED, NOT_RECORDED, NOT_JUDGED)
DECIDED = VERDICTS[:3]

Statistic = Callable[[Evidence, str], pd.Series | float]


@dataclass(frozen=True, kw_only=True)
class Premise:
    """What must hold before a statement says anything: of the median seed, a statistic of training, dev or
    source values lies on that side of the limit, on average over the statement's targets, or, with ``each``,
    on each."""

    text: str
    statistic: Statistic
    asks: str
    limit: float
    each: bool = False


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statistic, where the paper says that it lies, and why that limit.

    ``asks`` is '>' or '<' (than ``limit``), or 'within' (``band`` of it). ``text`` says the statistic in
    words, ``targets`` are averaged, less the average of those in ``against``. ``fitted``: every kind of run
    that is read must have fitted its training set."""

    letter: str
    text: str
    statistic: Statistic
    asks: str
    limit: float = 0.0
    band: float = 0.0
    why: str = "0: the sign is what is claimed"
    targets: tuple[str, ...]
    against: tuple[str, ...] = ()
    unit: str
    premise: Premise | None = None
    fitted: bool = True

    @property
    def rule(self) -> str:
        """'> 0', '< 0.25', '0 ± 1'."""
        return f"{self.limit:g} ± {self.band:g}" if self.asks == "within" else f"{self.asks} {self.limit:g}"

    @property
    def spoken_of(self) -> str:
        """'real, clipart against quickdraw'."""
        return " against ".join(", ".join(side) for side in (self.targets, self.against) if side)

    def holds(self, value: float) -> bool:
        """Does a value, taken as it is, lie where the paper says?"""
        if self.asks == "within":
            return abs(value - self.limit) <= self.band
        return value > self.limit if self.asks == ">" else value < self.limit


@dataclass(frozen=True)
class Claim:
    """A claim of the paper in our words: its number, section, figure or table, and its statements."""

    number: int
    section: str
    where: str
    text: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Estimate:
    """A statistic over targets: its value, standard error, the number of seeds, and the mean on each
    target."""

    value: float
    error: float
    seeds: tuple[int, ...]
    by_target: Mapping[str, float]

    @property
    def n(self) -> int:
        return len(self.seeds)

    def interval(self, level: float = intervals.LEVEL) -> tuple[float, float]:
        return intervals.around(self.value, self.error, self.n, level)[1:]


def estimate(statement: Statement, evidence: Evidence) -> Estimate:
    """The statement's statistic over its targets. Raises NotRecorded where something that it reads is
    missing."""
    weights = {role: 1 / len(statement.targets) for role in statement.targets}
    weights |= {role: -1 / len(statement.against) for role in statement.against}
    found = {role: statement.statistic(evidence, role) for role in weights}
    seeds = evidence.common()  # those that every target has
    if len(evidence.read) > 1:
        whole = evidence.of(seeds)
        found = {role: statement.statistic(whole, role) for role in weights}
    value = sum(weight * found[role] for role, weight in weights.items())
    if isinstance(value, pd.Series):  # one value a seed
        error = intervals.standard_error(value.to_numpy())
    else:

        def over_targets(fewer: Evidence) -> float:
            return sum(weight * statement.statistic(fewer, role) for role, weight in weights.items())

        enough = len(seeds) > 2  # of fewer, none can be left out: no pair would be left
        without = [over_targets(evidence.of(seeds - {one})) if enough else math.nan for one in sorted(seeds)]
        error = intervals.jackknife_error(np.array(without))
    by_target = {role: _mean(one) for role, one in found.items()}
    return Estimate(_mean(value), float(error), tuple(sorted(seeds)), by_target)


def _mean(values: pd.Series | Sequence[float] | float) -> float:
    """NaN if one is: what has no value is never passed over."""
    return float(np.mean(np.asarray(values, dtype=float)))


@functools.cache
def _paper() -> Evidence:
    return Evidence(paper.tables())


@functools.cache
def papers_value(statement: Statement) -> tuple[float, int]:
    """The same statistic of the paper's own numbers, over those targets that it prints, and of how many these
    are; NaN and 0 where it prints none (a contrast needs all)."""
    evidence, values = _paper(), {}
    for role in (*statement.targets, *statement.against):
        try:
            values[role] = _mean(statement.statistic(evidence, role))
        except NotRecorded:
            continue
    values = {role: value for role, value in values.items() if not math.isnan(value)}
    if not values or (statement.against and len(values) < len(statement.targets + statement.against)):
        return math.nan, 0
    mean = [
        np.mean([values[role] for role in side if role in values])
        for side in (statement.targets, statement.against)
        if side
    ]
    return float(mean[0] - (mean[1] if statement.against else 0.0)), len(values)


def confirming(tables: Mapping[str, pd.DataFrame]) -> frozenset[int]:
    """The seeds that are read: those that are not of the pilot, or, where there are no others, the
    pilot's."""
    seeds = {int(seed) for frame in tables.values() if "seed" in frame for seed in frame.seed.unique()}
    return frozenset(seeds - PILOT or seeds)


def verdict(statement: Statement, found: Estimate) -> str:
    """By the interval alone: 95 % beside the limit; 'within' by two one-sided tests (90 % in the band)."""
    if statement.asks == "within":
        low, high = (end - statement.limit for end in found.interval(0.90))
        if -statement.band < low and high < statement.band:
            return REPRODUCED
        return NOT_REPRODUCED if low > statement.band or high < -statement.band else OPEN
    low, high = (end - statement.limit for end in found.interval())
    if statement.asks == "<":
        low, high = -high, -low
    return REPRODUCED if low > 0 else NOT_REPRODUCED if high < 0 else OPEN


def p_value(statement: Statement, found: Estimate) -> float:
    """Of the verdict: two-sided against the limit; of a band, of the two one-sided tests, or of lying
    outside."""
    away = found.value - statement.limit
    if math.isnan(found.error):
        return math.nan
    if statement.asks == "within":
        sides = [intervals.beyond(side * away + statement.band, found.error, found.n) for side in (1, -1)]
        outside = intervals.beyond(abs(away) - statement.band, found.error, found.n)
        return max(sides) if abs(away) <= statement.band else outside
    return min(1.0, 2 * intervals.beyond(abs(away), found.error, found.n))


def judge(claim: Claim, statement: Statement, evidence: Evidence, judged: bool = True) -> dict:
    """One row: what was asked, ours with its interval, the paper's value, the verdict, and what it would
    need. ``judged`` False keeps the numbers and gives no verdict."""
    theirs, printed = papers_value(statement)
    row = {
        "claim": claim.number, "letter": statement.letter, "section": claim.section, "where": claim.where,
        "said": claim.text, "statement": statement.text,
        "targets": statement.spoken_of, "unit": statement.unit, "asks": statement.rule,
        "limit": statement.limit, "band": statement.band, "why": statement.why,
        "paper": theirs, "paper_targets": printed,
        "value": math.nan, "low": math.nan, "high": math.nan, "ratio": math.nan, "n": 0, "with_sign": "",
        "collapsed": "", "p": math.nan, "needs": "",
    }  # fmt: skip
    try:
        found = estimate(statement, evidence)
        absent = evidence.unfitted() if statement.fitted else ""
        absent = absent or _absent(statement, evidence)
    except NotRecorded as missing:
        said, row["needs"] = NOT_RECORDED, str(missing)
    else:
        row |= {"value": found.value, "n": found.n, "collapsed": evidence.collapsed()}
        row["low"], row["high"] = found.interval()
        if statement.asks != "within" and theirs:
            row["ratio"] = found.value / theirs
        if not statement.against:
            agreeing = sum(statement.holds(value) for value in found.by_target.values())
            row["with_sign"] = f"{agreeing} of {len(found.by_target)}"
        said, row["needs"] = _said(statement, found, absent)
        if said in DECIDED:
            row["p"] = p_value(statement, found)
        if absent and said != PREMISE_ABSENT:
            evidence.note(absent)
    if not judged and said != NOT_RECORDED:
        said, row["needs"], row["p"] = NOT_JUDGED, "", math.nan
    return row | {"verdict": said, "note": "; ".join(evidence.notes)}


def _absent(statement: Statement, evidence: Evidence) -> str:
    """The premise that does not hold, in words, or ''."""
    premise = statement.premise
    if premise is None:
        return ""
    values = [float(np.median(premise.statistic(evidence, role))) for role in statement.targets]
    values = values if premise.each else [_mean(values)]
    worst = float(np.min(values) if premise.asks == ">" else np.max(values))
    holds = worst > premise.limit if premise.asks == ">" else worst < premise.limit
    return "" if holds else f"{premise.text} (it is {worst:.3g})"


def _said(statement: Statement, found: Estimate, absent: str) -> tuple[str, str]:
    """The verdict by the rules in their order, and what a statement that is not decided needs."""
    pilot = PILOT.issuperset(found.seeds)
    if pilot or found.n < MINIMUM_SEEDS:
        return NOT_TESTED, f"{found.n} of {MINIMUM_SEEDS} seeds" + (" (pilot)" if pilot else "")
    if absent:
        return PREMISE_ABSENT, absent
    said = verdict(statement, found)
    return said, _more_seeds(statement, found) if said == OPEN else ""


def _more_seeds(statement: Statement, found: Estimate) -> str:
    """Roughly how many seeds would decide, if value and spread stay: intervals shrink as 1 / sqrt(n)."""
    if math.isnan(found.error):
        return "runs that end with a value"
    limits = [-statement.band, statement.band] if statement.asks == "within" else [0.0]
    room = min(abs(found.value - statement.limit - limit) for limit in limits)
    low, high = found.interval(0.90 if statement.asks == "within" else intervals.LEVEL)
    seeds = found.n * ((high - low) / 2 / room) ** 2 if room > 0 else math.inf
    if seeds > MANY_SEEDS:
        return f"more than {MANY_SEEDS} seeds, if the value stays: it lies at the limit"
    return f"about {math.ceil(seeds)} seeds in place of {found.n}, if the value stays"


def evaluate(
    claims: Iterable[Claim], tables: Mapping[str, pd.DataFrame], judged: bool = True
) -> pd.DataFrame:
    """One row a statement of ``claims``, as `judge` gives it. ``holm``: does the verdict survive Holm's
    correction over all of them that were decided?"""
    evidence, seeds = Evidence(tables), confirming(tables)
    rows = [judge(claim, one, evidence.of(seeds), judged) for claim in claims for one in claim.statements]
    frame = pd.DataFrame(rows)
    return frame.assign(holm=holm(frame.p)) if len(frame) else frame


def holm(p: Sequence[float], level: float = 1 - intervals.LEVEL) -> np.ndarray:
    """Which p-values (NaN: no test) are significant at ``level`` for all of them together (Holm 1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)  # NaN last
    tests = int(np.isfinite(values).sum())
    passed = values[order[:tests]] <= level / (tests - np.arange(tests))
    survives = np.zeros(len(values), bool)
    survives[order[:tests]] = np.logical_and.accumulate(passed)
    return survives


def in_words(row) -> str:
    """The verdict of a row of `evaluate`, with what makes it so where nothing is decided."""
    short = row.verdict in (NOT_TESTED, PREMISE_ABSENT, NOT_RECORDED)
    return f"{row.verdict}: {row.needs}" if short else row.verdict


def interval(row) -> str:
    """The interval of a row of `evaluate`, as `between`."""
    return between(row.low, row.high)


def between(low: float, high: float) -> str:
    """An interval in three digits; "–" where there is none."""
    return "–" if math.isnan(low) else f"{low:.3g} to {high:.3g}"


def summary(frame: pd.DataFrame) -> str:
    """'20 of 37 decided statements reproduced, 9 not, 8 open; 4 of 41 not decided'."""
    given = frame.verdict.value_counts()
    decided, count = [int(given.get(name, 0)) for name in DECIDED], len(frame)
    if not sum(decided):
        return f"none of {count} statements is decided"
    return (
        f"{decided[0]} of {sum(decided)} decided statements reproduced, {decided[1]} not, {decided[2]} open; "
        f"{count - sum(decided)} of {count} not decided"
    )


def report(frame: pd.DataFrame) -> str:
    """Rows of `evaluate` as plain text, a line a statement, and their summary."""
    lines = []
    for row in frame.itertuples():
        theirs = "–" if math.isnan(row.paper) else f"{row.paper:.3g}"
        ours = "–" if math.isnan(row.value) else f"{row.value:.3g} ({interval(row)})"
        lines.append(
            f"{row.claim:>2}{row.letter}  {in_words(row)}\n     {row.statement} [{row.targets}; {row.unit}]: "
            f"{ours}, paper {theirs}, asks {row.asks}" + (f" [{row.note}]" if row.note else "")
        )
    return "\n".join([*lines, summary(frame)])
