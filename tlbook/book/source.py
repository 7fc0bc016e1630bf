"""The source of the functions that a page is about, read from their files: folded, coloured, never a copy.

Nothing is imported for it, so that pages of records show it without torch.
"""

from __future__ import annotations

import ast
import html
from dataclasses import dataclass
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tlbook.code_state import REPOSITORY
from tlbook.errors import TlbookError
from tlbook.question import Question


@dataclass(frozen=True)
class Source:
    """A function (or class, or ``Class.method``): where it stands, and its text."""

    path: Path
    name: str
    line: int
    text: str


def of(question: Question, made_by: str) -> Source:
    """The source of ``file:function``: a file of the question's room, or from the repository's root if it
    begins with ``tlbook/``. Raises TlbookError where there is no such function."""
    file, _, name = made_by.partition(":")
    path = (REPOSITORY if file.startswith("tlbook/") else question.folder) / file
    node: ast.AST | None = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else None
    for part in name.split("."):
        inner = getattr(node, "body", [])
        node = next((one for one in inner if getattr(one, "name", None) == part), None)
    if node is None:
        raise TlbookError(f"There is no function {name!r} in {path}.")
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = path.read_text(encoding="utf-8").splitlines()[first - 1 : node.end_lineno]
    return Source(path, name, first, "\n".join(lines))


def anchor(table: str) -> str:
    """The id on a page of the source of what makes a table."""
    return f"code-{table}"


@dataclass(frozen=True)
class Code:
    """The functions that make some tables of a question, folded, each with its file and line."""

    question: Question
    tables: tuple[str, ...]

    def _repr_html_(self) -> str:
        by_source: dict[str, list[str]] = {}
        for table in self.tables:
            by_source.setdefault(self.question.table(table).made_by, []).append(table)
        return "".join(self._one(made_by, tables) for made_by, tables in by_source.items())

    def _one(self, made_by: str, tables: list[str]) -> str:
        source = of(self.question, made_by)
        where = source.path
        where = where.relative_to(REPOSITORY) if where.is_relative_to(REPOSITORY) else where
        name = f"<code>{html.escape(source.name)}</code>"
        words = f"The code: {name}, in {html.escape(str(where))}, line {source.line}"
        ids = "".join(f"<span id='{anchor(table)}'></span>" for table in tables)
        coloured = highlight(source.text, PythonLexer(), HtmlFormatter(cssclass="highlight"))
        return f"{ids}<details class='tlb-code'><summary>{words}</summary>{coloured}</details>"
