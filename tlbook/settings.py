"""What the environment says, as paths that mean the same in every folder."""

from __future__ import annotations

import os
from pathlib import Path

from tlbook.errors import TlbookError, at

FOLDERS = ("TLBOOK_DATA", "TLBOOK_RUNS", "TLBOOK_CACHE", "XDG_CACHE_HOME")


def absolute(text: str | os.PathLike, name: str = "") -> Path:
    """A path as users write it, relative or with '~', made absolute; refused, naming the setting ``name``,
    where '~' is of a user that is not there, or where no file can be called so."""
    where = f"{name}: " if name else ""
    if "\0" in str(text):
        raise TlbookError(f"{where}{str(text)!r} is no path: it holds a null character.")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise TlbookError(
            f"{where}there is no home folder {Path(text).parts[0]}; write the path from / on."
        ) from None
    with at("the folder that this was started in"):
        return path.absolute()


def folder(name: str) -> Path | None:
    """The folder that a variable of the environment names, absolute; None where it names none."""
    named = os.environ.get(name, "").strip()
    return absolute(named, name) if named else None


def settle() -> None:
    """Make the folders that the environment names absolute, once at each door: notebooks and workers, which
    run in other folders, then read the same ones. Raises TlbookError that names the variable."""
    for name in FOLDERS:
        if (found := folder(name)) is not None:
            os.environ[name] = str(found)
