"""What a table is: its columns with units and meanings, read from a question's ``tables.toml``, and checks.

Tables are long: one measured number a row. Statements and figures read nothing else, and `check` holds
whoever writes a table to its definition. Units: accuracies are percent (0-100), AUC is 0-1, loss is in nats,
fractions are 0-1. A run that diverged is a row like any other (its chance-level accuracy, a NaN loss).

A pair of models is two sets of columns: `init, rate, seed` and `init_b, rate_b, seed_b`. In a mixed pair
P-T comes first, and P (which trained on no target) is always second, with rate_b "-" and seed_b 0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tlbook.errors import TlbookError
from tlbook.scales import CONTROLS, INITS, RATES, SOURCE, TARGETS

SPLITS = ("train", "dev", "test")
# Words that stand for several values in a ``tables.toml``.
WORDS = {"$targets": TARGETS, "$inits": INITS, "$controls": CONTROLS, "$rates": RATES, "$splits": SPLITS}
# Ranges of `value` by the name that stands in `metric`; a name that is missing here is not checked.
METRIC_RANGES = {
    "accuracy": (0.0, 100.0),
    "mean_accuracy": (0.0, 100.0),
    "auc": (0.0, 1.0),
    "mean_auc": (0.0, 1.0),
    "loss": (0.0, float("inf")),
    "mean_loss": (0.0, float("inf")),
    "calibrated_loss": (0.0, float("inf")),
}
KINDS = {"text": str, "integer": int, "number": float}


@dataclass(frozen=True)
class Column:
    """A column: `kind` is text, integer or number; `values` lists what a text column may hold (empty: any
    text); `low` and `high` bound a number."""

    name: str
    meaning: str
    unit: str = "-"
    kind: str = "text"
    values: tuple[str, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class Table:
    """A table of one question. All columns but the `measured` ones together name a row. ``made_by`` names the
    function that computes it, as ``file:function`` in the question's folder ('' where none is shown)."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    measured: tuple[str, ...] = ("value",)
    made_by: str = ""

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return [column.name for column in self.columns]

    @property
    def keys(self) -> list[str]:
        """The columns that name a row; no two rows agree in all of them."""
        return [name for name in self.names if name not in self.measured]

    @property
    def dtypes(self) -> dict[str, type]:
        """What `pandas.read_csv(dtype=…)` needs so that '*' and '4' stay text."""
        return {column.name: KINDS[column.kind] for column in self.columns}

    def empty(self) -> pd.DataFrame:
        """The table without a row."""
        return pd.DataFrame(columns=self.names)


def _column(name: str, about: dict) -> Column:
    values = tuple(one for word in about.get("values", ()) for one in WORDS.get(word, (word,)))
    return Column(name, **about | {"values": values})


def read(path: Path) -> dict[str, Table]:
    """The tables of a ``tables.toml`` by name.

    Its section ``columns`` says what a column holds in all of its tables, and every other section is a table:
    ``meaning``, ``row`` (its columns in order), ``measured`` (of these; "value" unless said), ``made_by``,
    and ``columns.<name>`` where one differs. `SHARED` has the columns of all questions.
    """
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    common = SHARED | {name: _column(name, about) for name, about in sections.pop("columns", {}).items()}
    found = {}
    for name, section in sections.items():
        own = common | {c: _column(c, about) for c, about in section.get("columns", {}).items()}
        columns = tuple(own[column] for column in section["row"].split())
        measured = tuple(section.get("measured", "value").split())
        found[name] = Table(name, section["meaning"].strip(), columns, measured, section.get("made_by", ""))
    return found


SHARED = {
    name: _column(name, about)
    for name, about in tomllib.loads(
        """
role = { meaning = "the target", values = ["$targets"] }
init = { meaning = "what training started from: P-T from P, RI-T from random weights" }
rate = { meaning = "learning rate: low and high are the paper's 0.02 and 0.1", values = ["$rates"] }
seed = { meaning = "which of the study's runs; sets init, head and order", kind = "integer", low = 0 }
init_b = { meaning = "the second model's init, or P itself", values = ["$inits", "P"] }
rate_b = { meaning = "the second model's rate; '-' for P", values = ["$rates", "-"] }
seed_b = { meaning = "the second model's seed; 0 for P", kind = "integer", low = 0 }
epoch = { meaning = "epochs trained; 0 is before training", unit = "epochs", kind = "integer", low = 0 }
split = { meaning = "which examples were measured", values = ["$splits"] }
metric = { meaning = "what was measured" }
value = { meaning = "accuracy in percent, AUC 0-1, loss in nats", unit = "by metric", kind = "number" }
module = { meaning = "conv1, a block such as layer2.0, a whole stage such as layer2, or fc" }

[block_size]
unit = "pixels"
meaning = "side of a shuffled block; '*' shuffles values across channels too; the image's side: unshuffled"

[block_fraction]
unit = "fraction"
meaning = "block size / image side; 0 for '*', 1 unshuffled"
kind = "number"
low = 0
high = 1

[checkpoint]
unit = "epochs"
meaning = "epochs of pre-training behind the checkpoint"
kind = "integer"
low = 0

[checkpoint_fraction]
unit = "fraction"
meaning = "checkpoint / all epochs of pre-training"
kind = "number"
low = 0
high = 1
"""
    ).items()
}


def in_order(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """A table's rows sorted by its keys, roles as in the book: as records hold it, and as readers take it."""
    place = {role: number for number, role in enumerate((*TARGETS, SOURCE))}
    return frame.sort_values(
        table.keys, key=lambda c: c.map(place) if c.name == "role" else c, ignore_index=True
    )


def check(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` unchanged if it is such a table; raise TlbookError with one sentence if its
    columns differ, a column holds what it may not, or two rows have the same keys."""
    if list(frame.columns) != table.names:
        raise TlbookError(
            f"table {table.name} has the columns {_listed(frame.columns)}; it needs {_listed(table.names)}"
        )
    for column in table.columns:
        _check_column(table, column, frame[column.name])
    if {"metric", "value"} <= set(table.names) and table.name != "convergence":
        _check_metrics(table.name, frame)
    twice = frame[frame.duplicated(table.keys)]
    if len(twice):
        raise TlbookError(
            f"table {table.name} has two rows for {_listed(f'{k}={twice.iloc[0][k]}' for k in table.keys)}"
        )
    return frame


def _listed(things: Iterable) -> str:
    return ", ".join(str(thing) for thing in things)


def _check_column(table: Table, column: Column, found: pd.Series) -> None:
    """One column against its kind, its allowed texts and its range; only measured numbers may be NaN."""
    where = f"column {column.name} of table {table.name}"
    if column.name not in table.measured and found.isna().any():
        raise TlbookError(f"{where} has a missing value; only {_listed(table.measured)} may be missing")
    if column.kind == "text":
        _check_texts(where, column, found)
        return
    if not pd.api.types.is_numeric_dtype(found) or pd.api.types.is_bool_dtype(found):
        raise TlbookError(f"{where} holds {found.dtype}; it needs numbers")
    if column.kind == "integer" and (found.isna() | (found % 1 != 0)).any():
        raise TlbookError(f"{where} needs whole numbers")
    outside = found[(found < column.low) | (found > column.high)]
    if len(outside):
        raise TlbookError(
            f"{where} holds {outside.iloc[0]:g}; it must lie in {column.low:g} to {column.high:g}"
        )


def _check_texts(where: str, column: Column, found: pd.Series) -> None:
    other = [entry for entry in found.tolist() if not isinstance(entry, str)]
    if other:
        raise TlbookError(f"{where} holds {other[0]!r}; it needs text")
    unknown = sorted(set(found) - set(column.values)) if column.values else []
    if unknown:
        raise TlbookError(f"{where} holds {unknown[0]!r}; valid are {_listed(column.values)}")


def _check_metrics(name: str, frame: pd.DataFrame) -> None:
    """Each `value` inside the range of its `metric`."""
    for metric, (low, high) in METRIC_RANGES.items():
        values = frame.loc[frame["metric"] == metric, "value"]
        outside = values[(values < low) | (values > high)]
        if len(outside):
            raise TlbookError(
                f"table {name} holds {metric} {outside.iloc[0]:g}; {metric} lies in {low:g} to {high:g}"
            )
