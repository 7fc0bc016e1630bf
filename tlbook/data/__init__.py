"""Role -> images: every data set as one `Domain` with its splits, resident in memory or streamed."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tlbook.data import decode, embedded, layouts, splits, stream
from tlbook.data.layouts import MissingData
from tlbook.data.stream import Stream
from tlbook.errors import TlbookError
from tlbook.scales import EMBEDDED, SOURCE, Scale

__all__ = [
    "Domain", "Examples", "Identity", "MissingData", "Names", "Request", "identify", "load", "request",
]  # fmt: skip

SPLITS = embedded.SPLITS


@dataclass(frozen=True)
class Names:
    """One split without its images: labels int64 (n,), or float32 (n, k) of 0 and 1 if several hold at once;
    paths and SHA-256 digests of the files, in the order of the images."""

    labels: torch.Tensor
    paths: tuple[str, ...]
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """SHA-256 over the ordered examples: relative path, file digest, label."""
        lines = (
            f"{path} {digest} {label}"
            for path, digest, label in zip(self.paths, self.digests, self.labels.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Examples(Names):
    """One split with its images: uint8 (n, 3, s, s), or a `Stream` of as many."""

    images: torch.Tensor | Stream

    def some(self, places: torch.Tensor | np.ndarray) -> Examples:
        """Those examples without their names, in memory, also where they are streamed."""
        places = torch.as_tensor(places)
        return Examples(self.labels[places], (), (), self.images[places])


@dataclass(frozen=True)
class Identity:
    """What tells a data set's images from others: the classes and three splits, without a pixel."""

    dataset: str
    classes: tuple[str, ...]
    train: Names
    dev: Names
    test: Names

    @property
    def splits(self) -> dict[str, Names]:
        """Split -> its examples."""
        return {split: getattr(self, split) for split in SPLITS}

    @property
    def multilabel(self) -> bool:
        """Whether an image has several labels at once."""
        return self.train.labels.ndim == 2

    @functools.cached_property
    def digest(self) -> str:
        """The training examples' `Names.digest`."""
        return self.train.digest()

    @functools.cached_property
    def evaluated(self) -> str:
        """SHA-256 over the digests of the dev and test examples, which a run is measured on."""
        return hashlib.sha256(f"{self.dev.digest()} {self.test.digest()}".encode()).hexdigest()


@dataclass(frozen=True)
class Domain(Identity):
    """A data set ready to train on."""

    train: Examples
    dev: Examples
    test: Examples

    @functools.cached_property
    def mean_and_std(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the training pixels per channel, on the scale 0 to 255."""
        count, total, squares = 0, 0, 0
        for chunk in self.train.images.split(4096):
            count += chunk[:, 0].numel()
            total = total + chunk.double().sum((0, 2, 3))
            squares = squares + chunk.double().square().sum((0, 2, 3))
        mean, square = total / count, squares / count
        return mean.float(), (square - mean.square()).clamp_min(1).sqrt().float()


@dataclass(frozen=True)
class Request:
    """Which images: a data set, the side it is stored at, the short edge before the centre crop, caps on
    train and test, how many dev images to generate (embedded), whether dev is held out (others)."""

    dataset: str
    side: int
    resized: int
    train: int
    dev: int
    test: int
    chooses: bool


def request(scale: Scale, role: str) -> Request:
    """The images of a role at a scale: larger than the network's side where random crops are cut from them.

    The paper's test crop goes with its random resized crops; other augmentations see the whole short side.
    """
    task = scale.task(role)
    whole = layouts.reads_files(task.dataset)  # then crops are cut while files are decoded
    crops = task.augmentation == "resized-crop-flip"
    short = round(scale.side * decode.RESIZE_RATIO) if crops or whole else scale.side
    stored = scale.side if whole else short
    return Request(task.dataset, stored, short, task.train, task.dev, task.test, role != SOURCE)


def identify(wanted: Request) -> Identity:
    """Which images a request means: names, labels, digests; files are read to digest them, none is decoded.

    Raises MissingData or TlbookError in one sentence where images are missing or too few.
    """
    return _identified(wanted, layouts.data_root())


def load(wanted: Request) -> Domain:
    """The images of a request, kept in memory for the next caller.

    Raises MissingData or TlbookError in one sentence where images are missing, corrupt, or too few.
    """
    return _load(wanted, layouts.data_root())


@functools.lru_cache(maxsize=64)
def _identified(wanted: Request, root: Path | None) -> Identity:
    return _drawn(wanted) if wanted.dataset.startswith(EMBEDDED) else _listed(wanted)[0]


@functools.lru_cache(maxsize=12)
def _load(wanted: Request, root: Path | None) -> Domain:
    """Identified anew, so that what is decoded is what was digested."""
    if wanted.dataset.startswith(EMBEDDED):
        identity = _drawn(wanted)
        role = wanted.dataset.removeprefix(EMBEDDED)
        images = {
            split: embedded.generate(role, split, len(names), wanted.side)[0]
            for split, names in identity.splits.items()
            if len(names)
        }
    else:
        identity, listing = _listed(wanted)
        images = {
            split: Stream(
                listing.folder, names.paths, names.digests, listing.chain, wanted.side, wanted.resized
            )
            for split, names in identity.splits.items()
            if len(names)
        }
        size = 3 * wanted.side**2 * sum(map(len, images.values()))
        if listing.chain == "square" and stream.fits(size):
            images = {split: stored.resident() for split, stored in images.items()}
    none = torch.empty(0, 3, wanted.side, wanted.side, dtype=torch.uint8)
    parts = {s: Examples(**vars(names), images=images.get(s, none)) for s, names in identity.splits.items()}
    return Domain(identity.dataset, identity.classes, **parts)


def _drawn(wanted: Request) -> Identity:
    """The identity of generated images: their digests say how they are drawn, since a pixel may round
    otherwise elsewhere."""
    role = wanted.dataset.removeprefix(EMBEDDED)
    parts = {}
    for split in SPLITS:
        count = getattr(wanted, split)
        paths = tuple(f"{role}/{split}/{i:05d}" for i in range(count))
        drawn = (f"{embedded.VERSION} {path} of {count} at {wanted.side}" for path in paths)
        digests = tuple(hashlib.sha256(line.encode()).hexdigest() for line in drawn)
        parts[split] = Names(embedded.labels(role, split, count), paths, digests)
    return Identity(wanted.dataset, embedded.CLASSES[role], **parts)


def _listed(wanted: Request) -> tuple[Identity, layouts.Listing]:
    """The identity of files, and where they lie."""
    listing = layouts.listing(wanted.dataset)
    several = isinstance(listing.labels[0], tuple)
    parts = {}
    for split, chosen in splits.parts(listing, wanted.train, wanted.test, wanted.chooses).items():
        paths = tuple(listing.paths[i] for i in chosen)
        labels = [listing.labels[i] for i in chosen]
        labels = torch.tensor(labels, dtype=torch.float32 if several else torch.int64)
        labels = labels.reshape(len(paths), len(listing.classes)) if several else labels
        parts[split] = Names(labels, paths, stream.digests(listing.folder, paths))
    for split in ("dev", "test"):
        labels = parts[split].labels
        if several and len(labels) and (labels == labels[0]).all():
            raise TlbookError(
                f"The {len(labels)} {split} images of {wanted.dataset} have the same labels, so that no AUC "
                "exists; use more images."
            )
    return Identity(wanted.dataset, listing.classes, **parts), listing
