"""What prose says of our results, and whom it cites: Markdown links, whose words come from the records.

An author writes ``{verdict}`16a reproduced` ``, ``{ours}`16a` `` (our value of that statement with its
interval) or ``{ours}`16a on real` `` (of that target alone), ``{claims}`claims 1 and 7 to 10` `` or
``{cite:p}`zhang2018mixup` `` (``cite:t`` in a sentence). Of rules 1 and the pilot there are
``{verdict}`16 inconclusive` `` and ``{ours}`claim 16, part 1` ``.
``make prose`` puts links in their place, to the scorecard and to what is cited, which read well everywhere:
in Jupyter, in what Papermill writes, in the book. Run again, it brings values up to date. The build and a
test refuse a page whose words are not those of the records, so that no sentence outlives its evidence.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text
from sphinx.application import Sphinx
from sphinx.util import logging

from tlbook import questions
from tlbook.book import scorecard
from tlbook.book.pages import mark
from tlbook.code_state import REPOSITORY
from tlbook.errors import TlbookError, door
from tlbook.evidence import statements

SCORECARD = "notebooks/06_scorecard"
ROLE = re.compile(r"\{(ours|verdict|claims|cite:t|cite:p)\}`([^`]+)`")
LINK = re.compile(r'\[[^\]]*\]\((\S*)#claim-\d+ "([^"]+)"\)')  # a value or a verdict; its title says of what
REFERENCE = re.compile(r'\]\((\S+) "([^"]+)"\)')  # a link with a title, which may be a paper's
PART = re.compile(r"claim (\d+), part (\d+)")  # of rules 1
VALUE = re.compile(r"(\d+[a-z])(?: on (\w+))?")
VERDICT = re.compile(r"(\d+)([a-z]?) (.+)")


def said(text: str) -> str:
    """'16a reproduced' to '✓ 16a' and, of rules 1, '16 inconclusive' to '? claim 16', unbreakable;
    TlbookError when the records say otherwise."""
    match = VERDICT.fullmatch(text.strip())
    known = statements.VERDICTS if match and match[2] else scorecard.BEFORE
    if not match or match[3] not in known:
        raise TlbookError(
            f"{text!r} is not a claim's or statement's number and a verdict ({', '.join(known)})."
        )
    rules, name = ("rules 2", match[1] + match[2]) if match[2] else ("rules 1", f"claim {match[1]}")
    judged = scorecard.verdict(name) if match[2] else scorecard.verdict_before(int(match[1]))
    if judged != match[3]:
        raise TlbookError(f"The prose calls {name} {match[3]!r}; {rules} called it {judged!r}.")
    return f"{mark(judged)} {name}".replace(" ", "\N{NO-BREAK SPACE}")


def ours(text: str) -> str:
    """'16a' or '16a on real' to our value of it with its 95 % interval, '1.34 (1.2 to 1.5)'; of rules 1,
    'claim 16, part 1'."""
    if match := PART.fullmatch(text.strip()):
        row = scorecard.part_before(int(match[1]), int(match[2]))
        return f"{row.value:.3g} ({statements.interval(row)})"
    if match := VALUE.fullmatch(text.strip()):
        found = scorecard.on_target(match[1], match[2] or "")
        return f"{found.value:.3g} ({statements.between(*found.interval())})"
    raise TlbookError(f"{text!r} is not a statement, such as '16a' or '16a on real'.")


def resolved(text: str, page: str = f"../{SCORECARD}.ipynb") -> str:
    """Markdown with links in the place of roles, and the words of such links as the records have them now.

    ``page`` is the way to the scorecard. Raises TlbookError where prose says what the records do not, or
    names what is not there.
    """
    linked = ROLE.sub(lambda match: _in_place_of(match[1], match[2], page), text)
    linked = LINK.sub(lambda match: _link(match[2], match[1]), linked)
    known = {_plain(entry.fields["title"]): entry for entry in _bibliography().entries.values()}
    return REFERENCE.sub(lambda m: f']({_address(known[m[2]])} "{m[2]}")' if m[2] in known else m[0], linked)


def _in_place_of(role: str, text: str, page: str) -> str:
    if role.startswith("cite:"):
        return _cited([key.strip() for key in text.split(",")], role == "cite:p")
    if role == "claims":
        linked, count = re.subn(r"\d+", lambda number: _claim(int(number[0]), page), text)
        if not count:
            raise TlbookError(f"{text!r} names no claim, as 'claims 1 and 7 to 10' does.")
        return linked
    return _link(text, page)


def _claim(number: int, page: str) -> str:
    scorecard.claim(number)  # refuses
    return f"[{number}]({page}#{scorecard.row_id(number)})"


def _link(text: str, page: str) -> str:
    words = (ours if PART.fullmatch(text) or VALUE.fullmatch(text) else said)(text)
    return f'[{words}]({page}#{scorecard.row_id(re.search(r"[0-9]+", text)[0])} "{text}")'


@cache
def _bibliography() -> BibliographyData:
    return parse_file(REPOSITORY / "book" / "references.bib")


def _cited(keys: list[str], in_brackets: bool) -> str:
    """References by author and year, linked to where they can be read."""
    known = _bibliography().entries
    for key in keys:
        if key not in known:
            raise TlbookError(f"There is no reference {key!r} in book/references.bib.")
    year = ", {}" if in_brackets else " ({})"
    links = [
        f'[{_authors(one)}{year.format(one.fields["year"])}]({_address(one)} "{_plain(one.fields["title"])}")'
        for one in map(known.get, keys)
    ]
    return f"({'; '.join(links)})" if in_brackets else ", ".join(links)


def _authors(entry: Entry) -> str:
    names = [_plain(" ".join(person.prelast_names + person.last_names)) for person in entry.persons["author"]]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def _address(entry: Entry) -> str:
    doi = entry.fields.get("doi")
    return f"https://doi.org/{doi}" if doi else entry.fields.get("url", "../book/references.md")


def _plain(latex: str) -> str:
    return str(Text.from_latex(latex))


# The sources


def sources(root: Path) -> list[Path]:
    """The pages of the book in a tree: notebooks and prose."""
    return sorted([*(root / "notebooks").glob("*.ipynb"), *(root / "book").glob("*.md")])


def updated(path: Path) -> str:
    """The text of a page's file, with the Markdown in it `resolved`."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return resolved(text)
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = resolved(cell.source, f"{Path(SCORECARD).name}.ipynb")
    return nbformat.writes(notebook) + "\n"


def main(root: Path = REPOSITORY) -> None:
    """Bring all pages of a tree up to date, and name those that changed."""
    for path in sources(root):
        new = updated(path)
        if new != path.read_text(encoding="utf-8"):
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(root))


# The book


def _refuse_stale(app: Sphinx, name: str, source: list[str]) -> None:
    """Warn, which fails the build, of a page that is not up to date."""
    try:
        cells = [source[0]]
        if app.env.doc2path(name).endswith(".ipynb"):
            found = nbformat.reads(source[0], as_version=4).cells
            cells = [cell.source for cell in found if cell.cell_type == "markdown"]
        if any(resolved(cell) != cell for cell in cells):
            raise TlbookError("Values or references in prose are not up to date: `make prose` does it.")
    except TlbookError as error:
        logging.getLogger(__name__).warning("%s", error, location=name)


def _know_claims(app: Sphinx, env: object) -> None:
    """Tell MyST the places in the scorecard that links lead to, which are in what a cell shows."""
    slugs = env.metadata.get(SCORECARD, {}).setdefault("myst_slugs", {})
    for claim in questions.claims():
        place = scorecard.row_id(claim.number)
        slugs[place] = (0, place, "")


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _refuse_stale)
    app.connect("env-check-consistency", _know_claims)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    with door():
        main()
