"""A repository of one page and one notebook, for the book's build."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
DECLARED = 'scale: str = "laptop"  # which scale\nresults: str = "records"'
CONFIG = "title: x\nauthor: y\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
TOC = "format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/01_a\n"


def notebook(*cells: str, parameters: str | None = DECLARED):
    """A clean notebook: a title, a parameters cell unless None, and code cells."""
    first = [] if parameters is None else [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    body = [new_markdown_cell("# A page"), *first, *map(new_code_cell, cells)]
    return new_notebook(cells=body, metadata=KERNEL)


def repository(folder: Path, *cells: str) -> Path:
    """What a build needs, in a folder; its notebook runs the cells."""
    for name in ("book/records", "notebooks", "tlbook/evidence"):
        (folder / name).mkdir(parents=True)
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text(TOC)
    (folder / "book" / "intro.md").write_text("# Intro\n")
    (folder / "tlbook" / "code.py").write_text("a = 1\n")
    (folder / "tlbook" / "evidence" / "paper.json").write_text("{}\n")
    nbformat.write(notebook(*(cells or ["print(scale, results)"])), folder / "notebooks" / "01_a.ipynb")
    return folder
