"""Records: what a scale's runs found, as sorted CSV tables with their provenance, read without torch.

``<folder>/<scale>/<question>/<table>.csv`` and ``provenance.json``; the default folder is the book's own.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tlbook import scales, tables
from tlbook.errors import TlbookError

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / "book" / "records"
WATCHED = ("tlbook", "pyproject.toml", "constraints.txt")  # what must be clean for a number to be repeatable


def folder(scale: str, question: str, root: Path = FOLDER) -> Path:
    """Where a question's records of a scale lie."""
    return Path(root) / scale / question


def recorded(question: str, table: str | None = None, root: Path = FOLDER) -> list[str]:
    """The scales that have records of a question (or of one table of it), the highest first."""
    wanted = f"{table}.csv" if table else "provenance.json"
    return [scale for scale in reversed(scales.SCALES) if (folder(scale, question, root) / wanted).exists()]


def load(scale: str, question: str, table: str, root: Path = FOLDER) -> pd.DataFrame:
    """One recorded table, checked against `tlbook.tables`. Raises TlbookError where it is not recorded."""
    known = tables.of_question(question)
    if table not in known:
        raise TlbookError(f"Question {question} has no table {table!r}; it has {', '.join(known)}.")
    path = folder(scale, question, root) / f"{table}.csv"
    if not path.exists():
        raise TlbookError(f"The table {table} of question {question} is not recorded at scale {scale} yet.")
    try:
        frame = pd.read_csv(path, dtype=known[table].dtypes, keep_default_na=False, na_values=["nan"])
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise TlbookError(f"The record {path} is not the table {table} ({reason}).") from error
    return tables.check(table, frame)


def load_all(scale: str, question: str, root: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """Every recorded table of a question at a scale, by name."""
    names = [n for n in tables.of_question(question) if (folder(scale, question, root) / f"{n}.csv").exists()]
    if not names:
        raise TlbookError(f"Question {question} is not recorded at scale {scale} yet.")
    return {name: load(scale, question, name, root) for name in names}


def load_scale(scale: str, root: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """Every recorded table of every question at a scale, by name; refused where there is none."""
    found = {}
    for question in tables.QUESTIONS:
        if scale in recorded(question, root=root):
            found |= load_all(scale, question, root)
    if not found:
        how = f"tlbook reproduce --scale {scale} --record book"
        raise TlbookError(f"Scale {scale} has no records in {root}; `{how}` makes them.")
    return found


def provenance(scale: str, question: str, root: Path = FOLDER) -> dict:
    """How a question's records were made: commit, device, runs, digests, wall time."""
    path = folder(scale, question, root) / "provenance.json"
    if not path.exists():
        raise TlbookError(f"Question {question} is not recorded at scale {scale} yet.")
    return json.loads(path.read_text())


def write(
    scale: str, question: str, found: Mapping[str, pd.DataFrame], made: Mapping, root: Path = FOLDER
) -> Path:
    """Write a question's tables and provenance, all or none; earlier records of it are replaced whole."""
    known = tables.of_question(question)
    if foreign := sorted(set(found) - set(known)):
        raise TlbookError(f"Question {question} has no table {foreign[0]!r}; it has {', '.join(known)}.")
    final = folder(scale, question, root)
    partial, old = (final.with_name(f".{question}.{os.getpid()}.{name}") for name in ("new", "old"))
    try:
        partial.mkdir(parents=True)
        for name, frame in found.items():
            in_order = tables.in_order(name, tables.check(name, frame))
            in_order.to_csv(partial / f"{name}.csv", index=False, float_format="%.6g", na_rep="nan")
        (partial / "provenance.json").write_text(json.dumps(dict(made), indent=1) + "\n")
        if final.exists():
            final.rename(old)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
    return final


def digest(*paths: Path) -> str:
    """SHA-256 over files, and over the Python and JSON files in folders (names and contents)."""
    whole = hashlib.sha256()
    for path in paths:
        sources = sorted(file for file in path.rglob("*") if file.suffix in {".py", ".json"})
        for file in [path] if path.is_file() else sources:
            name = file.relative_to(path.parent).as_posix()
            whole.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()


def code_state(commit: str = "") -> dict:
    """Commit (from git, or as given), whether the watched files were clean, digests of the sources."""
    package = REPOSITORY / "tlbook"
    state = {"package_digest": digest(package), "claims_digest": digest(package / "claims")}
    if commit:
        return {"commit": commit, "clean": None, **state}
    try:
        _git("ls-files", "--error-unmatch", "tlbook/records.py")  # else it is another project's repository
        head = _git("rev-parse", "HEAD")
        return {"commit": head, "clean": not _git("status", "--porcelain", "--", *WATCHED), **state}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "clean": None, **state}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=True
    ).stdout.strip()
