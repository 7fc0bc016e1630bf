"""What our extensions add to rendered pages, on a small book in a clone of a made-up repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook

from tlbook.build import docstrings, render, stage, theme

ROOT = Path(__file__).parents[1]
TEXT = """# A page

P-T and P-T again; XP is no word of ours, `CKA` is code,
and [RI-T](https://arxiv.org/abs/2008.11687) a link already.

## P

An AUC of 0.5.
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """The folder of pages of a book with this book's configuration, from a clone of github.com/ours/book."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("book/_static", "book/_templates"):
        shutil.copytree(ROOT / name, tree / name)
    for name in ("_config.yml", "book/glossary.md", "book/references.bib"):
        shutil.copy(ROOT / name, tree / name)
    (tree / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: book/glossary\n- file: notebooks/01_a\n"
    )
    (tree / "book" / "intro.md").write_text(TEXT)
    staged = tree / "_build" / "smoke"
    (staged / "notebooks").mkdir(parents=True)
    (tree / "notebooks").mkdir()
    made = new_notebook(cells=[new_markdown_cell("# A notebook")])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, tree / "notebooks" / "01_a.ipynb")
    stage.stage(tree, "smoke")
    nbformat.write(made, staged / "notebooks" / "01_a.ipynb")
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    origin = ["git", "-C", str(tree), "remote", "add", "origin", "git@github.com:Ours/book.git"]
    subprocess.run(origin, check=True)
    return render.render(staged, lambda line: None).parent


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def test_the_first_use_of_a_word_leads_to_the_glossary_and_says_what_it_means(pages):
    found = soup(pages / "book" / "intro.html").select("a.tlb-term")
    assert [link.text for link in found] == ["P-T", "AUC"]
    path, _, place = found[0]["href"].partition("#")
    assert soup(pages / "book" / path).find(id=place).text.startswith("P-T")
    assert found[0]["title"] == "P, trained further on a target: a fine-tuned network."
    assert not soup(pages / "book" / "glossary.html").select("a.tlb-term")


def test_buttons_open_the_source_notebook_of_the_repository(pages):
    links = {link["href"] for link in soup(pages / "notebooks" / "01_a.html").find_all("a", href=True)}
    at = r"Ours/book/(blob/)?[\w./-]+"
    for wanted in (
        rf"https://mybinder\.org/v2/gh/{at}\?urlpath=lab/tree/notebooks/01_a\.ipynb",
        rf"https://colab\.research\.google\.com/github/{at}/notebooks/01_a\.ipynb",
        r"https://github\.com/Ours/book",
    ):
        assert any(re.fullmatch(wanted, link) for link in links), wanted


def test_a_link_to_a_page_has_a_title_and_a_picture(pages):
    head = soup(pages / "book" / "intro.html").head
    said = {one["property"]: one["content"] for one in head.find_all("meta", property=True)}
    assert said["og:title"] == "A page"
    assert said["og:image"] == "https://ours.github.io/book/_static/card.png"
    assert (pages / "_static" / "card.png").read_bytes()[16:24] == (1200).to_bytes(4) + (630).to_bytes(4)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://github.com/a/b.git", ("a", "b")),
        ("https://github.com/a/b-c.d/", ("a", "b-c.d")),
        ("/somewhere/a/b", None),
        ("https://example.org/a/b", None),
    ],
)
def test_only_github_is_a_repository_that_buttons_know(tmp_path, address, known):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert theme.repository(str(tmp_path)) is None
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", address], check=True)
    assert theme.repository(str(tmp_path)) == known


def test_docstrings_keep_their_code_and_lose_nothing_else():
    lines = ["|x| and y_ and `a_` and *", "nothing"]
    docstrings.plain(None, "function", "f", None, {}, lines)
    assert lines == [r"\|x\| and y\_ and `a_` and \*", "nothing"]
