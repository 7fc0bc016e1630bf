"""Do two recordings of a question agree, row by row? So that a result made elsewhere can be held to ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tlbook import questions
from tlbook.errors import TlbookError
from tlbook.scales import TARGETS
from tlbook.tables import Table


def agreement(
    question: str, ours: Mapping[str, pd.DataFrame], theirs: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """How far two sets of a question's tables agree, on the targets that both have.

    One row for each table, metric and measured column: ``numbers`` that both have, ``one_only`` rows that
    only one of them has, ``same`` (the share of numbers that are equal, of which NaN and NaN are), and of the
    others the ``median`` and the ``largest`` difference (absolute, in the column's unit) and where the
    largest is. Raises TlbookError if they share no target.
    """
    known = questions.get(question).tables
    names = [name for name in known if name in ours or name in theirs]
    roles = [_roles(found) for found in (ours, theirs)]
    if not (both := roles[0] & roles[1]):
        listed = " and ".join(", ".join(sorted(found)) or "no target" for found in roles)
        raise TlbookError(f"There is nothing to compare: the two hold {listed}.")
    found = [
        row
        for name in names
        for row in _of_table(known[name], *(_kept(known[name], side, both) for side in (ours, theirs)))
    ]
    return pd.DataFrame(found)


def _roles(found: Mapping[str, pd.DataFrame]) -> set[str]:
    return {role for frame in found.values() if "role" in frame for role in frame.role} & set(TARGETS)


def _kept(table: Table, found: Mapping[str, pd.DataFrame], roles: set[str]) -> pd.DataFrame:
    """A table without the rows of targets that only one side has; an empty one where there is none."""
    frame = found.get(table.name, table.empty())
    return frame[~frame.role.isin(set(TARGETS) - roles)] if "role" in frame else frame


def _of_table(table: Table, ours: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[dict]:
    """A row for each measured column of each metric of one table."""
    merged = ours.merge(theirs, on=table.keys, how="outer", suffixes=("", " there"), indicator=True)
    by_metric = merged.groupby("metric") if "metric" in table.keys else [("", merged)]
    for metric, rows in by_metric:
        common = rows[rows._merge == "both"]
        alone = len(rows) - len(common)
        for column in table.measured:
            here, there = (common[name].to_numpy() for name in (column, f"{column} there"))
            named = {"table": table.name, "metric": metric, "column": column}
            yield (
                named | {"numbers": len(common), "one_only": alone} | _differences(table, common, here, there)
            )


def _differences(table: Table, common: pd.DataFrame, here: np.ndarray, there: np.ndarray) -> dict:
    """Share of equal entries; median and largest difference of the others, and the keys of the largest."""
    same = (here == there) | (pd.isna(here) & pd.isna(there))
    told = {"same": same.mean() if len(same) else np.nan, "median": 0.0, "largest": 0.0, "where": ""}
    if same.all():
        return told
    numeric = np.issubdtype(here.dtype, np.number) and np.issubdtype(there.dtype, np.number)
    apart = np.abs(here - there) if numeric else np.full(len(here), np.inf)
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))  # a number against NaN
    keys = [key for key in table.keys if key != "metric"]
    worst = " ".join(str(common.iloc[int(apart.argmax())][key]) for key in keys)
    return told | {"median": float(np.median(apart[~same])), "largest": float(apart.max()), "where": worst}
