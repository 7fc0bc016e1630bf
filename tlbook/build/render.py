"""Render the staged folder with Jupyter Book; any warning is an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tlbook.errors import TlbookError

# Jupyter Book, which ends with the process that holds the other end of its standard input, however that ends.
PROGRAM = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from jupyter_book.cli.main import main
sys.exit(main())
"""


def command(staged: Path, output: Path) -> list[str]:
    """Warnings are errors (-W), broken references are warnings (-n), all are listed (--keep-going)."""
    call = [sys.executable, "-c", PROGRAM, "build", str(staged), "--path-output", str(output)]
    return [*call, "-W", "-n", "--keep-going", "--quiet"]


def render(staged: Path, say: Callable[[str], None] = print) -> Path:
    """Write ``_build/html`` under ``staged`` and return its index.html; TlbookError when Sphinx complains.

    The pages that were there stay until all new ones are.
    """
    say("Rendering the pages ...")
    pages = staged / "_build" / "html"
    new, old = pages.with_name("new"), pages.with_name("old")
    if old.exists() and not pages.exists():  # the last build was killed between the two renames below
        old.rename(pages)
    _remove(new, old)  # from scratch (seconds): Sphinx does not repeat warnings of pages that it had before
    try:
        with _held() as stdin:
            done = subprocess.run(command(staged, new), stdin=stdin, capture_output=True, text=True)
        made = new / "_build" / "html"
        if done.returncode or not (made / "index.html").exists():
            said = f"{done.stdout}\n{done.stderr}".strip()
            why = f"Jupyter Book could not render {staged} without a warning (see above)."
            raise TlbookError(f"{said}\n{why}")
        if pages.exists():
            pages.rename(old)
        made.rename(pages)
    finally:
        _remove(new)
    _remove(old)
    return pages / "index.html"


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held() -> Iterator[int]:
    """A standard input for a child, in which nothing is written; it ends with this process."""
    heard, held = os.pipe()
    try:
        yield heard
    finally:
        os.close(heard)
        os.close(held)
