"""What a question is: its name, its page, its tables, and where its study is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tlbook import tables
from tlbook.errors import TlbookError
from tlbook.tables import Table


@dataclass(frozen=True)
class Question:
    """One question of the book, made in the ``__init__.py`` of its room.

    ``number`` orders the book ("1", "1b", "2"), ``notebook`` is its page's file without ending, ``folder``
    its room. ``study`` imports and returns the module that runs it (with it torch): ``runs(scale, targets,
    seeds)`` lists the runs that it reads, ``tables(scale, targets, seeds, **how)`` trains what is missing and
    returns its tables by name. ``claims`` are the paper's on it (`tlbook.evidence.statements.Claim`).
    """

    name: str
    number: str
    title: str
    notebook: str
    folder: Path
    study: Callable[[], ModuleType]
    claims: tuple = ()

    @functools.cached_property
    def tables(self) -> Mapping[str, Table]:
        """Its tables by name, as ``tables.toml`` says."""
        return tables.read(self.folder / "tables.toml")

    def table(self, name: str) -> Table:
        """One of its tables; a name that it does not have is refused."""
        if name not in self.tables:
            there = ", ".join(self.tables)
            raise TlbookError(f"Question {self.name} has no table {name!r}; it has {there}.")
        return self.tables[name]
