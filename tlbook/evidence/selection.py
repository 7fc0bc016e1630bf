"""The recorded tables as a statistic sees them: rows by name, of some seeds, and which runs were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.errors import TlbookError

FITTED = {"accuracy": 90.0, "auc": 0.90}  # a run below, on its own training images, has not fitted them
PERFECT = {"accuracy": 100.0, "auc": 1.0}
COLLAPSED = 0.1  # a run that made less than this share of the way from chance to perfect has collapsed

PLACE = {
    "block_shuffle": "block_size",
    "finetuned": "checkpoint",
    "from_shuffled": "block_size",
}  # of tables that say how their own runs trained


class NotRecorded(Exception):
    """A table, or the rows of it that a statistic needs, are missing; the message says which."""


class Runs(NamedTuple):
    """One kind of run of a target, and the table that says how it trained: that of Figure 3 or of Figure 7
    for their runs (``place``: the block size, the checkpoint), learning_curves for all others."""

    table: str
    role: str
    init: str
    rate: str
    place: str | int = ""

    @property
    def where(self) -> dict[str, object]:
        name = PLACE.get(self.table)
        kind = {"init": self.init} if self.table != "finetuned" else {}
        return {"role": self.role, "rate": self.rate} | kind | ({name: self.place} if name else {})

    def __str__(self) -> str:
        at = f"{self.rate}, {self.place}" if self.table != "learning_curves" else self.rate
        return f"{self.init} ({self.role}, {at})"


@dataclass
class Evidence:
    """Tables by name, cut to some seeds (None: all). It notes which runs were read, and remarks."""

    tables: Mapping[str, pd.DataFrame]
    seeds: frozenset[int] | None = None
    used: set[Runs] = field(default_factory=set)
    read: set[frozenset[int]] = field(default_factory=set)  # the seeds that each selection holds
    notes: list[str] = field(default_factory=list)
    selected: dict[tuple, object] = field(default_factory=dict, repr=False)  # shared by `of`

    def rows(self, table: str, uses: bool = True, **where: object) -> pd.DataFrame:
        """The rows whose columns equal ``where``, not to be changed. Raises NotRecorded if
        there are none. ``uses=False`` is for what only chooses a rate or says how a run trained."""
        frame = self._whole(table, where)
        if self.seeds is not None and "seed" in frame:
            kept = frame.seed.isin(self.seeds)
            if "seed_b" in frame:
                kept &= frame.seed_b.isin(self.seeds) | (frame.init_b == "P")
            frame = frame if kept.all() else frame[kept]
        if frame.empty:
            asked = ", ".join(f"{column} {wanted}" for column, wanted in where.items())
            raise NotRecorded(f"{table} has no rows of {asked}")
        if uses and "seed" in frame:
            self.used |= self._kinds(table, where) if "rate" in frame else set()
            seeds = set(frame.seed.unique())
            seeds |= set(frame.seed_b[frame.init_b != "P"].unique()) if "seed_b" in frame else set()
            self.read.add(frozenset(map(int, seeds)))
        return frame

    def _whole(self, table: str, where: Mapping[str, object]) -> pd.DataFrame:
        """The selection over all seeds."""
        key = (table, *where.items())
        if key not in self.selected:
            if table not in self.tables:
                raise NotRecorded(f"the table {table} is not recorded")
            frame = self.tables[table]
            masks = [self._mask(table, column, wanted) for column, wanted in where.items()]
            self.selected[key] = frame[np.logical_and.reduce(masks)] if masks else frame
        return self.selected[key]

    def _mask(self, table: str, column: str, wanted: object) -> np.ndarray:
        key = ("mask", table, column, wanted)
        if key not in self.selected:
            self.selected[key] = (self.tables[table][column] == wanted).to_numpy(dtype=bool)
        return self.selected[key]

    def of(self, seeds: frozenset[int]) -> Evidence:
        """The same tables cut to some seeds; what it reads is noted apart."""
        return Evidence(self.tables, seeds, selected=self.selected)

    def common(self) -> frozenset[int]:
        """The seeds that all selections hold which were read. Raises NotRecorded if there are none."""
        seeds = frozenset.intersection(*self.read) if self.read else frozenset()
        if not seeds:
            raise NotRecorded("no seed has all the runs that are compared")
        if len(self.read) > 1:
            self.note(f"only seeds {', '.join(map(str, sorted(seeds)))} have all the runs")
        return seeds

    def note(self, text: str) -> None:
        """Add a remark once."""
        if text not in self.notes:
            self.notes.append(text)

    def unfitted(self) -> str:
        """Where an RI-T was read: kinds of runs whose median did not fit its training set, in words, or ''.
        Shuffled runs need not, but the unshuffled one of their kind must."""
        short = []
        if all(run.init != "RI-T" for run in self.used):
            return ""
        for run in sorted({self._unshuffled(run) for run in self.used}, key=str):
            reached, metric = self._reached(run)
            if not np.median(reached) >= FITTED[metric]:
                short.append(f"{run} reached {np.median(reached):.3g} on its training images")
        return "; ".join(short) and f"runs that fit their training set ({'; '.join(short)})"

    def collapsed(self) -> str:
        """'2 of 10 collapsed' of the runs that were read, or ''."""
        ends = []
        for run in self.used if "domains" in self.tables else ():
            try:
                reached, metric = self._reached(run)
            except NotRecorded:  # a run of ours whose curve is no table's
                continue
            chance = float(self.rows("domains", uses=False, role=run.role).chance.iloc[0])
            ends += list(~(reached > chance + COLLAPSED * (PERFECT[metric] - chance)))
        return f"{sum(ends)} of {len(ends)} collapsed" if any(ends) else ""

    def _kinds(self, table: str, where: Mapping[str, object]) -> set[Runs]:
        """The kinds of runs in a selection."""
        key = ("kinds", table, *where.items())
        if key not in self.selected:
            frame = self._whole(table, where)
            if table == "finetuned":
                frame = frame.assign(init=np.where(frame.checkpoint > 0, "P-T", "RI-T"))
            place = [name for name in (PLACE.get(table),) if name]
            sides = [["role", "init", "rate", *place]] + [["role", "init_b", "rate_b"]] * ("init_b" in frame)
            kinds = {
                kind
                for side in sides
                for kind in frame[side].drop_duplicates().itertuples(index=False, name=None)
            }
            own = table if place else "learning_curves"
            self.selected[key] = {Runs(own, *kind) for kind in kinds if kind[1] != "P"}
        return self.selected[key]

    def _unshuffled(self, run: Runs) -> Runs:
        if run.table not in ("block_shuffle", "from_shuffled"):
            return run
        rows = self.rows(run.table, uses=False, role=run.role, init=run.init, block_fraction=1.0)
        return run._replace(rate=vocabulary.better_rate(rows), place=rows.block_size.iloc[0])

    def _reached(self, run: Runs) -> tuple[pd.Series, str]:
        """The training metric at the end, by seed: accuracy where it is recorded, AUC where only that is."""
        rows = vocabulary.at_last_epoch(self.rows(run.table, uses=False, split="train", **run.where))
        metric = "accuracy" if "accuracy" in set(rows.metric) else "auc"
        return by_seed(rows[rows.metric == metric]), metric


def by_seed(rows: pd.DataFrame) -> pd.Series:
    """Value by seed, sorted. Raises TlbookError if a seed has two (the selection was too wide)."""
    series = rows.set_index("seed").value.sort_index()
    if series.index.has_duplicates:
        raise TlbookError(f"Seed {series.index[series.index.duplicated()][0]} has more than one value.")
    return series
