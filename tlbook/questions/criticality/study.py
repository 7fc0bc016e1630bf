"""Question 4: which modules are critical? (paper, section 3.4, Figures 5 and 6)

It trains nothing of its own: the runs are those of Figure 2, with their kept checkpoints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import data, metrics, models
from tlbook.data import Domain, batches
from tlbook.errors import TlbookError
from tlbook.models.symmetry import rescaled
from tlbook.questions import grid
from tlbook.questions.criticality.method import criticality as method
from tlbook.questions.criticality.method.criticality import network_criticality
from tlbook.questions.criticality.method.suffix import Chain, Suffix, Weights, chain, plainly, walk
from tlbook.questions.grid import unshuffled
from tlbook.scales import Scale
from tlbook.training import runs as trained
from tlbook.training.executors import ensure_all
from tlbook.training.specs import RunSpec, unique

REDRAW_SEED = 1000  # of fresh draws of the init: none that a run starts from


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: P if we train it, and Figure 2's P-T and RI-T at both rates."""
    return unique([*grid.pretraining(scale), *(spec for _, spec in unshuffled(scale, targets, seeds))])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets)
    ensure_all(runs(scale, targets, seeds), **how)
    parts: dict[str, list[pd.DataFrame]] = {"rewind": [], "paths": [], "criticality": []}
    for keys, spec in unshuffled(scale, targets, seeds):
        run = open_run(spec)
        first = keys["seed"] in seeds[: scale.criticality.whole_seeds]
        measured = {"rewind": _rewound(scale, run, everything=first)}
        if keys["rate"] == scale.main_rates[keys["init"]]:
            measured["paths"] = _paths(
                scale, run, every_module=keys["seed"] in seeds[: scale.criticality.map_seeds]
            )
        if first:
            measured["criticality"] = _criticality(scale, run)
        for name, rows in measured.items():
            parts[name].append(rows.assign(**keys)[[*keys, *rows.columns]])
    made = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    return made | {"network_criticality": network_criticality(made["criticality"], made["rewind"])}


@dataclass(frozen=True)
class Opened:
    """A finished run ready to be taken apart: its network as a chain, its checkpoints, its images."""

    spec: RunSpec
    chain: Chain
    checkpoints: Mapping[int, Mapping[str, Tensor]]  # whole state dicts by epoch, the last one among them
    domain: Domain
    view: batches.View
    where: str

    @property
    def modules(self) -> tuple[str, ...]:
        """Its network's modules from input to output."""
        return self.chain.modules

    @property
    def start(self) -> Weights:
        """The weights that it started from."""
        return self.checkpoints[0]

    @property
    def final(self) -> Weights:
        """The final weights."""
        return self.checkpoints[self.spec.epochs]

    def batches(self, split: str, most: int = 0) -> tuple[list[Tensor], Tensor]:
        """Images ready for the network, in batches, and all their labels (on the CPU): of a whole split, or
        of ``most`` images spread evenly over it."""
        examples = getattr(self.domain, split)
        if most and most < len(examples):
            examples = examples.some(np.linspace(0, len(examples) - 1, most).round().astype(int))
        images, labels = zip(*batches.evaluation(examples, self.view, self.where), strict=True)
        return list(images), torch.cat(labels).cpu()

    def measure(self, weights: Weights, images: Sequence[Tensor], labels: Tensor) -> dict[str, float]:
        """Metrics of the whole network with these weights on what `batches` gives, and "wrong", the error.

        It shares nothing with what the tables are made by but the metrics: a page computes by hand with it.
        """
        logits = plainly(self.chain, images, weights)
        return metrics.measure(logits, labels, self.spec.metric) | {"wrong": method.wrong(logits, labels)}

    def noises(self, module: str, draws: int) -> list[Weights]:
        """Draws of standard normal noise for a module: others for other runs of a kind."""
        last, place = method.part(self.chain, self.final, [module]), self.modules.index(module)
        return [method.gaussian(last, (self.spec.order_seed, place, draw)) for draw in range(draws)]

    def paths(self, module: str, points: int) -> dict[str, method.Path]:
        """A module's two paths by name, each of at most that many points."""
        epochs = spread(list(self.checkpoints), points)
        weights = {epoch: method.part(self.chain, self.checkpoints[epoch], [module]) for epoch in epochs}
        return {
            "direct": method.direct_path(weights[epochs[0]], weights[epochs[-1]], points),
            "optimisation": method.optimisation_path(weights),
        }


def opened(scale: Scale, role: str, init: str, seed: int) -> Opened:
    """P-T or RI-T of a role at its main rate, opened."""
    return open_run(grid.of_init(scale, init, role, scale.main_rates[init], seed))


def open_run(spec: RunSpec, epochs: Sequence[int] = ()) -> Opened:
    """Open a finished run, with its weights at ``epochs`` (all that it keeps, if none are named) and at the
    last one.

    Refused in one sentence: a run that is not trained, an epoch that it does not keep, each with what to do.
    """
    run = trained.find(spec.id)
    if run is None:
        how = f"or `tlbook train` with role {spec.role} and seed {spec.order_seed}, trains it."
        name = f"Run {spec.id} ({spec.label})"
        raise TlbookError(f"{name} is not trained yet; tlbook.training.runs.ensure(spec), {how}")
    missing = sorted(set(epochs) - set(run.kept()))
    if missing:
        there = ", ".join(map(str, run.kept()))
        raise TlbookError(
            f"Run {spec.id} ({spec.label}) keeps no weights of epoch {missing[0]}, only of {there}; choose "
            f"one of these, or put {missing[0]} into the spec's `kept` and train it anew with "
            "tlbook.training.runs.ensure(spec, retrain=True)."
        )
    where = trained.device()
    domain = data.load(spec.images)
    model = trained.network(spec.network, run.weights(spec.epochs))
    wanted = sorted({*(epochs or run.kept()), spec.epochs})
    states = {epoch: {k: v.to(where) for k, v in run.weights(epoch).items()} for epoch in wanted}
    view = batches.View.of(domain, spec.side, spec.normalisation, spec.shuffle)
    training = batches.evaluation(domain.train, view, where)
    return Opened(spec, chain(model, spec.precision, training), states, domain, view, where)


def spread(epochs: Sequence[int], most: int) -> list[int]:
    """At most that many of some epochs, evenly by place; the first and the last, if there is room."""
    epochs = sorted(epochs)
    places = np.linspace(0, len(epochs) - 1, min(most, len(epochs))).round().astype(int)
    return [epochs[place] for place in dict.fromkeys(places.tolist())]


def _rewound(scale: Scale, run: Opened, *, everything: bool) -> pd.DataFrame:
    """Figure 5, on test: to epoch 0, and if ``everything`` to later epochs and fresh draws too; on train the
    network itself only."""
    before = [epoch for epoch in run.checkpoints if epoch != run.spec.epochs]
    epochs = spread(before, scale.criticality.rewind_epochs if everything else 1)
    earlier = {epoch: run.checkpoints[epoch] for epoch in epochs}
    fresh = [redrawn(run, number) for number in range(scale.criticality.redraws if everything else 0)]
    parts = []
    for split, states in (("train", ({}, ())), ("test", (earlier, fresh))):
        rows = method.rewind(run.chain, *run.batches(split), run.spec.metric, *states)
        parts.append(rows.assign(split=split))
    columns = ["module", "method", "to_epoch", "split", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[columns]


def redrawn(run: Opened, number: int) -> dict[str, Tensor]:
    """The number-th fresh draw of a run's network: random weights, whatever the run started from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(REDRAW_SEED + number)
        state = models.build(run.spec.network, run.spec.classes).state_dict()
    return {name: value.to(run.where) for name, value in state.items()}


def _paths(scale: Scale, run: Opened, *, every_module: bool) -> pd.DataFrame:
    """Figure 6: the first module on training images, or every one, on test images too."""
    parts = []
    for split in ("train", "test") if every_module else ("train",):
        images, labels = run.batches(split, scale.criticality.images)
        for suffix in walk(run.chain, images):
            if suffix.module != run.modules[0] and not every_module:
                break
            noises = run.noises(suffix.module, scale.criticality.noise_draws)
            for name, path in run.paths(suffix.module, scale.criticality.points).items():
                factors = scale.criticality.noise, scale.criticality.end_noise if name == "direct" else ()
                rows = method.noise_map(suffix, labels, run.spec.metric, path, noises, *factors)
                parts.append(rows.assign(module=suffix.module, path=name, split=split))
    columns = ["module", "path", "fraction", "distance", "noise", "split", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[columns]


def _criticality(scale: Scale, run: Opened) -> pd.DataFrame:
    """The criticality of every module, on training images."""
    images, labels = run.batches("train", scale.criticality.images)
    at = {"epsilon": method.EPSILON, "images": len(labels), "draws": scale.criticality.noise_draws}
    rows = []
    for suffix in walk(run.chain, images):
        for (path, norm), found in _both_norms(scale, run, suffix, labels).items():
            rows.append({"module": suffix.module, "path": path, "norm": norm} | found._asdict() | at)
    return pd.DataFrame(rows)


def _both_norms(
    scale: Scale, run: Opened, suffix: Suffix, labels: Tensor
) -> dict[tuple[str, str], method.Criticality]:
    """A module's criticality by path and norm."""
    noises = run.noises(suffix.module, scale.criticality.noise_draws)
    return {
        (name, norm): method.criticality_of(suffix, labels, path, noises, norm)
        for name, path in run.paths(suffix.module, scale.criticality.points).items()
        for norm in ("raw", "relative")
    }


def rescaled_twin(
    scale: Scale, role: str, init: str, seed: int, block: str, factor: float = 4.0
) -> pd.DataFrame:
    """A run and its twin with one block rescaled, which computes the same: how far their logits differ (at
    most, over the images measured), and the block's criticality on the direct path, raw and relative.

    Rows network (as trained, rescaled); columns network, logits_differ, raw, relative.
    """
    run = opened(scale, role, init, seed)
    rescalings = run.chain.model.rescalings()
    states = {epoch: rescaled(state, rescalings, block, factor) for epoch, state in run.checkpoints.items()}
    twin = dataclasses.replace(run, checkpoints=states)
    images, labels = run.batches("train", scale.criticality.images)
    rows, before = [], None
    for name, network in {"as trained": run, "rescaled": twin}.items():
        network.chain.model.load_state_dict(network.final)
        suffix = next(suffix for suffix in walk(network.chain, images) if suffix.module == block)
        (logits,) = suffix.logits([{}])
        before = logits if before is None else before
        measured = _both_norms(scale, network, suffix, labels)
        raw, relative = (measured["direct", norm].value for norm in ("raw", "relative"))
        differ = float((logits - before).abs().max())
        rows.append({"network": name, "logits_differ": differ, "raw": raw, "relative": relative})
    return pd.DataFrame(rows)
