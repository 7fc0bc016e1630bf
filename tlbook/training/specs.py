"""What a run is: all that determines its weights and its best epoch, as one frozen value with an id."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from tlbook.checks import FLAG, POSITIVE, TEXT, kind, number, optional, refuse_invalid, several, whole
from tlbook.data import Request
from tlbook.data.layouts import FOLDER
from tlbook.data.shuffles import Shuffle
from tlbook.errors import TlbookError
from tlbook.scales import SEED, SOURCE, Scale, Task

PROTOCOL = 3  # raised by hand when training semantics change
ID_LENGTH = 12
# What a target run is called by the kind of its init. MeanVar: "Mean Var init" of Raghu et al. (2019).
INIT_NAMES = {"from": "P-T", "random": "RI-T", "mean_var": "MeanVar-T", "permuted": "Permuted-T"}
LATER = ("modules", "parted")  # fields that came later: None is no part of an id, so that earlier ids stay
ABSENT = "absent"  # digest of examples that are not on this machine: a plan can be made all the same


@dataclass(frozen=True)
class Checkpoint:
    """Weights that a run of ours left: its id, and an epoch, "best" or "final"."""

    run: str
    epoch: int | str


@dataclass(frozen=True)
class File:
    """Weights in a safetensors file, named by the SHA-256 of its content."""

    sha256: str


Weights = Checkpoint | File


@dataclass(frozen=True)
class Init:
    """Where a run starts (everything but the head): "random", "from" weights, or from their size alone.

    "mean_var" draws every tensor anew from a Gaussian with its mean and variance, "permuted" permutes the
    values within every tensor; ``init_seed`` draws both (`tlbook.models.redrawn`). ``modules`` are those that
    start "from" weights where not all do: ``init_seed`` draws the others, as those of a "random" init. A
    parameter of no module comes from the weights.
    """

    kind: str
    weights: Weights | None = None
    modules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.modules is not None and (self.kind != "from" or not self.modules):
            given = f"{self.modules!r} of an init {self.kind!r}"
            raise TlbookError(f"Some modules, and at least one, may start 'from' weights; not {given}.")
        valid = self.weights is None if self.kind == "random" else self.weights is not None
        if self.kind not in INIT_NAMES or not valid:
            given = f"{self.kind!r} and {self.weights}"
            others = "'from', 'mean_var' or 'permuted' with weights"
            raise TlbookError(f"A run's init is 'random', or {others}; not {given}.")


def _beside() -> Any:
    """A field that is noted beside the id: it changes what is measured or kept, not the weights."""
    return field(compare=False, kw_only=True)


_FROM_0 = number("0 or a positive number", lambda value: value >= 0)
_EPOCHS = several(whole(0), least=0)
_PARTED = (
    "an epoch of at least 1 and a seed",
    lambda parted: (
        type(parted) is tuple and len(parted) == 2 and whole(1)[1](parted[0]) and SEED[1](parted[1])
    ),
)
_STEPS = (
    "a tuple of epochs",
    lambda steps: type(steps) is tuple and all(type(step) is int and step >= 0 for step in steps),
)  # a short run's coincide
_TEXTS = ("role", "dataset", "digest", "evaluated", "network")
_VALID = {
    **dict.fromkeys(_TEXTS, TEXT),
    **{name: Task.valid[name] for name in ("augmentation", "normalisation", "metric")},
    **{"shuffle": kind(Shuffle), "init": kind(Init), "images": kind(Request)},
    **dict.fromkeys(("examples", "batch", "epochs", "protocol"), whole(1)),
    **{"side": Scale.valid["side"], "threads": whole(1, 1024)},
    **dict.fromkeys(("classes", "held_out"), whole(0)),  # no classes: of images that are not here
    **dict.fromkeys(("head_seed", "order_seed"), SEED),
    "init_seed": optional(SEED),
    "rate": POSITIVE,
    **dict.fromkeys(("mixup", "momentum", "weight_decay"), _FROM_0),
    "precision": Scale.valid["precision"],
    **dict.fromkeys(("multilabel", "keep_best"), FLAG),
    **dict.fromkeys(("measured", "train_measured", "kept"), _EPOCHS),
    "steps": _STEPS,
    "parted": optional(_PARTED),
}


@dataclass(frozen=True)
class RunSpec:
    """One training run. Fields up to ``protocol`` make the id; those marked `_beside` do not.

    ``init_seed`` draws the body (None where it is that of weights), ``head_seed`` draws the head,
    ``order_seed`` orders batches, augments and mixes. ``rate`` is raw, for ``batch``; ``steps`` are the
    epochs (counted from 0) from which it is ten times smaller. ``examples`` counts training images,
    ``digest`` identifies them, ``evaluated`` the dev and test images: they choose the best epoch's weights,
    and what was measured on others is another run's. ``threads`` is how many add up its sums, whose order
    moves the last bits. ``parted``, an epoch and a seed: after that epoch the seed takes the place of
    ``order_seed``, so that up to there the run is the same as the one without.
    """

    role: str
    dataset: str
    digest: str
    evaluated: str
    examples: int
    classes: int
    multilabel: bool
    side: int
    shuffle: Shuffle
    augmentation: str
    normalisation: str
    mixup: float
    network: str
    init: Init
    init_seed: int | None
    head_seed: int
    order_seed: int
    batch: int
    rate: float
    epochs: int
    steps: tuple[int, ...]
    momentum: float
    weight_decay: float
    precision: str
    threads: int = 1
    protocol: int = PROTOCOL
    parted: tuple[int, int] | None = None
    metric: str = _beside()
    held_out: int = _beside()  # dev and test images
    measured: tuple[int, ...] = _beside()  # epochs at which dev and test are evaluated
    train_measured: tuple[int, ...] = _beside()  # epochs at which the training metric is
    kept: tuple[int, ...] = _beside()  # epochs whose weights are kept
    keep_best: bool = _beside()  # whether the best measured epoch by dev metric is kept too
    images: Request = _beside()  # how to load them

    def __post_init__(self) -> None:
        """Refuse at once what could not be trained."""
        refuse_invalid(self, _VALID, "A run")

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that make the id, as plain values."""
        kept = {f.name for f in dataclasses.fields(self) if f.compare}
        everything = dataclasses.asdict(self, dict_factory=_without_later)
        plain = {name: value for name, value in everything.items() if name in kept}
        if self.dataset.startswith(FOLDER):
            plain["dataset"] = FOLDER  # the same images elsewhere are the same images
        return plain

    @functools.cached_property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the identity's canonical JSON."""
        canonical = json.dumps(self.identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:ID_LENGTH]

    def order_seed_of(self, epoch: int) -> int:
        """The seed that orders, augments and mixes an epoch (counted from 1)."""
        return self.parted[1] if self.parted and epoch > self.parted[0] else self.order_seed

    @property
    def parent(self) -> str | None:
        """The id of the run that it starts from, if it does."""
        return self.init.weights.run if isinstance(self.init.weights, Checkpoint) else None

    @property
    def passes(self) -> float:
        """Image-passes: one image forward and backward counts 1, an evaluated image a third."""
        measured = len(self.train_measured) * self.examples + len(self.measured) * self.held_out
        return self.epochs * self.examples + measured / 3

    def joined(self, other: RunSpec) -> RunSpec:
        """The same run, measuring and keeping what either spec wants."""
        both = {
            name: tuple(sorted({*getattr(self, name), *getattr(other, name)}))
            for name in ("measured", "train_measured", "kept")
        }
        return dataclasses.replace(self, keep_best=self.keep_best or other.keep_best, **both)

    @property
    def label(self) -> str:
        """The run in a few words, for progress lines and lists; a user's images by their folder's name."""
        shuffle = {"none": "", "pixel": " block *", "block": f" block {self.shuffle.size}"}[self.shuffle.kind]
        start = "P" if self.role == SOURCE else INIT_NAMES[self.init.kind]
        start += f" (only {', '.join(self.init.modules)})" if self.init.modules else ""
        plain = " unaugmented" if self.augmentation == self.shuffle.kind == "none" else ""
        parted = f", from epoch {self.parted[0]} on {self.parted[1]}" if self.parted else ""
        seed = f"seed {self.order_seed}{parted} ({self.epochs} epochs)"
        own = f" ({PurePath(self.dataset).name})" if self.dataset.startswith(FOLDER) else ""
        return f"{self.role}{own} {start} rate {self.rate:g}{shuffle}{plain} {seed}"


def _without_later(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if not (name in LATER and value is None)}


def unique(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Each run once, in the order first named, with all that any of its specs wants measured and kept."""
    found: dict[str, RunSpec] = {}
    for spec in specs:
        found[spec.id] = found[spec.id].joined(spec) if spec.id in found else spec
    return list(found.values())
