"""Question 2: how do P-T and RI-T differ? (paper, section 3.2, Tables 1 and 2)

All of it is read from the runs of Figure 2: nothing else is trained.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tlbook import data, metrics
from tlbook.data import Domain, batches
from tlbook.errors import TlbookError
from tlbook.questions import grid
from tlbook.questions.differences import QUESTION
from tlbook.questions.differences.method import features, mistakes, similarity
from tlbook.questions.differences.method.distance import ALL, BODY, distances, norms
from tlbook.questions.grid import unshuffled
from tlbook.scales import Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import Run, device, ensure, network, weights
from tlbook.training.specs import RunSpec, unique

Key = tuple[str, str, int]  # init, rate, seed
Pair = tuple[Key, Key]
P: Key = ("P", "-", 0)

CHUNK = 2000  # test images whose Gram matrices are held at once; more are added up over chunks
POSITIONS = 10_000  # rows of a feature map that `cka_positions` sees
MEMORY = 1 << 30  # bytes of features held at once; a network with more is asked for some modules at a time
SHOWN = 8  # examples of each set that are noted for the gallery


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """P if we train it, and Figure 2's runs."""
    return unique([*grid.pretraining(scale), *(spec for _, spec in unshuffled(scale, targets, seeds))])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`."""
    for role in targets:
        _refuse_untestable(data.load(data.request(scale, role)))
    ensure_all(runs(scale, targets, seeds), **how)
    found: dict[str, list[pd.DataFrame]] = {}
    for role in targets:
        one = _Role.of(scale, role, seeds)
        for name, frame in (_mistakes(one) | _similarity(one) | {"distance": _distance(one)}).items():
            found.setdefault(name, []).append(frame.assign(role=role))
    return {
        name: pd.concat(frames, ignore_index=True)[QUESTION.table(name).names]
        for name, frames in found.items()
    }


def _refuse_untestable(domain: Domain) -> None:
    """Refuse a data set without test images, before anything is trained."""
    if not len(domain.test):
        raise TlbookError(f"The data set {domain.dataset} has no test images to compare models on.")


@dataclass(frozen=True)
class _Role:
    """A role's images and finished runs."""

    scale: Scale
    role: str
    domain: Domain
    specs: dict[Key, RunSpec]
    runs: dict[Key, Run]

    @classmethod
    def of(cls, scale: Scale, role: str, seeds: Sequence[int]) -> _Role:
        specs = {
            (keys["init"], keys["rate"], keys["seed"]): spec
            for keys, spec in unshuffled(scale, [role], seeds)
        }
        domain = data.load(data.request(scale, role))
        return cls(scale, role, domain, specs, {key: ensure(spec) for key, spec in specs.items()})

    def view(self) -> batches.View:
        spec = next(iter(self.specs.values()))
        return batches.View.of(self.domain, spec.side, spec.normalisation, spec.shuffle)

    def network(self, key: Key) -> nn.Module:
        """The final network of a run, or P with the head of its source, in evaluation mode."""
        state = weights(grid.pretrained(self.scale)) if key == P else self.runs[key].weights("final")
        return network(self.scale.network, state)

    def pairs(self, with_p: bool = False) -> list[Pair]:
        """Two P-T or two RI-T of one rate; P-T & RI-T at the paper's rates and at equal ones; and, if asked
        for, each run with P."""
        alike = [p for p in itertools.combinations(self.runs, 2) if p[0][:2] == p[1][:2]]
        mixed = [
            (a, b)
            for a, b in itertools.product(self.runs, self.runs)
            if (a[0], b[0]) == ("P-T", "RI-T") and (a[1] == b[1] or self.at_papers_rates((a, b)))
        ]
        return alike + mixed + ([(key, P) for key in self.runs] if with_p else [])

    def at_papers_rates(self, pair: Pair) -> bool:
        """Is each run of a pair at its init's main rate (P-T low, RI-T high; P has none)?"""
        return all(key == P or key[1] == self.scale.main_rates[key[0]] for key in pair)


def _keyed(pair: Pair) -> dict:
    names = ("init", "rate", "seed", "init_b", "rate_b", "seed_b")
    return dict(zip(names, (*pair[0], *pair[1]), strict=True))


def _of_pairs(frame: pd.DataFrame, pairs: Sequence[Pair]) -> pd.DataFrame:
    """A frame with the column `pair`, a place in ``pairs``, under the columns that name two models."""
    keys = pd.DataFrame(_keyed(pair) for pair in pairs)
    return frame.join(keys, on="pair").drop(columns="pair")


# Mistakes


def _mistakes(one: _Role) -> dict[str, pd.DataFrame]:
    test, classes = one.domain.test, one.domain.classes
    labels = test.labels.numpy().astype(np.int64)
    said, sure = {}, {}
    for key in one.runs:
        shown = batches.evaluation(test, one.view(), device())
        logits, _ = metrics.predict(one.network(key), shown, one.scale.precision)
        said[key], sure[key] = mistakes.predicted(logits.numpy(), len(classes), one.domain.multilabel)
    hits = {key: mistakes.right(found, labels) for key, found in said.items()}
    pairs = one.pairs()
    judged = [pair for pair in pairs if one.at_papers_rates(pair)]
    mixed = [pair for pair in judged if pair[0][0] != pair[1][0]]
    hard = {
        pair: mistakes.difficulty(hits, _outside(hits, pair)) for pair in pairs if pair[0][0] != pair[1][0]
    }
    sets = {pair: mistakes.sets(hits[pair[0]], hits[pair[1]]) for pair in hard}
    mean = [mistakes.mean_difficulty(hard[pair], sets[pair]).assign(**_keyed(pair)) for pair in hard]
    return {
        "mistakes": _of_pairs(mistakes.shared_mistakes(said, labels, pairs), pairs),
        "mistakes_by_class": _of_pairs(mistakes.by_class(said, labels, judged, classes), judged),
        "mistake_difficulty": pd.concat(mean),
        "difficulty_test": _difficulty_test(hits, mixed, sets),
        "mistake_examples": _examples(one.domain, said, sure, mixed, sets, hard),
    }


def _outside(hits: dict[Key, np.ndarray], pair: Pair, init: str = "all") -> list[Key]:
    """The models that take no part in a comparison: every other run, of that init."""
    return [key for key in hits if key not in pair and init in ("all", key[0])]


def _difficulty_test(hits, pairs: Sequence[Pair], sets: dict[Pair, dict]) -> pd.DataFrame:
    rows = []
    for pair in pairs:
        for judges in ("all", "P-T", "RI-T"):
            hardness = mistakes.difficulty(hits, _outside(hits, pair, judges))
            chosen = sets[pair]
            found = mistakes.harder(hardness, chosen["only_first_wrong"], chosen["only_second_wrong"])
            keys = _keyed(pair) | {"judges": judges}
            rows += [keys | {"metric": metric, "value": value} for metric, value in found.items()]
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
                    _keyed(pair)
                    | {"examples": name, "place": place, "dataset": domain.dataset}
                    | {"path": domain.test.paths[at[0]], "digest": domain.test.digests[at[0]]}
                    | _said(domain, domain.test.labels.numpy(), at, "answer")
                    | _said(domain, said[pair[0]], at, "prediction")
                    | _said(domain, said[pair[1]], at, "prediction_b")
                    | {"confidence": sure[pair[0]][at], "confidence_b": sure[pair[1]][at]}
                    | {"difficulty": hard[pair][at]}
                )
    return pd.DataFrame(rows)


def _said(domain: Domain, values: np.ndarray, at: tuple, name: str) -> dict[str, str]:
    """An answer in words: the class, or "Edema: yes"."""
    value = int(values[at])
    words = f"{domain.classes[at[1]]}: {'yes' if value else 'no'}" if len(at) > 1 else domain.classes[value]
    return {name: str(words)}


# Similarity of features


def _similarity(one: _Role) -> dict[str, pd.DataFrame]:
    """All modules of all models on the same test images, in one pass over them a model."""
    models = {key: one.network(key) for key in (*one.runs, P)}
    modules = models[P].places()
    names = [(key, module) for key in models for module in modules]
    same = [[i for i, name in enumerate(names) if name[1] == module] for module in modules]
    parts = _parts(len(one.domain.test), one.scale.similarity_images)
    near = min(similarity.NEIGHBOURS, len(parts[0]) - 1)
    rows: dict[str, list[np.ndarray]] = {module: [] for module in modules}
    shapes: dict[str, torch.Size] = {}

    def chunk(number: int) -> similarity.Chunk:
        made = similarity.Chunk(names, len(parts[number]), near)
        for key, module, found in _outputs(one, models, modules, parts[number]):
            made.put((key, module), similarity.gram(found))
            if number == 0:
                rows[module].append(features.rows(found, POSITIONS).cpu().numpy())
                shapes.setdefault(module, found.shape[1:])  # of a run: P, which may have another fc, is last
        return made

    found = similarity.compare(map(chunk, range(len(parts))), same)
    found["neighbours_null"] = np.full((len(names), len(names)), near / (len(parts[0]) - 1))
    found["cka_positions"] = _of_positions(rows, list(models), same)
    return {
        "similarity": _similarity_rows(one, found, names, modules),
        "feature_shapes": _feature_shapes(shapes, rows, sum(map(len, parts))),
    }


def _parts(there: int, wanted: int) -> list[np.ndarray]:
    """Places of at most ``wanted`` images, evenly spread over those that are there, in chunks of one size."""
    at = np.linspace(0, there - 1, min(there, wanted)).astype(int)
    return np.array_split(at, -(-len(at) // CHUNK))


def _outputs(one: _Role, models: Mapping[Key, nn.Module], modules: Sequence[str], at: np.ndarray):
    """(key, module, outputs on these test images) of all models and modules, a model at a time.

    Where all modules' outputs would need too much memory at once, a model is asked for a few at a time.
    """
    test = one.domain.test

    def images(places: np.ndarray):
        return batches.evaluation(test.some(places), one.view(), device())

    single = features.outputs(next(iter(models.values())), images(at[:1]), modules)
    groups = _within(MEMORY, {name: 4 * len(at) * found.numel() for name, found in single.items()})
    for key, model in models.items():
        for group in groups:
            for module, found in features.outputs(model, images(at), group).items():
                yield key, module, found


def _within(memory: int, sizes: Mapping[str, int]) -> list[list[str]]:
    """Names in their order, in groups whose sizes sum to at most ``memory`` (a larger one stands alone)."""
    groups: list[list[str]] = [[]]
    for name, size in sizes.items():
        if groups[-1] and sum(sizes[other] for other in groups[-1]) + size > memory:
            groups.append([])
        groups[-1].append(name)
    return groups


def _of_positions(rows: Mapping[str, list], models: list[Key], same: Sequence[Sequence[int]]) -> np.ndarray:
    """CKA with positions as examples between the same modules of all models; NaN between different ones."""
    found = np.full((len(rows) * len(models),) * 2, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", similarity.ConstantFeatures)  # said once already
        for group, sets in zip(same, rows.values(), strict=True):
            found[np.ix_(group, group)] = similarity.cka_of_positions(sets, models)
    return found


def _feature_shapes(shapes: Mapping[str, torch.Size], rows: Mapping[str, list], images: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "module": module,
            "channels": shape[0],
            "positions": shape.numel() // shape[0],
            "features": shape.numel(),
            "images": images,
            "positions_used": len(rows[module][0]),
        }
        for module, shape in shapes.items()
    )


def _similarity_rows(one: _Role, found: dict[str, np.ndarray], names: list, modules) -> pd.DataFrame:
    """Rows for every pair at the same module; at the paper's rates for the other pairs of modules too."""
    at = {name: i for i, name in enumerate(names)}
    rows = []
    for pair in one.pairs(with_p=True):
        keys = _keyed(pair)
        for module, other in itertools.product(modules, modules):
            if module != other and not one.at_papers_rates(pair):
                continue
            i, j = at[pair[0], module], at[pair[1], other]
            for metric, values in found.items():
                if module == other or metric in ("cka", "cka_debiased"):
                    where = {"module": module, "module_b": other, "metric": metric}
                    rows.append(keys | where | {"value": float(values[i, j])})
    return pd.DataFrame(rows)


# Distance of weights


def _distance(one: _Role) -> pd.DataFrame:
    """Every pair at the epochs that both keep, each epoch's weights read once."""
    p = weights(grid.pretrained(one.scale))
    of_p = norms(one.scale.network, p)
    compared = [
        (pair, epochs, last) for pair in one.pairs(with_p=True) for epochs, last in _epochs(one, pair)
    ]
    rows = []
    for epochs in sorted({epochs for _, epochs, _ in compared}):
        at: dict[Key, dict[str, Tensor]] = {P: p}
        for pair, _, last in (c for c in compared if c[1] == epochs):
            for key, epoch in zip(pair, epochs, strict=True):
                if key not in at:
                    at[key] = one.runs[key].weights(epoch)
            states = at[pair[0]], at[pair[1]]
            measured = distances(one.scale.network, *states, of_p, head=P not in pair)
            named = _keyed(pair) | {"epoch": max(epochs)}
            rows += [named | row for row in measured if last or _along(row, one.at_papers_rates(pair))]
    return pd.DataFrame(rows)


def _epochs(one: _Role, pair: Pair) -> list[tuple[tuple[int, int], bool]]:
    """At which epochs of its two models a pair is compared, and whether they are the last.

    Equal epochs that both keep; where one trained longer, also end with end.
    """
    first = one.runs[pair[0]].kept()
    second = first if pair[1] == P else one.runs[pair[1]].kept()
    end = max(first), max(second)
    equal = [(epoch, epoch) for epoch in first if epoch in second and epoch < max(end)]
    return [*((epochs, False) for epochs in equal), (end, True)]


def _along(row: dict, at_papers_rates: bool) -> bool:
    """Is a row of an earlier epoch kept? Totals are, of modules the plain distance at the paper's rates."""
    if row["module"] in (ALL, BODY):
        return row["metric"] != "l2_per_root"
    return at_papers_rates and row["metric"] == "l2"
