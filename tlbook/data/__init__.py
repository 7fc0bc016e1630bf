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
from tlbook.scales import EMBEDDED, SOURCE, Scale

__all__ = ["Domain", "Examples", "MissingData", "Request", "load", "request"]


@dataclass(frozen=True)
class Examples:
    """One split: images uint8 (n, 3, s, s), or a `Stream` of as many; labels int64 (n,), or float32 (n, k) of
    0 and 1 if several hold at once; paths and SHA-256 digests of the files, in the order of the images."""

    images: torch.Tensor | Stream
    labels: torch.Tensor
    paths: tuple[str, ...]
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def digest(self) -> str:
        """SHA-256 over the ordered examples: relative path, file digest, label."""
        lines = (
            f"{path} {digest} {label}"
            for path, digest, label in zip(self.paths, self.digests, self.labels.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def some(self, places: torch.Tensor | np.ndarray) -> Examples:
        """Those examples without their names, in memory, also where they are streamed."""
        places = torch.as_tensor(places)
        return Examples(self.images[places], self.labels[places], (), ())


@dataclass(frozen=True)
class Domain:
    """A data set ready to train on: three splits, the classes, and what identifies the images."""

    dataset: str
    classes: tuple[str, ...]
    train: Examples
    dev: Examples
    test: Examples

    @property
    def multilabel(self) -> bool:
        """Whether an image has several labels at once."""
        return self.train.labels.ndim == 2

    @functools.cached_property
    def digest(self) -> str:
        """The training examples' `Examples.digest`."""
        return self.train.digest()

    @functools.cached_property
    def evaluated(self) -> str:
        """SHA-256 over the digests of the dev and test examples, which a run is measured on."""
        return hashlib.sha256(f"{self.dev.digest()} {self.test.digest()}".encode()).hexdigest()

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


def load(wanted: Request) -> Domain:
    """The images of a request, kept in memory for the next caller.

    Raises MissingData or TlbookError in one sentence where images are missing, corrupt, or too few.
    """
    return _load(wanted, layouts.data_root())


@functools.lru_cache(maxsize=12)
def _load(wanted: Request, root: Path | None) -> Domain:
    if wanted.dataset.startswith(EMBEDDED):
        role = wanted.dataset.removeprefix(EMBEDDED)
        counts = {"train": wanted.train, "dev": wanted.dev, "test": wanted.test}
        parts = {name: _generated(role, name, count, wanted.side) for name, count in counts.items()}
        return Domain(wanted.dataset, embedded.CLASSES[role], **parts)
    found = layouts.listing(wanted.dataset)
    indices = splits.parts(found, wanted.train, wanted.test, wanted.chooses)
    count = sum(map(len, indices.values()))
    streams = found.chain != "square" or not stream.fits(3 * wanted.side**2 * count)
    parts = {name: _read(found, chosen, wanted, streams) for name, chosen in indices.items()}
    return Domain(wanted.dataset, found.classes, **parts)


def _generated(role: str, split: str, count: int, side: int) -> Examples:
    """Generated images; their digests say how they are drawn, since a pixel may round otherwise elsewhere."""
    if count == 0:
        one, labels = embedded.generate(role, split, 1, side)
        return Examples(one[:0], labels[:0], (), ())
    images, labels = embedded.generate(role, split, count, side)
    paths = tuple(f"{role}/{split}/{i:05d}" for i in range(count))
    drawn = (f"{embedded.VERSION} {path} of {count} at {side}" for path in paths)
    return Examples(images, labels, paths, tuple(hashlib.sha256(line.encode()).hexdigest() for line in drawn))


def _read(found: layouts.Listing, chosen: np.ndarray, wanted: Request, streams: bool) -> Examples:
    paths = tuple(found.paths[i] for i in chosen)
    several = isinstance(found.labels[0], tuple)
    labels = torch.tensor([found.labels[i] for i in chosen], dtype=torch.float32 if several else torch.int64)
    labels = labels.reshape(len(paths), -1) if several else labels
    if not paths:
        return Examples(torch.empty(0, 3, wanted.side, wanted.side, dtype=torch.uint8), labels, (), ())
    digests = (stream.digests if streams else decode.digest_files)(found.folder, paths)
    images = Stream(found.folder, paths, digests, found.chain, wanted.side, wanted.resized)
    return Examples(images if streams else images.resident(), labels, paths, digests)
