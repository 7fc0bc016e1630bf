"""What every style draws with: dice, a pose, coverage of pixels, paint.

Sheets are (n, side, side), images (n, 3, side, side), values for each image (n, 1, 1); brightness is 0..1.
"""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor


class Dice:
    """Random numbers for `n` images at once, from one seeded generator."""

    def __init__(self, generator: torch.Generator, n: int):
        self.generator, self.n = generator, n

    def between(self, low: float, high: float) -> Tensor:
        """Uniform in [low, high): (n, 1, 1)."""
        return low + (high - low) * torch.rand(self.n, 1, 1, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """1 with the given probability, else 0: (n, 1, 1)."""
        return (torch.rand(self.n, 1, 1, generator=self.generator) < probability).float()

    def sign(self) -> Tensor:
        """-1 or 1: (n, 1, 1)."""
        return 2 * self.chance(0.5) - 1

    def pick(self, table: Tensor) -> Tensor:
        """A random row of the table for each image."""
        return table[torch.randint(len(table), (self.n,), generator=self.generator)]

    def clouds(self, side: int, cells: int) -> Tensor:
        """Smooth noise in [-1, 1]: random values on a lattice of `cells` + 1 points a side, and blends."""
        values = 2 * torch.rand(self.n, cells + 1, cells + 1, generator=self.generator) - 1
        blend = _blend(side, cells)
        return blend @ values @ blend.T

    def grain(self, side: int) -> Tensor:
        """White noise, uniform in [-1, 1]: (n, 1, side, side)."""
        return 2 * torch.rand(self.n, 1, side, side, generator=self.generator) - 1


def _blend(side: int, cells: int) -> Tensor:
    """Weights (side, cells + 1) that carry lattice values to pixels; each row is positive and sums to 1."""
    place = (torch.arange(side) + 0.5) * cells / side
    gap = (place[:, None] - torch.arange(cells + 1)).abs().clamp(max=1)
    return 0.5 + 0.5 * torch.cos(pi * gap)


@dataclass(frozen=True)
class Pose:
    """How freely a style places a thing: each number bounds what is drawn at random for an image."""

    turn: float  # radians, to either side
    size: tuple[float, float]  # radius of the thing, in half image sides
    squeeze: float  # how much narrower or lower than listed, as a fraction
    wobble: float  # how far an edge may wander, in half image sides


@dataclass(frozen=True)
class Frame:
    """Where the pixels of `n` images lie: in the image (across, up: -1..1), in the thing's units (x, y)."""

    across: Tensor  # (1, 1, side)
    up: Tensor  # (1, side, 1)
    x: Tensor  # (n, side, side)
    y: Tensor  # (n, side, side)
    pixel: Tensor  # (n, 1, 1): size of a pixel in the thing's units

    @property
    def side(self) -> int:
        return self.x.shape[-1]

    def coverage(self, distance: Tensor) -> Tensor:
        """How much of each pixel lies inside, 0..1, for a distance in the thing's units."""
        return coverage(distance, self.pixel)


def axes(side: int) -> tuple[Tensor, Tensor]:
    """Image coordinates of the pixels' centres: across (1, 1, side) rises, up (1, side, 1) falls."""
    middle = (torch.arange(side) + 0.5) * 2 / side - 1
    return middle[None, None, :], -middle[None, :, None]


def placed(dice: Dice, side: int, pose: Pose) -> Frame:
    """A random pose for each image, such that a thing within the disc of radius 1 stays in the image."""
    across, up = axes(side)
    size, turn = dice.between(*pose.size), dice.between(-pose.turn, pose.turn)
    room = (1 - size - sqrt(2) * pose.wobble).clamp(min=0)
    right, high = room * dice.between(-1, 1), room * dice.between(-1, 1)
    x = across - right + pose.wobble * dice.clouds(side, 3)
    y = up - high + pose.wobble * dice.clouds(side, 3)
    x, y = turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x
    squeeze = pose.squeeze * dice.between(-1, 1)  # one way it narrows the thing, the other way it lowers it
    width, height = size * (1 - squeeze.clamp(min=0)), size * (1 + squeeze.clamp(max=0))
    return Frame(across, up, dice.sign() * x / width, y / height, 2 / (side * size))


def coverage(distance: Tensor, pixel: Tensor | float) -> Tensor:
    """Anti-aliased coverage of pixels of size `pixel` by a shape, from its signed distance."""
    return (0.5 - distance / pixel).clamp(0, 1)


def paint(image: Tensor, amount: Tensor, colour: Tensor) -> None:
    """Lays a colour, (n, 3) or an image, over the image in place; `amount` is a sheet of 0..1."""
    if colour.dim() == 2:
        colour = colour[:, :, None, None]
    image.lerp_(colour.expand_as(image), amount[:, None].expand_as(image))


def striped(frame: Frame, angle: Tensor, waves: Tensor) -> Tensor:
    """A sheet of parallel stripes, 0..1, with soft edges of about a pixel."""
    along = angle.cos() * frame.across + angle.sin() * frame.up
    return coverage(torch.sin(pi * waves * along), pi * waves * 2 / frame.side)
