"""Images -> batches that a network can read: cropped or augmented, normalised, then shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tlbook.data import Domain, Examples, augment, shuffles
from tlbook.data.stream import Stream
from tlbook.errors import TlbookError

CHUNK = 2048  # images prepared at once: large enough to be fast, small enough to stay in cache
IMAGENET = (torch.tensor([0.485, 0.456, 0.406]) * 255, torch.tensor([0.229, 0.224, 0.225]) * 255)
CHEXPERT = (torch.full((3,), 128.0), torch.full((3,), 64.0))


@dataclass(frozen=True)
class View:
    """What happens to an image before a network sees it: side, normalisation, shuffle (applied last)."""

    side: int
    mean: torch.Tensor
    std: torch.Tensor
    shuffle: shuffles.Shuffle

    @classmethod
    def of(cls, domain: Domain, side: int, normalisation: str, shuffle: shuffles.Shuffle) -> View:
        """The view of a run; ``normalisation`` is "own" (the training images'), "imagenet" or "chexpert"."""
        fixed = {"imagenet": IMAGENET, "chexpert": CHEXPERT}
        if normalisation != "own" and normalisation not in fixed:
            names = ", ".join(("own", *fixed))
            raise TlbookError(f"There is no normalisation {normalisation!r}; choose from {names}.")
        return cls(side, *(fixed.get(normalisation) or domain.mean_and_std), shuffle)

    def finish(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise and shuffle float images (n, c, side, side) given on the scale 0 to 255."""
        mean, std = (value.to(images.device).view(1, -1, 1, 1) for value in (self.mean, self.std))
        shuffled = shuffles.apply(self.shuffle, (images - mean) / std)
        return shuffled.contiguous(memory_format=torch.channels_last)


def evaluation(
    examples: Examples, view: View, device: str = "cpu", batch: int = 512, which: slice = slice(None)
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches (images, labels) in order, without augmentation, of ``which`` examples."""
    stored = examples.images
    parts = stored.split(batch, which) if isinstance(stored, Stream) else stored[which].split(batch)
    for images, labels in zip(parts, examples.labels[which].split(batch), strict=True):
        cropped = augment.centre_crop(images.to(device).float(), view.side)
        yield view.finish(cropped), labels.to(device)


def training(
    examples: Examples,
    view: View,
    augmentation: str,
    batch: int,
    rng: np.random.Generator,
    device: str = "cpu",
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of batches in random order, images augmented anew; the last, smaller one is kept."""
    order = torch.from_numpy(rng.permutation(len(examples)))
    if isinstance(examples.images, Stream) and examples.images.augments(augmentation):
        yield from _drawn_from_files(examples, view, order.split(batch), rng, device)
        return
    parts = order.split(chunk(batch))
    for part, images in zip(parts, gathered(examples, parts), strict=True):
        views = augment.augment(augmentation, images.to(device).float(), view.side, view.mean.to(device), rng)
        labels = examples.labels[part].to(device)
        yield from zip(view.finish(views).split(batch), labels.split(batch), strict=True)


def chunk(batch: int) -> int:
    """How many training images are prepared at once: whole batches, about `CHUNK` images."""
    return CHUNK - CHUNK % batch or batch


def gathered(
    examples: Examples, parts: Sequence[torch.Tensor], drawn: Sequence[torch.Tensor] | None = None
) -> Iterator[torch.Tensor]:
    """The stored images of each part, one part at a time; augmented from the seeds ``drawn`` of each image
    where files are (`Stream.gather`)."""
    if isinstance(examples.images, Stream):
        return examples.images.gather(parts, drawn)
    return (examples.images[part] for part in parts)


def seeds(count: int, rng: np.random.Generator) -> np.ndarray:
    """A seed for each image of an epoch whose images are augmented while their files are decoded."""
    return rng.integers(2**62, size=count)


def _drawn_from_files(
    examples: Examples, view: View, parts: Sequence[torch.Tensor], rng: np.random.Generator, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches whose images are augmented while their files are decoded, each image from a seed of its own."""
    drawn = torch.from_numpy(seeds(len(examples), rng)).split(len(parts[0]))
    for part, images in zip(parts, gathered(examples, parts, drawn), strict=True):
        yield view.finish(images.to(device).float()), examples.labels[part].to(device)
