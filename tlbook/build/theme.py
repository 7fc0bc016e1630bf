"""A Sphinx extension: what the theme's pages lack for readers who do not use a mouse or a screen."""

from __future__ import annotations

from sphinx.application import Sphinx

# Roles that docutils and bibtex give to references, which ARIA has withdrawn or which miss their children.
WITHDRAWN = (' role="doc-biblioentry"', ' role="list"')


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Take roles that no longer mean anything from a page's body."""
    for role in WITHDRAWN:
        context["body"] = context.get("body", "").replace(role, "")


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
