"""The folder that a book is built in: ``_build/<scale>/``, a copy of the book's sources."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from tlbook import scales
from tlbook.errors import TlbookError

FILES = ("_config.yml", "_toc.yml")
FOLDERS = ("book",)  # notebooks are not copied: Papermill writes executed ones into the staged folder


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


def stage(root: Path, scale: str) -> Path:
    """Mirror the sources of ``root`` into ``root/_build/<scale>`` and return that folder.

    Unchanged files are left alone, files whose source is gone are removed, and executed notebooks stay as
    long as their source exists.
    """
    missing = [name for name in (*FILES, *FOLDERS, "notebooks") if not (root / name).exists()]
    if missing:
        raise TlbookError(f"{root} is not the root of the repository: it has no {', '.join(missing)}.")
    staged = root / "_build" / scale
    staged.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        _copy(root / name, staged / name)
    for name in FOLDERS:
        _mirror(root / name, staged / name)
    (staged / "notebooks").mkdir(exist_ok=True)
    sources = {path.name for path in notebooks(root)}
    for path in notebooks(staged):
        if path.name not in sources:
            path.unlink()
    return staged


def notebooks(folder: Path) -> list[Path]:
    """The notebooks of a tree, in the order of their names, which is the order of the book."""
    return sorted((folder / "notebooks").glob("*.ipynb"))


def _mirror(source: Path, target: Path) -> None:
    """Make ``target`` hold the files of ``source`` and no others; hidden ones and caches stay behind."""
    files = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
    wanted = {file for file in files if not any(part.startswith((".", "__")) for part in file.parts)}
    for relative in wanted:
        _copy(source / relative, target / relative)
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _copy(source: Path, target: Path) -> None:
    """Copy a file unless the target already holds the same bytes."""
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
