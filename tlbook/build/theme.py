"""A Sphinx extension: what the theme's pages lack for readers who do not use a mouse or a screen, and for
those who are shown a link to them."""

from __future__ import annotations

import html
import re

from sphinx.application import Sphinx

# What names an element by other words than those on it (WCAG 2.5.3), or by a role that ARIA has withdrawn.
MISNAMED = re.compile(r' (aria-label="Toggle hidden content"|role="doc-biblioentry"|role="list")')
NO_HEAD = re.compile(r"<th(?: scope=['\"]col['\"])?></th>")
CARD = "_static/answers.png"  # drawn by tlbook.build.facts
DESCRIPTION = "Neyshabur, Sedghi and Zhang's study of transfer learning, made again from the beginning."


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Take from a page's body what misleads screen readers, and say in its head what a link to it shows."""
    context["body"] = NO_HEAD.sub("<td></td>", MISNAMED.sub("", context.get("body", "")))
    title = re.sub("<.*?>", "", context.get("title", ""))
    said = {"og:type": "article", "og:site_name": app.config.html_title, "og:title": title}
    said |= {"og:description": DESCRIPTION, "twitter:card": "summary_large_image"}
    if app.config.html_baseurl:
        address = app.config.html_baseurl.rstrip("/")
        said |= {"og:url": f"{address}/{pagename}.html", "og:image": f"{address}/{CARD}"}
    tags = [f'<meta property="{name}" content="{html.escape(text)}">' for name, text in said.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
