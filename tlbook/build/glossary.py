"""A Sphinx extension: the first time a page uses a word of the glossary, it links there and says on pointing
at it what it means. Pages need no markup for it, so notebooks read as well elsewhere."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

PAGE = "book/glossary"
OTHER = (PAGE, "book/api")  # pages that use these words as words of the code
SKIPPED = (
    nodes.title,
    nodes.literal,
    nodes.literal_block,
    nodes.reference,
    nodes.raw,
    nodes.math,
    nodes.caption,
)


def meanings(doctree: nodes.document) -> dict[str, tuple[str, str]]:
    """The words of the glossary's page, longest first: their id there and what they mean."""
    found = {}
    for item in doctree.findall(nodes.definition_list_item):
        term, definition = item[0], item[-1]
        found[term.astext()] = (term["ids"][0], " ".join(definition.astext().split()))
    return dict(sorted(found.items(), key=lambda entry: -len(entry[0])))


def link_first_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn the first use of each word in running text into a link."""
    if PAGE not in app.env.found_docs or docname in OTHER:
        return
    left = meanings(app.env.get_doctree(PAGE))
    page = app.builder.get_relative_uri(docname, PAGE)
    for text in list(doctree.findall(nodes.Text)):
        if left and not _within(text, SKIPPED):
            _link(text, left, page)


def _within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node is not None and not isinstance(node, kinds):
        node = node.parent
    return node is not None


def _link(text: nodes.Text, left: dict[str, tuple[str, str]], page: str) -> None:
    """Replace a text by its pieces, those that are words of ``left`` linked and taken from it."""
    words = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, left)) + r")(?![\w-])")
    pieces, begin, whole = [], 0, text.astext()
    for match in words.finditer(whole):
        if match[1] not in left:
            continue
        place, meaning = left.pop(match[1])
        link = nodes.reference("", match[1], internal=True, refuri=f"{page}#{place}", reftitle=meaning)
        link["classes"].append("tlb-term")
        pieces += [nodes.Text(whole[begin : match.start()]), link]
        begin = match.end()
    if pieces:
        text.parent.replace(text, [*pieces, nodes.Text(whole[begin:])])


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", link_first_uses)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
