"""Signed distances of the shapes that things are made of.

A shape is a function of points, ``shape(x, y)``: how far each lies from the shape's edge, negative inside.
Points are in the thing's units: x to the right, y *up*, and a whole thing fits the disc of radius 1. ``x``
and ``y`` are tensors (n, side, side), one sheet per image. Any number of a shape may also be a tensor
(n, 1, 1), another value for each image.

Circles, rings, boxes and lines are exact. Polygons and `within` are exact inside, unions outside; elsewhere
they may say too little, never too much. Ellipses are right to first order at the edge, which is all that
drawing needs; petals are about right there.
"""

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

Number = float | Tensor
Shape = Callable[[Tensor, Tensor], Tensor]


def length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _turned(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """The point in axes that are turned counter-clockwise by ``angle`` (radians)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def circle(x0: Number, y0: Number, radius: Number) -> Shape:
    """A disc around (x0, y0)."""
    return lambda x, y: length(x - x0, y - y0) - radius


def ring(x0: Number, y0: Number, radius: Number, half_width: Number) -> Shape:
    """A circular band: its middle at ``radius``, reaching ``half_width`` to either side."""
    return lambda x, y: (length(x - x0, y - y0) - radius).abs() - half_width


def ellipse(x0: Number, y0: Number, across: Number, up: Number, turn: float = 0.0) -> Shape:
    """Half axes ``across`` and ``up``, turned counter-clockwise by ``turn`` radians."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        x, y = _turned(x - x0, y - y0, turn)
        x, y = x / across + 1e-6, y / up  # the very centre has no slope to divide by
        level = length(x, y)
        return (level - 1) * level / length(x / across, y / up)

    return distance


def box(x0: Number, y0: Number, across: Number, up: Number, corner: float = 0.0, turn: float = 0.0) -> Shape:
    """A rectangle of half sizes ``across`` and ``up``, its corners rounded with radius ``corner``."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        x, y = _turned(x - x0, y - y0, turn)
        x, y = x.abs() - (across - corner), y.abs() - (up - corner)
        return length(x.clamp(min=0), y.clamp(min=0)) + torch.maximum(x, y).clamp(max=0) - corner

    return distance


def line(x0: Number, y0: Number, x1: Number, y1: Number, half_width: Number) -> Shape:
    """A straight stroke with round ends, reaching ``half_width`` to either side."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        x, y, run, rise = x - x0, y - y0, x1 - x0, y1 - y0
        along = ((x * run + y * rise) / (run * run + rise * rise)).clamp(0, 1)
        return length(x - along * run, y - along * rise) - half_width

    return distance


def polygon(*numbers: Number) -> Shape:
    """A convex polygon; its corners x, y, x, y … go round counter-clockwise."""
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))

    def distance(x: Tensor, y: Tensor) -> Tensor:
        beyond = []
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            run, rise = x1 - x0, y1 - y0
            beyond.append(((x - x0) * rise - (y - y0) * run) / (run * run + rise * rise) ** 0.5)
        return reduce(torch.maximum, beyond)

    return distance


def petals(x0: Number, y0: Number, radius: Number, count: float, depth: float, phase: Number = 0.0) -> Shape:
    """A blossom or star with ``count`` petals, between ``radius`` and (1 - 2 depth) of it."""
    steepness = math.hypot(1, count * depth)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        x, y = x - x0, y - y0
        wave = torch.cos(count * torch.atan2(y, x) + phase)
        return (length(x, y) - radius * (1 - depth + depth * wave)) / steepness

    return distance


SHAPES = {shape.__name__: shape for shape in (circle, ring, ellipse, box, line, polygon, petals)}


def union(*shapes: Shape) -> Shape:
    """All that lies in any of the shapes."""
    return lambda x, y: reduce(torch.minimum, [shape(x, y) for shape in shapes])


def within(shape: Shape, other: Shape) -> Shape:
    """What two shapes have in common."""
    return lambda x, y: torch.maximum(shape(x, y), other(x, y))


def mirrored(shape: Shape) -> Shape:
    """What a shape has right of the vertical axis, and its mirror image."""
    return lambda x, y: shape(x.abs(), y)
