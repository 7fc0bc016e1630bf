"""A chest X-ray phantom with six findings that come and go independently.

The image is built from densities (0 dark ... 1 bright): body, lungs, ribs, spine, collar bones, heart. A
finding changes the densities of a chest; its random numbers are drawn whether it is present or not, so that
the same seed gives the same chest with and without it.
"""

from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor

from tlbook.data.embedded.canvas import Dice, axes
from tlbook.data.embedded.shapes import box, circle, ellipse, line, mirrored

PREVALENCE = 0.35
GRAIN = 0.025


@dataclass(frozen=True)
class Chest:
    """One anatomy per image: coordinates (image side, y up) and the measures that findings need."""

    x: Tensor
    y: Tensor
    lung_middle: Tensor  # how far from the spine a lung's middle lies
    lung_width: Tensor  # half axes
    lung_height: Tensor
    floor: Tensor  # height of the diaphragm's dome
    heart_width: Tensor

    def lung(self, side: Tensor | float) -> Tensor:
        """Signed distance of the lung on one side (-1 left, 1 right in the image)."""
        middle = side * self.lung_middle
        lobe = ellipse(middle, 0.04, self.lung_width, self.lung_height)(self.x, self.y)
        below_dome = self.floor - 0.9 * (self.x - middle) ** 2 - self.y
        return torch.maximum(lobe, below_dome)


def soft(distance: Tensor, blur: float = 0.06) -> Tensor:
    """1 inside, 0 outside, with an edge that fades over about `blur`, as a projected body's does."""
    return torch.sigmoid(-distance * (2 / blur))


def anatomy(dice: Dice, side: int) -> Chest:
    """A chest of random proportions, slightly turned and shifted."""
    across, up = axes(side)
    turn, size = dice.between(-0.08, 0.08), dice.between(0.88, 1.04)
    x = across - dice.between(-0.08, 0.08) + 0.03 * dice.clouds(side, 3)
    y = up - dice.between(-0.08, 0.08) + 0.03 * dice.clouds(side, 3)
    return Chest(
        x=(turn.cos() * x + turn.sin() * y) / size,
        y=(turn.cos() * y - turn.sin() * x) / size,
        lung_middle=dice.between(0.42, 0.47),
        lung_width=dice.between(0.31, 0.37),
        lung_height=dice.between(0.66, 0.76),
        floor=dice.between(-0.52, -0.40),
        heart_width=dice.between(0.22, 0.30),
    )


def healthy(chest: Chest, dice: Dice) -> Tensor:
    """Densities of the chest itself: (n, side, side)."""
    x, y = chest.x, chest.y
    body = soft(box(0, -0.15, 0.95, 1.25, 0.55)(x, y), 0.12)
    lungs = soft(torch.minimum(chest.lung(-1), chest.lung(1)))
    density = 0.04 + 0.58 * body - dice.between(0.38, 0.46) * lungs
    ribs = torch.cos(2 * pi * (y * dice.between(2.7, 3.2) - 1.1 * x.abs() + dice.between(0, 1))).clamp(min=0)
    density = density + 0.10 * ribs * body * (x.abs() > 0.12)
    spine = soft(x.abs() - 0.10, 0.10) * (1 + 0.2 * torch.cos(24 * y))
    density = density + 0.16 * spine * body
    collar = mirrored(line(0.10, 0.60, 0.78, 0.80, 0.04))
    density = density + 0.14 * soft(collar(x, y))
    heart = ellipse(0.08 + 0.5 * (chest.heart_width - 0.22), -0.26, chest.heart_width, 0.34, 0.35)
    return torch.maximum(density, 0.66 * soft(heart(x, y), 0.10))


def effusion(chest: Chest, density: Tensor, dice: Dice) -> Tensor:
    """Fluid fills the bottom of one lung, climbing at the outer wall."""
    side, level = dice.sign(), dice.between(-0.30, 0.02)
    outward = (side * chest.x - chest.lung_middle).clamp(min=0)
    fluid = soft(chest.y - level - 1.6 * outward**2, 0.12) * soft(chest.lung(side))
    return density + dice.between(0.30, 0.42) * fluid


def nodule(chest: Chest, density: Tensor, dice: Dice) -> Tensor:
    """A small round shadow in one lung."""
    side, size = dice.sign(), dice.between(0.08, 0.13)
    spot = circle(side * dice.between(0.32, 0.60), dice.between(-0.20, 0.45), size)
    return density + dice.between(0.32, 0.46) * soft(spot(chest.x, chest.y))


def pneumothorax(chest: Chest, density: Tensor, dice: Dice) -> Tensor:
    """Air between chest wall and lung: a dark rim without markings, and the collapsed lung's thin edge."""
    side, shrink = dice.sign(), dice.between(0.12, 0.24)
    middle, height = side * (chest.lung_middle - shrink), chest.lung_height - 0.5 * shrink
    collapsed = ellipse(middle, -0.06, chest.lung_width, height)(chest.x, chest.y)
    lung = soft(chest.lung(side))
    air = lung * (1 - soft(collapsed))
    edge = lung * torch.exp(-((collapsed / 0.05) ** 2))
    return density * (1 - dice.between(0.35, 0.60) * air) + 0.16 * edge


def infiltrate(chest: Chest, density: Tensor, dice: Dice) -> Tensor:
    """A patchy, ill-defined cloud in one lung."""
    side, across, up = dice.sign(), dice.between(0.16, 0.26), dice.between(0.18, 0.30)
    x = (chest.x - side * dice.between(0.34, 0.54)) / across
    y = (chest.y - dice.between(-0.25, 0.40)) / up
    patches = 0.75 + 0.5 * dice.clouds(chest.x.shape[-1], 10)
    cloud = patches * torch.exp(-(x * x + y * y)) * soft(chest.lung(side))
    return density + dice.between(0.32, 0.46) * cloud


def pacemaker(chest: Chest, density: Tensor, dice: Dice) -> Tensor:
    """A metal case below a collar bone, and its lead to the heart."""
    side, x, y = dice.sign(), dice.between(0.48, 0.60), dice.between(0.46, 0.58)
    case = soft(box(side * x, y, 0.10, 0.08, 0.04)(chest.x, chest.y), 0.04)
    lead = soft(line(side * x, y, 0.06, -0.20, 0.015)(chest.x, chest.y), 0.05)
    return density + dice.between(0.25, 0.40) * torch.maximum(case, 0.7 * lead)


LESIONS = {lesion.__name__: lesion for lesion in (effusion, nodule, pneumothorax, infiltrate, pacemaker)}
FINDINGS = ("large heart", *LESIONS)


def draw(labels: Tensor, dice: Dice, side: int) -> Tensor:
    """Images (n, 3, side, side) in 0..1 of chests with the findings of `labels`, (n, 6) of 0 and 1."""
    present = dict(zip(FINDINGS, labels.T[:, :, None, None], strict=True))
    chest = anatomy(dice, side)
    growth = dice.between(0.10, 0.20)
    chest = replace(chest, heart_width=chest.heart_width + growth * present["large heart"])
    density = healthy(chest, dice)
    for name, lesion in LESIONS.items():
        density = torch.lerp(density, lesion(chest, density, dice), present[name].expand_as(density))
    return _developed(density, dice)


def _developed(density: Tensor, dice: Dice) -> Tensor:
    """The film: uneven exposure, contrast, grain."""
    side = density.shape[-1]
    density = density + 0.06 * dice.clouds(side, 2) + 0.05 * dice.clouds(side, 8)
    film = density * dice.between(0.9, 1.25) + dice.between(-0.05, 0.06)
    return (film[:, None] + GRAIN * dice.grain(side)).clamp(0, 1).repeat(1, 3, 1, 1)
