"""Question 2: how do P-T and RI-T differ? (paper, section 3.2, Tables 1 and 2)

All of it is read from the runs of Figure 2: nothing else is trained.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import data, metrics
from tlbook.data import Domain, batches
from tlbook.models import Network
from tlbook.questions import grid
from tlbook.questions.differences import QUESTION
from tlbook.questions.differences.method import Key, Pair, features, mistakes, named, similarity
from tlbook.questions.differences.method.distance import ALL, BODY, distances, norms
from tlbook.scales import Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import Run, device, ensure, network, weights
from tlbook.training.specs import RunSpec, unique

P: Key = ("P", "-", 0)

CHUNK = 2000  # test images whose Gram matrices are held at once; more are added up over chunks
POSITIONS = 10_000  # rows of a feature map that `cka_positions` sees
MEMORY = 1 << 30  # bytes of features held at once; a network with more is asked for some modules at a time
SHOWN = 8  # examples of each set that are noted for the gallery


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """P if we train it, and Figure 2's runs."""
    planned = grid.unshuffled(scale, targets, seeds)
    return unique([*grid.pretraining(scale), *(spec for _, spec in planned)])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets, similarity.LEAST, "compares features on")
    ensure_all(runs(scale, targets, seeds), **how)
    frames: dict[str, list[pd.DataFrame]] = {}
    for role in targets:
        here = opened(scale, role, seeds)
        for name, frame in (_mistakes(here) | _similarity(here) | {"distance": _distance(here)}).items():
            frames.setdefault(name, []).append(frame.assign(role=role))
    return {
        name: pd.concat(parts, ignore_index=True)[QUESTION.table(name).names]
        for name, parts in frames.items()
    }


@dataclass(frozen=True)
class Opened:
    """A role's images and finished runs."""

    scale: Scale
    domain: Domain
    view: batches.View
    runs: dict[Key, Run]
    detailed: frozenset[int] = frozenset()  # seeds of which all is measured

    def images(self, places: np.ndarray | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of test images as networks see them, and their labels; of all, or at some places."""
        test = self.domain.test if places is None else self.domain.test.some(places)
        return batches.evaluation(test, self.view, device())

    def parts(self) -> list[np.ndarray]:
        """Places of the test images on which features are compared, evenly spread over all, in chunks of one
        size."""
        count = len(self.domain.test)
        at = np.linspace(0, count - 1, min(count, self.scale.similarity_images)).astype(int)
        return np.array_split(at, -(-len(at) // CHUNK))

    def weights(self, key: Key, epoch: int | str = "final") -> dict[str, Tensor]:
        """The weights of a run at an epoch that it keeps; P's are the same at every one."""
        return weights(grid.pretrained(self.scale)) if key == P else self.runs[key].weights(epoch)

    def network(self, key: Key) -> Network:
        """The final network of a run, or P with the head of its source (a drawn one where its weights have
        none), in evaluation mode."""
        return self.p[0] if key == P else network(self.scale.network, self.weights(key))

    @functools.cached_property
    def p(self) -> tuple[Network, bool]:
        """P, and whether its head is its own: see `grid.network_of_p`."""
        model, whole = grid.network_of_p(self.scale)
        return model.to(memory_format=torch.channels_last), whole  # as `training.runs.network`

    def pairs(self, with_p: bool = False) -> list[Pair]:
        """Two P-T or two RI-T of one rate; P-T & RI-T at the paper's rates and at equal ones; and, if asked
        for, each run with P. See `chosen` for those of which there is more than the distance in the end."""
        alike = [(a, b) for a, b in itertools.combinations(self.runs, 2) if a[:2] == b[:2]]
        mixed = [
            (a, b)
            for a, b in itertools.product(self.runs, self.runs)
            if (a[0], b[0]) == ("P-T", "RI-T") and (a[1] == b[1] or self.at_papers_rates((a, b)))
        ]
        return alike + mixed + ([(key, P) for key in self.runs] if with_p else [])

    def chosen(self, with_p: bool = False) -> list[Pair]:
        """`pairs` at the paper's rates, and those of the detailed seeds away from them."""
        return [pair for pair in self.pairs(with_p) if self.at_papers_rates(pair) or self.in_detail(pair)]

    def in_detail(self, pair: Pair) -> bool:
        """Are both runs of detailed seeds?"""
        return all(key == P or key[2] in self.detailed for key in pair)

    def at_papers_rates(self, pair: Pair) -> bool:
        """Is each run of a pair at its init's main rate (P-T low, RI-T high; P has none)?"""
        return all(key == P or key[1] == self.scale.main_rates[key[0]] for key in pair)


def opened(scale: Scale, role: str, seeds: Sequence[int]) -> Opened:
    """A role's test images and its runs of Figure 2, by (init, rate, seed); trains those that are missing."""
    planned = {
        (keys["init"], keys["rate"], keys["seed"]): spec
        for keys, spec in grid.unshuffled(scale, [role], seeds)
    }
    domain, spec = data.load(data.request(scale, role)), next(iter(planned.values()))
    view = batches.View.of(domain, spec.side, spec.normalisation, spec.shuffle)
    found = {key: ensure(spec) for key, spec in planned.items()}
    return Opened(scale, domain, view, found, frozenset(seeds[: scale.detailed_seeds]))


# Mistakes


def _mistakes(here: Opened) -> dict[str, pd.DataFrame]:
    labels, classes = here.domain.test.labels.numpy().astype(np.int64), here.domain.classes
    said, sure = {}, {}
    for key in here.runs:
        logits, _ = metrics.predict(here.network(key), here.images(), here.scale.precision)
        said[key], sure[key] = mistakes.predicted(logits.numpy(), len(classes), here.domain.multilabel)
    hits = {key: mistakes.right(predictions, labels) for key, predictions in said.items()}
    pairs = here.chosen()
    mixed = [pair for pair in pairs if pair[0][0] != pair[1][0]]
    by_class = [pair for pair in pairs if here.at_papers_rates(pair) and here.in_detail(pair)]
    hard = {pair: mistakes.difficulty(hits, _outside(hits, pair)) for pair in mixed}
    sets = {pair: mistakes.sets(hits[pair[0]], hits[pair[1]]) for pair in mixed}
    judged = [pair for pair in mixed if pair in by_class]
    means = [mistakes.mean_difficulty(hard[pair], sets[pair]).assign(**named(pair)) for pair in mixed]
    return {
        "mistakes": mistakes.shared_mistakes(said, labels, pairs),
        "mistakes_by_class": mistakes.by_class(said, labels, by_class, classes),
        "mistake_difficulty": pd.concat(means),
        "difficulty_test": _difficulty_test(hits, {pair: sets[pair] for pair in judged}),
        "mistake_examples": _examples(here.domain, said, sure, judged, sets, hard),
    }


def _outside(hits: Mapping[Key, np.ndarray], pair: Pair, init: str = "all") -> list[Key]:
    """The models that take no part in a comparison: every other run, of that init."""
    return [key for key in hits if key not in pair and init in ("all", key[0])]


def _difficulty_test(hits: Mapping[Key, np.ndarray], sets: Mapping[Pair, Mapping]) -> pd.DataFrame:
    rows = []
    for pair, judges in itertools.product(sets, ("all", "P-T", "RI-T")):
        hardness = mistakes.difficulty(hits, _outside(hits, pair, judges))
        test = mistakes.harder(hardness, sets[pair]["only_first_wrong"], sets[pair]["only_second_wrong"])
        keys = named(pair) | {"judges": judges}
        rows += [keys | {"metric": metric, "value": value} for metric, value in test.items()]
    return pd.DataFrame(rows)


def _examples(domain: Domain, said, sure, pairs: Sequence[Pair], sets, hard) -> pd.DataFrame:
    """Examples of each set for the gallery, from the first pair, evenly spread over the set."""
    rows = []
    for pair in pairs[:1]:
        for name, mask in sets[pair].items():
            where = np.argwhere(mask)
            spread = np.unique(np.linspace(0, len(where) - 1, min(SHOWN, len(where))).astype(int))
            for place, at in enumerate(map(tuple, where[spread])):
                rows.append(
                    named(pair)
                    | {"examples": name, "place": place, "dataset": domain.dataset}
                    | {"path": domain.test.paths[at[0]], "digest": domain.test.digests[at[0]]}
                    | {"answer": _in_words(domain, domain.test.labels.numpy(), at)}
                    | {"prediction": _in_words(domain, said[pair[0]], at)}
                    | {"prediction_b": _in_words(domain, said[pair[1]], at)}
                    | {"confidence": sure[pair[0]][at], "confidence_b": sure[pair[1]][at]}
                    | {"difficulty": hard[pair][at]}
                )
    return pd.DataFrame(rows)


def _in_words(domain: Domain, values: np.ndarray, at: tuple) -> str:
    """An answer in words: the class, or "Edema: yes"."""
    value = int(values[at])
    return (
        f"{domain.classes[at[1]]}: {'yes' if value else 'no'}" if len(at) > 1 else str(domain.classes[value])
    )


# Similarity of features


def _similarity(here: Opened) -> dict[str, pd.DataFrame]:
    """All modules of all models on the same test images, in one pass over them a model."""
    models = {key: here.network(key) for key in (*here.runs, P)}
    modules = models[P].places()
    names = list(itertools.product(models, modules))
    same = [[i for i, (_, other) in enumerate(names) if other == module] for module in modules]
    parts = here.parts()
    near = min(similarity.NEIGHBOURS, len(parts[0]) - 1)
    positions: dict[str, list[np.ndarray]] = {module: [] for module in modules}  # of the first part's images
    shapes: dict[str, torch.Size] = {}

    def chunk(part: np.ndarray) -> similarity.Chunk:
        made = similarity.Chunk(names, len(part), near)
        for key, module, shown in _outputs(here, models, modules, part):
            made.put((key, module), shown)
            if len(positions[module]) < len(models):
                positions[module].append(features.rows(shown, POSITIONS).cpu().numpy())
                shapes.setdefault(module, shown.shape[1:])  # of a run: P, which may have another fc, is last
        return made

    measured = similarity.compare(map(chunk, parts), same)
    measured["neighbours_null"] = np.full((len(names), len(names)), near / (len(parts[0]) - 1))
    measured["cka_positions"] = _of_positions(positions, list(models), same)
    shape_rows = [
        {
            "module": module,
            "channels": shape[0],
            "positions": shape.numel() // shape[0],
            "features": shape.numel(),
            "images": sum(map(len, parts)),
            "positions_used": len(positions[module][0]),
        }
        for module, shape in shapes.items()
    ]
    rows = _similarity_rows(here, measured, names, modules)
    return {"similarity": rows, "feature_shapes": pd.DataFrame(shape_rows)}


def _outputs(
    here: Opened, models: Mapping[Key, Network], modules: Sequence[str], at: np.ndarray
) -> Iterator[tuple[Key, str, Tensor]]:
    """(key, module, outputs on these test images) of all models and modules, a model at a time.

    Where all modules' outputs would need too much memory at once, a model is asked for a few at a time.
    """
    single = features.outputs(next(iter(models.values())), here.images(at[:1]), modules)
    groups = _within(MEMORY, {name: 4 * len(at) * shown.numel() for name, shown in single.items()})
    for (key, model), group in itertools.product(models.items(), groups):
        for module, shown in features.outputs(model, here.images(at), group).items():
            yield key, module, shown


def _within(memory: int, sizes: Mapping[str, int]) -> list[list[str]]:
    """Names in their order, in groups whose sizes sum to at most ``memory`` (a larger one stands alone)."""
    groups: list[list[str]] = [[]]
    for name, size in sizes.items():
        if groups[-1] and sum(sizes[other] for other in groups[-1]) + size > memory:
            groups.append([])
        groups[-1].append(name)
    return groups


def _of_positions(positions: Mapping[str, list], models: list[Key], same: Sequence[list[int]]) -> np.ndarray:
    """CKA with positions as examples between the same modules of all models; NaN between different ones."""
    values = np.full((len(positions) * len(models),) * 2, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", similarity.ConstantFeatures)  # said once already
        for group, sets in zip(same, positions.values(), strict=True):
            values[np.ix_(group, group)] = similarity.cka_of_positions(sets, models)
    return values


def _similarity_rows(
    here: Opened, measured: Mapping[str, np.ndarray], names: Sequence, modules: Sequence[str]
) -> pd.DataFrame:
    """Rows for every chosen pair at the same module; at the paper's rates, of detailed seeds, for the other
    pairs of modules too."""
    at = {name: i for i, name in enumerate(names)}
    drawn = set() if here.p[1] else {(P, here.p[0].head)}  # a head of P that says nothing of P
    rows = []
    for pair, module, other in itertools.product(here.chosen(with_p=True), modules, modules):
        if drawn & {(pair[0], module), (pair[1], other)}:
            continue
        if module != other and not (here.at_papers_rates(pair) and here.in_detail(pair)):
            continue
        place = at[pair[0], module], at[pair[1], other]
        for metric, values in measured.items():
            if module == other or metric in ("cka", "cka_debiased"):
                where = {"module": module, "module_b": other, "metric": metric}
                rows.append(named(pair) | where | {"value": float(values[place])})
    return pd.DataFrame(rows)


# Distance of weights


def _distance(here: Opened) -> pd.DataFrame:
    """Every pair in the end, and those of detailed seeds at the epochs that both keep, each epoch's weights
    read once."""
    of_p, chosen = norms(here.scale.network, here.weights(P)), set(here.chosen(with_p=True))

    @functools.lru_cache(maxsize=len(here.runs) + 1)
    def read(key: Key, epoch: int | str) -> dict[str, Tensor]:
        return {name: value.double() for name, value in here.weights(key, epoch).items()}

    compared = [
        (epochs, pair)
        for pair in here.pairs(with_p=True)
        for epochs in _epochs(here.runs, pair)[0 if here.in_detail(pair) else -1 :]
    ]
    rows = []
    for epochs, pair in sorted(compared):
        first, second = (read(key, epoch) for key, epoch in zip(pair, epochs, strict=True))
        measured = distances(here.scale.network, first, second, of_p, head=P not in pair)
        whole = pair in chosen and epochs == _epochs(here.runs, pair)[-1]
        keys = named(pair) | {"epoch": max(epochs)}
        rows += [keys | row for row in measured if whole or _along(row, here.at_papers_rates(pair))]
    return pd.DataFrame(rows)


def _epochs(runs: Mapping[Key, Run], pair: Pair) -> list[tuple[int, int]]:
    """At which epochs of its two models a pair is compared: equal ones that both keep, and in the end their
    last, which differ where one trained longer."""
    first = runs[pair[0]].kept()
    second = first if pair[1] == P else runs[pair[1]].kept()
    end = max(first), max(second)
    return [*((epoch, epoch) for epoch in first if epoch in second and epoch < max(end)), end]


def _along(row: Mapping, at_papers_rates: bool) -> bool:
    """Is a row of an earlier epoch, or of a pair that is not chosen, kept? Totals are; of modules the plain
    distance at the paper's rates."""
    if row["module"] in (ALL, BODY):
        return row["metric"] != "l2_per_root"
    return at_papers_rates and row["metric"] == "l2"
