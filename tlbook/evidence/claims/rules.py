"""From a table to a verdict: what a claim is, its intervals, and the rules that judge it.

Fixed before any run on real images. No rule looks at a scale's name. A statistic is a function of the
recorded tables (`Evidence`) that returns a `Sample`: one value a run (interval: Student's t), or one value
over pairs of runs with its delete-one-run values (interval: jackknife). Intervals are 95 % and conditional
on the one P and the one split.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tlbook.intervals import around, student

MINIMUM_RUNS = 3  # fewer say nothing about spread
MANY_RUNS = 100  # nobody makes more only to settle a part
TRAINED = {"accuracy": 90.0, "auc": 0.90}  # an RI-T below has not fitted its training set: it proves nothing

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
INCONCLUSIVE = "inconclusive"
NOT_TESTED = "not tested at this scale"
NOT_RECORDED = "not recorded"
NOT_JUDGED = "not judged"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED, NOT_RECORDED, NOT_JUDGED)

# The metric that speaks for a role; every other role has accuracy in percent.
METRIC = {"xray": "auc"}


class NotRecorded(Exception):
    """A table, or the rows of it that a statistic needs, are missing; the message says which."""


class Unmeasured(Exception):
    """A needed metric is NaN or a statistic is undefined; the message names the run, `settle` says what would
    give it a value, and `runs` how many runs there are, where that is known."""

    def __init__(self, message: str, settle: str = "runs that end with a value", runs: int = MINIMUM_RUNS):
        super().__init__(message)
        self.settle, self.runs = settle, runs


def metric_of(role: str) -> str:
    """'auc' (0-1) on xray, 'accuracy' (percent) elsewhere."""
    return METRIC.get(role, "accuracy")


@dataclass(frozen=True)
class Sample:
    """What a statistic found.

    Without `whole`, `values` holds one value a run and the estimate is their mean. With `whole`, that is the
    estimate, and `values` holds it again with each run left out in turn. `n` is the number of runs (given
    only where it is not the number of values), `smallest` that of the smallest group compared.
    """

    values: tuple[float, ...]
    whole: float | None = None
    n: int = -1
    smallest: int = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", len(self.values) if self.n < 0 else self.n)
        object.__setattr__(self, "smallest", self.n if self.smallest < 0 else self.smallest)

    def interval(self) -> tuple[float, float, float]:
        """(estimate, low, high); low and high are NaN for fewer than two values."""
        return student(self.values) if self.whole is None else jackknife(self.whole, self.values)


def jackknife(whole: float, without: Sequence[float]) -> tuple[float, float, float]:
    """Estimate and 95 % interval from delete-one-run values: variance (n-1)/n times the sum of their squared
    deviations from their mean, Student's t with n - 1 degrees of freedom; NaN bounds for n < 2."""
    array = np.asarray(without, dtype=float)
    if array.size < 2:
        return float(whole), math.nan, math.nan
    variance = (array.size - 1) / array.size * ((array - array.mean()) ** 2).sum()
    return around(float(whole), math.sqrt(variance), array.size)


def judge(low: float, high: float, direction: str, margin: float, against: float = 0.0) -> str:
    """Verdict on an interval. '>': reproduced above against + margin, not reproduced below it; '<':
    reproduced below against - margin, not reproduced above it; 'within': reproduced inside against ± margin,
    not reproduced wholly outside. Everything else is inconclusive."""
    low, high = low - against, high - against
    if direction == "<":
        low, high, direction = -high, -low, ">"
    if direction == ">":
        if low > margin:
            return REPRODUCED
        return NOT_REPRODUCED if high < margin else INCONCLUSIVE
    if direction != "within":
        raise ValueError(f"a direction is '>', '<' or 'within', not {direction!r}")
    if -margin <= low and high <= margin:
        return REPRODUCED
    return NOT_REPRODUCED if low > margin or high < -margin else INCONCLUSIVE


def combine(verdicts: Sequence[str]) -> str:
    """The verdict on a claim from those on its parts. Tested parts decide: one not reproduced is enough for
    'not reproduced', all reproduced make 'reproduced', else inconclusive. Without a tested part: not judged,
    not tested, or not recorded, the first that a part has."""
    tested = {verdict for verdict in verdicts if verdict in (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE)}
    if NOT_REPRODUCED in tested:
        return NOT_REPRODUCED
    if tested:
        return REPRODUCED if tested == {REPRODUCED} else INCONCLUSIVE
    return next((verdict for verdict in (NOT_JUDGED, NOT_TESTED) if verdict in verdicts), NOT_RECORDED)


class Recorded(Mapping):
    """The recorded tables by name, with selections remembered: many statistics ask for the same rows. The
    frames it returns are shared and must not be changed."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self._tables = dict(tables)
        self._masks: dict[tuple, np.ndarray] = {}
        self._rows: dict[tuple, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def select(self, name: str, where: Mapping[str, object]) -> pd.DataFrame:
        """Rows of a table whose columns equal `where`."""
        key = (name, *where.items())
        if key not in self._rows:
            masks = [self._mask(name, column, wanted) for column, wanted in where.items()]
            frame = self._tables[name]
            self._rows[key] = frame[np.logical_and.reduce(masks)] if masks else frame
        return self._rows[key]

    def _mask(self, name: str, column: str, wanted: object) -> np.ndarray:
        key = (name, column, wanted)
        if key not in self._masks:
            self._masks[key] = (self._tables[name][column] == wanted).to_numpy(dtype=bool)
        return self._masks[key]


@dataclass
class Evidence:
    """The recorded tables as one statistic sees them. It notes which RI-T runs the statistic read (`random`:
    table, role, rate; the table says which unshuffled RI-T must have fitted its training set), so that no
    statistic can forget to say so, what shuffled RI-T runs reached in training (`shuffled`: by role and block
    size, in the role's metric), and remarks for the verdict's note."""

    tables: Recorded
    random: set[tuple[str, str, str]] = field(default_factory=set)
    shuffled: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rows(self, table: str, uses: bool = True, **where: object) -> pd.DataFrame:
        """Rows of `table` whose columns equal `where`. Raises NotRecorded if there are none, Unmeasured if a
        `value` among them is NaN. `uses=False` is for choosing a rate, which uses no run in the statistic."""
        if table not in self.tables:
            raise NotRecorded(f"table {table} is not recorded")
        found = self.tables.select(table, where)
        if found.empty:
            raise NotRecorded(f"{table} has no rows for {_spelled(where)}")
        if uses:
            self._note_random(table, found)
        bad = np.isnan(found["value"].to_numpy(dtype=float)) if "value" in found else np.zeros(1, bool)
        if bad.any():
            seeds = [found[name] for name in ("seed", "seed_b") if name in found]
            runs = len(set().union(*seeds)) if seeds else MINIMUM_RUNS
            raise Unmeasured(f"{run_name(found[bad].iloc[0])} has no measured value in {table}", runs=runs)
        return found

    def note(self, text: str) -> None:
        """Add a remark once."""
        if text not in self.notes:
            self.notes.append(text)

    def remarks(self) -> str:
        """All remarks in one line."""
        trained = [
            f"shuffled RI-T ({role}) trained to "
            + ", ".join(f"{value:.3g} at {size}" for size, value in found.items())
            for role, found in self.shuffled.items()
        ]
        return "; ".join([*self.notes, *trained])

    def _note_random(self, table: str, rows: pd.DataFrame) -> None:
        for init, rate in (("init", "rate"), ("init_b", "rate_b")):
            if init in rows:
                used = zip(rows["role"], rows[init], rows[rate], strict=True)
                self.random |= {(table, role, at) for role, which, at in set(used) if which == "RI-T"}


Statistic = Callable[[Evidence], Sample]


@dataclass(frozen=True)
class Part:
    """One testable part of a claim: a statistic, where the claim says it lies, and why that margin.

    `statistic` gives a Sample in `unit`; `reads` names the tables it reads; `paper` is the paper's value of
    it (None: the paper gives none).
    """

    role: str
    name: str
    unit: str
    reads: tuple[str, ...]
    statistic: Statistic
    direction: str
    margin: float
    why: str
    against: float = 0.0
    paper: float | None = None


@dataclass(frozen=True)
class Claim:
    """A claim of the paper in our words: its number, section, figure or table, and its parts."""

    number: int
    section: str
    where: str
    text: str
    parts: tuple[Part, ...]


def decide(part: Part, tables: Mapping[str, pd.DataFrame], judged: bool = True) -> dict:
    """Value, interval, number of runs, verdict, note, and what would settle it where nothing is decided, of
    one part. `judged=False` keeps the statistic and gives no verdict on it."""
    evidence = Evidence(tables if isinstance(tables, Recorded) else Recorded(tables))
    result = {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    settle = ""
    try:
        for table in part.reads:
            if table not in tables:
                raise NotRecorded(f"table {table} is not recorded")
        sample = part.statistic(evidence)
        if not np.isfinite([*sample.values, sample.whole or 0.0]).all():
            raise Unmeasured("the statistic is undefined for a run, or with one left out")
        result["value"], result["low"], result["high"] = sample.interval()
        result["n"] = sample.n
        verdict, settle = _verdict(part, sample, evidence, result)
    except NotRecorded as missing:
        verdict, settle = NOT_RECORDED, "records of it"
        evidence.note(str(missing))
    except Unmeasured as gap:
        evidence.note(str(gap))
        untested = _untested(evidence, gap.runs)
        verdict, settle = (NOT_TESTED, untested) if untested else (INCONCLUSIVE, gap.settle)
    if not judged and verdict != NOT_RECORDED:
        verdict, settle = NOT_JUDGED, ""
    return result | {"verdict": verdict, "note": evidence.remarks(), "settle": settle}


def _verdict(part: Part, sample: Sample, evidence: Evidence, result: dict) -> tuple[str, str]:
    """The rules in order: enough runs, RI-T trained out, then the interval; and what would settle it."""
    if untested := _untested(evidence, sample.smallest):
        return NOT_TESTED, untested
    verdict = judge(result["low"], result["high"], part.direction, part.margin, part.against)
    return verdict, _more_runs(part, sample.n, result) if verdict == INCONCLUSIVE else ""


def _untested(evidence: Evidence, runs: int) -> str:
    """What a statistic lacks to be tested at all, in words, or ''."""
    untrained = [used for used in sorted(evidence.random) if not _trained(evidence, *used)]
    if runs < MINIMUM_RUNS:
        evidence.note(f"{runs} run(s), {MINIMUM_RUNS} needed")
        return f"{MINIMUM_RUNS} runs of each kind"
    return "an RI-T that fits its training images" if untrained else ""


def _more_runs(part: Part, n: int, result: dict) -> str:
    """Roughly how many runs would decide, if value and spread stay: the interval shrinks as 1 / sqrt(n), and
    must not reach the nearest limit."""
    limits = {">": [part.margin], "<": [-part.margin], "within": [-part.margin, part.margin]}[part.direction]
    room = min(abs(result["value"] - part.against - limit) for limit in limits)
    half = (result["high"] - result["low"]) / 2
    runs = n * (half / room) ** 2 if room > 0 else math.inf
    if runs > MANY_RUNS:
        return "hardly more runs: it lies at the limit"
    return f"about {math.ceil(runs)} runs in place of {n}, if the value stays"


OWN_RUN = {  # tables whose RI-T did not train as Figure 2's: which rows are its unshuffled run, and its name
    "block_shuffle": ({"init": "RI-T", "block_fraction": 1.0}, "unshuffled, unaugmented RI-T"),
    "finetuned": ({"checkpoint": 0}, "RI-T of Figure 7"),
}


def _trained(evidence: Evidence, table: str, role: str, rate: str) -> bool:
    """Has the unshuffled RI-T of this role and rate a mean final training metric of at least 90 %? Accuracy
    where it is recorded, AUC where only that is. Notes the value.

    `table` is the one that the statistic read. Figures 3 and 7 are held to their own unshuffled run, which
    trained as long as what it is compared with; every other table to the run of Figure 2 (learning_curves).
    """
    where = {"role": role, "rate": rate, "split": "train"}
    own, kind = OWN_RUN.get(table, ({"init": "RI-T"}, "unshuffled RI-T"))
    table = table if table in OWN_RUN else "learning_curves"
    try:
        rows = evidence.rows(table, uses=False, metric="accuracy", **where, **own)
    except NotRecorded:
        rows = evidence.rows(table, uses=False, metric="auc", **where, **own)
    metric = rows["metric"].iloc[0]
    value = (final(rows) if "epoch" in rows else by_seed(rows)).mean()
    shown = f"{value:.1f} %" if metric == "accuracy" else f"AUC {value:.3f}"
    enough = value >= TRAINED[metric]
    needed = f" (under {TRAINED[metric]:g})" if not enough else ""
    evidence.note(f"{kind} ({role}, {rate}) trained to {shown}{needed}")
    return bool(enough)


def final(rows: pd.DataFrame) -> pd.Series:
    """Value by seed at the last epoch of rows that hold one metric of one kind of run. Raises NotRecorded if
    a run stops earlier than another."""
    last = rows[rows["epoch"] == rows["epoch"].max()]
    short = set(rows["seed"]) - set(last["seed"])
    if short:
        raise NotRecorded(f"seed {min(short)} has no value at epoch {rows['epoch'].max()}")
    return by_seed(last)


def by_seed(rows: pd.DataFrame) -> pd.Series:
    """Value by seed, sorted; raises ValueError if a seed has two values (the selection was too wide)."""
    series = rows.set_index("seed")["value"].sort_index()
    if series.index.has_duplicates:
        raise ValueError(f"seed {series.index[series.index.duplicated()][0]} has more than one value")
    return series


def paired(evidence: Evidence, *series: pd.Series) -> list[pd.Series]:
    """The series cut to the seeds that all have; a difference is noted. Raises NotRecorded if none is
    left."""
    seeds = set.intersection(*(set(one.index) for one in series))
    if not seeds:
        raise NotRecorded("no seed has all the runs that are compared")
    if any(set(one.index) != seeds for one in series):
        evidence.note(f"only seeds {', '.join(map(str, sorted(seeds)))} have all the runs")
    return [one.loc[sorted(seeds)] for one in series]


def sample(series: pd.Series) -> Sample:
    """One value a run."""
    return Sample(tuple(float(value) for value in series))


def leave_one_out(
    pairs: Sequence[pd.DataFrame], statistic: Callable[[Sequence[pd.DataFrame]], float]
) -> Sample:
    """Jackknife sample of a statistic over groups of pair rows: computed once, then with every run (init,
    rate, seed; P is no run) left out of every group that holds it."""
    runs = sorted(set().union(*(_runs(group) for group in pairs)))
    smallest = min(min(Counter(run[:2] for run in _runs(group)).values()) for group in pairs)
    if smallest < MINIMUM_RUNS:  # with a run left out, a group might have no pair left
        return Sample((), statistic(pairs), len(runs), smallest)
    without = [statistic([_drop(group, run) for group in pairs]) for run in runs]
    return Sample(tuple(without), statistic(pairs), len(runs), smallest)


def _sharing(rows: pd.DataFrame, seed: str) -> pd.Series:
    """RI-T that start from one init are other runs than those of the same seed that do not; but for the
    first, whose init it is."""
    if "pairing" not in rows:
        return pd.Series("", index=rows.index)
    same = rows["pairing"] == "same_init"
    first = rows.loc[same, ["seed", "seed_b"]].to_numpy().min(initial=np.iinfo(int).max)
    return rows["pairing"].where(same & (rows[seed] != first), "")


def _keys(rows: pd.DataFrame) -> tuple[list[tuple], ...]:
    return tuple(
        list(zip(rows[init], rows[rate], _sharing(rows, seed), rows[seed], strict=True))
        for init, rate, seed in (("init", "rate", "seed"), ("init_b", "rate_b", "seed_b"))
    )


def _runs(rows: pd.DataFrame) -> set[tuple]:
    first, second = _keys(rows)
    return {run for run in (*first, *second) if run[0] != "P"}


def _drop(rows: pd.DataFrame, run: tuple) -> pd.DataFrame:
    first, second = _keys(rows)
    return rows[[run not in both for both in zip(first, second, strict=True)]]


def run_name(row: pd.Series) -> str:
    """'RI-T at high, seed 2 (quickdraw)', and the second model where the row is of a pair."""
    if "init" not in row:
        return f"a run from checkpoint {row['checkpoint']}" if "checkpoint" in row else "a run"
    name = f"{row['init']} at {row['rate']}, seed {row['seed']}"
    if "init_b" in row:
        name += f" & {row['init_b']} at {row['rate_b']}, seed {row['seed_b']}"
    return f"{name} ({row['role']})"


def _spelled(where: Mapping[str, object]) -> str:
    return ", ".join(f"{column} {wanted}" for column, wanted in where.items())
