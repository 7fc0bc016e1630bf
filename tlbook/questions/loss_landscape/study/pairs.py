"""Which pairs of models question 3 draws lines between: one line of `KINDS` for each kind of pair.

Independent pairs at the paper's rates are question 1's runs. Controls vary one thing at a time: a pairing's
name says what the two models differ in (order, head, rate, other_source), or what they share beyond the
usual (same_init, same_run).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import pandas as pd

from tlbook.questions import grid
from tlbook.scales import INITS, TARGETS, Scale
from tlbook.training.specs import Checkpoint, Init, RunSpec, unique


@dataclass(frozen=True)
class End:
    """What stands at one end of a line, for any seed: P-T or RI-T, at its rate in the paper or at the other
    init's; from P or from the other P; at which checkpoint. Seeds (init_seed, head_seed, order_seed) that are
    ``shared`` are those of the first run, so such models differ in the rest only."""

    init: str
    other_rate: bool = False
    at: str = "final"
    shared: tuple[str, ...] = ()
    other_source: bool = False

    def rate(self, scale: Scale) -> str:
        """Its rate at a scale, "low" or "high"."""
        other = INITS[1 - INITS.index(self.init)]
        return scale.main_rates[other if self.other_rate else self.init]


@dataclass(frozen=True)
class Kind:
    """A kind of pair: what its models share, its two ends, for which roles, on how many seeds (a scale's
    count by role; empty: all of them), and whether the paper's figures show it.

    Equal ends are paired each with each. Others belong to the same seed, or, where they are ``apart``, to
    different ones: their heads and orders too are then different.
    """

    pairing: str
    first: End
    second: End
    roles: tuple[str, ...] = TARGETS
    seeds: str = ""
    papers: bool = False
    apart: bool = False

    @property
    def final(self) -> bool:
        """Whether both ends are final models."""
        return self.first.at == self.second.at == "final"


P_T, RI_T = (End(init) for init in INITS)
P_T_HIGH, RI_T_LOW = (End(init, other_rate=True) for init in INITS)
P_T_BEST, RI_T_BEST = (End(init, at="best") for init in INITS)
P_T_ONE_HEAD, P_T_ONE_ORDER = (End("P-T", shared=(seed,)) for seed in ("head_seed", "order_seed"))
P_T_OTHER_P = End("P-T", other_source=True)
RI_T_ONE_INIT = End("RI-T", shared=("init_seed", "head_seed"))

XRAY = ("xray",)  # where best checkpoints are compared too (Figure 4, right)
TWO_P_T = Kind("independent", P_T, P_T, papers=True)
TWO_RI_T = Kind("independent", RI_T, RI_T, papers=True)
ONE_OF_EACH = Kind("independent", P_T, RI_T, papers=True, apart=True)
KINDS = (
    TWO_P_T,
    TWO_RI_T,
    ONE_OF_EACH,
    Kind("independent", P_T_BEST, P_T_BEST, XRAY, papers=True),
    Kind("independent", RI_T_BEST, RI_T_BEST, XRAY, papers=True),
    Kind("independent", P_T_BEST, RI_T_BEST, XRAY, papers=True, apart=True),
    Kind("same_run", P_T_BEST, P_T, XRAY, papers=True),
    Kind("same_run", RI_T_BEST, RI_T, XRAY, papers=True),
    Kind("same_init", RI_T_ONE_INIT, RI_T_ONE_INIT, seeds="landscape.same_init_seeds", papers=True),
    Kind("independent", P_T_HIGH, P_T_HIGH, seeds="landscape.crossed_seeds"),
    Kind("independent", RI_T_LOW, RI_T_LOW, seeds="landscape.crossed_seeds"),
    Kind("independent", P_T, RI_T_LOW, seeds="landscape.crossed_seeds", apart=True),
    Kind("independent", P_T_HIGH, RI_T, seeds="landscape.crossed_seeds", apart=True),
    Kind("rate", P_T, P_T_HIGH, seeds="landscape.crossed_seeds"),
    Kind("order", P_T_ONE_HEAD, P_T_ONE_HEAD, seeds="landscape.control_seeds"),
    Kind("head", P_T_ONE_ORDER, P_T_ONE_ORDER, seeds="landscape.control_seeds"),
    Kind("other_source", P_T, P_T_OTHER_P, seeds="landscape.other_source_seeds"),
)
# Whose weights are averaged: what they share, which models of each seed, on how many seeds.
SOUPS = (
    ("independent", (P_T,), ""),
    ("independent", (RI_T,), ""),
    ("independent", (P_T_HIGH,), "landscape.crossed_seeds"),
    ("rate", (P_T, P_T_HIGH), "landscape.crossed_seeds"),
    ("same_init", (RI_T_ONE_INIT,), "landscape.same_init_seeds"),
)


@dataclass(frozen=True)
class Model:
    """A model by its names in the tables, and the run and checkpoint that hold its weights."""

    init: str
    rate: str
    seed: int
    spec: RunSpec
    at: str = "final"

    def named(self, role: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows under the columns that name this model."""
        return rows.assign(role=role, init=self.init, rate=self.rate, seed=self.seed)


@dataclass(frozen=True)
class Line:
    """Two models of a role, and the kind of pair that they are."""

    role: str
    kind: Kind
    first: Model
    second: Model

    def named(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows under the columns that name this line."""
        second = self.second
        named = self.first.named(self.role, rows).assign(pairing=self.kind.pairing)
        named = named.assign(init_b=second.init, rate_b=second.rate, seed_b=second.seed)
        return named.assign(checkpoint=self.first.at, checkpoint_b=second.at)


def specs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """Sources first, then every run that a line or a soup needs."""
    sources = list(grid.pretraining(scale))
    if has_other_source(scale) and any(scale.landscape.other_source_seeds.get(role, 0) for role in targets):
        sources.append(grid.constant_source(scale))
    models = []
    for role in targets:
        models += [end for line in lines(scale, role, seeds) for end in (line.first, line.second)]
        models += single_models(
            scale, role, seeds
        )  # with one seed there are no pairs; flatness is still measured
    return unique([*sources, *(model.spec for model in models)])


def has_other_source(scale: Scale) -> bool:
    """Whether P is ours and its images are here, so that a second pre-training like it can be made."""
    ours = scale.pretrained in ("train", "shipped")
    return ours and not (scale.own_images and grid.lacks_source(scale))


def models(scale: Scale, role: str, end: End, seeds: Sequence[int], some: str = "") -> list[Model]:
    """The models of one end, one a seed; ``some`` names the scale's count of them, as `Kind.seeds` does."""
    rate = end.rate(scale)
    found = []
    for seed in seeds[: attrgetter(some)(scale).get(role, 0)] if some else seeds:
        if end.other_source:
            other = Init("from", Checkpoint(grid.constant_source(scale).id, scale.constant_epochs))
            spec = grid.target(scale, role, other, rate, seed, final_only=True)
        else:
            first = dict.fromkeys(end.shared, seeds[0])  # with its own seeds the first is question 1's run
            final_only = bool(end.shared) and seed != seeds[0]
            spec = grid.of_init(scale, end.init, role, rate, seed, final_only=final_only, **first)
        found.append(Model(end.init, rate, seed, spec, end.at))
    return found


def single_models(scale: Scale, role: str, seeds: Sequence[int]) -> list[Model]:
    """P-T and RI-T of every seed at the paper's rates, and at the other one where the scale runs it."""
    main = [model for end in (P_T, RI_T) for model in models(scale, role, end, seeds)]
    other = [m for end in (P_T_HIGH, RI_T_LOW) for m in models(scale, role, end, seeds, "second_rate_seeds")]
    return main + other


def lines(scale: Scale, role: str, seeds: Sequence[int]) -> list[Line]:
    """All pairs of a role: the paper's, those that cross init and rate, and the controls."""
    kinds = [kind for kind in KINDS if role in kind.roles]
    if not has_other_source(scale):
        kinds = [kind for kind in kinds if not kind.second.other_source]
    return [Line(role, kind, *pair) for kind in kinds for pair in _pairs(scale, role, kind, seeds)]


def _pairs(scale: Scale, role: str, kind: Kind, seeds: Sequence[int]) -> Iterator[tuple[Model, Model]]:
    first = models(scale, role, kind.first, seeds, kind.seeds)
    if kind.first == kind.second:
        return itertools.combinations(first, 2)
    second = models(scale, role, kind.second, seeds, kind.seeds)
    if kind.apart:
        return _of_other_seeds(first, second, scale.landscape.partners if kind.papers else 1)
    return zip(first, second, strict=True)


def _of_other_seeds(
    first: Sequence[Model], second: Sequence[Model], partners: int
) -> Iterator[tuple[Model, Model]]:
    """Each of the first with ``partners`` of the second, of other seeds if there are any."""
    for number, one in enumerate(first):
        turned = [*second[number + 1 :], *second[: number + 1]]
        others = [other for other in turned if other.seed != one.seed] or turned
        yield from ((one, other) for other in others[:partners])


def soups(scale: Scale, role: str, seeds: Sequence[int]) -> Iterator[tuple[dict, list[Model]]]:
    """(init, rate and pairing, models) of every group whose weights are averaged."""
    for pairing, ends, some in SOUPS:
        rate = ends[0].rate(scale) if len(ends) == 1 else "both"
        of_seeds = zip(*(models(scale, role, end, seeds, some) for end in ends), strict=True)
        yield (
            {"init": ends[0].init, "rate": rate, "pairing": pairing},
            [model for of_seed in of_seeds for model in of_seed],
        )
