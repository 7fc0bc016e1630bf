"""A Sphinx extension: docstrings are text with `code` in backticks; what else reStructuredText would see is
escaped."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

CODE_OR_MARKUP = re.compile(r"(`[^`]*`)|([|*\\])|(?<=\w)(_)(?!\w)")


def plain(app: Sphinx, what: str, name: str, obj: object, options: dict, lines: list[str]) -> None:
    """Escape bars, asterisks, backslashes and underscores at the end of a word, outside of code."""
    lines[:] = [CODE_OR_MARKUP.sub(lambda m: m[1] or f"\\{m[2] or m[3]}", line) for line in lines]


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", plain)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
