"""The three styles: shaded (photographs), flat with outlines (clip art), strokes (drawings).

A style is a frozen value; `draw(thing, dice, side)` gives images (n, 3, side, side) in 0..1.
"""

from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from tlbook.data.embedded.canvas import Dice, Frame, Pose, coverage, paint, placed, striped
from tlbook.data.embedded.objects import (
    COLOURS,
    DARK,
    MAIN,
    SOURCE_THINGS,
    TARGET_THINGS,
    Thing,
    palette_table,
)
from tlbook.data.embedded.parts import Circle, Line, Petals


def _colours(names: str) -> Tensor:
    return torch.tensor([COLOURS[name] for name in names.split()])


ANY_PALETTE = palette_table(SOURCE_THINGS + TARGET_THINGS)
ANY_COLOUR = _colours(" ".join(COLOURS))
VIVID = _colours("red orange amber yellow lime green teal sky blue violet pink")
TWIGS = _colours("brown pine green slate tan")
INK = torch.tensor([0.08, 0.07, 0.10])
BLACK = torch.zeros(1, 3)

SCENES = (  # what lies above the horizon, and below
    "sky green",
    "white lime",
    "sky tan",
    "pink teal",
    "amber navy",
    "cream brown",
    "silver grey",
    "slate black",
    "mint pine",
    "tan brick",
    "violet navy",
    "blue sky",
)


@dataclass(frozen=True)
class Shaded:
    """Rounded, lit things before a soft landscape or wall, some of them half hidden."""

    pose: Pose = Pose(turn=0.28, size=(0.70, 0.94), squeeze=0.18, wobble=0.02)
    odd_palette: float = 0.35  # chance of another thing's colours
    tint: float = 0.10  # how far a colour departs from its palette
    bulge: float = 0.30  # how far from its edge a part is rounded
    shadow: float = 0.5  # how dark the thing's shadow is, 0..1
    occluder: float = 0.30  # chance of a twig in front
    grain: float = 0.025  # largest noise of a pixel, in brightness

    def draw(self, thing: Thing, dice: Dice, side: int) -> Tensor:
        frame = placed(dice, side, self.pose)
        image = self._scenery(dice, frame)
        parts = thing.parts(dice.between)
        distances = [part.shape.distance(frame.x, frame.y) for part in parts]
        outline = torch.stack(distances).amin(0)
        self._cast_shadow(image, outline, side)
        palette = self._palette(thing, dice)
        light = dice.between(-0.6, 0.6), dice.between(0.4, 0.9)
        marbling = 1 + 0.10 * dice.clouds(side, 8)
        inside = frame.coverage(outline)
        for part, distance in zip(parts, distances, strict=True):
            paint(image, 0.45 * inside * (1 - distance.abs() / 0.12).clamp(min=0), BLACK)
            brightness = self._brightness(frame, distance, light) * marbling
            paint(image, frame.coverage(distance), palette[:, part.slot, :, None, None] * brightness[:, None])
        self._occlude(image, dice, frame)
        return self._exposed(image, dice)

    def _palette(self, thing: Thing, dice: Dice) -> Tensor:
        """Colours of the slots for each image, (n, 5, 3): the thing's own, at times another's."""
        own, other = dice.pick(palette_table((thing,))), dice.pick(ANY_PALETTE)
        palette = torch.where(dice.chance(self.odd_palette) > 0, other, own)
        shift = 2 * torch.rand(palette.shape, generator=dice.generator) - 1
        return (palette + self.tint * shift).clamp(0, 1)

    def _scenery(self, dice: Dice, frame: Frame) -> Tensor:
        """Something far and something near, parted by a soft horizon."""
        scene = dice.pick(torch.stack([_colours(scene) for scene in SCENES]))
        scene = (scene + dice.between(-0.15, 0.15)).clamp(0, 1)
        side = frame.side
        hills = frame.up - dice.between(-0.7, 0.4) + 0.25 * dice.clouds(side, 3)
        nearness = torch.sigmoid(-hills * dice.between(1.5, 16))
        image = scene[:, 0, :, None, None].repeat(1, 1, side, side)
        paint(image, nearness, scene[:, 1])
        for _ in range(3):  # things far behind, out of focus
            spot = Circle(dice.between(-1, 1), dice.between(-1, 1), dice.between(0.1, 0.4))
            blurred = (0.5 - spot.distance(frame.across, frame.up) / 0.25).clamp(0, 1)
            paint(image, 0.5 * dice.chance(0.5) * blurred, dice.pick(ANY_COLOUR))
        texture = 0.10 * dice.clouds(side, 4) + 0.05 * dice.clouds(side, 11)
        return image * (1 + texture[:, None])

    def _cast_shadow(self, image: Tensor, outline: Tensor, side: int) -> None:
        """A soft shadow of the whole thing, a little below it and to its right."""
        right, down = side // 16, side // 12
        soft = (0.7 - outline / 0.3).clamp(0, 1)
        paint(image, self.shadow * F.pad(soft, (right, 0, down, 0))[:, :side, :side], BLACK)

    def _brightness(self, frame: Frame, distance: Tensor, light: tuple[Tensor, Tensor]) -> Tensor:
        """Lambert's law for a part that is rounded near its edge: its normal tilts along the slope."""
        tilt = 1 + (distance / self.bulge).clamp(-1, 0)
        down, right = torch.gradient(distance, dim=(1, 2))
        facing = (right * light[0] - down * light[1]) / frame.pixel
        return (0.62 + 0.34 * (1 - tilt * tilt) + 0.42 * tilt * facing).clamp(min=0.15)

    def _occlude(self, image: Tensor, dice: Dice, frame: Frame) -> None:
        """A twig reaches into some of the pictures, in front of the thing."""
        x, y, angle = dice.between(-0.9, 0.9), dice.between(-0.9, 0.9), dice.between(0, 2 * pi)
        twig = Line(x, y, x + 2 * angle.cos(), y + 2 * angle.sin(), dice.between(0.06, 0.14))
        distance = twig.distance(frame.across, frame.up)
        rounded = 0.6 + 2.5 * (-distance).clamp(0, 0.2)
        colour = dice.pick(TWIGS)[:, :, None, None]
        covered = dice.chance(self.occluder) * coverage(distance, 2 / frame.side)
        paint(image, covered, colour * rounded[:, None])

    def _exposed(self, image: Tensor, dice: Dice) -> Tensor:
        """Light and camera: brightness, contrast, a colour cast, grain."""
        cast = 1 + 0.12 * (2 * torch.rand(dice.n, 3, 1, 1, generator=dice.generator) - 1)
        contrast, brightness = dice.between(0.75, 1.1)[:, None], dice.between(-0.10, 0.08)[:, None]
        image = (image * cast - 0.5) * contrast + 0.5 + brightness
        return (image + self.grain * dice.grain(image.shape[-1])).clamp(0, 1)


@dataclass(frozen=True)
class Flat:
    """Plain bright colours, mostly with ink outlines, on patterned paper with stickers."""

    pose: Pose = Pose(turn=0.35, size=(0.58, 0.92), squeeze=0.18, wobble=0.015)
    inked: float = 0.75  # chance of outlines
    sticker: float = 0.5  # chance of each of the stickers
    stickers: int = 3

    def draw(self, thing: Thing, dice: Dice, side: int) -> Tensor:
        frame = placed(dice, side, self.pose)
        image = self._paper(dice, frame)
        inked = dice.chance(self.inked)
        for _ in range(self.stickers - 1):
            self._stick(image, dice, frame, inked)
        palette = self._palette(dice)
        ink_width = frame.pixel * dice.between(0.5, 1.1) * inked
        for part in thing.parts(dice.between):
            distance = part.shape.distance(frame.x, frame.y)
            paint(image, frame.coverage(distance - ink_width / 2) * inked, INK[None])
            paint(image, frame.coverage(distance + ink_width / 2), palette[:, part.slot])
        self._stick(image, dice, frame, inked)
        return image.clamp(0, 1)

    def _palette(self, dice: Dice) -> Tensor:
        """Three different vivid colours for each image, then ink and white."""
        order = torch.rand(dice.n, len(VIVID), generator=dice.generator).argsort(1)
        fixed = torch.stack([INK, torch.ones(3)]).expand(dice.n, 2, 3)
        return torch.cat([VIVID[order[:, :3]], fixed], 1)

    def _paper(self, dice: Dice, frame: Frame) -> Tensor:
        """Plain, striped, dotted, with a disc, or with rays."""
        paper = self._pale(dice)
        image = paper[:, :, None, None].repeat(1, 1, frame.side, frame.side)
        angle, waves = dice.between(0, pi), dice.between(2, 4)
        dots = torch.minimum(striped(frame, angle, waves), striped(frame, angle + pi / 2, waves))
        disc = Circle(0, 0, dice.between(0.65, 0.95)).distance(frame.across, frame.up)
        disc = coverage(disc, 2 / frame.side)
        rays = (0.5 + 3 * torch.sin(8 * torch.atan2(frame.up, frame.across + 1e-3) + angle)).clamp(0, 1)
        plain = torch.zeros_like(dots)
        patterns = torch.stack([plain, plain, striped(frame, angle, waves), dots, disc, rays])
        which = torch.randint(len(patterns), (dice.n,), generator=dice.generator)
        paint(image, patterns[which, torch.arange(dice.n)], self._pale(dice))
        return image

    def _pale(self, dice: Dice) -> Tensor:
        colour = dice.pick(ANY_COLOUR)
        return colour + (1 - colour) * dice.between(0.45, 0.95)[:, 0]

    def _stick(self, image: Tensor, dice: Dice, frame: Frame, inked: Tensor) -> None:
        """A star or a dot somewhere."""
        x, y = dice.between(-0.95, 0.95), dice.between(-0.95, 0.95)
        star = Petals(x, y, dice.between(0.16, 0.30), 5, 0.25, dice.between(0, 2 * pi))
        dot = Circle(x, y, dice.between(0.09, 0.18))
        star, dot = star.distance(frame.across, frame.up), dot.distance(frame.across, frame.up)
        distance = torch.where(dice.chance(0.5) > 0, star, dot)
        present, pixel = dice.chance(self.sticker), 2 / frame.side
        paint(image, present * inked * coverage(distance - 0.7 * pixel, pixel), INK[None])
        paint(image, present * coverage(distance, pixel), dice.pick(ANY_COLOUR))


@dataclass(frozen=True)
class Strokes:
    """Black lines on white, by an unsteady hand that lifts the pen and forgets a part now and then.

    Dark parts, and those too thin for an outline, are inked solid.
    """

    pose: Pose = Pose(turn=0.45, size=(0.58, 0.88), squeeze=0.28, wobble=0.07)
    forgotten: float = 0.15  # chance of each part outside the main slot
    see_through: float = 0.3  # chance that hidden lines are drawn, too
    gap: float = 0.58  # how high the noise must be for the pen to lift

    def draw(self, thing: Thing, dice: Dice, side: int) -> Tensor:
        frame = placed(dice, side, self.pose)
        page = torch.ones(dice.n, side, side)
        width = frame.pixel * dice.between(0.8, 1.5)
        covers = 1 - dice.chance(self.see_through)
        for part in thing.parts(dice.between):
            distance = part.shape.distance(frame.x, frame.y)
            filled = frame.coverage(distance)
            traced = frame.coverage(distance.abs() - width / 2) * (dice.clouds(side, 5) < self.gap)
            solid = (distance.amin((1, 2), keepdim=True) > -1.2 * frame.pixel) | (part.slot == DARK)
            ink = torch.where(solid, filled, traced)
            drawn = 1 - dice.chance(0 if part.slot == MAIN else self.forgotten)
            page = torch.maximum(page, drawn * covers * filled) * (1 - drawn * ink)
        return page[:, None].repeat(1, 3, 1, 1)
