"""Folders of images as listings of files: what every layout is made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlbook import settings
from tlbook.errors import TlbookError

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
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
        if (root / name).is_dir():
            return root / name
    where = f"{root / first}{''.join(f' or {name}' for name in names[1:])}"
    raise MissingData(f"The data set {dataset} was expected in {where}, which is not a folder.")


def needed(path: Path) -> Path:
    """A file or folder of an official layout; one that is missing is refused."""
    if not path.exists():
        raise MissingData(f"The {path} of the official layout is missing.")
    return path


def class_folders(folder: Path, dataset: str, strict: bool = False) -> Listing:
    """A folder of class folders, or of parts (`PARTS`, in any capitalisation) that each hold class folders.

    The parts are train and test, or train and val, or all three: val is then the dev part. Files that are not
    images by their ending are passed over, or refused if ``strict``; hidden ones and `CLUTTER` are passed
    over. Refused: a folder without class folders, parts that are not such a set, a class without images, a
    class that does not stand in every part.
    """
    if not folder.is_dir():
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


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank; one that is missing is refused."""
    return [line for line in needed(path).read_text().splitlines() if line.strip()]


def folders(path: Path) -> list[str]:
    """The names of the folders in a folder, hidden ones aside, in no order."""
    return [entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")]


def images(path: Path, strict: bool = False) -> list[str]:
    """The names of the images in a folder (by their ending, hidden ones aside), sorted.

    Other files are passed over, or refused if ``strict``, but for `CLUTTER`.
    """
    found = []
    for name in sorted(entry.name for entry in os.scandir(needed(path)) if entry.is_file()):
        if name.startswith("."):
            continue
        if Path(name).suffix.lower() in EXTENSIONS:
            found.append(name)
        elif strict and name.lower() not in CLUTTER:
            known = ", ".join(sorted(EXTENSIONS))
            raise TlbookError(f"The file {path / name} is no image by its ending; these are read: {known}.")
    return found
