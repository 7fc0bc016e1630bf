"""The things that the embedded images show, read from ``things.toml``, which says how they are written."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tlbook.data.embedded.shapes import SHAPES, Shape, mirrored, union, within

SLOTS = ("main", "second", "accent", "dark", "light")
MAIN, DARK = SLOTS.index("main"), SLOTS.index("dark")
DARK_COLOUR, LIGHT_COLOUR = (0.12, 0.11, 0.14), (0.96, 0.95, 0.92)  # of the last two slots, always


@dataclass(frozen=True)
class Part:
    """One piece of a thing: what it is called, the slot of its colour, its shape."""

    name: str
    slot: int
    shape: Shape


@dataclass(frozen=True)
class Thing:
    """A class of images: its palettes (three names of `COLOURS` each), and a line for each of its parts."""

    name: str
    palettes: tuple[str, ...]
    lines: tuple[str, ...]

    def parts(self, vary: Callable[[float, float], Tensor]) -> list[Part]:
        """The parts from back to front; ``vary(low, high)`` draws a value for each image."""
        drawn: dict[str, Tensor] = {}
        made: dict[str, Part] = {}

        def number(word: str) -> float | Tensor:
            if "~" not in word:
                return float(word)
            if word not in drawn:
                drawn[word] = vary(*map(float, word.split("~")))
            return drawn[word]

        for line in self.lines:
            line, _, whole = line.partition(" in ")
            line, twice, _ = line.partition(" mirrored")
            slot, name, *words = line.split()
            begins = [i for i, word in enumerate(words) if word in SHAPES]
            ends = [*begins[1:], len(words)]
            shapes = [
                SHAPES[words[i]](*map(number, words[i + 1 : j])) for i, j in zip(begins, ends, strict=True)
            ]
            shape = mirrored(union(*shapes)) if twice else union(*shapes)
            shape = within(shape, made[whole].shape) if whole else shape
            made[name] = Part(name, SLOTS.index(slot), shape)
        return list(made.values())


def _things(listed: dict[str, dict]) -> tuple[Thing, ...]:
    return tuple(
        Thing(name, tuple(thing["palettes"]), tuple(thing["parts"].strip().splitlines()))
        for name, thing in listed.items()
    )


_LISTED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
COLOURS: dict[str, list[float]] = _LISTED["colours"]
SOURCE_THINGS, TARGET_THINGS = _things(_LISTED["source"]), _things(_LISTED["target"])


def colours(names: str) -> Tensor:
    """Red, green, blue in 0..1 of each name: (names, 3)."""
    return torch.tensor([COLOURS[name] for name in names.split()])


def palette_table(*things: Thing) -> Tensor:
    """Every palette of the things: (palettes, 5 slots, 3) of red, green, blue in 0..1."""
    fixed = torch.tensor([DARK_COLOUR, LIGHT_COLOUR])
    return torch.stack([torch.cat([colours(names), fixed]) for thing in things for names in thing.palettes])
