"""Where the images of a data set lie: official layouts and folders of class folders -> a listing of files."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path

from tlbook import settings
from tlbook.data.folders import (
    Listing,
    MissingData,
    class_folders,
    data_root,
    folders,
    images,
    inside,
    labelled,
    lines,
    needed,
    official,
    text,
)
from tlbook.errors import TlbookError
from tlbook.scales import FOLDER

__all__ = ["DATASETS", "Listing", "MissingData", "class_folders", "data_root", "listing"]

# Where each set lies under the data root; of several names the first that is there counts.
IMAGENET = ("imagenet", "ILSVRC2012")
DOMAINNET = ("domainnet", "DomainNet")
CHEXPERT = ("CheXpert-v1.0-img224", "CheXpert-v1.0-small", "CheXpert-v1.0")  # the first is the paper's

# CheXpert's five labels (paper, section 2), and what an uncertain one counts as (official code).
FINDINGS = {"Cardiomegaly": 0, "Edema": 1, "Consolidation": 0, "Atelectasis": 1, "Pleural Effusion": 0}


def listing(dataset: str) -> Listing:
    """The files of a data set: one of `DATASETS`, or ``folder:/path``.

    Raises MissingData where its folder does not exist, and TlbookError where the folder is not laid out as
    it should be; either sentence says what was expected.
    """
    if dataset.startswith(FOLDER):
        return class_folders(settings.absolute(dataset.removeprefix(FOLDER)), dataset, strict=True)
    if dataset in DATASETS:
        return DATASETS[dataset](dataset)
    raise TlbookError(
        f"There is no data set {dataset!r}; choose {', '.join(DATASETS)}, embedded/<role>, or "
        "folder:/path for a folder of class folders."
    )


def _tiny_imagenet(dataset: str) -> Listing:
    """Stanford CS231n's layout; the official validation images are the test split."""
    folder = official(dataset, "tiny-imagenet-200")
    wnids = sorted(_wnid(line, folder / "wnids.txt") for line in lines(folder / "wnids.txt"))
    if len(set(wnids)) < max(2, len(wnids)):
        raise TlbookError(f"The classes in {folder}/wnids.txt are fewer than 2, or one is named twice.")
    words = {wnid: name for wnid, _, name in (line.partition("\t") for line in lines(folder / "words.txt"))}
    files = []
    for label, wnid in enumerate(wnids):
        place = f"train/{wnid}/images"
        if not (names := images(folder / place)):
            raise TlbookError(f"The class folder {folder / place} holds no image.")
        files += [(f"{place}/{name}", label, "train") for name in names]
    annotations = folder / "val" / "val_annotations.txt"
    for line in lines(annotations):
        name, wnid, *_ = [*line.split("\t"), ""]
        inside(name, annotations)
        if wnid not in wnids:
            raise TlbookError(f"The class {wnid!r} of {folder}/val/{name} stands in test only.")
        files.append((f"val/images/{name}", wnids.index(wnid), "test"))
    return Listing.of(folder, files, [words.get(wnid, wnid).split(",")[0] for wnid in wnids])


def _wnid(line: str, file: Path) -> str:
    """A class's name, which is its folder's."""
    if "/" in line:
        raise TlbookError(f"The line {line!r} of {file} is not the name of a class.")
    return inside(line, file)


def _class_folders(place: str) -> Callable[[str], Listing]:
    """The reader of a data set that is class folders, at a place under the data root."""
    return lambda dataset: class_folders(official(dataset, place), dataset)


def _imagenet(dataset: str) -> Listing:
    """``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``, as torchvision's ImageFolder reads them."""
    folder = official(dataset, *IMAGENET)
    for part in ("train", "val"):
        if not folders(needed(folder / part)):
            raise TlbookError(
                f"The folder {folder / part} holds no class folders; sort its images into {part}/<wnid>/."
            )
    return dataclasses.replace(labelled(folder, {"train": "train", "val": "test"}), chain="natural")


def _domainnet(dataset: str) -> Listing:
    """The official split lists, in their order: lines ``<domain>/<class>/<file> <class index>``."""
    folder, domain = official(dataset, *DOMAINNET), dataset.removeprefix("domainnet/")
    files, names = [], {}
    for part in ("train", "test"):
        file = folder / f"{domain}_{part}.txt"
        for line in lines(file):
            path, _, number = line.strip().rpartition(" ")
            pieces = path.split("/")
            if not re.fullmatch("[0-9]{1,9}", number) or len(pieces) != 3 or ".." in pieces:
                raise TlbookError(f"The line {line!r} of {file} is not <domain>/<class>/<file> <number>.")
            inside(path, file)
            first = names.setdefault(int(number), pieces[1])
            if first != pieces[1]:
                raise TlbookError(f"The class {number} of {file} is {first!r} and {pieces[1]!r} at once.")
            files.append((path, int(number), part))
    if len(names) < 2 or sorted(names) != list(range(len(names))):
        raise TlbookError(f"The classes in {folder}/{domain}_train.txt and _test.txt are not 0, 1, 2, ….")
    classes = [names[label] for label in range(len(names))]
    return Listing.of(folder, files, classes, scheme="domainnet", chain="natural")


def _chexpert(dataset: str) -> Listing:
    """``train.csv`` and ``valid.csv`` of CheXpert-v1.0 or a smaller version; frontal and lateral views."""
    folder = official(dataset, *CHEXPERT)
    files = []
    for part, path in (("train", folder / "train.csv"), ("dev", folder / "valid.csv")):
        for number, row in _rows(path):
            labels = tuple(_label(row, finding, path, number) for finding in FINDINGS)
            files.append((inside(_relative(row["Path"]), path), labels, part))
    return Listing.of(folder, files, tuple(FINDINGS), scheme="chexpert", chain="chest")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV with the numbers of their lines; each has as many fields as the first has columns."""
    reader = csv.reader(io.StringIO(text(path), newline=""), strict=True)
    try:
        columns, *rows = [(reader.line_num, fields) for fields in reader if fields] or [(1, [])]
    except csv.Error as error:
        raise TlbookError(f"Line {reader.line_num} of {path} is no line of a CSV ({error}).") from error
    names = columns[1]
    for name in ("Path", *FINDINGS):
        if names.count(name) != 1:
            some = "no column" if name not in names else "more than one column"
            raise TlbookError(f"The file {path} has {some} {name!r}.")
    for number, fields in rows:
        if len(fields) != len(names):
            raise TlbookError(
                f"Line {number} of {path} has {len(fields)} fields, and the file has {len(names)} columns."
            )
    if not rows:
        raise TlbookError(f"The file {path} has columns and no rows.")
    return [(number, dict(zip(names, fields, strict=True))) for number, fields in rows]


def _relative(path: str) -> str:
    """A path of the CSV relative to the set's folder: all versions begin with their own folder's name."""
    first, _, rest = path.partition("/")
    return rest if first in CHEXPERT else path


def _label(row: dict[str, str], finding: str, path: Path, number: int) -> int:
    """Blank is 0; uncertain (-1) is 1 for Edema and Atelectasis and 0 for the others."""
    values = {"": 0, "0.0": 0, "1.0": 1, "-1.0": FINDINGS[finding]}
    if row[finding] not in values:
        raise TlbookError(f"{finding} is {row[finding]!r} in line {number} of {path}; valid: 1.0, 0.0, -1.0.")
    return values[row[finding]]


DATASETS = {
    "tiny-imagenet": _tiny_imagenet,
    **{f"pacs/{domain}": _class_folders(f"PACS/{domain}") for domain in ("photo", "cartoon", "sketch")},
    "chest-xray": _class_folders("xray"),
    "imagenet": _imagenet,
    **{f"domainnet/{domain}": _domainnet for domain in ("real", "clipart", "quickdraw")},
    "chexpert": _chexpert,
}


def reads_files(dataset: str) -> bool:
    """Whether a set's random crops and turns read whole files, as in the paper, at every scale."""
    return dataset in ("imagenet", "chexpert") or dataset.startswith("domainnet/")
