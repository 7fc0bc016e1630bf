"""The questions of the book, a room each: method, study, tables, statements, figures.

A room is a folder here whose ``__init__.py`` makes a `Question` called ``QUESTION``; nothing else lists them.
"""

from __future__ import annotations

import importlib
import pkgutil

from tlbook.errors import TlbookError
from tlbook.question import Question
from tlbook.tables import Table


def every() -> dict[str, Question]:
    """All questions by name, in the book's order (no torch)."""
    rooms = [name for _, name, is_room in pkgutil.iter_modules(__path__) if is_room]
    modules = [importlib.import_module(f"{__name__}.{room}") for room in rooms]
    found = [module.QUESTION for module in modules if hasattr(module, "QUESTION")]
    return {question.name: question for question in sorted(found, key=lambda question: question.number)}


def get(name: str) -> Question:
    """The question of that name; one that does not exist is refused, naming those that do."""
    known = every()
    if name not in known:
        raise TlbookError(f"There is no question {name!r}; choose from {', '.join(known)}.")
    return known[name]


def tables() -> dict[str, Table]:
    """The tables of all questions by name; no two have one of the same name."""
    return {name: table for question in every().values() for name, table in question.tables.items()}


def claims() -> tuple:
    """The paper's claims on all questions, in their order."""
    return tuple(claim for question in every().values() for claim in question.claims)
