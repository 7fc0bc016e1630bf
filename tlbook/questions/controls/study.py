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
Planned = Iterator[tuple[dict, RunSpec]]  # a run under its keys in a table


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs: question 1's, those of the redrawn inits, and those on few images."""
    plans = (plan(scale, targets, seeds) for plan in (_unshuffled, _shuffled, _few))
    ours = [spec for plan in plans for _, spec in plan]
    return unique([*grid.of_figures_2_and_3(scale, targets, seeds), *ours])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The controls' tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`.

    Where the scale runs no controls on any of the roles, the tables of few images are left out; so is the
    distance of a reader's own images from the source, where the source's images are not here.
    """
    alone = grid.lacks_source(scale)
    grid.refuse_few(scale, targets)
    if not alone:  # of the source two sets are drawn
        grid.refuse_few(scale, [SOURCE], 2 * domain_distance.FEWEST, "measures distances of domains on")
        grid.refuse_few(scale, targets, domain_distance.FEWEST, "measures distances of domains on")
    ensure_all(runs(scale, targets, seeds), **how)
    first = _histories(grid.unshuffled(scale, targets, seeds))
    blocks = _ends(grid.shuffled_runs(scale, targets, seeds))
    curves = at_better_rate(pd.concat([first, _histories(_unshuffled(scale, targets, seeds))]))
    controlled = blocks[blocks.block_size.isin([str(size) for size in _blocks(scale)])]
    images = {role: len(_domain(scale, role).train) for role in targets}
    return {
        "control_curves": curves,
        "control_shuffle": at_better_rate(pd.concat([controlled, _ends(_shuffled(scale, targets, seeds))])),
        "time_to_level": speed.times(curves, scale.metric, images),
        "lead": speed.leads(curves, scale.metric),
        **({} if alone else {"domain_distance": distances(scale, targets, seeds[0])}),
        "gain": gain(first, blocks, scale.side),
        **_few_tables(scale, targets, seeds),
    }


def _histories(planned: Planned) -> pd.DataFrame | None:
    """Whole histories under their keys; None (which `pandas.concat` passes over) where nothing is planned."""
    parts = [(keys, ensure(spec).history()) for keys, spec in planned]
    return long(parts) if parts else None


def _ends(planned: Planned) -> pd.DataFrame | None:
    """Last epochs under their keys; None where nothing is planned."""
    parts = [(keys, final_rows(spec)) for keys, spec in planned]
    return long(parts).drop(columns="epoch") if parts else None


# Redrawn inits


def _controls(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[dict]:
    """The kinds of run that the redrawn inits have: their keys in tables."""
    for role in targets:
        for init in CONTROLS:
            for seed in seeds[: scale.controls.seeds.get(role, 0)]:
                yield {"role": role, "init": init, "rate": scale.controls.rate, "seed": seed}


def _unshuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Planned:
    for keys in _controls(scale, targets, seeds):
        yield keys, grid.of_init(scale, **keys)


def _shuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Planned:
    for keys in _controls(scale, targets, seeds):
        number, most = seeds.index(keys["seed"]), scale.shuffles.seeds.get(keys["role"], 0)
        of_seed = scale.shuffles.sizes_of(number) if number < most else ()
        for size in [size for size in _blocks(scale) if size in of_seed]:
            more = {"block_size": str(size), "block_fraction": grid.block_fraction(size, scale.side)}
            yield keys | more, grid.of_init(scale, **keys, block_size=size)


def _blocks(scale: Scale) -> list[str | int]:
    """The control's block sizes; with other block sizes than the scale's, those that are among them."""
    return [size for size in scale.shuffles.sizes if size in scale.controls.sizes]


def p_and_redrawn(scale: Scale, seed: int) -> dict[str, dict[str, torch.Tensor]]:
    """The state dicts of P, and of P redrawn: MeanVar and Permuted."""
    p = weights(grid.pretrained(scale))
    drawn = {name.removesuffix("-T"): models.redrawn(p, kind, seed) for kind, name in REDRAWN.items()}
    return {"P": p} | drawn


def first_filters(scale: Scale, train: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """The first convolution's filters, floats (n, 3, k, k): of P, of P redrawn with a seed, of a random init.

    A P that is not there is trained, or refused unless ``train``.
    """
    ensure_p(scale, train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = models.build(scale.network, 2).state_dict()
    states = p_and_redrawn(scale, seed) | {"RI": random}
    first = next(name for name, value in random.items() if value.ndim == 4)
    return {name: state[first].float().numpy() for name, state in states.items()}


# Few images


def _few(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Planned:
    """P-T and RI-T at each one's main rate, by number of training images, all with the same updates.

    So what changes with the number is what there is to learn from, not how long it is learned. dev and test
    images stay the same.
    """
    epochs = scale.controls.few_images_epochs  # None: on all images they are Figure 2's runs
    as_long = {} if epochs is None else {"epochs": epochs, "final_only": True}
    for role in targets:
        for seed in seeds[: scale.controls.seeds.get(role, 0)]:
            for init in INITS:
                keys = {"role": role, "init": init, "rate": scale.main_rates[init], "seed": seed}
                whole = grid.of_init(scale, **keys, **as_long)
                fewer = [count for count in scale.controls.few_images if count < whole.examples]
                for spec in (*(grid.on_images(scale, whole, count, **keys) for count in fewer), whole):
                    yield keys | {"images": spec.examples}, spec


def _few_tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Final metrics and times by number of images."""
    planned = list(_few(scale, targets, seeds))
    if not planned:
        return {}
    parts = [
        speed.times(curves.drop(columns="images"), scale.metric, {role: count}).assign(images=count)
        for (role, count), curves in _histories(planned).groupby(["role", "images"])
    ]
    order = ["role", "init", "rate", "seed", "images", "unit", "low", "value", "last", "reached"]
    return {"few_images": _ends(planned), "few_images_time": pd.concat(parts, ignore_index=True)[order]}


# Distances


def distances(scale: Scale, targets: Sequence[str], seed: int) -> pd.DataFrame:
    """The table domain_distance, in P's features. ``seed`` chooses the shuffles, as in a run of that seed.

    The source's test images are the reference, other ones of them the role source. Unshuffled targets are
    measured at fewer and fewer images too.
    """
    p, _ = grid.network_of_p(scale)
    reference, rest = _source_images(scale)
    source = _view(scale, SOURCE, Shuffle.none())
    theirs = _features(p, reference, source)
    halved = [len(reference) >> k for k in range(HALVINGS, -1, -1)]
    counts = [count for count in halved[:-1] if count >= domain_distance.FEWEST] + halved[-1:]
    keys = {"role": SOURCE, "block_size": str(scale.side), "block_fraction": 1.0, "normalisation": "run"}
    parts = [(keys, domain_distance.distances(theirs, _features(p, rest, source), counts))]
    for role in targets:
        images = _role_images(scale, role)
        for size in scale.shuffles.sizes:
            fraction = grid.block_fraction(size, scale.side)
            at = counts if size == scale.side else counts[-1:]
            for name, view in _views(scale, role, size, seed, source).items():
                measured = domain_distance.distances(theirs, _features(p, images, view), at)
                keys = {"role": role, "block_size": str(size), "block_fraction": fraction}
                parts.append((keys | {"normalisation": name}, measured))
    return long(parts)


def clouds(scale: Scale, role: str) -> tuple[models.Network, Iterator, Iterator]:
    """P, and the unshuffled test images of the source and of a role between which `distances` measures, in
    batches (images, labels) as P sees them."""
    source, target = (
        batches.evaluation(examples, _view(scale, name, Shuffle.none()), device())
        for name, examples in ((SOURCE, _source_images(scale)[0]), (role, _role_images(scale, role)))
    )
    return grid.network_of_p(scale)[0], source, target


def _domain(scale: Scale, role: str) -> data.Domain:
    return data.load(data.request(scale, role))


def _source_images(scale: Scale) -> tuple[data.Examples, data.Examples]:
    """Two sets of the source's test images without a common one, each of at most ``distance_images``."""
    test = _domain(scale, SOURCE).test
    each, order = min(scale.controls.distance_images, len(test) // 2), _order(test)
    return test.some(order[:each]), test.some(order[each : 2 * each])


def _role_images(scale: Scale, role: str) -> data.Examples:
    """At most ``distance_images`` of a role's test images."""
    test = _domain(scale, role).test
    return test.some(_order(test)[: scale.controls.distance_images])


def _order(examples: data.Examples) -> np.ndarray:
    """An order of examples, drawn once, since many sets are sorted by class."""
    return np.random.RandomState(IMAGES_SEED).permutation(len(examples))


def _view(scale: Scale, role: str, shuffle: Shuffle) -> batches.View:
    return batches.View.of(_domain(scale, role), scale.side, scale.task(role).normalisation, shuffle)


def _views(
    scale: Scale, role: str, size: str | int, seed: int, source: batches.View
) -> dict[str, batches.View]:
    """What P sees of a role: as its runs do, and, where that differs, normalised as the source is."""
    shuffle = Shuffle.of(size, scale.side, grid.SHUFFLE_SEED + seed)
    view, as_source = _view(scale, role, shuffle), dataclasses.replace(source, shuffle=shuffle)
    same = torch.equal(view.mean, source.mean) and torch.equal(view.std, source.std)
    return {"run": view} if same else {"run": view, "source": as_source}


def _features(model: torch.nn.Module, examples: data.Examples, view: batches.View) -> np.ndarray:
    return domain_distance.features(model, batches.evaluation(examples, view, device()))
