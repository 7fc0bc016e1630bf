"""Why a notebook is executed or reused: a digest of everything that its output depends on."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path

PAPER = "paper.json"
LIBRARIES = ("torch", "numpy", "pandas", "scipy", "matplotlib", "seaborn", "papermill")


def key(root: Path, notebook: Path, parameters: dict) -> dict[str, str]:
    """Named digests of what determines the executed notebook; equal keys mean that it can be reused.

    The names are the words that the build prints when one of them differs.
    """
    package = root / "tlbook"
    return {
        "source": digest_files([notebook], root),
        "parameters": digest_text(json.dumps(parameters, sort_keys=True)),
        "package": digest_files([p for p in package.rglob("*") if p.name != PAPER], root),
        "paper's data": digest_files([package / "evidence" / PAPER], root),
        "records": digest_files((root / "book" / "records").rglob("*"), root),
        "data folder": digest_text(os.environ.get("TLBOOK_DATA", "")),
        "Python or libraries": digest_text(versions()),
    }


def changed(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The names whose digests differ, in the order of ``new``; all of them when there is no old key."""
    return [name for name in new if old.get(name) != new[name]]


def digest_files(paths, root: Path) -> str:
    """SHA-256 over the relative path and the bytes of each file, whatever the order in which they are given.

    Folders, byte code and files that do not exist are passed over.
    """
    total = hashlib.sha256()
    for path in sorted(p for p in paths if p.is_file() and "__pycache__" not in p.parts):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> str:
    """The interpreter and the libraries that numbers and figures depend on, one a line."""
    lines = [f"python {sys.version.split()[0]}", *(f"{name} {_version(name)}" for name in LIBRARIES)]
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
