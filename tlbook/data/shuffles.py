"""Shuffles: one permutation of an image's blocks, or of its pixel values, the same for every image.

Shuffling the target's images destroys what P could recognise in them while their low-level statistics stay
(paper, Figures 1 and 3). A shuffle is applied last, after normalisation, to training and test
images alike. The permutations equal those of the official code
(google-research/understanding-transfer-learning): `numpy.random.RandomState(seed).permutation(n)`, with the
seeds 1234, 1235, 1236.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.scales import PIXELS


@dataclass(frozen=True)
class Shuffle:
    """Which shuffle: its kind, the side of its blocks in pixels (kind "block"), the seed of its permutation.

    `Shuffle.none()`, `Shuffle.block(8, 1234)` and `Shuffle.pixel(1234)` make one; anything else is refused.
    """

    kind: str
    size: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        needs = {"none": (False, False), "block": (True, True), "pixel": (False, True)}
        if self.kind not in needs:
            raise TlbookError(f"There is no shuffle of kind {self.kind!r}; choose one of {', '.join(needs)}.")
        has = (self.size is not None, self.seed is not None)
        if has != needs[self.kind]:
            raise TlbookError("A block shuffle has a size and a seed, a pixel shuffle a seed, none neither.")
        if self.size is not None and (not _whole(self.size) or self.size < 1):
            raise TlbookError(f"A block size must be a whole number of at least 1 pixel, not {self.size!r}.")
        if self.seed is not None and (not _whole(self.seed) or not 0 <= self.seed < 2**32):
            raise TlbookError(f"A shuffle's seed must be a whole number below 2**32, not {self.seed!r}.")

    @classmethod
    def none(cls) -> Shuffle:
        """Images as they are."""
        return cls("none")

    @classmethod
    def block(cls, size: int, seed: int) -> Shuffle:
        """Blocks of size x size pixels change places; each keeps its content, all channels together."""
        return cls("block", size, seed)

    @classmethod
    def pixel(cls, seed: int) -> Shuffle:
        """All values of an image change places, also across channels."""
        return cls("pixel", seed=seed)

    @classmethod
    def of(cls, block_size: int | str, side: int, seed: int) -> Shuffle:
        """The shuffle of a block size as tables name it: '*' is pixels, the image's own side is no shuffle.

        A size that does not divide the side (in pixels) is refused, with those that do.
        """
        if block_size == PIXELS:
            return cls.pixel(seed)
        if isinstance(block_size, str) and block_size.isdecimal():
            block_size = int(block_size)
        refuse_size(block_size, side)
        return cls.none() if block_size == side else cls.block(block_size, seed)


def _whole(value: object) -> bool:
    """Is it an integer (and not True or False)?"""
    return isinstance(value, int) and not isinstance(value, bool)


def refuse_size(size: object, side: int) -> None:
    """Refuse what is not a block size of an image of that side, naming the sizes that are."""
    if not _whole(size) or size < 1 or side % size:
        valid = ", ".join(str(d) for d in range(1, side + 1) if side % d == 0)
        raise TlbookError(
            f"Block size {size!r} does not divide the image's side of {side} pixels; valid: '*', {valid}."
        )


def apply(shuffle: Shuffle, images: Tensor) -> Tensor:
    """The shuffled images: (n, c, side, side) of any dtype, on any device.

    The result is contiguous in this order; without a shuffle it is `images` itself.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise TlbookError(f"Images to shuffle must be (n, c, side, side), not {tuple(images.shape)}.")
    if shuffle.kind == "none":
        return images
    _, channels, side, _ = images.shape
    source = index(shuffle, channels, side, images.device)
    return images.flatten(1).gather(1, source.expand(len(images), -1)).view(images.shape)


@lru_cache(maxsize=64)
def index(shuffle: Shuffle, channels: int, side: int, device: str | torch.device = "cpu") -> Tensor:
    """Where each value comes from: int64 (channels * side * side,), flat output i is flat input index[i].

    Kept for the next caller: not to be written to.
    """
    if shuffle.kind == "none":
        flat = np.arange(channels * side * side)
    elif shuffle.kind == "pixel":
        flat = np.random.RandomState(shuffle.seed).permutation(channels * side * side)
    else:
        flat = _block_index(shuffle, channels, side)
    return torch.from_numpy(flat.astype(np.int64)).to(device)


def _block_index(shuffle: Shuffle, channels: int, side: int) -> np.ndarray:
    """Blocks in row-major order: output block k is input block permutation[k]."""
    size = shuffle.size
    refuse_size(size, side)
    grid = side // size
    positions = np.arange(channels * side * side).reshape(channels, grid, size, grid, size)
    blocks = positions.transpose(1, 3, 0, 2, 4).reshape(grid * grid, channels, size, size)
    blocks = blocks[np.random.RandomState(shuffle.seed).permutation(grid * grid)]
    return blocks.reshape(grid, grid, channels, size, size).transpose(2, 0, 3, 1, 4).ravel()
