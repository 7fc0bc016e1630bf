"""Render the staged folder with Jupyter Book; any warning is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tlbook.errors import TlbookError


def command(staged: Path) -> list[str]:
    """Warnings are errors (-W), broken references are warnings (-n), all are listed (--keep-going)."""
    call = [sys.executable, "-c", "import sys; from jupyter_book.cli.main import main; sys.exit(main())"]
    return [*call, "build", str(staged), "-W", "-n", "--keep-going", "--quiet"]


def render(staged: Path, say: Callable[[str], None] = print) -> Path:
    """Write ``_build/html`` under ``staged`` and return its index.html; TlbookError when Sphinx complains."""
    say("Rendering the pages ...")
    # From scratch (seconds): Sphinx does not repeat the warnings of pages that it takes from its cache.
    shutil.rmtree(staged / "_build", ignore_errors=True)
    done = subprocess.run(command(staged), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    index = staged / "_build" / "html" / "index.html"
    if done.returncode or not index.exists():
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise TlbookError(f"{said}\nJupyter Book could not render {staged} without a warning (see above).")
    return index
