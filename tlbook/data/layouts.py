"""Where the images of a data set lie: official layouts and folders of class folders -> a listing of files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tlbook.errors import TlbookError
from tlbook.scales import FOLDER

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
PACS_DOMAINS = ("photo", "cartoon", "sketch")
ROLES_OF_FOLDERS = {"train": "train", "test": "test", "val": "test"}


@dataclass(frozen=True)
class Listing:
    """Files of a data set: paths relative to ``folder``, their class indices, and an official split if any.

    ``split`` holds "train" or "test" per file, or is empty where the data set leaves the split to us.
    """

    folder: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    split: tuple[str, ...] = ()


class MissingData(TlbookError):
    """The images of a data set are not where they should be."""


def data_root() -> Path | None:
    """The folder named by ``TLBOOK_DATA``, or None."""
    named = os.environ.get("TLBOOK_DATA", "").strip()
    return Path(named).expanduser() if named else None


def listing(dataset: str) -> Listing:
    """The files of a data set: ``tiny-imagenet``, ``pacs/<domain>``, ``chest-xray`` or ``folder:/path``.

    Raises MissingData where its folder does not exist, and TlbookError where the folder is not laid out as
    it should be; either sentence says what was expected.
    """
    if dataset.startswith(FOLDER):
        return class_folders(Path(dataset.removeprefix(FOLDER)).expanduser(), dataset)
    if dataset == "tiny-imagenet":
        return _tiny_imagenet(_official("tiny-imagenet-200", dataset))
    if dataset.startswith("pacs/") and dataset.removeprefix("pacs/") in PACS_DOMAINS:
        return class_folders(_official(f"PACS/{dataset.removeprefix('pacs/')}", dataset), dataset)
    if dataset == "chest-xray":
        return class_folders(_official("xray", dataset), dataset)
    if dataset == "imagenet" or dataset == "chexpert" or dataset.startswith("domainnet/"):
        raise MissingData(
            f"The data set {dataset} belongs to the scale 'paper', whose image readers are not part of this "
            "version; use the scales smoke, laptop or gpu, or folder:/path for images of your own."
        )
    pacs = ", ".join(f"pacs/{domain}" for domain in PACS_DOMAINS)
    raise TlbookError(
        f"There is no data set {dataset!r}; choose tiny-imagenet, {pacs}, chest-xray, embedded/<role>, or "
        "folder:/path for a folder of class folders."
    )


def _official(folder: str, dataset: str) -> Path:
    root = data_root()
    if root is None:
        raise MissingData(
            f"The data set {dataset} needs the environment variable TLBOOK_DATA (or the parameter data) to "
            f"name the folder that holds {folder}/."
        )
    if not (root / folder).is_dir():
        raise MissingData(f"The data set {dataset} was expected in {root / folder}, which is not a folder.")
    return root / folder


def class_folders(folder: Path, dataset: str) -> Listing:
    """A folder of class folders, or of ``train`` and ``test`` (else ``val``) that each hold class folders.

    Files that are not images by their ending, and hidden ones, are passed over. Refused: a folder without
    class folders, a class without images, a class in test only.
    """
    if not folder.is_dir():
        raise MissingData(f"The data set {dataset} was expected in {folder}, which is not a folder.")
    found = set(_folders(folder))
    held_out = {"val"} if "test" in found else set()  # of the two, test is the one that is reported
    parts = {name: ROLES_OF_FOLDERS[name] for name in sorted(found - held_out) if name in ROLES_OF_FOLDERS}
    if set(parts.values()) != {"train", "test"}:
        return _labelled(folder, {"": ""})
    return _labelled(folder, parts)


def _labelled(folder: Path, parts: dict[str, str]) -> Listing:
    """Class folders under each part of ``folder``; a part's value is its split ('' leaves it to us)."""
    found = {
        (part, name): _images(folder / part / name)
        for part in parts
        for name in sorted(_folders(folder / part))
    }
    classes = tuple(sorted({name for part, name in found if parts[part] != "test"}))
    if len(classes) < 2:
        raise TlbookError(
            f"The folder {folder} holds {len(classes)} class folder(s); at least 2 are needed, one per class."
        )
    paths, labels, split = [], [], []
    for (part, name), files in found.items():
        if name not in classes:
            raise TlbookError(f"The class {name!r} stands in {folder / part} only, not in the training part.")
        if not files:
            raise TlbookError(f"The class folder {folder / part / name} holds no image.")
        for file in files:
            paths.append("/".join(filter(None, (part, name, file))))
            labels.append(classes.index(name))
            split.append(parts[part])
    return Listing(folder, tuple(paths), tuple(labels), classes, tuple(split) if any(split) else ())


def _tiny_imagenet(folder: Path) -> Listing:
    """Stanford CS231n's layout; the official validation images are the test split."""
    wnids = tuple(sorted(_lines(folder / "wnids.txt")))
    words = {wnid: name for wnid, _, name in (line.partition("\t") for line in _lines(folder / "words.txt"))}
    paths, labels, split = [], [], []
    for label, wnid in enumerate(wnids):
        files = _images(folder / "train" / wnid / "images")
        if not files:
            raise TlbookError(f"The class folder {folder}/train/{wnid}/images holds no image.")
        for file in files:
            paths.append(f"train/{wnid}/images/{file}")
            labels.append(label)
            split.append("train")
    for line in _lines(folder / "val" / "val_annotations.txt"):
        file, wnid, *_ = [*line.split("\t"), ""]
        if wnid not in wnids:
            raise TlbookError(f"The class {wnid!r} of {folder}/val/{file} stands in test only.")
        paths.append(f"val/images/{file}")
        labels.append(wnids.index(wnid))
        split.append("test")
    classes = tuple(words.get(wnid, wnid).split(",")[0] for wnid in wnids)
    return Listing(folder, tuple(paths), tuple(labels), classes, tuple(split))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingData(f"The file {path} of the official layout is missing.")
    return [line for line in path.read_text().splitlines() if line.strip()]


def _folders(path: Path) -> list[str]:
    return [entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")]


def _images(path: Path) -> list[str]:
    if not path.is_dir():
        raise MissingData(f"The folder {path} of the official layout is missing.")
    files = (entry.name for entry in os.scandir(path) if entry.is_file() and not entry.name.startswith("."))
    return sorted(name for name in files if Path(name).suffix.lower() in EXTENSIONS)
