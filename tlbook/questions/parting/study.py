"""When are two runs tied? Share the first steps, then part (our addition to question 3).

A pair of a seed: a run, and another that is the same to the bit up to an epoch and orders its batches by
another seed from there on (Frankle et al. 2020). It is trained from the beginning again, momentum and all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd

from tlbook import models
from tlbook.models.interpolation import difference, norm, not_finite
from tlbook.questions import grid
from tlbook.questions.loss_landscape.method import barrier
from tlbook.questions.loss_landscape.method.evaluation import Evaluator
from tlbook.questions.loss_landscape.study import evaluator
from tlbook.scales import INITS, RATES, Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import device, ensure
from tlbook.training.specs import RunSpec, unique

OTHER = 1000  # added to a seed: the order of the run that parts
Pair = tuple[RunSpec, RunSpec]


def planned(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, Pair]]:
    """Every pair under its keys, by init, rate, number of images and share of training that the two share."""
    for role in targets:
        for seed in seeds[: scale.further.parting_seeds.get(role, 0)]:
            for init in INITS:
                for rate in RATES:
                    for images in _images(scale, role):
                        run = _whole(scale, role, init, rate, seed, images)
                        keys = {"role": role, "init": init, "rate": rate, "seed": seed, "images": images}
                        for epoch in _epochs(run, scale.further.parting[init]):
                            shared = {"parting": epoch, "updates": epoch * -(-images // run.batch)}
                            shared |= {"fraction": epoch / run.epochs}
                            yield keys | shared, (run, parted(run, epoch, seed + OTHER))


def _images(scale: Scale, role: str) -> list[int]:
    """The numbers of training images that a role has; where a reader asks for another number, that one."""
    train, counts = scale.task(role).train, scale.further.parting_images
    counts = counts if train in counts else (train,)
    there = grid.ri_t(grid.with_images(scale, role, max(counts)), role, RATES[0], 0).examples
    return [count for count in counts if count <= there] or [there]


def _whole(scale: Scale, role: str, init: str, rate: str, seed: int, images: int) -> RunSpec:
    """A run of Figure 2, or the same on another number of images."""
    keys = {"role": role, "init": init, "rate": rate, "seed": seed}
    figure2 = grid.of_init(scale, **keys)
    if images == figure2.examples:
        return figure2
    spec = grid.on_images(scale, figure2, images, **keys)
    ends = {"measured": (spec.epochs,), "train_measured": (spec.epochs,)}
    return dataclasses.replace(spec, kept=grid.powers_of_two(spec.epochs), **ends)


def _epochs(run: RunSpec, shares: Sequence[float]) -> list[int]:
    """The kept epochs that are nearest to these shares of a run."""
    return sorted({min(run.kept, key=lambda kept: abs(kept - share * run.epochs)) for share in shares})


def parted(run: RunSpec, epoch: int, seed: int) -> RunSpec:
    """The run that is the same up to an epoch, and ordered by ``seed`` from there on; at 0 all along."""
    ends = {"kept": tuple(sorted({epoch, run.epochs})), "keep_best": False}
    ends |= {"measured": (run.epochs,), "train_measured": (run.epochs,)}
    if epoch == 0:
        return dataclasses.replace(run, order_seed=seed, **ends)
    return dataclasses.replace(run, parted=(epoch, seed), **ends) if epoch < run.epochs else run


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """P if we train it, and both runs of every pair."""
    pairs = [pair for _, pair in planned(scale, targets, seeds)]
    return unique([*grid.pretraining(scale), *(spec for pair in pairs for spec in pair)])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The study's table (see `tlbook.tables`), of those targets that the scale studies here; trains what is
    missing. ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets)
    here = [role for role in targets if scale.further.parting_seeds.get(role, 0)]
    ensure_all(runs(scale, here, seeds), **how)
    made: dict[tuple[str, int], Evaluator] = {}
    rows = []
    for keys, pair in planned(scale, here, seeds):
        where = keys["role"], keys["images"]
        if where not in made:
            made[where] = evaluator(grid.with_images(scale, *where), keys["role"])
        places = barrier.alphas(scale.landscape.points[keys["role"]])
        for (quantity, metric), value in measured(made[where], pair, keys["parting"], places).items():
            rows.append(keys | {"quantity": quantity, "metric": metric, "value": value})
    return {"parted": pd.DataFrame(rows)} if rows else {}


def measured(
    evaluator: Evaluator, pair: Pair, epoch: int, places: Sequence[float]
) -> dict[tuple[str, str], float]:
    """(quantity, metric) -> value of two runs that parted at an epoch: the barrier between their ends and
    the lower end in the test metric, the training metric of the first, and how far apart they are when they
    part (0, unless a device does not repeat itself) and in the end."""
    run, metric = pair[0], pair[0].metric
    when = dict.fromkeys(("apart", "distance"), 0.0)
    for name, at in (("apart", epoch), ("distance", run.epochs)):
        when[name] = norm(difference(*(weights(spec, at) for spec in pair)))
    ends = [weights(spec, run.epochs) for spec in pair]
    found = {"height": float("nan"), "end": float("nan"), "training": _training(run)}
    if not any(not_finite(state) is not None for state in ends):
        line = barrier.along(evaluator, *ends, places, splits=("test",))
        line = line[line.metric == metric].sort_values("alpha")
        found["height"] = barrier.barrier(line.alpha, line.value, metric)["height"]
        found["end"] = float(line.value.iloc[[0, -1]].min())
    return {(name, metric): value for name, value in found.items()} | {
        (name, "l2"): value for name, value in when.items()
    }


def weights(spec: RunSpec, epoch: int) -> dict:
    """The learned weights of a finished run at an epoch, on the device."""
    state = models.learned(spec.network, ensure(spec).weights(epoch))
    return {name: value.to(device()) for name, value in state.items()}


def _training(spec: RunSpec) -> float:
    """The training metric at the end."""
    history = ensure(spec).history()
    last = history[(history.split == "train") & (history.epoch == spec.epochs)]
    return float(last.value[last.metric == spec.metric].iloc[0])
