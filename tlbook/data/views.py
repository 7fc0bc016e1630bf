"""How an image file becomes what a network is shown: a chain of steps for testing, and one for training.

`CHAINS` names them. "square" is ours: the short side scaled, the centre cut out; what training changes is
done to a whole batch later (`tlbook.data.augment`). "natural" and "chest" are the paper's (official code,
`libdata`): there the random part of training reads the whole file, before anything is scaled.
Every result is (channels, side, side) on the scale 0 to 255, uint8 or float32, with 1 or 3 channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from tlbook.data import decode
from tlbook.data.augment import AREA, DEGREES, FILL, RATIO, SHIFT, ZOOM

ATTEMPTS = 10  # of RandomResizedCrop to find a crop that fits
GREY = int(FILL)


@dataclass(frozen=True)
class Chain:
    """``test(path, side, resized)``, and ``train(path, side, rng)`` for the augmentation of that name.

    Where ``augmentation`` is None, or another is asked for, the test view is augmented as a batch later.
    """

    test: Callable[[Path, int, int], np.ndarray]
    augmentation: str | None = None
    train: Callable[[Path, int, np.random.Generator], np.ndarray] | None = None


def natural_test(path: Path, side: int, resized: int) -> np.ndarray:
    """Resize(``resized``), CenterCrop(``side``) as torchvision does them to a PIL image: uint8 (3, s, s)."""
    image = decode.open_image(path)
    short, long = sorted(image.size)
    other = int(resized * long / short)
    size = (resized, other) if image.width <= image.height else (other, resized)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2) for length in image.size)
    return _channels_first(image.crop((left, top, left + side, top + side)))


def natural_train(path: Path, side: int, rng: np.random.Generator) -> np.ndarray:
    """RandomResizedCrop(``side``) of the whole image and a flip in half the cases: uint8 (3, side, side)."""
    image = decode.open_image(path)
    left, top, width, height = crop_box(image.size, rng)
    image = image.crop((left, top, left + width, top + height))
    image = image.resize((side, side), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _channels_first(image)


def crop_box(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """(left, top, width, height) of torchvision's RandomResizedCrop in an image of ``size`` (w, h)."""
    full_width, full_height = size
    for _ in range(ATTEMPTS):
        area = full_width * full_height * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= full_width and 0 < height <= full_height:
            left = int(rng.integers(full_width - width + 1))
            top = int(rng.integers(full_height - height + 1))
            return left, top, width, height
    # The largest crop in the middle whose ratio is allowed.
    ratio = min(max(full_width / full_height, RATIO[0]), RATIO[1])
    width = min(full_width, round(full_height * ratio))
    height = min(full_height, round(full_width / ratio))
    return (full_width - width) // 2, (full_height - height) // 2, width, height


def chest_test(path: Path, side: int, resized: int) -> np.ndarray:
    """CheXpert's steps for a grey image, all but the normalisation: float32 (1, side, side).

    Equalised, longer side scaled to ``side``, padded with grey below and to the right, blurred.
    """
    return _chest(decode.open_image(path, "L"), side)


def chest_train(path: Path, side: int, rng: np.random.Generator) -> np.ndarray:
    """The same after a random rotation, shift and zoom of the whole image (nearest pixel, grey outside)."""
    image = decode.open_image(path, "L")
    angle, zoom = rng.uniform(-DEGREES, DEGREES), rng.uniform(*ZOOM)
    shift = [round(rng.uniform(-SHIFT * length, SHIFT * length)) for length in image.size]
    return _chest(moved(image, angle, shift, zoom), side)


def moved(image: Image.Image, angle: float, shift: list[int], zoom: float) -> Image.Image:
    """A grey image turned by ``angle`` degrees about its centre, zoomed, then shifted by whole pixels.

    Equals torchvision's `functional.affine` with the nearest pixel and fill 128.
    """
    (cx, cy), turn = (length / 2 for length in image.size), math.radians(angle)
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    x, y = cx + shift[0], cy + shift[1]
    back = (cos, sin, cx - cos * x - sin * y, -sin, cos, cy + sin * x - cos * y)
    return image.transform(image.size, Image.Transform.AFFINE, back, Image.Resampling.NEAREST, fillcolor=GREY)


def _chest(image: Image.Image, side: int) -> np.ndarray:
    grey = torch.from_numpy(equalised(np.asarray(image)).astype(np.float32))[None, None]
    height, width = grey.shape[2:]
    ratio = max(height, width) / min(height, width)
    short = max(1, round(side / ratio))
    size = (side, short) if height >= width else (short, side)
    scaled = F.interpolate(grey, size=size, mode="bilinear", align_corners=False)
    padded = F.pad(scaled, (0, side - size[1], 0, side - size[0]), value=FILL)
    return _blurred(padded)[0].numpy()


def equalised(image: np.ndarray) -> np.ndarray:
    """A grey uint8 image with its histogram equalised as OpenCV's equalizeHist does it."""
    counts = np.bincount(image.ravel(), minlength=256)
    darkest = int(np.flatnonzero(counts)[0])
    rest = image.size - counts[darkest]
    if rest == 0:
        return image
    above = np.cumsum(counts) - counts[: darkest + 1].sum()
    table = np.rint(above.clip(0).astype(np.float32) * np.float32(255 / rest))
    return table.astype(np.uint8)[image]


def _blurred(image: torch.Tensor) -> torch.Tensor:
    """3x3 Gaussian, [1 2 1] / 4 each way, mirrored at the border without repeating it."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line)[None, None]
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel)


def _channels_first(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


CHAINS = {
    "square": Chain(decode.decode_image),
    "natural": Chain(natural_test, "resized-crop-flip", natural_train),
    "chest": Chain(chest_test, "affine", chest_train),
}
