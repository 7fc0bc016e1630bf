"""Which code this is: its commit, whether that is clean, and digests of its parts."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHOWING = (
    "__main__.py", "agreement.py", "build", "claims", "cli.py", "explorer.py", "figures", "pages.py",
    "paper.json", "paper.py", "parameters.py", "plan.py", "scorecard.py",
)  # fmt: skip
WATCHED = ("tlbook", "pyproject.toml", "constraints.txt")  # what must be clean for a number to be repeatable


def digest(*paths: Path) -> str:
    """SHA-256 over files, and over the Python and JSON files in folders (names and contents)."""
    whole = hashlib.sha256()
    for path in paths:
        sources = sorted(file for file in path.rglob("*") if file.suffix in {".py", ".json"})
        for file in [path] if path.is_file() else sources:
            name = file.relative_to(path.parent).as_posix()
            whole.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()


def measuring(package: Path) -> list[Path]:
    """The modules of the package that train and measure: all but those that show, judge, or take orders."""
    return sorted(path for path in package.iterdir() if path.name not in {*SHOWING, "__pycache__"})


def current(commit: str = "") -> dict:
    """Commit (from git, or as given), whether the watched files were clean, digests of the sources: of all,
    of what trains and measures (`measuring`), of what judges."""
    package = REPOSITORY / "tlbook"
    state = {
        "package_digest": digest(package),
        "measuring_digest": digest(*measuring(package)),
        "claims_digest": digest(package / "claims"),
    }
    if commit:
        return {"commit": commit, "clean": None, **state}
    try:
        _git("ls-files", "--error-unmatch", "tlbook/records.py")  # else it is another project's repository
        head = _git("rev-parse", "HEAD")
        return {"commit": head, "clean": not _git("status", "--porcelain", "--", *WATCHED), **state}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "clean": None, **state}


@functools.cache
def measuring_digest() -> str:
    """The digest of what trains and measures, as it was when this process first asked."""
    return digest(*measuring(REPOSITORY / "tlbook"))


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=True
    ).stdout.strip()
