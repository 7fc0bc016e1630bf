"""Which pairs of models question 3 draws lines between, and the runs behind them.

Independent pairs at the paper's rates are question 1's runs. Controls vary one thing at a time: a pairing's
name says what the two models differ in (order, head, rate, other_source), or what they share beyond the
usual (same_init, same_run).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from tlbook.questions import grid
from tlbook.scales import INITS, Scale
from tlbook.training.specs import Checkpoint, Init, RunSpec, unique

BEST_TOO = ("xray",)  # roles on which best checkpoints are compared too (Figure 4, right)
FINAL = ("final", "final")
PAIR = ("init", "rate", "seed", "init_b", "rate_b", "seed_b")


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
    """A pair of models and what they share."""

    role: str
    pairing: str
    first: Model
    second: Model
    papers: bool = False  # whether the paper's figures show such a line

    @property
    def keys(self) -> dict:
        """The columns that name the pair."""
        names = [getattr(model, name) for model in (self.first, self.second) for name in PAIR[:3]]
        return {"role": self.role} | dict(zip(PAIR, names, strict=True))

    @property
    def kind(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Init and rate of the two."""
        return (self.first.init, self.first.rate), (self.second.init, self.second.rate)

    def named(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows under the columns that name this line."""
        own = {"pairing": self.pairing, "checkpoint": self.first.at, "checkpoint_b": self.second.at}
        return rows.assign(**self.keys, **own)

    @property
    def final(self) -> bool:
        """Whether both ends are final models."""
        return (self.first.at, self.second.at) == FINAL


# Which runs, which pairs


def specs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """Sources first, then every run that a line or a soup needs."""
    sources = list(grid.pretraining(scale))
    if has_other_source(scale) and any(scale.landscape.control_seeds.get(role, 0) for role in targets):
        sources.append(grid.constant_source(scale))
    used = [
        model.spec
        for role in targets
        for line in lines(scale, role, seeds)
        for model in (line.first, line.second)
    ]
    # with one seed there are no pairs of a kind, but flatness is still measured
    used += [model.spec for role in targets for model in main_models(scale, role, seeds)]
    return unique([*sources, *used])


def has_other_source(scale: Scale) -> bool:
    """Whether P is ours and its images are here, so that a second pre-training like it can be made."""
    ours = scale.pretrained in ("train", "shipped")
    return ours and not (scale.own_images and grid.lacks_source(scale))


def model(scale: Scale, role: str, init: str, rate: str, seed: int, at: str = "final") -> Model:
    """One of question 1's models."""
    return Model(init, rate, seed, grid.of_init(scale, init, role, rate, seed), at)


def main_models(scale: Scale, role: str, seeds: Sequence[int], at: str = "final") -> list[Model]:
    """P-T and RI-T of every seed at the paper's rates."""
    return [model(scale, role, init, scale.main_rates[init], seed, at) for init in INITS for seed in seeds]


def lines(scale: Scale, role: str, seeds: Sequence[int]) -> list[Line]:
    """All pairs of a role: the paper's, those that cross init and rate, and the controls."""
    found = _of_checkpoint(scale, role, seeds, "final")
    if role in BEST_TOO:
        found += _of_checkpoint(scale, role, seeds, "best")
        for init, seed in itertools.product(INITS, seeds):
            ends = [model(scale, role, init, scale.main_rates[init], seed, at) for at in ("best", "final")]
            found.append(Line(role, "same_run", *ends))
    found = [dataclasses.replace(line, papers=True) for line in [*found, *_same_init(scale, role, seeds)]]
    return [*found, *_other_rates(scale, role, seeds), *_controls(scale, role, seeds)]


def _pairs(role: str, pairing: str, group: Sequence[Model]) -> list[Line]:
    return [Line(role, pairing, *pair) for pair in itertools.combinations(group, 2)]


def _mixed(role: str, first: Sequence[Model], second: Sequence[Model], partners: int) -> list[Line]:
    """Each of the first with ``partners`` of the second, of other seeds (head and order) if there are any."""
    found = []
    for number, one in enumerate(first):
        turned = [*second[number + 1 :], *second[: number + 1]]
        others = [other for other in turned if other.seed != one.seed] or turned
        found += [Line(role, "independent", one, other) for other in others[:partners]]
    return found


def _of_checkpoint(scale: Scale, role: str, seeds: Sequence[int], at: str) -> list[Line]:
    p_t, ri_t = (
        [model(scale, role, init, scale.main_rates[init], seed, at) for seed in seeds] for init in INITS
    )
    pairs = [*_pairs(role, "independent", p_t), *_pairs(role, "independent", ri_t)]
    return pairs + _mixed(role, p_t, ri_t, scale.landscape.partners)


def _other_rates(scale: Scale, role: str, seeds: Sequence[int]) -> list[Line]:
    """Init and rate crossed, as far as the second rate was run: P-T at RI-T's rate and the other way round;
    and, of one P-T each, the two rates."""
    some = seeds[: scale.second_rate_seeds.get(role, 0)]
    at = {
        (init, rate): [model(scale, role, init, rate, seed) for seed in some]
        for init in INITS
        for rate in scale.main_rates.values()
    }
    low, high = (scale.main_rates[init] for init in INITS)
    if low == high:
        return []
    found = _pairs(role, "independent", at["P-T", high]) + _pairs(role, "independent", at["RI-T", low])
    for rate in (low, high):
        found += _mixed(role, at["P-T", rate], at["RI-T", rate], 1)
    return found + [Line(role, "rate", *two) for two in zip(at["P-T", low], at["P-T", high], strict=True)]


def _same_init(scale: Scale, role: str, seeds: Sequence[int]) -> list[Line]:
    return _pairs(role, "same_init", same_init(scale, role, seeds))


def same_init(scale: Scale, role: str, seeds: Sequence[int]) -> list[Model]:
    """RI-T that share body and head and differ in the order of batches only; the first is question 1's."""
    rate, first = scale.main_rates["RI-T"], seeds[0]
    how = {"init_seed": first, "head_seed": first}
    some = seeds[: scale.landscape.same_init_seeds.get(role, 0)]
    return [Model("RI-T", rate, seed, _varied(scale, role, "RI-T", seed, first, **how)) for seed in some]


def controls(scale: Scale, role: str, seeds: Sequence[int], what: str) -> list[Model]:
    """P-T that differ in one thing, ``what`` ("order" or "head"); the first is question 1's."""
    rate, first = scale.main_rates["P-T"], seeds[0]
    how = {"order": "head_seed", "head": "order_seed"}[what]
    some = seeds[: scale.landscape.control_seeds.get(role, 0)]
    return [Model("P-T", rate, s, _varied(scale, role, "P-T", s, first, **{how: first})) for s in some]


def _varied(scale: Scale, role: str, init: str, seed: int, first: int, **seeds) -> RunSpec:
    rate = scale.main_rates[init]
    return grid.of_init(scale, init, role, rate, seed, final_only=seed != first, **seeds)


def _controls(scale: Scale, role: str, seeds: Sequence[int]) -> Iterator[Line]:
    for what in ("order", "head"):
        yield from _pairs(role, what, controls(scale, role, seeds, what))
    if not has_other_source(scale):
        return
    other = Init("from", Checkpoint(grid.constant_source(scale).id, scale.constant_epochs))
    rate = scale.main_rates["P-T"]
    for seed in seeds[: scale.landscape.control_seeds.get(role, 0)]:
        second = grid.target(scale, role, other, rate, seed, final_only=True)
        yield Line(
            role, "other_source", model(scale, role, "P-T", rate, seed), Model("P-T", rate, seed, second)
        )


def groups(scale: Scale, role: str, seeds: Sequence[int]) -> Iterator[tuple[dict, list[Model]]]:
    """(init, rate and pairing, models) of every group whose weights are averaged."""
    some = seeds[: scale.second_rate_seeds.get(role, 0)]
    p_t, ri_t = (scale.main_rates[init] for init in INITS)
    for init, rate, which in (("P-T", p_t, seeds), ("RI-T", ri_t, seeds), ("P-T", ri_t, some)):
        keys = {"init": init, "rate": rate, "pairing": "independent"}
        yield keys, [model(scale, role, init, rate, seed) for seed in which]
    both = [model(scale, role, "P-T", rate, seed) for seed in some for rate in (p_t, ri_t)]
    yield {"init": "P-T", "rate": "both", "pairing": "rate"}, both
    keys = {"init": "RI-T", "rate": ri_t, "pairing": "same_init"}
    yield keys, same_init(scale, role, seeds)
