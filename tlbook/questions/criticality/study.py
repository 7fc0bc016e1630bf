"""Question 4: which modules are critical? (paper, section 3.4, Figures 5 and 6)

It trains nothing of its own: the runs are those of Figure 2, with their kept checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import data, models
from tlbook.data import Domain, Examples, batches
from tlbook.errors import TlbookError
from tlbook.models.symmetry import rescaled
from tlbook.questions import grid
from tlbook.questions.criticality.method import criticality as analysis
from tlbook.questions.criticality.method.criticality import network_criticality
from tlbook.questions.criticality.method.suffix import Chain, Suffix, chain, walk
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
    ensure_all(runs(scale, targets, seeds), **how)
    found: dict[str, list[pd.DataFrame]] = {"rewind": [], "paths": [], "criticality": []}
    for keys, spec in unshuffled(scale, targets, seeds):
        run = open_run(spec)
        parts = {
            "rewind": _rewound(scale, run, keys["seed"] in seeds[: scale.criticality.whole_seeds]),
            "paths": _paths(scale, run, keys, seeds),
            "criticality": _criticality(scale, run, keys, seeds),
        }
        for name, rows in parts.items():
            if len(rows):
                found[name].append(rows.assign(**keys)[[*keys, *rows.columns]])
    made = {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}
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
    def final(self) -> Mapping[str, Tensor]:
        """The final weights."""
        return self.checkpoints[self.spec.epochs]

    def batches(self, examples: Examples, most: int = 0) -> list[tuple[Tensor, Tensor]]:
        """(images, labels) ready for the network: all, or ``most`` of them spread evenly over the split."""
        if most and most < len(examples):
            examples = examples.some(np.linspace(0, len(examples) - 1, most).round().astype(int))
        return list(batches.evaluation(examples, self.view, self.where))


def open_run(spec: RunSpec, epochs: Sequence[int] = ()) -> Opened:
    """Open a finished run, with its weights at ``epochs`` (all that it keeps, if none are named) and at the
    last one.

    Refused in one sentence: a run that is not trained, an epoch that it does not keep, each with what to do.
    """
    run = trained.find(spec.id)
    if run is None:
        raise TlbookError(f"Run {spec.id} ({spec.label}) is not trained yet; {_how(spec)} trains it.")
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


def _how(spec: RunSpec) -> str:
    """The call that trains a run."""
    return f"tlbook.training.runs.ensure(spec), or `tlbook train` with role {spec.role} and seed {spec.order_seed},"


def spread(epochs: Sequence[int], most: int) -> list[int]:
    """At most that many of some epochs, evenly by place; the first and the last, if there is room."""
    epochs = sorted(epochs)
    places = np.linspace(0, len(epochs) - 1, min(most, len(epochs))).round().astype(int)
    return [epochs[place] for place in dict.fromkeys(places.tolist())]


def _rewound(scale: Scale, run: Opened, whole: bool) -> pd.DataFrame:
    """Figure 5, on test: to epoch 0, if ``whole`` to later epochs and fresh draws too; on train the network
    itself only."""
    before = [epoch for epoch in run.checkpoints if epoch != run.spec.epochs]
    epochs = spread(before, scale.criticality.rewind_epochs if whole else 1)
    earlier = {epoch: run.checkpoints[epoch] for epoch in epochs}
    fresh = [redrawn(run, number) for number in range(scale.criticality.redraws if whole else 0)]
    parts = []
    for split, back, anew in (("train", {}, []), ("test", earlier, fresh)):
        examples = run.batches(getattr(run.domain, split))
        rows = analysis.rewind(run.chain, examples, run.spec.metric, back, anew)
        parts.append(rows.assign(split=split))
    columns = ["module", "method", "to_epoch", "split", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[columns]


def redrawn(run: Opened, number: int) -> dict[str, Tensor]:
    """The number-th fresh draw of a run's network: random weights, whatever the run started from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(REDRAW_SEED + number)
        state = models.build(run.spec.network, run.spec.classes).state_dict()
    return {name: value.to(run.where) for name, value in state.items()}


def places(scale: Scale, run: Opened, module: str) -> dict[str, list[analysis.Place]]:
    """A module's two paths by name, each of at most ``path_points`` points."""
    epochs = spread(list(run.checkpoints), scale.criticality.points)
    own = {epoch: analysis.part(run.chain, run.checkpoints[epoch], [module]) for epoch in epochs}
    start, end = own[epochs[0]], own[epochs[-1]]
    return {
        "direct": analysis.direct_path(start, end, scale.criticality.points),
        "optimisation": analysis.optimisation_path(own),
    }


def noises(scale: Scale, run: Opened, suffix: Suffix) -> list[Mapping[str, Tensor]]:
    """Draws of standard normal noise for a module: others for other runs of a kind."""
    own = analysis.part(run.chain, run.final, [suffix.module])
    number = run.chain.place(suffix.module)
    return [
        analysis.gaussian(own, (run.spec.order_seed, number, draw))
        for draw in range(scale.criticality.noise_draws)
    ]


def _paths(scale: Scale, run: Opened, keys: Mapping, seeds: Sequence[int]) -> pd.DataFrame:
    """Figure 6, of runs at the main rates: the first module on training images, and for the first seeds every
    module, on test images too."""
    if keys["rate"] != scale.main_rates[keys["init"]]:
        return pd.DataFrame()
    whole = keys["seed"] in seeds[: scale.criticality.map_seeds]
    parts = []
    for split in ("train", "test") if whole else ("train",):
        examples = run.batches(getattr(run.domain, split), scale.criticality.images)
        labels = torch.cat([answers for _, answers in examples]).cpu()
        for suffix in walk(run.chain, [images for images, _ in examples]):
            if not whole and suffix.module != run.chain.modules[0]:
                break
            drawn = noises(scale, run, suffix)
            for path, points in places(scale, run, suffix.module).items():
                at_end = scale.criticality.end_noise if path == "direct" else ()
                rows = analysis.noise_map(
                    suffix, labels, run.spec.metric, points, scale.criticality.noise, drawn, at_end
                )
                parts.append(rows.assign(module=suffix.module, path=path, split=split))
    columns = ["module", "path", "fraction", "distance", "noise", "split", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[columns]


def _criticality(scale: Scale, run: Opened, keys: Mapping, seeds: Sequence[int]) -> pd.DataFrame:
    """The criticality of every module of the first seeds' runs, on training images."""
    if keys["seed"] not in seeds[: scale.criticality.whole_seeds]:
        return pd.DataFrame()
    examples = run.batches(run.domain.train, scale.criticality.images)
    labels = torch.cat([answers for _, answers in examples]).cpu()
    rows = []
    for suffix in walk(run.chain, [images for images, _ in examples]):
        drawn = noises(scale, run, suffix)
        for path, points in places(scale, run, suffix.module).items():
            for norm in ("raw", "relative"):
                found = analysis.criticality_of(suffix, labels, points, drawn, norm == "relative")
                at = points[found.place].fraction if found.place >= 0 else np.nan
                rows.append(
                    {"module": suffix.module, "path": path, "norm": norm, "value": found.value,
                     "lowest": found.lowest, "highest": found.highest, "fraction": at, "noise": found.noise,
                     "epsilon": analysis.EPSILON, "images": len(labels), "draws": len(drawn)}
                )  # fmt: skip
    return pd.DataFrame(rows)


def rescaled_twin(
    scale: Scale, role: str, init: str, seed: int, block: str, factor: float = 4.0
) -> pd.DataFrame:
    """A run and its twin with one block rescaled, which computes the same: how far their logits differ (at
    most, over the images measured), and the block's criticality on the direct path, raw and relative.

    Rows network (as trained, rescaled); columns network, logits_differ, raw, relative.
    """
    run = open_run(grid.of_init(scale, init, role, scale.main_rates[init], seed))
    run.chain.place(block)
    examples = run.batches(run.domain.train, scale.criticality.images)
    labels = torch.cat([answers for _, answers in examples]).cpu()
    rows, before = [], None
    for name in ("as trained", "rescaled"):
        states = dict(run.checkpoints)
        if name == "rescaled":
            scalings = run.chain.model.rescalings()
            states = {epoch: rescaled(state, scalings, block, factor) for epoch, state in states.items()}
        run.chain.model.load_state_dict(states[run.spec.epochs])
        own = Opened(run.spec, run.chain, states, run.domain, run.view, run.where)
        suffix = next(s for s in walk(own.chain, [images for images, _ in examples]) if s.module == block)
        (logits,) = suffix.logits([{}])
        before = logits if before is None else before
        points, drawn = places(scale, own, block)["direct"], noises(scale, own, suffix)
        raw, relative = (
            analysis.criticality_of(suffix, labels, points, drawn, norm).value for norm in (False, True)
        )
        differ = float((logits - before).abs().max())
        rows.append({"network": name, "logits_differ": differ, "raw": raw, "relative": relative})
    return pd.DataFrame(rows)
