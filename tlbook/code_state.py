"""Which code this is: its commit, whether that is clean, and digests of its parts."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Of the package: what shows, judges, takes orders.
SHOWING = ("book", "build", "evidence", "cli.py", "__main__.py")
TRAINING = ("data", "models", "training", "metrics.py")  # what a run's weights and history come from
SHOWING_IN_A_ROOM = ("statements", "summaries", "figures", "__init__")  # and of each question's room
# Rooms that ask other rooms' questions again, by their functions: what measures those measures these.
ASKS = {
    "another_p": ("differences", "loss_landscape", "checkpoints"),
    "parting": ("loss_landscape",),
}
WATCHED = ("tlbook", "pyproject.toml", "constraints.txt")  # what must be clean for a number to be repeatable


def sources(package: Path) -> list[Path]:
    """The files of the package that are code, or data that code reads: Python, JSON and TOML."""
    return sorted(file for file in package.rglob("*") if file.suffix in {".py", ".json", ".toml"})


def digest(files: Iterable[Path], root: Path) -> str:
    """SHA-256 over the files' paths in ``root`` and their contents."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()


def measuring(package: Path, question: str = "") -> list[Path]:
    """The files of the package that train and measure, by folder: not what shows, judges, or takes orders;
    for one question, without the rooms that it does not ask (no room imports another but the setup's, and
    those of `ASKS`)."""
    places = {file: file.relative_to(package).parts for file in sources(package)}
    return [file for file, place in places.items() if not _shows(place) and _concerns(place, question)]


def training(package: Path) -> list[Path]:
    """The files of the package that a run's numbers come from; how long it trains and on what is in its
    spec."""
    return [file for file in sources(package) if file.relative_to(package).parts[0] in TRAINING]


def _concerns(place: tuple[str, ...], question: str) -> bool:
    of_a_room = place[0] == "questions" and len(place) > 2
    return not (question and of_a_room) or place[1] in (question, "setup", *ASKS.get(question, ()))


def _shows(place: tuple[str, ...]) -> bool:
    in_a_room = place[0] == "questions" and len(place) > 2
    return place[0] in SHOWING or (in_a_room and place[2].removesuffix(".py") in SHOWING_IN_A_ROOM)


def current(commit: str = "", question: str = "") -> dict:
    """Commit (from git, or as given), whether the watched files were clean, digests of the code: of all of
    it, of what trains and measures a question (`measuring`), and of what trains (`training`)."""
    package = REPOSITORY / "tlbook"
    state = {
        "package_digest": digest(sources(package), package),
        "measuring_digest": digest(measuring(package, question), package),
        "training_digest": digest(training(package), package),
    }
    if commit:
        return {"commit": commit, "clean": None, **state}
    try:
        _git("ls-files", "--error-unmatch", "tlbook/code_state.py")  # else it is another project's repository
        head = _git("rev-parse", "HEAD")
        return {"commit": head, "clean": not _git("status", "--porcelain", "--", *WATCHED), **state}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "clean": None, **state}


@functools.cache
def training_digest() -> str:
    """The digest of what trains, as it was when this process first asked."""
    package = REPOSITORY / "tlbook"
    return digest(training(package), package)


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=True
    ).stdout.strip()
