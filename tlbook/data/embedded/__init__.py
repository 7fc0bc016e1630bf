"""The embedded family: a source and four targets, generated from a seed in seconds, without a download.

Things are made of parts (`shapes`, ``things.toml``); a domain is a way of drawing them (`styles`). The source
shows 16 things as shaded pictures; `real`, `clipart` and `quickdraw` show the same 10 other things shaded,
flat with outlines, and as strokes; `xray` (`chest`) shows a chest with several findings at once.
"""

import functools
import hashlib

import torch
from torch import Tensor

from tlbook.data.embedded import chest
from tlbook.data.embedded.canvas import Dice
from tlbook.data.embedded.styles import flat, shaded, strokes
from tlbook.data.embedded.things import SOURCE_THINGS, TARGET_THINGS
from tlbook.errors import TlbookError

VERSION = 2  # raised by hand when what is drawn changes
SPLITS = ("train", "dev", "test")
SMALLEST_SIDE = 16
CHUNK = 128  # images drawn at once: their sheets stay in the processor's cache

_DRAWN = {  # role: its things and their style
    "source": (SOURCE_THINGS, shaded),
    "real": (TARGET_THINGS, shaded),
    "clipart": (TARGET_THINGS, flat),
    "quickdraw": (TARGET_THINGS, strokes),
}
CLASSES: dict[str, tuple[str, ...]] = {
    **{role: tuple(thing.name for thing in things) for role, (things, _) in _DRAWN.items()},
    "xray": chest.FINDINGS,
}


def generate(role: str, split: str, count: int, side: int = 32) -> tuple[Tensor, Tensor]:
    """``count`` images of a role and their labels, the same at every call.

    role: "source", "real", "clipart", "quickdraw" or "xray". split: "train", "dev" or "test", drawn from
    different seeds. side: height and width, 16 pixels or more. Returns images, uint8 (count, 3, side, side),
    and labels: int64 (count,), every class equally often (to within one); for xray float32 (count, 6) of 0
    and 1, every finding in 35 % of the images. `CLASSES[role]` names them. Raises TlbookError for anything
    else.
    """
    _check(role, split, count, side)
    generator = torch.Generator().manual_seed(_seed(role, split))
    truth = _labels(role, count, generator)
    draw = _chests if role == "xray" else functools.partial(_things, role)
    return draw(truth, side, generator), truth


def labels(role: str, split: str, count: int) -> Tensor:
    """The labels that `generate` returns, without drawing an image; none of them for a count of 0."""
    _check(role, split, max(count, 1), SMALLEST_SIDE)
    return _labels(role, count, torch.Generator().manual_seed(_seed(role, split)))


def _labels(role: str, count: int, generator: torch.Generator) -> Tensor:
    """The first draws of a generator; in xray every finding is independent of the others."""
    if role == "xray":
        sick = (torch.arange(count) < round(chest.PREVALENCE * count)).float()
        return torch.stack([sick[torch.randperm(count, generator=generator)] for _ in chest.FINDINGS], 1)
    return (torch.arange(count) % len(CLASSES[role]))[torch.randperm(count, generator=generator)]


def _check(role: str, split: str, count: int, side: int) -> None:
    if role not in CLASSES:
        raise TlbookError(f"The embedded family has no role {role!r}; it has {', '.join(CLASSES)}.")
    if split not in SPLITS:
        raise TlbookError(f"There is no split {split!r}; there are {', '.join(SPLITS)}.")
    if count < 1:
        raise TlbookError(f"The number of images must be 1 or more, not {count}.")
    if side < SMALLEST_SIDE:
        raise TlbookError(f"Embedded images need a side of {SMALLEST_SIDE} pixels or more, not {side}.")


def _seed(role: str, split: str) -> int:
    digest = hashlib.sha256(f"tlbook embedded {role} {split}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def _things(role: str, truth: Tensor, side: int, generator: torch.Generator) -> Tensor:
    things, style = _DRAWN[role]
    images = torch.empty(len(truth), 3, side, side, dtype=torch.uint8)
    for label in truth.unique().tolist():
        for chunk in (truth == label).nonzero().flatten().split(CHUNK):
            images[chunk] = _as_bytes(style(things[label], Dice(generator, len(chunk)), side))
    return images


def _chests(truth: Tensor, side: int, generator: torch.Generator) -> Tensor:
    drawn = [_as_bytes(chest.draw(chunk, Dice(generator, len(chunk)), side)) for chunk in truth.split(CHUNK)]
    return torch.cat(drawn)


def _as_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)
