"""The things that the embedded images show: 20 for the source, 10 others for the targets.

A thing is a list of named parts, drawn from back to front, each a shape in one of five colour slots. Every
thing fits the disc of radius 1 (x right, y up). What differs from one image to the next is asked of
`vary(low, high)`, which returns a value for each image. Source and targets share kinds of parts (wheels,
eyes, wings, stems ...) and no thing.

A thing's palettes name the natural colours of its main, second and accent slots; dark and light are always
the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tlbook.data.embedded.parts import (
    Above,
    Below,
    Both,
    Box,
    Circle,
    Ellipse,
    Line,
    Minus,
    Number,
    Petals,
    Polygon,
    Ring,
    Shape,
    Union,
)

SLOTS = ("main", "second", "accent", "dark", "light")
MAIN, SECOND, ACCENT, DARK, LIGHT = range(len(SLOTS))

Vary = Callable[[float, float], Tensor]

COLOURS = {  # red, green, blue in 0..1
    "red": (0.82, 0.16, 0.15),
    "crimson": (0.62, 0.08, 0.20),
    "brick": (0.66, 0.32, 0.24),
    "orange": (0.95, 0.52, 0.12),
    "amber": (0.96, 0.72, 0.18),
    "yellow": (0.97, 0.86, 0.28),
    "cream": (0.95, 0.89, 0.74),
    "white": (0.94, 0.94, 0.95),
    "silver": (0.70, 0.73, 0.77),
    "grey": (0.45, 0.47, 0.50),
    "slate": (0.28, 0.33, 0.40),
    "black": (0.14, 0.13, 0.16),
    "brown": (0.45, 0.28, 0.16),
    "tan": (0.78, 0.60, 0.40),
    "lime": (0.60, 0.80, 0.25),
    "green": (0.24, 0.58, 0.26),
    "pine": (0.12, 0.38, 0.25),
    "mint": (0.58, 0.86, 0.72),
    "teal": (0.12, 0.56, 0.58),
    "sky": (0.45, 0.72, 0.93),
    "blue": (0.18, 0.38, 0.80),
    "navy": (0.13, 0.19, 0.45),
    "violet": (0.48, 0.30, 0.72),
    "pink": (0.95, 0.60, 0.72),
    "rose": (0.86, 0.30, 0.48),
}
DARK_COLOUR = (0.12, 0.11, 0.14)
LIGHT_COLOUR = (0.96, 0.95, 0.92)


@dataclass(frozen=True)
class Part:
    """One piece of a thing: what it is called, the slot of its colour, its shape."""

    name: str
    slot: int
    shape: Shape


@dataclass(frozen=True)
class Thing:
    """A class of images: `parts(vary)` lists its parts; a palette is three names of `COLOURS`, by slot."""

    name: str
    parts: Callable[[Vary], list[Part]]
    palettes: tuple[str, ...]


# ---- parts that several things share


def strokes(half_width: float, *ends: tuple[Number, Number, Number, Number]) -> Union:
    """Several lines, each from (x0, y0) to (x1, y1)."""
    return Union(*(Line(*end, half_width) for end in ends))


def wheel(x: Number, y: Number, radius: float) -> list[Part]:
    """A tyre with its hub, around (x, y)."""
    return [
        Part("tyre", DARK, Circle(x, y, radius)),
        Part("hub", LIGHT, Circle(x, y, 0.42 * radius)),
    ]


def eye(x: Number, y: Number, radius: float) -> list[Part]:
    """An eye with its pupil, around (x, y)."""
    return [
        Part("eye", LIGHT, Circle(x, y, radius)),
        Part("pupil", DARK, Circle(x, y, 0.6 * radius)),
    ]


def beak(x: float, y: float, length: float) -> Part:
    """A beak that points right, or left for a negative length."""
    return Part("beak", ACCENT, Polygon((x, y + 0.11), (x, y - 0.11), (x + length, y - 0.03)))


# ---- source


def fish(vary: Vary) -> list[Part]:
    """A striped body of varying height, with tail, fin and eye."""
    body = Ellipse(0.14, 0, 0.70, vary(0.36, 0.46))
    return [
        Part("tail", SECOND, Polygon((-0.36, 0), (-0.88, 0.42), (-0.88, -0.42))),
        Part("fin", SECOND, Polygon((0.30, 0.30), (-0.12, 0.66), (-0.28, 0.25))),
        Part("body", MAIN, body),
        Part("stripe", ACCENT, Both(body, Box(vary(-0.25, -0.15), 0, 0.07, 0.6))),
        Part("stripe", ACCENT, Both(body, Box(0.15, 0, 0.07, 0.6))),
        *eye(0.52, 0.10, 0.13),
    ]


def house(vary: Vary) -> list[Part]:
    """A wall under a roof, with chimney, door and window."""
    return [
        Part("chimney", SECOND, Box(0.36, 0.48, 0.10, 0.24)),
        Part("wall", MAIN, Box(0, -0.30, 0.58, 0.44)),
        Part("roof", SECOND, Polygon((-0.80, 0.08), (0.80, 0.08), (0, vary(0.68, 0.92)))),
        Part("door", ACCENT, Box(-0.22, -0.50, 0.15, 0.24)),
        Part("window", LIGHT, Box(0.25, -0.24, 0.17, 0.17)),
        Part("bar", DARK, Box(0.25, -0.24, 0.025, 0.17)),
    ]


def tree(vary: Vary) -> list[Part]:
    """A crown with three fruits on a trunk."""
    bough = vary(0.32, 0.42)
    crown = Union(Circle(-0.36, 0.04, bough), Circle(0.36, 0.04, bough), Circle(0, 0.44, 0.44))
    return [
        Part("trunk", SECOND, Box(0, -0.58, 0.12, 0.36)),
        Part("crown", MAIN, crown),
        Part("fruit", ACCENT, Circle(-0.18, 0.42, 0.10)),
        Part("fruit", ACCENT, Circle(0.28, 0.20, 0.10)),
        Part("fruit", ACCENT, Circle(-0.38, 0.00, 0.10)),
    ]


def car(vary: Vary) -> list[Part]:
    """A body with its cabin and headlight, on wheels."""
    lean = vary(-0.10, 0.08)
    return [
        Part("cabin", MAIN, Polygon((-0.58, 0), (0.50, 0), (lean + 0.24, 0.44), (lean - 0.30, 0.44))),
        Part("window", LIGHT, Polygon((-0.42, 0.04), (-0.04, 0.04), (-0.04, 0.34), (lean - 0.22, 0.34))),
        Part("window", LIGHT, Polygon((0.06, 0.04), (0.36, 0.04), (lean + 0.18, 0.34), (0.06, 0.34))),
        Part("body", MAIN, Box(0, -0.12, 0.92, 0.21, 0.14)),
        Part("trim", SECOND, Box(0, -0.18, 0.80, 0.045)),
        Part("headlight", ACCENT, Circle(0.80, -0.06, 0.08)),
        *wheel(-0.50, -0.34, 0.23),
        *wheel(0.50, -0.34, 0.23),
    ]


def flower(vary: Vary) -> list[Part]:
    """Petals around a heart, on a stem with two leaves."""
    lean = vary(-0.15, 0.15)
    return [
        Part("stem", SECOND, Line(0, 0.2, lean, -0.90, 0.06)),
        Part("leaf", SECOND, Ellipse(0.26, -0.52, 0.26, 0.11, 0.5)),
        Part("leaf", SECOND, Ellipse(-0.24, -0.62, 0.24, 0.10, -0.5)),
        Part("petals", MAIN, Petals(0, 0.34, 0.58, 6, 0.2)),
        Part("heart", ACCENT, Circle(0, 0.34, 0.20)),
    ]


def cup(vary: Vary) -> list[Part]:
    """A cup with handle and band, and what is in it."""
    body = Polygon((-0.44, -0.64), (0.36, -0.64), (0.50, 0.48), (-0.58, 0.48))
    return [
        Part("handle", MAIN, Ring(0.54, -0.04, 0.26, 0.08)),
        Part("body", MAIN, body),
        Part("band", ACCENT, Both(body, Box(0, vary(-0.3, 0.1), 0.8, 0.11))),
        Part("rim", LIGHT, Ellipse(-0.04, 0.48, 0.54, 0.16)),
        Part("drink", SECOND, Ellipse(-0.04, 0.47, 0.42, 0.10)),
    ]


def rocket(vary: Vary) -> list[Part]:
    """A body with nose, fins and porthole, above its flame."""
    body, porthole = Ellipse(0, 0.14, 0.33, 0.82), vary(0.08, 0.28)
    return [
        Part("flame", ACCENT, Polygon((-0.20, -0.55), (0, -0.98), (0.20, -0.55))),
        Part("fin", SECOND, Polygon((-0.64, -0.70), (0, -0.42), (0, 0.10))),
        Part("fin", SECOND, Polygon((0, -0.42), (0.64, -0.70), (0, 0.10))),
        Part("body", MAIN, body),
        Part("nose", SECOND, Both(body, Above(0.52))),
        Part("porthole", DARK, Circle(0, porthole, 0.16)),
        Part("glass", LIGHT, Circle(0, porthole, 0.09)),
    ]


def sailboat(vary: Vary) -> list[Part]:
    """A striped hull with mast, mainsail and jib."""
    hull = Polygon((-0.86, -0.30), (-0.52, -0.72), (0.52, -0.72), (0.86, -0.30))
    return [
        Part("mast", DARK, Line(0, -0.3, 0, 0.88, 0.045)),
        Part("mainsail", LIGHT, Polygon((0.08, -0.20), (vary(0.55, 0.72), -0.20), (0.08, 0.80))),
        Part("jib", SECOND, Polygon((-0.10, -0.20), (-0.10, 0.62), (-0.60, -0.20))),
        Part("hull", MAIN, hull),
        Part("stripe", ACCENT, Both(hull, Box(0, -0.42, 1.0, 0.05))),
    ]


def cat(vary: Vary) -> list[Part]:
    """A face with ears, muzzle, nose and whiskers."""
    gaze = vary(-0.04, 0.04)
    return [
        Part("ear", MAIN, Polygon((-0.62, 0.10), (-0.05, 0.42), (-0.58, 0.80))),
        Part("ear", MAIN, Polygon((0.62, 0.10), (0.58, 0.80), (0.05, 0.42))),
        Part("inner ear", ACCENT, Polygon((-0.50, 0.30), (-0.26, 0.42), (-0.48, 0.62))),
        Part("inner ear", ACCENT, Polygon((0.50, 0.30), (0.48, 0.62), (0.26, 0.42))),
        Part("face", MAIN, Ellipse(0, -0.12, 0.70, 0.60)),
        Part("muzzle", SECOND, Ellipse(0, -0.40, 0.30, 0.20)),
        *eye(gaze - 0.28, 0.02, 0.16),
        *eye(gaze + 0.28, 0.02, 0.16),
        Part("nose", ACCENT, Polygon((-0.11, -0.22), (0, -0.38), (0.11, -0.22))),
        Part("whiskers", DARK, strokes(0.025, (0.30, -0.32, 0.84, -0.24), (-0.30, -0.32, -0.84, -0.24))),
    ]


def mushroom(vary: Vary) -> list[Part]:
    """A spotted cap on a stem."""
    cap = Both(Ellipse(0, -0.04, 0.88, vary(0.72, 0.88)), Above(-0.06))
    return [
        Part("stem", SECOND, Box(0, -0.44, 0.22, 0.44, 0.14)),
        Part("cap", MAIN, cap),
        Part("spot", LIGHT, Circle(-0.42, 0.18, 0.13)),
        Part("spot", LIGHT, Circle(0.02, 0.44, 0.15)),
        Part("spot", LIGHT, Circle(0.46, 0.14, 0.12)),
    ]


def snowman(vary: Vary) -> list[Part]:
    """Body and head, with scarf, hat, carrot and buttons."""
    return [
        Part("body", MAIN, Circle(0, -0.46, vary(0.42, 0.49))),
        Part("head", MAIN, Circle(0, 0.20, 0.33)),
        Part("scarf", SECOND, Box(0, -0.08, 0.30, 0.08, 0.06)),
        Part("brim", DARK, Box(0, 0.48, 0.42, 0.06)),
        Part("hat", DARK, Box(0, 0.70, 0.25, 0.22)),
        Part("eyes", DARK, Union(Circle(-0.13, 0.28, 0.055), Circle(0.13, 0.28, 0.055))),
        Part("carrot", ACCENT, Polygon((0, 0.22), (0, 0.09), (0.40, 0.12))),
        Part("buttons", DARK, Union(Circle(0, -0.34, 0.06), Circle(0, -0.60, 0.06))),
    ]


def umbrella(vary: Vary) -> list[Part]:
    """A canopy with a panel, on a shaft with tip and crook."""
    scallops = Union(Circle(-0.56, -0.02, 0.28), Circle(0, -0.02, 0.28), Circle(0.56, -0.02, 0.28))
    canopy = Minus(Both(Circle(0, 0.02, 0.84), Above(0.0)), scallops)
    crook = Both(Ring(0.15, -0.68, 0.15, 0.05), Below(-0.68))
    return [
        Part("tip", DARK, Line(0, 0.8, 0, 0.94, 0.035)),
        Part("shaft", DARK, Line(0, 0.3, 0, -0.68, 0.05)),
        Part("crook", DARK, crook),
        Part("canopy", MAIN, canopy),
        Part("panel", SECOND, Both(Ellipse(0, 0.02, vary(0.26, 0.34), 0.84), canopy)),
    ]


def key(vary: Vary) -> list[Part]:
    """A bow on a shaft with two teeth."""
    tooth = vary(0.10, 0.18)
    return [
        Part("shaft", MAIN, Box(0.30, 0, 0.60, 0.09)),
        Part("tooth", MAIN, Box(0.80, -0.16, 0.08, 0.18)),
        Part("tooth", MAIN, Box(0.54, -0.05 - tooth, 0.08, tooth)),
        Part("bow", MAIN, Ring(-0.52, 0, 0.31, 0.13)),
        Part("collar", SECOND, Box(-0.06, 0, 0.06, 0.16)),
    ]


def apple(vary: Vary) -> list[Part]:
    """A fruit with stem, leaf and gleam."""
    tall = vary(0.56, 0.66)
    return [
        Part("stem", DARK, Line(0, 0.40, 0.08, 0.84, 0.05)),
        Part("leaf", SECOND, Ellipse(0.32, 0.68, 0.26, 0.12, 0.5)),
        Part("fruit", MAIN, Union(Ellipse(-0.26, -0.16, 0.50, tall), Ellipse(0.26, -0.16, 0.50, tall))),
        Part("gleam", LIGHT, Ellipse(-0.42, 0.08, 0.09, 0.17, -0.4)),
    ]


def clock(vary: Vary) -> list[Part]:
    """A case with dial and two hands, on feet, under two bells."""
    hour, minute = vary(0, 2 * math.pi), vary(0, 2 * math.pi)
    return [
        Part("feet", SECOND, strokes(0.08, (-0.4, -0.6, -0.52, -0.74), (0.4, -0.6, 0.52, -0.74))),
        Part("bell", ACCENT, Circle(-0.46, 0.60, 0.23)),
        Part("bell", ACCENT, Circle(0.46, 0.60, 0.23)),
        Part("case", MAIN, Circle(0, -0.04, 0.76)),
        Part("dial", LIGHT, Circle(0, -0.04, 0.58)),
        Part("hand", DARK, Line(0, -0.04, 0.44 * minute.sin(), -0.04 + 0.44 * minute.cos(), 0.05)),
        Part("hand", DARK, Line(0, -0.04, 0.28 * hour.sin(), -0.04 + 0.28 * hour.cos(), 0.06)),
    ]


def robot(vary: Vary) -> list[Part]:
    """Torso and head, with antenna, lamp, arms, mouth and panel."""
    hand = vary(-0.50, -0.30)
    return [
        Part("antenna", DARK, Line(0, 0.6, 0, 0.84, 0.04)),
        Part("lamp", ACCENT, Circle(0, 0.87, 0.10)),
        Part("arms", DARK, strokes(0.09, (-0.5, -0.14, -0.74, hand), (0.5, -0.14, 0.74, hand))),
        Part("torso", SECOND, Box(0, -0.42, 0.46, 0.42, 0.06)),
        Part("head", MAIN, Box(0, 0.40, 0.40, 0.29, 0.08)),
        *eye(-0.18, 0.46, 0.12),
        *eye(0.18, 0.46, 0.12),
        Part("mouth", DARK, Box(0, 0.22, 0.20, 0.045)),
        Part("panel", ACCENT, Box(0, -0.38, 0.24, 0.16)),
    ]


def cactus(vary: Vary) -> list[Part]:
    """A trunk with two arms and a blossom, in a pot."""
    left, right = vary(-0.15, 0.15), vary(-0.30, 0.0)
    return [
        Part("left arm", MAIN, strokes(0.12, (0, left, -0.56, left), (-0.56, left, -0.56, left + 0.38))),
        Part("right arm", MAIN, strokes(0.12, (0, right, 0.56, right), (0.56, right, 0.56, right + 0.38))),
        Part("trunk", MAIN, Line(0, -0.45, 0, 0.58, 0.23)),
        Part("pot", SECOND, Polygon((-0.30, -0.92), (0.30, -0.92), (0.44, -0.46), (-0.44, -0.46))),
        Part("blossom", ACCENT, Circle(0, 0.82, 0.13)),
    ]


def hat(vary: Vary) -> list[Part]:
    """A crown with its band, on a brim."""
    crown = Polygon((-0.48, -0.38), (0.48, -0.38), (0.40, 0.56), (-0.40, 0.56))
    return [
        Part("brim", MAIN, Ellipse(0, -0.40, 0.90, 0.22)),
        Part("crown", MAIN, crown),
        Part("band", ACCENT, Both(crown, Box(0, vary(-0.20, -0.10), 0.6, 0.12))),
        Part("top", SECOND, Ellipse(0, 0.56, 0.40, 0.12)),
    ]


def duck(vary: Vary) -> list[Part]:
    """Body and head, with tail and wing."""
    return [
        Part("tail", MAIN, Polygon((-0.92, 0.16), (-0.50, -0.42), (-0.20, 0))),
        Part("body", MAIN, Ellipse(-0.06, -0.32, 0.72, 0.42)),
        Part("head", MAIN, Circle(0.40, vary(0.28, 0.38), 0.34)),
        beak(0.66, 0.32, 0.30),
        Part("wing", SECOND, Ellipse(-0.16, -0.26, 0.38, 0.21, 0.3)),
        *eye(0.48, 0.44, 0.09),
    ]


def tent(vary: Vary) -> list[Part]:
    """Canvas with sides and a door, under a pole with its flag."""
    door = vary(0.20, 0.32)
    return [
        Part("pole", DARK, Line(0, 0.6, 0, 0.90, 0.04)),
        Part("flag", ACCENT, Polygon((0.03, 0.92), (0.03, 0.66), (0.38, 0.79))),
        Part("canvas", MAIN, Polygon((-0.82, -0.55), (0.82, -0.55), (0, 0.70))),
        Part("side", SECOND, Polygon((-0.82, -0.55), (-0.50, -0.55), (0, 0.70))),
        Part("side", SECOND, Polygon((0.50, -0.55), (0.82, -0.55), (0, 0.70))),
        Part("door", DARK, Polygon((-door, -0.55), (door, -0.55), (0, 0.32))),
    ]


# ---- targets


def butterfly(vary: Vary) -> list[Part]:
    """Upper and lower wings with spots, around a body with feelers."""
    spread = vary(0.24, 0.34)
    return [
        Part("lower wing", SECOND, Ellipse(-0.36, -0.36, 0.38, 0.27, 0.7)),
        Part("lower wing", SECOND, Ellipse(0.36, -0.36, 0.38, 0.27, -0.7)),
        Part("upper wing", MAIN, Ellipse(-0.44, 0.30, 0.45, spread, -0.6)),
        Part("upper wing", MAIN, Ellipse(0.44, 0.30, 0.45, spread, 0.6)),
        Part("spot", ACCENT, Circle(-0.52, 0.34, 0.13)),
        Part("spot", ACCENT, Circle(0.52, 0.34, 0.13)),
        Part("feelers", DARK, strokes(0.03, (0, 0.40, -0.22, 0.80), (0, 0.40, 0.22, 0.80))),
        Part("body", DARK, Line(0, 0.36, 0, -0.52, 0.10)),
    ]


def ice_cream(vary: Vary) -> list[Part]:
    """Three scoops and a cherry, in a cone of waffle."""
    cone = Polygon((-0.44, 0.02), (0, -0.97), (0.44, 0.02))
    return [
        Part("cone", SECOND, cone),
        Part("waffle", DARK, Both(cone, strokes(0.02, (-0.5, 0, 0.3, -0.7), (0.5, 0, -0.3, -0.7)))),
        Part("scoop", ACCENT, Circle(-0.25, 0.12, 0.31)),
        Part("scoop", MAIN, Circle(0.25, 0.12, 0.31)),
        Part("scoop", LIGHT, Circle(0, vary(0.40, 0.48), 0.34)),
        Part("cherry", ACCENT, Circle(0.04, 0.84, 0.12)),
    ]


def balloon(vary: Vary) -> list[Part]:
    """An envelope with panels, and the basket on its ropes."""
    mouth = Polygon((-0.20, -0.52), (0.20, -0.52), (0.54, -0.10), (-0.54, -0.10))
    envelope = Union(Circle(0, 0.28, 0.66), mouth)
    return [
        Part("ropes", DARK, strokes(0.03, (-0.18, -0.5, -0.14, -0.7), (0.18, -0.5, 0.14, -0.7))),
        Part("envelope", MAIN, envelope),
        Part("panel", SECOND, Both(envelope, Ellipse(0, 0.2, vary(0.42, 0.48), 0.9))),
        Part("panel", ACCENT, Both(envelope, Ellipse(0, 0.2, 0.18, 0.9))),
        Part("basket", DARK, Box(0, -0.80, 0.18, 0.13, 0.04)),
    ]


def bird(vary: Vary) -> list[Part]:
    """Body and head, with wing, tail and legs."""
    return [
        Part("legs", DARK, strokes(0.04, (-0.08, -0.40, -0.14, -0.84), (0.14, -0.40, 0.14, -0.84))),
        Part("tail", SECOND, Polygon((-0.94, 0.06), (-0.82, -0.28), (-0.30, -0.10))),
        Part("body", MAIN, Ellipse(-0.02, -0.12, 0.58, 0.38, 0.3)),
        Part("head", MAIN, Circle(0.44, 0.36, 0.29)),
        beak(0.66, 0.36, 0.26),
        Part("wing", SECOND, Ellipse(-0.14, -0.06, 0.38, vary(0.15, 0.21), -0.35)),
        *eye(0.50, 0.44, 0.09),
    ]


def rabbit(vary: Vary) -> list[Part]:
    """A face with long ears, nose and teeth."""
    return [
        Part("ear", MAIN, Ellipse(-0.25, 0.50, 0.17, 0.43, 0.15)),
        Part("ear", MAIN, Ellipse(0.25, 0.50, 0.17, 0.43, -0.15)),
        Part("inner ear", ACCENT, Ellipse(-0.25, 0.50, 0.08, 0.30, 0.15)),
        Part("inner ear", ACCENT, Ellipse(0.25, 0.50, 0.08, 0.30, -0.15)),
        Part("face", MAIN, Ellipse(0, -0.34, vary(0.52, 0.62), 0.52)),
        *eye(-0.24, -0.20, 0.14),
        *eye(0.24, -0.20, 0.14),
        Part("nose", ACCENT, Circle(0, -0.44, 0.10)),
        Part("teeth", LIGHT, Box(0, -0.66, 0.10, 0.11)),
    ]


def truck(vary: Vary) -> list[Part]:
    """A striped load behind a cab, on a chassis."""
    return [
        Part("load", MAIN, Box(-0.25, 0.10, 0.60, vary(0.34, 0.42), 0.03)),
        Part("stripe", ACCENT, Box(-0.25, 0.08, 0.60, 0.07)),
        Part("cab", SECOND, Box(0.62, -0.04, 0.27, 0.28, 0.07)),
        Part("window", LIGHT, Box(0.68, 0.06, 0.14, 0.12)),
        Part("chassis", DARK, Box(0, -0.34, 0.88, 0.08)),
        *wheel(-0.52, -0.44, 0.21),
        *wheel(0.04, -0.44, 0.21),
        *wheel(0.60, -0.44, 0.21),
    ]


def lamp(vary: Vary) -> list[Part]:
    """A trimmed shade on a pole with base and cord."""
    shade = Polygon((-0.66, 0.02), (0.66, 0.02), (0.32, 0.78), (-0.32, 0.78))
    return [
        Part("cord", DARK, Line(0.28, 0.02, 0.28, vary(-0.35, -0.20), 0.025)),
        Part("pole", SECOND, Line(0, 0.1, 0, -0.75, 0.07)),
        Part("base", SECOND, Ellipse(0, -0.78, 0.44, 0.15)),
        Part("shade", MAIN, shade),
        Part("trim", ACCENT, Both(shade, Box(0, 0.10, 0.8, 0.08))),
        Part("trim", ACCENT, Both(shade, Box(0, 0.70, 0.8, 0.08))),
    ]


def snail(vary: Vary) -> list[Part]:
    """A coiled shell on a foot, with neck, eye and feelers."""
    shell = vary(0.48, 0.56)
    return [
        Part("feelers", DARK, strokes(0.03, (0.66, 0.1, 0.54, 0.50), (0.70, 0.1, 0.80, 0.46))),
        Part("foot", SECOND, Line(-0.66, -0.52, 0.62, -0.52, 0.15)),
        Part("neck", SECOND, Line(0.62, -0.46, 0.68, 0.10, 0.14)),
        Part("shell", MAIN, Circle(-0.14, 0.02, shell)),
        Part("coil", ACCENT, Ring(-0.14, 0.02, 0.62 * shell, 0.06)),
        Part("core", ACCENT, Circle(-0.14, 0.02, 0.25 * shell)),
        Part("eye", DARK, Circle(0.74, 0.12, 0.05)),
    ]


def glasses(vary: Vary) -> list[Part]:
    """Two framed lenses with glints, joined by a bridge, and their bows."""
    height = vary(0.28, 0.38)
    return [
        Part("bows", MAIN, strokes(0.05, (-0.78, 0.20, -0.84, 0.44), (0.78, 0.20, 0.84, 0.44))),
        Part("bridge", MAIN, Both(Ring(0, 0, 0.18, 0.06), Above(0))),
        Part("frame", MAIN, Ellipse(-0.50, 0, 0.42, height + 0.09)),
        Part("frame", MAIN, Ellipse(0.50, 0, 0.42, height + 0.09)),
        Part("lens", LIGHT, Ellipse(-0.50, 0, 0.32, height)),
        Part("lens", LIGHT, Ellipse(0.50, 0, 0.32, height)),
        Part("glint", SECOND, Line(-0.58, -0.10, -0.44, 0.12, 0.05)),
        Part("glint", SECOND, Line(0.42, -0.10, 0.56, 0.12, 0.05)),
    ]


def guitar(vary: Vary) -> list[Part]:
    """A body with guard, hole and bridge, with neck and head."""
    return [
        Part("neck", SECOND, Box(0, 0.42, 0.08, 0.46)),
        Part("head", DARK, Box(0, 0.84, 0.15, 0.13, 0.04)),
        Part("body", MAIN, Union(Circle(0, -0.50, 0.46), Circle(0, -0.04, vary(0.30, 0.36)))),
        Part("guard", ACCENT, Ellipse(0.24, -0.42, 0.08, 0.22, -0.3)),
        Part("hole", DARK, Circle(0, -0.20, 0.15)),
        Part("bridge", DARK, Box(0, -0.64, 0.20, 0.05)),
    ]


SOURCE_THINGS = (
    Thing("fish", fish, ("orange amber white", "sky blue yellow", "rose pink cream")),
    Thing("house", house, ("cream brick brown", "brick slate pine", "sky grey red")),
    Thing("tree", tree, ("green brown red", "pine brown orange", "orange brown yellow")),
    Thing("car", car, ("red silver yellow", "blue silver amber", "mint grey yellow")),
    Thing("flower", flower, ("pink green yellow", "violet pine amber", "red green amber")),
    Thing("cup", cup, ("sky brown white", "white brown red", "teal brown cream")),
    Thing("rocket", rocket, ("white red orange", "silver blue yellow", "amber crimson orange")),
    Thing("sailboat", sailboat, ("red orange white", "navy sky red", "brown cream amber")),
    Thing("cat", cat, ("orange cream pink", "grey white pink", "black grey rose")),
    Thing("mushroom", mushroom, ("red cream white", "brown tan cream", "orange white cream")),
    Thing("snowman", snowman, ("white red orange", "white teal orange", "sky violet orange")),
    Thing("umbrella", umbrella, ("red white red", "violet pink amber", "navy amber white")),
    Thing("key", key, ("amber orange red", "silver grey blue", "brown amber tan")),
    Thing("apple", apple, ("red green white", "lime green white", "amber pine red")),
    Thing("clock", clock, ("red grey amber", "teal grey silver", "pink violet rose")),
    Thing("robot", robot, ("silver grey red", "sky blue amber", "lime teal orange")),
    Thing("cactus", cactus, ("green brick pink", "pine orange yellow", "lime tan rose")),
    Thing("hat", hat, ("tan brown black", "navy blue white", "crimson red amber")),
    Thing("duck", duck, ("yellow amber orange", "white silver orange", "brown pine amber")),
    Thing("tent", tent, ("orange red yellow", "green pine red", "sky blue white")),
)

TARGET_THINGS = (
    Thing("butterfly", butterfly, ("orange amber white", "blue violet sky", "rose pink yellow")),
    Thing("ice cream", ice_cream, ("pink tan red", "mint tan brown", "amber brown rose")),
    Thing("balloon", balloon, ("red white amber", "blue yellow red", "violet pink orange")),
    Thing("bird", bird, ("red crimson amber", "sky blue orange", "yellow lime orange")),
    Thing("rabbit", rabbit, ("white cream pink", "tan cream rose", "grey white pink")),
    Thing("truck", truck, ("white blue red", "orange red white", "green pine amber")),
    Thing("lamp", lamp, ("cream brown tan", "red silver amber", "teal amber white")),
    Thing("snail", snail, ("brown tan cream", "rose lime yellow", "orange cream brown")),
    Thing("glasses", glasses, ("black sky red", "crimson silver red", "brown mint amber")),
    Thing("guitar", guitar, ("orange brown crimson", "red tan white", "tan brown black")),
)


def palette_table(things: tuple[Thing, ...]) -> Tensor:
    """Every palette of the things: (palettes, 5 slots, 3) of red, green, blue in 0..1."""
    rows = [[COLOURS[name] for name in palette.split()] for thing in things for palette in thing.palettes]
    return torch.tensor([[*row, DARK_COLOUR, LIGHT_COLOUR] for row in rows])
