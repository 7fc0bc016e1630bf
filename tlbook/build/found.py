"""A Sphinx extension: what prose says of our results is held to what was judged.

``{verdict}`16 reproduced` `` prints the mark and number of a claim and links to the scorecard; it is a
warning, hence an error of the build, when rules 1 said otherwise of seeds 0 to 2, so that no sentence
outlives its evidence. ``{ours}`claim 16, part 1` `` prints our value of that part with its interval.
``{claims}`claims 1 and 7 to 10` `` links each number to its row of the scorecard."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from tlbook.book import scorecard
from tlbook.book.pages import mark
from tlbook.errors import TlbookError
from tlbook.evidence import statements

SCORECARD = "notebooks/06_scorecard"


def said(text: str) -> str:
    """'16 reproduced' to '✓ claim 16', unbreakable; TlbookError when the records say otherwise."""
    match = re.fullmatch(r"(\d+) (.+)", text.strip())
    if not match or match[2] not in scorecard.BEFORE:
        raise TlbookError(f"{text!r} is not a claim's number and a verdict ({', '.join(scorecard.BEFORE)}).")
    number = int(match[1])
    judged = scorecard.verdict_before(number)
    if judged != match[2]:
        raise TlbookError(f"The prose calls claim {number} {match[2]!r}; rules 1 called it {judged!r}.")
    return f"{mark(judged)}\N{NO-BREAK SPACE}claim\N{NO-BREAK SPACE}{number}"


def ours(text: str) -> str:
    """'claim 16, part 1' to our value of it with its 95 % interval, '1.34 (1.2 to 1.5)'."""
    match = re.fullmatch(r"claim (\d+), part (\d+)", text.strip())
    if not match:
        raise TlbookError(f"{text!r} is not a claim's part, such as 'claim 16, part 1'.")
    row = scorecard.part_before(int(match[1]), int(match[2]))
    return f"{row.value:.3g} ({statements.interval(row)})"


def pieces(text: str) -> list[tuple[str, int | None]]:
    """'claims 7 to 10' to [('claims ', None), ('7', 7), (' to ', None), ('10', 10)]; each must be a claim."""
    found = [(piece, int(piece) if piece.isdigit() else None) for piece in re.split(r"(\d+)", text) if piece]
    numbers = [number for _, number in found if number is not None]
    if not numbers:
        raise TlbookError(f"{text!r} names no claim, as 'claims 1 and 7 to 10' does.")
    for number in numbers:
        scorecard.claim(number)
    return found


class VerdictRole(SphinxRole):
    def run(self):
        number = self.text.split()[0] if self.text.split() else ""
        return _checked(self, lambda: [_link(self, said(self.text), number)])


class OursRole(SphinxRole):
    def run(self):
        return _checked(self, lambda: [nodes.Text(ours(self.text))])


class ClaimsRole(SphinxRole):
    def run(self):
        return _checked(
            self,
            lambda: [
                nodes.Text(text) if number is None else _link(self, text, number)
                for text, number in pieces(self.text)
            ],
        )


def _link(role: SphinxRole, words: str, number: int | str) -> nodes.Node:
    """A link to a claim's row of the scorecard."""
    page = role.env.app.builder.get_relative_uri(role.env.docname, SCORECARD)
    link = nodes.reference(internal=True, refuri=f"{page}#{scorecard.row_id(number)}")
    link += nodes.inline("", words, classes=["tlb-verdict"])
    return link


def _checked(role: SphinxRole, make):
    try:
        return make(), []
    except TlbookError as error:
        message = role.inliner.reporter.warning(str(error), line=role.lineno)
        return [role.inliner.problematic(role.rawtext, role.rawtext, message)], [message]


def setup(app: Sphinx) -> dict:
    app.add_role("verdict", VerdictRole())
    app.add_role("ours", OursRole())
    app.add_role("claims", ClaimsRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
