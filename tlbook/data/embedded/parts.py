"""Signed distances of the shapes that things are made of.

A shape answers `distance(x, y)`: how far each point lies from the shape's edge, negative inside. Points are
in the thing's units: x to the right, y *up*, and a whole thing fits the disc of radius 1. `x` and `y` are
tensors (n, side, side), one sheet per image. Any number of a shape may also be a tensor (n, 1, 1), another
value for each image.

Circles, rings, boxes and lines are exact. Polygons, `Both` and `Minus` are exact inside, unions outside;
elsewhere they may say too little, never too much. Ellipses are right to first order at the edge, which is all
that drawing needs; petals are about right there.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Number = float | Tensor


class Shape:
    """Something with an edge: `distance(x, y)` has the shape of `x` and is negative inside."""

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError


def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _turned(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """The point in axes that are turned counter-clockwise by `angle` (radians)."""
    if angle == 0:
        return x, y
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


@dataclass(frozen=True, eq=False)
class Circle(Shape):
    """A disc around (x, y)."""

    x: Number
    y: Number
    radius: Number

    def distance(self, x, y):
        return _length(x - self.x, y - self.y) - self.radius


@dataclass(frozen=True, eq=False)
class Ring(Shape):
    """A circular band: its middle at `radius`, reaching `half_width` to either side."""

    x: Number
    y: Number
    radius: Number
    half_width: Number

    def distance(self, x, y):
        return (_length(x - self.x, y - self.y) - self.radius).abs() - self.half_width


@dataclass(frozen=True, eq=False)
class Ellipse(Shape):
    """Half axes `across` and `up`, turned counter-clockwise by `turn` radians."""

    x: Number
    y: Number
    across: Number
    up: Number
    turn: float = 0.0

    def distance(self, x, y):
        x, y = _turned(x - self.x, y - self.y, self.turn)
        x, y = x / self.across + 1e-6, y / self.up  # the very centre has no slope to divide by
        level = _length(x, y)
        slope = _length(x / self.across, y / self.up) / level
        return (level - 1) / slope


@dataclass(frozen=True, eq=False)
class Box(Shape):
    """A rectangle of half sizes `across` and `up`, its corners rounded with radius `corner`."""

    x: Number
    y: Number
    across: Number
    up: Number
    corner: float = 0.0
    turn: float = 0.0

    def distance(self, x, y):
        x, y = _turned(x - self.x, y - self.y, self.turn)
        x, y = x.abs() - (self.across - self.corner), y.abs() - (self.up - self.corner)
        outside = _length(x.clamp(min=0), y.clamp(min=0))
        inside = torch.maximum(x, y).clamp(max=0)
        return outside + inside - self.corner


@dataclass(frozen=True, eq=False)
class Line(Shape):
    """A straight stroke with round ends, from (x0, y0) to (x1, y1), reaching `half_width` to either side."""

    x0: Number
    y0: Number
    x1: Number
    y1: Number
    half_width: Number

    def distance(self, x, y):
        x, y = x - self.x0, y - self.y0
        run, rise = self.x1 - self.x0, self.y1 - self.y0
        along = ((x * run + y * rise) / (run * run + rise * rise)).clamp(0, 1)
        return _length(x - along * run, y - along * rise) - self.half_width


class Polygon(Shape):
    """A convex polygon; its corners (x, y) go round counter-clockwise."""

    def __init__(self, *corners: tuple[Number, Number]):
        self.corners = corners

    def distance(self, x, y):
        farthest = None
        for (x0, y0), (x1, y1) in zip(self.corners, self.corners[1:] + self.corners[:1], strict=True):
            run, rise = x1 - x0, y1 - y0
            length = (run * run + rise * rise) ** 0.5
            beyond = ((x - x0) * rise - (y - y0) * run) / length
            farthest = beyond if farthest is None else torch.maximum(farthest, beyond)
        return farthest


@dataclass(frozen=True, eq=False)
class Petals(Shape):
    """A blossom or star with `count` petals, between `radius` and (1 - 2 depth) of it."""

    x: Number
    y: Number
    radius: Number
    count: int
    depth: float
    phase: Number = 0.0

    def distance(self, x, y):
        x, y = x - self.x, y - self.y
        wave = torch.cos(self.count * torch.atan2(y, x) + self.phase)
        steepness = math.hypot(1, self.count * self.depth)
        return (_length(x, y) - self.radius * (1 - self.depth + self.depth * wave)) / steepness


@dataclass(frozen=True, eq=False)
class Above(Shape):
    """All points higher than `level`."""

    level: Number

    def distance(self, x, y):
        return (self.level - y).expand_as(x)


@dataclass(frozen=True, eq=False)
class Below(Shape):
    """All points lower than `level`."""

    level: Number

    def distance(self, x, y):
        return (y - self.level).expand_as(x)


class Union(Shape):
    """All that lies in any of the shapes."""

    def __init__(self, *shapes: Shape):
        self.shapes = shapes

    def distance(self, x, y):
        nearest = self.shapes[0].distance(x, y)
        for shape in self.shapes[1:]:
            nearest = torch.minimum(nearest, shape.distance(x, y))
        return nearest


class Both(Shape):
    """What two shapes have in common."""

    def __init__(self, first: Shape, second: Shape):
        self.first, self.second = first, second

    def distance(self, x, y):
        return torch.maximum(self.first.distance(x, y), self.second.distance(x, y))


class Minus(Shape):
    """A shape without what another covers."""

    def __init__(self, whole: Shape, cut: Shape):
        self.whole, self.cut = whole, cut

    def distance(self, x, y):
        return torch.maximum(self.whole.distance(x, y), -self.cut.distance(x, y))
