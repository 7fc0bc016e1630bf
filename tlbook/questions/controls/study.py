"""Question 1's controls (after the paper's section 3.1).

Is it the features, or the size of the weights? How similar are the domains? How much sooner does P-T get
there, and how does that depend on the number of images?
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from tlbook import data, models
from tlbook.data import batches
from tlbook.data.shuffles import Shuffle
from tlbook.questions import grid
from tlbook.questions.controls.method import domain_distance, speed
from tlbook.questions.controls.method.gain import gain
from tlbook.questions.grid import final_rows, long
from tlbook.questions.setup.study import ensure_p
from tlbook.scales import CONTROLS, INITS, SOURCE, Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import device, ensure, weights
from tlbook.training.specs import INIT_NAMES, RunSpec, unique
from tlbook.vocabulary import at_better_rate

HALVINGS = 3  # of the number of images, to see how a distance depends on it
REDRAWN = {kind: name for kind, name in INIT_NAMES.items() if name in CONTROLS}
IMAGES_SEED = 2020  # which images measure a distance, as the splits


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs: question 1's, those of the redrawn inits, and those on few images."""
    own = [spec for planned in (_unshuffled, _shuffled, _few) for _, spec in planned(scale, targets, seeds)]
    return unique([*grid.of_figures_2_and_3(scale, targets, seeds), *own])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The controls' tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`.

    Where the scale runs no controls on any of the roles, the tables of few images are left out; so is the
    distance of a reader's own images from the source, where the source's images are not here.
    """
    alone = grid.lacks_source(scale)
    ensure_all(runs(scale, targets, seeds), **how)
    first, shuffled = _question_1(scale, targets, seeds)
    own = _histories(_unshuffled(scale, targets, seeds))
    curves = at_better_rate(pd.concat([first, own]))
    blocks = {str(size) for size in _blocks(scale)}
    own = [(keys, final_rows(spec)) for keys, spec in _shuffled(scale, targets, seeds)]
    controlled = shuffled[shuffled.block_size.isin(blocks)]
    if own:
        controlled = pd.concat([controlled, long(own).drop(columns="epoch")])
    images = {role: len(data.load(data.request(scale, role)).train) for role in targets}
    return {
        "control_curves": curves,
        "control_shuffle": at_better_rate(controlled),
        "time_to_level": speed.times(curves, scale.metric, images),
        "lead": speed.leads(curves, scale.metric),
        **({} if alone else {"domain_distance": distances(scale, targets, seeds[0])}),
        "gain": gain(first, shuffled, scale.side),
        **_few_tables(scale, targets, seeds),
    }


def distances(scale: Scale, targets: Sequence[str], seed: int) -> pd.DataFrame:
    """The table domain_distance, in P's features. ``seed`` chooses the shuffles, as in a run of that seed.

    The source's test images are the reference, other ones of them the role source. Unshuffled targets are
    measured at fewer and fewer images too.
    """
    p = _network(scale)
    reference, rest = _source_images(scale)
    source = batches.View.of(_domain(scale, SOURCE), scale.side, scale.source.normalisation, Shuffle.none())
    theirs = _features(p, reference, source)
    halved = [len(reference) >> k for k in range(HALVINGS, -1, -1)]
    counts = [count for count in halved[:-1] if count >= domain_distance.FEWEST] + halved[-1:]
    keys = {"role": SOURCE, "block_size": str(scale.side), "block_fraction": 1.0, "normalisation": "run"}
    parts = [(keys, domain_distance.distances(theirs, _features(p, rest, source), counts))]
    for role in targets:
        images = _some(_domain(scale, role).test, scale.controls.distance_images)
        for size in scale.shuffles.sizes:
            for name, view in _views(scale, role, size, seed, source).items():
                found = domain_distance.distances(
                    theirs, _features(p, images, view), counts if size == scale.side else counts[-1:]
                )
                fraction = grid.block_fraction(size, scale.side)
                keys = {"role": role, "block_size": str(size), "block_fraction": fraction}
                parts.append((keys | {"normalisation": name}, found))
    return long(parts)


def first_filters(scale: Scale, train: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """The first convolution's filters, floats (n, 3, k, k): of P, of P redrawn with a seed, of a random init.

    A P that is not there is trained, or refused unless ``train``.
    """
    ensure_p(scale, train)
    p = weights(grid.pretrained(scale))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = models.build(scale.network, 2).state_dict()
    kinds = {name.removesuffix("-T"): models.redrawn(p, kind, seed) for kind, name in REDRAWN.items()}
    states = {"P": p} | kinds | {"RI": random}
    first = next(name for name, value in random.items() if value.ndim == 4)
    return {name: state[first].float().numpy() for name, state in states.items()}


def _question_1(scale: Scale, targets, seeds) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables learning_curves and block_shuffle."""
    curves = _histories(grid.unshuffled(scale, targets, seeds))
    final = ((keys, final_rows(spec)) for keys, spec in grid.shuffled_runs(scale, targets, seeds))
    return curves, long(final).drop(columns="epoch")


def _histories(planned) -> pd.DataFrame | None:
    """Whole histories under their keys; None (which `pandas.concat` passes over) where nothing is planned."""
    parts = [(keys, ensure(spec).history()) for keys, spec in planned]
    return long(parts) if parts else None


def _controls(scale: Scale, targets, seeds) -> Iterator[dict]:
    """The kinds of run that the redrawn inits have: their keys in tables."""
    for role in targets:
        for init in CONTROLS:
            for seed in seeds[: scale.controls.seeds.get(role, 0)]:
                yield {"role": role, "init": init, "rate": scale.controls.rate, "seed": seed}


def _unshuffled(scale: Scale, targets, seeds) -> Iterator[tuple[dict, RunSpec]]:
    for keys in _controls(scale, targets, seeds):
        yield keys, grid.of_init(scale, **keys)


def _shuffled(scale: Scale, targets, seeds) -> Iterator[tuple[dict, RunSpec]]:
    for keys in _controls(scale, targets, seeds[: scale.shuffles.seeds]):
        for size in _blocks(scale):
            more = {"block_size": str(size), "block_fraction": grid.block_fraction(size, scale.side)}
            yield keys | more, grid.of_init(scale, **keys, block_size=size)


def _blocks(scale: Scale) -> list[str | int]:
    """The control's block sizes; with other block sizes than the scale's, those that are among them."""
    return [size for size in scale.shuffles.sizes if size in scale.controls.sizes]


# Few images


def _few(scale: Scale, targets, seeds) -> Iterator[tuple[dict, RunSpec]]:
    """P-T and RI-T at each one's main rate, by number of training images, all with the same updates.

    So what changes with the number is what there is to learn from, not how long it is learned. dev and test
    images stay the same.
    """
    for role in targets:
        for seed in seeds[: scale.controls.seeds.get(role, 0)]:
            for init in INITS:
                whole = _on_all_images(scale, role, init, seed)
                fewer = [n for n in scale.controls.few_images if n < whole.examples]
                for spec in (*(_on_few_images(scale, whole, init, seed, n) for n in fewer), whole):
                    keys = {"role": role, "init": init, "rate": scale.main_rates[init], "seed": seed}
                    yield keys | {"images": spec.examples}, spec


def _on_all_images(scale: Scale, role: str, init: str, seed: int) -> RunSpec:
    """Figure 2's run, or one as long as ``few_images_epochs`` says."""
    epochs = scale.controls.few_images_epochs
    how = {} if epochs is None else {"epochs": epochs, "final_only": True}
    return grid.of_init(scale, init, role, scale.main_rates[init], seed, **how)


def _on_few_images(scale: Scale, whole: RunSpec, init: str, seed: int, count: int) -> RunSpec:
    """The same with ``count`` training images and as many updates; its training metric as often measured."""
    task = dataclasses.replace(scale.task(whole.role), train=count)
    fewer = scale.replace(tasks={**scale.tasks, whole.role: task})
    epochs = round(whole.epochs * _updates(whole.examples, whole.batch) / _updates(count, whole.batch))
    rate = scale.main_rates[init]
    spec = grid.of_init(fewer, init, whole.role, rate, seed, epochs=epochs, final_only=True)
    measured = np.linspace(0, epochs, whole.epochs + 1).round().astype(int)
    return dataclasses.replace(spec, train_measured=tuple(sorted(set(measured.tolist()))))


def _updates(images: int, batch: int) -> int:
    """Updates of an epoch; the last, smaller batch is one too."""
    return -(-images // batch)


def _few_tables(scale: Scale, targets, seeds) -> dict[str, pd.DataFrame]:
    """Final metrics and times by number of images."""
    planned = list(_few(scale, targets, seeds))
    if not planned:
        return {}
    final = long((keys, final_rows(spec)) for keys, spec in planned).drop(columns="epoch")
    curves = _histories(planned)
    parts = [
        speed.times(of_count.drop(columns="images"), scale.metric, {role: count}).assign(images=count)
        for (role, count), of_count in curves.groupby(["role", "images"])
    ]
    order = ["role", "init", "rate", "seed", "images", "unit", "low", "value", "last", "reached"]
    return {"few_images": final, "few_images_time": pd.concat(parts, ignore_index=True)[order]}


# Distances


def _network(scale: Scale) -> torch.nn.Module:
    """P, its head included (which nothing here uses)."""
    own = weights(grid.pretrained(scale))
    model = models.build(scale.network, models.classes(scale.network, own))
    return models.start_from(model, own, head=True).to(device()).eval()


def _domain(scale: Scale, role: str) -> data.Domain:
    return data.load(data.request(scale, role))


def _source_images(scale: Scale) -> tuple[data.Examples, data.Examples]:
    """Two sets of the source's test images without a common one, each of at most ``distance_images``."""
    test = _domain(scale, SOURCE).test
    each = min(scale.controls.distance_images, len(test) // 2)
    both = _some(test, 2 * each)
    places = torch.arange(2 * each)
    return both.some(places[:each]), both.some(places[each:])


def _some(examples: data.Examples, count: int) -> data.Examples:
    """At most ``count`` examples in an order drawn once, since many sets are sorted by class."""
    order = np.random.RandomState(IMAGES_SEED).permutation(len(examples))
    return examples.some(order[:count])


def _views(scale: Scale, role: str, size, seed: int, source: batches.View) -> dict[str, batches.View]:
    """What P sees of a role: as its runs do, and, where that differs, normalised as the source is."""
    shuffle = Shuffle.of(size, scale.side, grid.SHUFFLE_SEED + seed)
    own = batches.View.of(_domain(scale, role), scale.side, scale.task(role).normalisation, shuffle)
    as_source = dataclasses.replace(source, shuffle=shuffle)
    same = torch.equal(own.mean, source.mean) and torch.equal(own.std, source.std)
    return {"run": own} if same else {"run": own, "source": as_source}


def _features(model: torch.nn.Module, examples: data.Examples, view: batches.View) -> np.ndarray:
    return domain_distance.features(model, batches.evaluation(examples, view, device()))
