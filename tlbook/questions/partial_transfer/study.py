"""Up to which layer? Some modules from P, and probes of all of them (our addition to question 4)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import data
from tlbook.data import Domain, batches
from tlbook.data.shuffles import Shuffle
from tlbook.models import Network, skeleton
from tlbook.questions import grid
from tlbook.questions.partial_transfer import method
from tlbook.scales import Scale
from tlbook.training import loop
from tlbook.training import runs as store
from tlbook.training.executors import ensure_all
from tlbook.training.specs import Init, RunSpec, unique

METHODS = ("linear", "neighbours")


def body(scale: Scale) -> tuple[str, ...]:
    """The network's modules but its head, from input to output."""
    network = skeleton(scale.network)
    return tuple(module for module in network.steps() if module != network.head)


def partly(scale: Scale, role: str, modules: Sequence[str], seed: int) -> RunSpec:
    """The run of which these modules start from P, at P-T's rate; with all P-T's own, with none RI-T's."""
    rate = scale.main_rates["P-T"]
    if not modules or len(modules) == len(body(scale)):
        return grid.of_init(scale, "P-T" if modules else "RI-T", role, rate, seed)
    init = Init("from", grid.pretrained(scale), tuple(modules))
    spec = grid.target(scale, role, init, rate, seed, final_only=True)
    return dataclasses.replace(spec, measured=(spec.epochs,), train_measured=(spec.epochs,))


def planned(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """Every number of modules, from below and from above."""
    modules = body(scale)
    for role in targets:
        for seed in seeds[: scale.further.seeds.get(role, 0)]:
            for count in range(len(modules) + 1):
                for part, some in (("first", modules[:count]), ("last", modules[len(modules) - count :])):
                    keys = {"role": role, "part": part, "modules": count, "seed": seed}
                    yield keys, partly(scale, role, some, seed)


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """P if we train it, and the runs from some of its modules."""
    return unique([*grid.pretraining(scale), *(spec for _, spec in planned(scale, targets, seeds))])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The study's tables (see `tlbook.tables`), of those targets that the scale studies here; trains what is
    missing. ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets)
    here = [role for role in targets if scale.further.seeds.get(role, 0)]
    ensure_all(runs(scale, here, seeds), **how)
    if not here:
        return {}
    ends = grid.long((keys, _end(spec)) for keys, spec in planned(scale, here, seeds))
    return {"partial": ends[ends.metric != "loss"], "probes": probes(scale, here, seeds)}


def _end(spec: RunSpec) -> pd.DataFrame:
    history = store.ensure(spec).history()
    return history[history.epoch == spec.epochs].drop(columns="epoch")


def probes(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The table probes: of P, and of the random weights that each seed's RI-T starts from."""
    rows = []
    for role in targets:
        of_p = opened(scale, role).probes()
        for seed in seeds[: scale.further.seeds[role]]:
            spec = grid.ri_t(scale, role, scale.main_rates["P-T"], seed)
            random = loop.initial(spec, None, store.device()).model.eval()
            rows += [row | {"init": "P", "role": role, "seed": seed} for row in of_p]
            drawn = Opened(scale, role, random).probes()
            rows += [row | {"init": "random", "role": role, "seed": seed} for row in drawn]
    return pd.DataFrame(rows)[["role", "init", "seed", "module", "method", "metric", "value"]]


@dataclass(frozen=True)
class Opened:
    """A frozen network, and a role's images as it reads them."""

    scale: Scale
    role: str
    network: Network

    @functools.cached_property
    def domain(self) -> Domain:
        """The role's images."""
        return data.load(data.request(self.scale, self.role))

    def batches(self, split: str) -> tuple[list[Tensor], Tensor]:
        """All images of a split in batches, and their labels (on the CPU)."""
        normalisation = self.scale.task(self.role).normalisation
        view = batches.View.of(self.domain, self.scale.side, normalisation, Shuffle.none())
        examples = getattr(self.domain, split)
        return [images for images, _ in batches.evaluation(examples, view, store.device())], examples.labels

    def probes(self) -> list[dict]:
        """What probes of each module score on test images: module, method, metric, value."""
        (train, labels), (test, answers) = self.batches("train"), self.batches("test")
        y, metric = one_hot(labels, len(self.domain.classes)), self.scale.metric[self.role]
        both = zip(method.features(self.network, train), method.features(self.network, test), strict=True)
        return [
            {"module": module, "method": kind, "metric": metric}
            | {"value": method.measured(method.probe(x, y, x_test, kind), answers, metric)}
            for (module, x), (_, x_test) in both
            for kind in METHODS
        ]


def one_hot(labels: Tensor, classes: int) -> np.ndarray:
    """Answers (n, classes), 0 or 1, as an array; of several labels as they are."""
    answers = labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, classes)
    return answers.double().numpy()


# What the page opens, to compute by hand


def opened(scale: Scale, role: str) -> Opened:
    """P, frozen, and the images of a role."""
    return Opened(scale, role, grid.network_of_p(scale)[0])


def start(scale: Scale, role: str, modules: Sequence[str], seed: int) -> dict[str, Tensor]:
    """The weights that a run begins with of which these modules start from P."""
    weights = store.weights(grid.pretrained(scale))
    return loop.initial(partly(scale, role, modules, seed), weights).model.state_dict()
