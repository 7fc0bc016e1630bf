"""Question 1: what is the role of feature reuse? (paper, section 3.1, Figures 2 and 3)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pandas as pd
from torch import Tensor

from tlbook import data, models
from tlbook.data import batches
from tlbook.data.shuffles import Shuffle
from tlbook.questions import grid
from tlbook.questions.feature_reuse import QUESTION
from tlbook.questions.feature_reuse.method import convergence
from tlbook.scales import Scale
from tlbook.training import loop
from tlbook.training import runs as store
from tlbook.training.executors import ensure_all
from tlbook.training.specs import RunSpec


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: P if we train it, then Figure 2's and Figure 3's."""
    return grid.of_figures_2_and_3(scale, targets, seeds)


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets)
    ensure_all(runs(scale, targets, seeds), **how)
    curves = grid.long(
        (keys, store.ensure(spec).history()) for keys, spec in grid.unshuffled(scale, targets, seeds)
    )
    images = {role: len(data.load(data.request(scale, role)).train) for role in targets}
    found = {
        "learning_curves": curves,
        "convergence": convergence(curves, scale.metric, images),
        "domains": grid.domains(scale, targets),
    }
    ended = [
        (keys, grid.final_rows(spec)) for keys, spec in grid.shuffled_runs(scale, targets, seeds)
    ]  # of the targets that the scale shuffles
    return found | ({"block_shuffle": grid.long(ended).drop(columns="epoch")} if ended else {})


def finished_curves(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """learning_curves of the runs that are there; trains nothing, and is empty if there are none."""
    parts = [(keys, store.find(spec.id)) for keys, spec in grid.unshuffled(scale, targets, seeds)]
    there = [(keys, run.history()) for keys, run in parts if run is not None]
    return grid.long(there) if there else QUESTION.table("learning_curves").empty()


# What the page opens, to compute by hand


def opened(
    scale: Scale, role: str, init: str, rate: str, seed: int, block_size: int | None = None
) -> tuple[models.Network, Iterator[tuple[Tensor, Tensor]]]:
    """A finished run: its network at the last epoch, and its test images in batches (images, labels),
    normalised and *not shuffled*, whatever block size in pixels it was trained with."""
    spec = grid.of_init(scale, init, role, rate, seed, block_size=block_size)
    network = store.network(spec.network, store.ensure(spec).weights("final"))
    domain, view = _seen(scale, spec)
    return network, batches.evaluation(domain.test, view, store.device())


def beginning(scale: Scale, role: str, seed: int, count: int) -> tuple[RunSpec, loop.State, list]:
    """A P-T at its main rate before its first step, and its first ``count`` batches (images, labels)."""
    spec = grid.p_t(scale, role, scale.main_rates["P-T"], seed)
    state = loop.initial(spec, store.weights(grid.pretrained(scale)), store.device())
    domain, view = _seen(scale, spec)
    drawn = loop.stream("order", spec.order_seed, 1)
    epoch = batches.training(domain.train, view, spec.augmentation, spec.batch, drawn, store.device())
    return spec, state, list(islice(epoch, count))


def after_steps(scale: Scale, role: str, seed: int, count: int) -> dict[str, float]:
    """`how_far` the weights are after `loop.step` on each of those batches, mixed as ``default_rng(0)``
    draws."""
    spec, state, shown = beginning(scale, role, seed, count)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    drawn = np.random.default_rng(0)
    for images, labels in shown:
        loop.step(spec, state, images, labels, drawn)
    return how_far(before, state.model.state_dict())


def how_far(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """How far (l2) biases, scales and all other weights are from where they were."""
    squares = dict.fromkeys(("biases", "scales", "all others"), 0.0)
    for name, value in before.items():
        kind = "biases" if "bias" in name else "scales" if "scale" in name else "all others"
        squares[kind] += (after[name] - value).double().square().sum().item()
    return {kind: square**0.5 for kind, square in squares.items()}


def _seen(scale: Scale, spec: RunSpec) -> tuple[data.Domain, batches.View]:
    domain = data.load(data.request(scale, spec.role))
    return domain, batches.View.of(domain, spec.side, spec.normalisation, Shuffle.none())
