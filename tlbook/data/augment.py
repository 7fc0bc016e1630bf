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
    """Augmented views (n, c, side, side) of images (n, c, s, s), s >= side: `draw`, then `apply`."""
    drawn = (torch.from_numpy(values).to(images.device) for values in draw(name, len(images), side, rng))
    return apply(name, images, side, fill, tuple(drawn))


def draw(name: str, count: int, side: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """What `apply` needs for so many images: arrays whose first axis is the images.

    ``name`` is one of "none", "crop-flip", "resized-crop-flip", "affine"; another is refused.
    """
    if name not in _AUGMENTATIONS:
        raise TlbookError(f"There is no augmentation {name!r}; choose from {', '.join(_AUGMENTATIONS)}.")
    return _AUGMENTATIONS[name][0](count, side, rng)


def apply(
    name: str, images: torch.Tensor, side: int, fill: torch.Tensor, drawn: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """Images (n, c, s, s) as ``drawn`` says: (n, c, side, side). ``fill`` (c,) colours what a shifted crop
    uncovers (the affine uses grey, as the official code does)."""
    return _AUGMENTATIONS[name][1](images, side, fill, *drawn)


def centre_crop(images: torch.Tensor, side: int) -> torch.Tensor:
    """The middle (side, side) of every image: the test transform after the resize done at decoding."""
    top = (images.shape[-1] - side) // 2
    return images[..., top : top + side, top : top + side]


def _draw_nothing(n, side, rng):
    return ()


def _none(images, side, fill):
    return centre_crop(images, side)


def _draw_crop_flip(n, side, rng):
    top, left = rng.integers(0, 2 * _padding(side) + 1, (2, n))
    return top, left, rng.random(n) < 0.5


def _crop_flip(images, side, fill, top, left, flipped):
    images = centre_crop(images, side)
    fill = fill.view(1, -1, 1, 1)
    padded = F.pad(images - fill, (_padding(side),) * 4) + fill
    along = torch.arange(side, device=images.device)
    rows = top[:, None] + along
    columns = left[:, None] + torch.where(flipped[:, None], side - 1 - along, along)
    which = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _padding(side):
    return round(side * CROP_PADDING)


def _draw_resized_crop_flip(n, side, rng):
    area = rng.uniform(*AREA, n)
    ratio = np.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1]), n))
    width, height = (np.minimum(np.sqrt(area * r), 1.0) for r in (ratio, 1 / ratio))
    centre = rng.uniform(-1, 1, (2, n)) * (1 - np.stack([width, height]))
    flip = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    zero = np.zeros(n)
    return _matrices([width * flip, zero, centre[0]], [zero, height, centre[1]])


def _resized_crop_flip(images, side, fill, theta):
    return _sample(images, theta, side, "bilinear", "reflection")


def _draw_affine(n, side, rng):
    angle = np.deg2rad(rng.uniform(-DEGREES, DEGREES, n))
    zoom = rng.uniform(*ZOOM, n)
    shift = 2 * rng.uniform(-SHIFT, SHIFT, (2, n))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    return _matrices([cos, -sin, shift[0]], [sin, cos, shift[1]])


def _affine(images, side, fill, theta):
    return _sample(centre_crop(images, side) - FILL, theta, side, "nearest", "zeros") + FILL


def _matrices(*rows):
    """(n, 2, 3): where each image is read from, of coordinates -1 to 1; rows are of three times n numbers."""
    return (np.stack([np.stack(row, -1) for row in rows], 1).astype(np.float32),)


def _sample(images, theta, side, mode, padding):
    """Images read where the matrix of each (n, 2, 3) maps the output's coordinates, -1 to 1."""
    grid = F.affine_grid(theta.to(images), (len(images), images.shape[1], side, side), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)


_AUGMENTATIONS = {
    "none": (_draw_nothing, _none),
    "crop-flip": (_draw_crop_flip, _crop_flip),
    "resized-crop-flip": (_draw_resized_crop_flip, _resized_crop_flip),
    "affine": (_draw_affine, _affine),
}
