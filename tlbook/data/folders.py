"""Folders of images as listings of files: what every layout is made of."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tlbook import settings
from tlbook.errors import TlbookError

EXTENSIONS = {  # of images -> the format that PIL reads them in
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF",
    ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
CLUTTER = {"thumbs.db", "desktop.ini"}  # which systems leave beside images
PARTS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


@dataclass(frozen=True)
class Listing:
    """Files of a data set: paths relative to ``folder``, their labels, and an official split if any.

    ``labels`` are class indices, or tuples of 0 and 1 where several classes hold at once. ``split`` holds
    "train", "dev" or "test" per file, or is empty where the data set leaves the split to us. ``scheme`` says
    how the parts are chosen (`tlbook.data.splits.parts`), ``chain`` how an image is read
    (`tlbook.data.views.CHAINS`).
    """

    folder: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...] | tuple[tuple[int, ...], ...]
    classes: tuple[str, ...]
    split: tuple[str, ...] = ()
    scheme: str = "stratified"
    chain: str = "square"

    @classmethod
    def of(cls, folder: Path, files: Iterable[tuple], classes: Sequence[str], **how: str) -> Listing:
        """A listing of files given as (path, label, part of the split or ''); ``how`` is scheme and chain."""
        files = tuple(files)
        paths, labels, split = (tuple(file[i] for file in files) for i in range(3))
        return cls(folder, paths, labels, tuple(classes), split if any(split) else (), **how)


class MissingData(TlbookError):
    """The images of a data set are not where they should be."""


def data_root() -> Path | None:
    """The folder named by ``TLBOOK_DATA``, or None."""
    return settings.folder("TLBOOK_DATA")


def official(dataset: str, *names: str) -> Path:
    """The folder of an official layout under the data root: the first of ``names`` that is there."""
    root, first = data_root(), names[0]
    if root is None:
        raise MissingData(
            f"The data set {dataset} needs the environment variable TLBOOK_DATA (or the parameter data) to "
            f"name the folder that holds {first}/."
        )
    for name in names:
        if reached(root / name).is_dir():
            return root / name
    where = f"{root / first}{''.join(f' or {name}' for name in names[1:])}"
    raise MissingData(f"The data set {dataset} was expected in {where}, which is not a folder.")


def needed(path: Path) -> Path:
    """A file or folder of an official layout; one that is missing is refused."""
    if not reached(path).exists():
        raise MissingData(f"The {path} of the official layout is missing.")
    return path


def class_folders(folder: Path, dataset: str, strict: bool = False) -> Listing:
    """A folder of class folders, or of parts (`PARTS`, in any capitalisation) that each hold class folders.

    The parts are train and test, or train and val, or all three: val is then the dev part. Files that are not
    images by their ending are passed over, or refused if ``strict``; hidden ones and `CLUTTER` are passed
    over. Refused: a folder without class folders, parts that are not such a set, a class without images, a
    class that does not stand in every part, a link that leads nowhere, a name that is not UTF-8.
    """
    if not reached(folder).is_dir():
        raise MissingData(f"The data set {dataset} was expected in {folder}, which is not a folder.")
    return labelled(folder, _parts(folder) or {"": ""}, strict)


def _parts(folder: Path) -> dict[str, str]:
    """The split that each part of a folder is, by the part's name; none where the folders are classes.

    A class may be called as a part is, where its images lie in its folder directly.
    """
    named = {name: PARTS[name.lower()] for name in sorted(folders(folder)) if name.lower() in PARTS}
    roles = sorted(named.values())
    if roles in (["test", "train"], ["test", "train", "val"], ["train", "val"]):
        val = "dev" if "test" in roles else "test"
        return {name: val if role == "val" else role for name, role in named.items()}
    for name in named:
        if folders(folder / name) and not images(folder / name):
            raise TlbookError(
                f"The folder {folder} holds the part(s) {', '.join(named)}, which make no split; known are "
                "train and test, train and val (or valid, or validation), or all three, one folder each."
            )
    return {}


def labelled(folder: Path, parts: dict[str, str], strict: bool = False) -> Listing:
    """Class folders under each part of ``folder``; a part's value is its split ('' leaves it to us)."""
    found = {
        (part, name): images(folder / part / name, strict)
        for part in parts
        for name in sorted(folders(folder / part))
    }
    classes = tuple(sorted({name for part, name in found if parts[part] in ("", "train")}))
    if len(classes) < 2:
        raise TlbookError(
            f"The folder {folder} holds {len(classes)} class folder(s); at least 2 are needed, one per class."
        )
    for part in parts:
        for name in classes:
            if (part, name) not in found:
                raise TlbookError(f"The class {name!r} stands in train, but not in {folder / part}.")
    files = []
    for (part, name), images_there in found.items():
        if name not in classes:
            raise TlbookError(f"The class {name!r} stands in {folder / part} only, not in the training part.")
        if not images_there:
            raise TlbookError(f"The class folder {folder / part / name} holds no image.")
        place = "/".join(filter(None, (part, name)))
        files += [(f"{place}/{file}", classes.index(name), parts[part]) for file in images_there]
    return Listing.of(folder, files, classes)


def text(path: Path) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark; anything else is refused."""
    try:
        content = needed(path).read_bytes()
        decoded = content.decode("utf-8-sig")
    except OSError as error:
        raise TlbookError(f"The file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TlbookError(f"The file {path} is not UTF-8 text (line {line}); save it as UTF-8.") from error
    if "\0" in decoded:
        raise TlbookError(f"The file {path} is not UTF-8 text (it holds zero bytes); save it as UTF-8.")
    return decoded


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank; one that is missing or not UTF-8 is refused."""
    return [line for line in text(path).splitlines() if line.strip()]


def inside(path: str, file: Path) -> str:
    """A path that the list ``file`` names, relative to its folder; one that may lead outside is refused."""
    pieces = path.split("/")
    if "\\" in path or not {"", ".", ".."}.isdisjoint(pieces) or PurePosixPath(path).is_absolute():
        raise TlbookError(f"The path {path!r} in {file} is not a plain path inside the folder of the list.")
    return path


def reached(path: Path) -> Path:
    """The path itself; refused if a link on the way leads nowhere, or it cannot be read."""
    refuse_name(str(path), "the path of the images")
    for place in (*reversed(path.parents), path):
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            break
        except OSError as error:
            raise TlbookError(f"The path {place} cannot be read ({error.strerror}).") from error
        if stat.S_ISLNK(status.st_mode):
            _followed(place)
    return path


def _followed(link: Path | os.DirEntry) -> None:
    try:
        os.stat(link)
    except OSError as error:
        raise TlbookError(
            f"The link {os.fspath(link)} leads nowhere ({error.strerror}); mount the disk that it leads to, "
            "or get the files that it stands for (git annex get, dvc pull)."
        ) from error


def refuse_name(name: str, where: str | Path) -> None:
    """Refuse a name that tables and pages could not hold: not UTF-8, or with control characters."""
    if re.search("[\0-\x1f\x7f\ud800-\udfff]", name):
        readable = str(where).encode(errors="replace").decode()
        raise TlbookError(
            f"The name {name!a} in {readable} is not UTF-8, or has control characters; rename it."
        )


def _entries(folder: Path) -> list[os.DirEntry]:
    """What a folder holds, hidden files and `CLUTTER` aside, sorted by name.

    Refused by name: links that lead nowhere, and DVC's notes of what is not here (``<name>.dvc``), since
    their images would be missing without a word; names that are not UTF-8.
    """
    try:
        with os.scandir(needed(folder)) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise TlbookError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    entries = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in CLUTTER]
    names = {entry.name for entry in entries}
    for entry in entries:
        refuse_name(entry.name, folder)
        if entry.is_symlink():
            _followed(entry)
        stands_for, ending = os.path.splitext(entry.name)
        if ending == ".dvc" and stands_for not in names:
            raise TlbookError(
                f"The {folder / entry.name} stands for {stands_for}, which is not here (dvc pull)."
            )
    return entries


def folders(path: Path) -> list[str]:
    """The names of the folders in a folder, hidden ones aside, sorted; refusals as in `class_folders`."""
    return [entry.name for entry in _entries(path) if entry.is_dir()]


def images(path: Path, strict: bool = False) -> list[str]:
    """The names of the images in a folder (by their ending, hidden ones aside), sorted.

    Other files are passed over, or refused if ``strict``, but for `CLUTTER`; links that lead nowhere are
    refused in any case.
    """
    found = []
    for entry in _entries(path):
        image = Path(entry.name).suffix.lower() in EXTENSIONS
        if image and not (entry.is_file() or entry.is_dir()):
            raise TlbookError(f"The {path / entry.name} is no file, but a device or a pipe.")
        if image and entry.is_file():
            found.append(entry.name)
        elif strict and entry.is_file():
            known = ", ".join(sorted(EXTENSIONS))
            raise TlbookError(
                f"The file {path / entry.name} is no image by its ending; these are read: {known}."
            )
    return found
