"""The folder that a book is built in: ``_build/<scale>/``, a copy of the book's sources."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tlbook import scales
from tlbook.errors import TlbookError

FILES = ("_config.yml", "_toc.yml")


def mode_of(root: Path, scale: str) -> str:
    """``results`` of the notebooks: "run" at smoke, "records" elsewhere.

    Refused when the scale does not exist, or when nothing was recorded at a scale that needs records.
    """
    scales.get(scale)
    if scale == "smoke":
        return "run"
    if not any((root / "book" / "records" / scale).glob("*/*.csv")):
        raise TlbookError(
            f"Nothing is recorded at scale {scale!r} (book/records/{scale} holds no table): "
            f"write records with `tlbook reproduce --scale {scale} --record book`, or build SCALE=smoke."
        )
    return "records"


def folder(root: Path, scale: str) -> Path:
    """``root/_build/<scale>``, made if it is not there; refused where ``root`` is not the repository."""
    missing = [name for name in (*FILES, "book", "notebooks") if not (root / name).exists()]
    if missing:
        raise TlbookError(f"{root} is not the root of the repository: it has no {', '.join(missing)}.")
    staged = root / "_build" / scale
    staged.mkdir(parents=True, exist_ok=True)
    return staged


@contextmanager
def alone(root: Path, scale: str, say: Callable[[str], None] = print) -> Iterator[None]:
    """Be the only process that builds a scale: wait for another one, and say so."""
    lock = FileLock(folder(root, scale) / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"Another build of scale {scale} is at work: waiting until it ends ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def stage(root: Path, scale: str) -> Path:
    """Copy the sources of ``root`` into ``root/_build/<scale>`` and return that folder.

    Notebooks are not copied, since Papermill writes executed ones there; these stay as long as their source
    exists.
    """
    staged = folder(root, scale)
    (staged / "notebooks").mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy2(root / name, staged / name)
    shutil.rmtree(staged / "book", ignore_errors=True)
    shutil.copytree(root / "book", staged / "book", ignore=shutil.ignore_patterns(".*", "__*"))
    sources = {path.name for path in notebooks(root)}
    for path in notebooks(staged):
        if path.name not in sources:
            path.unlink()
    return staged


def notebooks(folder: Path) -> list[Path]:
    """The notebooks of a tree, in the order of their names, which is the order of the book."""
    return sorted((folder / "notebooks").glob("*.ipynb"))
