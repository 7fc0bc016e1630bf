"""Random views of training images, one draw per image, a whole batch at once on its device.

Images are float (n, c, s, s) on the scale 0 to 255; all draws come from a NumPy generator, so that a run is
the same on every device. Sources: official `datasets` configuration (RandomResizedCrop and flip; CheXpert's
affine).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from tlbook.errors import TlbookError

CROP_PADDING = 1 / 8  # of the side: 4 pixels at 32
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # torchvision's RandomResizedCrop
DEGREES, SHIFT, ZOOM, FILL = 15.0, 0.05, (0.95, 1.05), 128.0  # CheXpert, official code


def augment(
    name: str, images: torch.Tensor, side: int, fill: torch.Tensor, rng: np.random.Generator
) -> torch.Tensor:
    """Augmented views (n, c, side, side) of images (n, c, s, s), s >= side.

    ``name`` is one of "none", "crop-flip", "resized-crop-flip", "affine"; ``fill`` (c,) colours what a
    shifted crop uncovers (the affine uses grey, as the official code does). Another name is refused.
    """
    if name not in _AUGMENTATIONS:
        raise TlbookError(f"There is no augmentation {name!r}; choose from {', '.join(_AUGMENTATIONS)}.")
    return _AUGMENTATIONS[name](images, side, fill, rng)


def centre_crop(images: torch.Tensor, side: int) -> torch.Tensor:
    """The middle (side, side) of every image: the test transform after the resize done at decoding."""
    top = (images.shape[-1] - side) // 2
    return images[..., top : top + side, top : top + side]


def _none(images, side, fill, rng):
    return centre_crop(images, side)


def _crop_flip(images, side, fill, rng):
    images = centre_crop(images, side)
    n, pad = len(images), round(side * CROP_PADDING)
    fill = fill.view(1, -1, 1, 1)
    padded = F.pad(images - fill, (pad,) * 4) + fill
    offsets = torch.from_numpy(rng.integers(0, 2 * pad + 1, (2, n, 1))).to(images.device)
    flipped = torch.from_numpy(rng.random((n, 1)) < 0.5).to(images.device)
    along = torch.arange(side, device=images.device)
    rows = offsets[0] + along
    columns = offsets[1] + torch.where(flipped, side - 1 - along, along)
    which = torch.arange(n, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _resized_crop_flip(images, side, fill, rng):
    n = len(images)
    area = rng.uniform(*AREA, n)
    ratio = np.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1]), n))
    width, height = (np.minimum(np.sqrt(area * r), 1.0) for r in (ratio, 1 / ratio))
    centre = rng.uniform(-1, 1, (2, n)) * (1 - np.stack([width, height]))
    flip = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    zero = np.zeros(n)
    rows = [width * flip, zero, centre[0]], [zero, height, centre[1]]
    return _sample(images, rows, side, "bilinear", "reflection")


def _affine(images, side, fill, rng):
    images = centre_crop(images, side)
    n = len(images)
    angle = np.deg2rad(rng.uniform(-DEGREES, DEGREES, n))
    zoom = rng.uniform(*ZOOM, n)
    shift = 2 * rng.uniform(-SHIFT, SHIFT, (2, n))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    rows = [cos, -sin, shift[0]], [sin, cos, shift[1]]
    return _sample(images - FILL, rows, side, "nearest", "zeros") + FILL


def _sample(images, rows, side, mode, padding):
    """Images read where the 2x3 matrix of each (rows of n numbers) maps the output's coordinates, -1 to 1."""
    theta = torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], 1)).to(images)
    grid = F.affine_grid(theta, (len(images), images.shape[1], side, side), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)


_AUGMENTATIONS = {
    "none": _none,
    "crop-flip": _crop_flip,
    "resized-crop-flip": _resized_crop_flip,
    "affine": _affine,
}
