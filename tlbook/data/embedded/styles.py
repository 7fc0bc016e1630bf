"""The three styles: shaded (photographs), flat with outlines (clip art), strokes (drawings).

A style draws a thing: ``style(thing, dice, side)`` gives images (n, 3, side, side) in 0..1.
"""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from tlbook.data.embedded.canvas import Dice, Frame, Pose, coverage, paint, placed, striped
from tlbook.data.embedded.shapes import circle, petals
from tlbook.data.embedded.things import (
    COLOURS,
    DARK,
    MAIN,
    SOURCE_THINGS,
    TARGET_THINGS,
    Thing,
    colours,
    palette_table,
)

ANY_PALETTE = palette_table(*SOURCE_THINGS, *TARGET_THINGS)
ANY_COLOUR = colours(" ".join(COLOURS))
VIVID = colours("red orange amber yellow lime green teal sky blue violet pink")
INK = torch.tensor([[0.08, 0.07, 0.10]])
BLACK = torch.zeros(1, 3)
SCENES = torch.stack([colours(names) for names in (  # what lies above the horizon, and below
    "sky green", "white lime", "sky tan", "pink teal", "amber navy", "cream brown",
    "silver grey", "slate black", "mint pine", "tan brick", "violet navy", "blue sky",
)])  # fmt: skip


# Shaded: rounded, lit things before a soft landscape or wall

SHADED = Pose(turn=0.28, size=(0.70, 0.94), squeeze=0.18, wobble=0.02)
ODD_PALETTE = 0.35  # chance of another thing's colours
TINT = 0.10  # how far a colour departs from its palette
BULGE = 0.30  # how far from its edge a part is rounded
SHADOW = 0.5  # how dark the thing's shadow is, 0..1
GRAIN = 0.025  # largest noise of a pixel, in brightness


def shaded(thing: Thing, dice: Dice, side: int) -> Tensor:
    """A picture with light and shadow, as a photograph has them."""
    frame = placed(dice, side, SHADED)
    image = _scenery(dice, frame)
    parts = thing.parts(dice.between)
    distances = [part.shape(frame.x, frame.y) for part in parts]
    outline = torch.stack(distances).amin(0)
    right, down = side // 16, side // 12  # its shadow lies a little below it and to its right
    soft = F.pad((0.7 - outline / 0.3).clamp(0, 1), (right, 0, down, 0))[:, :side, :side]
    paint(image, SHADOW * soft, BLACK)
    palette = _tinted(thing, dice)
    light = dice.between(-0.6, 0.6), dice.between(0.4, 0.9)
    marbling = 1 + 0.10 * dice.clouds(side, 8)
    inside = frame.coverage(outline)
    for part, distance in zip(parts, distances, strict=True):
        paint(image, 0.45 * inside * (1 - distance.abs() / 0.12).clamp(min=0), BLACK)
        brightness = _brightness(frame, distance, light) * marbling
        paint(image, frame.coverage(distance), palette[:, part.slot, :, None, None] * brightness[:, None])
    return _exposed(image, dice)


def _tinted(thing: Thing, dice: Dice) -> Tensor:
    """Colours of the slots for each image, (n, 5, 3): the thing's own, at times another's."""
    own, other = dice.pick(palette_table(thing)), dice.pick(ANY_PALETTE)
    palette = torch.where(dice.chance(ODD_PALETTE) > 0, other, own)
    shift = 2 * torch.rand(palette.shape, generator=dice.generator) - 1
    return (palette + TINT * shift).clamp(0, 1)


def _scenery(dice: Dice, frame: Frame) -> Tensor:
    """Something far and something near, parted by a soft horizon, and things far behind, out of focus."""
    scene = (dice.pick(SCENES) + dice.between(-0.15, 0.15)).clamp(0, 1)
    side = frame.side
    hills = frame.up - dice.between(-0.7, 0.4) + 0.25 * dice.clouds(side, 3)
    image = scene[:, 0, :, None, None].repeat(1, 1, side, side)
    paint(image, torch.sigmoid(-hills * dice.between(1.5, 16)), scene[:, 1])
    for _ in range(3):
        spot = circle(dice.between(-1, 1), dice.between(-1, 1), dice.between(0.1, 0.4))
        blurred = (0.5 - spot(frame.across, frame.up) / 0.25).clamp(0, 1)
        paint(image, 0.5 * dice.chance(0.5) * blurred, dice.pick(ANY_COLOUR))
    texture = 0.10 * dice.clouds(side, 4) + 0.05 * dice.clouds(side, 11)
    return image * (1 + texture[:, None])


def _brightness(frame: Frame, distance: Tensor, light: tuple[Tensor, Tensor]) -> Tensor:
    """Lambert's law for a part that is rounded near its edge: its normal tilts along the slope."""
    tilt = 1 + (distance / BULGE).clamp(-1, 0)
    down, right = torch.gradient(distance, dim=(1, 2))
    facing = (right * light[0] - down * light[1]) / frame.pixel
    return (0.62 + 0.34 * (1 - tilt * tilt) + 0.42 * tilt * facing).clamp(min=0.15)


def _exposed(image: Tensor, dice: Dice) -> Tensor:
    """Light and camera: brightness, contrast, a colour cast, grain."""
    cast = 1 + 0.12 * (2 * torch.rand(dice.n, 3, 1, 1, generator=dice.generator) - 1)
    contrast, brightness = dice.between(0.75, 1.1)[:, None], dice.between(-0.10, 0.08)[:, None]
    image = (image * cast - 0.5) * contrast + 0.5 + brightness
    return (image + GRAIN * dice.grain(image.shape[-1])).clamp(0, 1)


# Flat: plain bright colours, mostly with ink outlines, on patterned paper with stickers

FLAT = Pose(turn=0.35, size=(0.58, 0.92), squeeze=0.18, wobble=0.015)
INKED = 0.75  # chance of outlines
STICKER = 0.5  # chance of each of the stickers: two behind the thing, one before it


def flat(thing: Thing, dice: Dice, side: int) -> Tensor:
    """Clip art."""
    frame = placed(dice, side, FLAT)
    image = _paper(dice, frame)
    inked = dice.chance(INKED)
    for _ in range(2):
        _stick(image, dice, frame, inked)
    order = torch.rand(dice.n, len(VIVID), generator=dice.generator).argsort(1)
    fixed = torch.cat([INK, torch.ones(1, 3)]).expand(dice.n, 2, 3)
    palette = torch.cat([VIVID[order[:, :3]], fixed], 1)
    ink_width = frame.pixel * dice.between(0.5, 1.1) * inked
    for part in thing.parts(dice.between):
        distance = part.shape(frame.x, frame.y)
        paint(image, frame.coverage(distance - ink_width / 2) * inked, INK)
        paint(image, frame.coverage(distance + ink_width / 2), palette[:, part.slot])
    _stick(image, dice, frame, inked)
    return image.clamp(0, 1)


def _paper(dice: Dice, frame: Frame) -> Tensor:
    """Pale paper: plain, striped, dotted, or with a disc."""
    image = _pale(dice)[:, :, None, None].repeat(1, 1, frame.side, frame.side)
    angle, waves = dice.between(0, pi), dice.between(2, 4)
    stripes = striped(frame, angle, waves)
    dots = torch.minimum(stripes, striped(frame, angle + pi / 2, waves))
    disc = coverage(circle(0, 0, dice.between(0.65, 0.95))(frame.across, frame.up), 2 / frame.side)
    patterns = torch.stack([torch.zeros_like(stripes), stripes, dots, disc])
    which = torch.randint(len(patterns), (dice.n,), generator=dice.generator)
    paint(image, patterns[which, torch.arange(dice.n)], _pale(dice))
    return image


def _pale(dice: Dice) -> Tensor:
    colour = dice.pick(ANY_COLOUR)
    return colour + (1 - colour) * dice.between(0.45, 0.95)[:, 0]


def _stick(image: Tensor, dice: Dice, frame: Frame, inked: Tensor) -> None:
    """A star or a dot somewhere."""
    x, y = dice.between(-0.95, 0.95), dice.between(-0.95, 0.95)
    star = petals(x, y, dice.between(0.16, 0.30), 5, 0.25, dice.between(0, 2 * pi))
    dot = circle(x, y, dice.between(0.09, 0.18))
    star, dot = star(frame.across, frame.up), dot(frame.across, frame.up)
    distance = torch.where(dice.chance(0.5) > 0, star, dot)
    present, pixel = dice.chance(STICKER), 2 / frame.side
    paint(image, present * inked * coverage(distance - 0.7 * pixel, pixel), INK)
    paint(image, present * coverage(distance, pixel), dice.pick(ANY_COLOUR))


# Strokes: black lines on white, by an unsteady hand that lifts the pen and forgets a part now and then

STROKES = Pose(turn=0.45, size=(0.58, 0.88), squeeze=0.28, wobble=0.07)
FORGOTTEN = 0.15  # chance of each part outside the main slot
SEE_THROUGH = 0.3  # chance that hidden lines are drawn, too
GAP = 0.58  # how high the noise must be for the pen to lift


def strokes(thing: Thing, dice: Dice, side: int) -> Tensor:
    """A drawing; dark parts, and those too thin for an outline, are inked solid."""
    frame = placed(dice, side, STROKES)
    page = torch.ones(dice.n, side, side)
    width = frame.pixel * dice.between(0.8, 1.5)
    covers = 1 - dice.chance(SEE_THROUGH)
    for part in thing.parts(dice.between):
        distance = part.shape(frame.x, frame.y)
        filled = frame.coverage(distance)
        traced = frame.coverage(distance.abs() - width / 2) * (dice.clouds(side, 5) < GAP)
        solid = (distance.amin((1, 2), keepdim=True) > -1.2 * frame.pixel) | (part.slot == DARK)
        ink = torch.where(solid, filled, traced)
        drawn = 1 - dice.chance(0 if part.slot == MAIN else FORGOTTEN)
        page = torch.maximum(page, drawn * covers * filled) * (1 - drawn * ink)
    return page[:, None].repeat(1, 3, 1, 1)
