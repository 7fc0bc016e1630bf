"""Is it this P? The paper's statements asked again of other pre-trainings (our addition).

The other P's differ from the book's in their seed only. What is measured of each is what the questions of the
book measure, by their own functions, cut to what the statements read.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from tlbook import data, models
from tlbook.models.interpolation import not_finite
from tlbook.questions import grid
from tlbook.questions.another_p import QUESTION
from tlbook.questions.another_p.names import NONE, OWN
from tlbook.questions.checkpoints.study import run_from
from tlbook.questions.differences.method import distance, features, mistakes, named, similarity
from tlbook.questions.loss_landscape.method import barrier
from tlbook.questions.loss_landscape.study import evaluator
from tlbook.questions.setup.study import source_accuracy
from tlbook.scales import INITS, Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import device, ensure, weights
from tlbook.training.specs import RunSpec, unique

Planned = Iterator[tuple[dict, RunSpec]]
Named = tuple[str, str, str, int]  # a model: its P, init, rate, seed


def of_p(scale: Scale, p: str) -> Scale:
    """The scale with that P: the book's own, or the one of a seed."""
    return scale if p == OWN else scale.replace(pretrained="train", source_seed=int(p))


def names(scale: Scale) -> list[str]:
    """All P's, the book's own first; none where P is a reader's, or the source's images are not here."""
    ours = scale.pretrained in ("train", "shipped")
    if not ours or (scale.own_images and grid.lacks_source(scale)):
        return []
    return [OWN, *map(str, scale.further.source_seeds)]


def kinds(scale: Scale) -> list[tuple[str, str, str]]:
    """P, init and rate of every kind of run: P-T of each P, and RI-T."""
    p_t, ri_t = INITS
    return [*((p, p_t, scale.main_rates[p_t]) for p in names(scale)), (NONE, ri_t, scale.main_rates[ri_t])]


def _of_kind(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, Scale]]:
    """The keys of every run, and the scale that has its P."""
    for role in targets:
        for p, init, rate in kinds(scale):
            for seed in seeds[: scale.further.p_seeds.get(role, 0)]:
                keys = {"p": p, "role": role, "init": init, "rate": rate, "seed": seed}
                yield keys, scale if p == NONE else of_p(scale, p)


def _run(scale: Scale, keys: dict, **how) -> RunSpec:
    return grid.of_init(scale, keys["init"], keys["role"], keys["rate"], keys["seed"], **how)


def unshuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Planned:
    """Figure 2's runs; from another P measured and kept no more than is read."""
    for keys, its in _of_kind(scale, targets, seeds):
        yield keys, _no_more(_run(its, keys), keys["p"])


def _no_more(spec: RunSpec, p: str) -> RunSpec:
    """A run from another P, which no question reads, measured and kept no more than is read here."""
    if p in (OWN, NONE):
        return spec
    return dataclasses.replace(spec, kept=(spec.epochs,), train_measured=(spec.epochs,))


def shuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Planned:
    """Figure 3's runs at the block sizes that claim 9 reads, and unshuffled."""
    sizes = dict.fromkeys((*scale.shuffles.sizes[:2], scale.shuffles.sizes[-1]))
    for keys, its in _of_kind(scale, [role for role in targets if scale.shuffles.seeds.get(role, 0)], seeds):
        for size in sizes:
            more = {"block_size": str(size), "block_fraction": grid.block_fraction(size, scale.side)}
            yield keys | more, _no_more(_run(its, keys, block_size=size), keys["p"])


def finetuned(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Planned:
    """Figure 7's runs from the checkpoints that claims 26 and 27 read: around the first drop of the rate of
    pre-training, at the second, and the last."""
    epochs = scale.source.epochs
    first, second = (round(fraction * epochs) for fraction in scale.source.steps)
    starts = [one for one in scale.checkpoints.starts if one in (first, first + 1, second, epochs)]
    for keys, its in _of_kind(scale, [role for role in targets if scale.metric[role] != "auc"], seeds):
        for epoch in starts if keys.pop("init") == "P-T" else ():
            at = {"checkpoint": epoch, "checkpoint_fraction": epoch / epochs}
            where = keys["role"], grid.checkpoint(its, epoch), keys["rate"], keys["seed"]
            yield keys | at, _no_more(run_from(its, *where), keys["p"])


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """The P's that we train, and what is trained from each."""
    targets = [role for role in targets if scale.further.p_seeds.get(role, 0)]
    if not targets or not names(scale):
        return []
    sources = [spec for p in names(scale) for spec in grid.pretraining(of_p(scale, p))]
    planned = itertools.chain(*(plan(scale, targets, seeds) for plan in (unshuffled, shuffled, finetuned)))
    return unique([*sources, *(spec for _, spec in planned)])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The study's tables (see `tlbook.tables`), of those targets that the scale studies here; none where
    there is no other P. Trains what is missing; ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets)
    here = [role for role in targets if scale.further.p_seeds.get(role, 0)]
    needed = runs(scale, targets, seeds)
    ensure_all(needed, **how)
    if not needed:
        return {}
    curves = _read(unshuffled(scale, here, seeds))
    last = curves.groupby(["p", "role", "init", "rate", "seed"]).epoch.transform("max")
    found = {"p_learning_curves": curves[(curves.split != "train") | (curves.epoch == last)]}
    for name, plan in (("p_finetuned", finetuned), ("p_block_shuffle", shuffled)):
        ended = _read(plan(scale, here, seeds))
        if len(ended):
            found[name] = ended[ended.epoch == ended.epoch.max()]
    accuracy = [source_accuracy(of_p(scale, p)).assign(p=p) for p in names(scale)]
    accuracy = pd.concat(accuracy).rename(columns={"epoch": "checkpoint"})
    accuracy["checkpoint_fraction"] = accuracy.checkpoint / scale.source.epochs
    accuracy = accuracy.assign(split="test", metric="accuracy")
    found["p_source_accuracy"] = accuracy
    parts: dict[str, list[pd.DataFrame]] = {}
    for role in here:
        for name, frame in Compared(scale, role, seeds).tables().items():
            parts.setdefault(name, []).append(frame.assign(role=role))
    found |= {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    return {name: frame[QUESTION.table(name).names] for name, frame in found.items() if len(frame)}


def _read(planned: Planned) -> pd.DataFrame:
    """Histories under their keys, without losses; empty where nothing is planned."""
    parts = [(keys, ensure(spec).history()) for keys, spec in planned]
    return grid.long(parts).query("metric != 'loss'") if parts else pd.DataFrame()


class Compared:
    """The models of one target, and pairs of them: of one P (other seeds), of two P's (the same seed)."""

    def __init__(self, scale: Scale, role: str, seeds: Sequence[int]):
        self.scale, self.role = scale, role
        self.specs: dict[Named, RunSpec] = {
            (keys["p"], keys["init"], keys["rate"], keys["seed"]): spec
            for keys, spec in unshuffled(scale, [role], seeds)
        }
        self.evaluator = evaluator(scale, role)
        self.weights = functools.cache(self._weights)

    def pairs(self) -> list[tuple[Named, Named]]:
        """Two runs of one P, or of none; and two P-T of one seed from two P's."""
        every = itertools.combinations(self.specs, 2)
        return [(a, b) for a, b in every if a[:3] == b[:3] or (NONE not in (a[0], b[0]) and a[3] == b[3])]

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of pairs, without the role."""
        lines = [pair for pair in self.pairs() if pair[0][0] != NONE]
        found = {
            "p_mistakes": self._mistakes(),
            "p_distance": pd.DataFrame(self._distances()),
            "p_similarity": pd.DataFrame(self._similarities(lines)),
            "p_interpolation": pd.concat([self._line(pair, "final") for pair in lines]),
        }
        if self.role == "xray":  # claim 17 is there about the best checkpoints
            best = [self._line((a, b), "best") for a, b in lines if a[0] == b[0]]
            found["p_interpolation"] = pd.concat([found["p_interpolation"], *best])
        return found

    def _weights(self, name: Named, at: str) -> dict:
        state = models.learned(self.scale.network, ensure(self.specs[name]).weights(at))
        return {key: value.to(device()) for key, value in state.items()}

    def _mistakes(self) -> pd.DataFrame:
        """Error consistency of pairs of one P or of none."""
        domain, said = data.load(data.request(self.scale, self.role)), {}
        for name in self.specs:
            logits, _ = self.evaluator.predict(self.evaluator.load(self.weights(name, "final")), "test")
            said[name], _ = mistakes.predicted(logits.numpy(), len(domain.classes), domain.multilabel)
        labels, parts = domain.test.labels.numpy().astype(np.int64), []
        for p in dict.fromkeys(name[0] for name in self.specs):
            own = {name[1:]: predictions for name, predictions in said.items() if name[0] == p}
            if pairs := list(itertools.combinations(own, 2)):  # one seed has none
                rows = mistakes.shared_mistakes(own, labels, pairs)
                parts.append(rows[rows.metric == "kappa"].assign(p=p, p_b=p))
        return pd.concat(parts) if parts else pd.DataFrame()

    def _distances(self) -> Iterator[dict]:
        """Of all pairs, and of every run and the P's that it is compared with."""
        for pair in self.pairs():
            yield self._apart(pair, *(self.weights(name, "final") for name in pair))
        for p, name in itertools.product(names(self.scale), self.specs):
            if name[0] in (p, NONE):
                state = models.learned(self.scale.network, weights(grid.pretrained(of_p(self.scale, p))))
                its = {key: value.to(device()) for key, value in state.items()}
                yield self._apart((name, (p, "P", "-", 0)), self.weights(name, "final"), its, head=False)

    def _apart(self, pair: tuple[Named, Named], first: dict, second: dict, head: bool = True) -> dict:
        rows = distance.distances(self.scale.network, first, second, {}, head)
        value = next(r["value"] for r in rows if (r["module"], r["metric"]) == (distance.ALL, "l2_sum"))
        at = {"epoch": self.specs[pair[0]].epochs, "module": distance.ALL, "metric": "l2_sum"}
        return _keys(pair) | at | {"value": value}

    def _similarities(self, pairs: Sequence[tuple[Named, Named]]) -> Iterator[dict]:
        """CKA of the same module but the head, of each model's features once."""
        compared = [name for name in self.specs if name[0] != NONE]
        images = list(self.evaluator.splits["test"])
        count = min(self.scale.similarity_images, sum(len(labels) for _, labels in images))
        network = self.evaluator.model
        for module in (place for place in network.places() if place != network.head):
            chunk = similarity.Chunk(compared, count, neighbours=0)
            for name in compared:
                shown = features.outputs(self.evaluator.load(self.weights(name, "final")), images, [module])
                chunk.put(name, shown[module][:count])
            alike = similarity.normalised(chunk.inner().products, compared)
            for pair in pairs:
                value = float(alike[compared.index(pair[0]), compared.index(pair[1])])
                yield _keys(pair) | {"module": module, "module_b": module, "metric": "cka", "value": value}

    def _line(self, pair: tuple[Named, Named], at: str) -> pd.DataFrame:
        """The test metric along a line between final or best models; NaN where one diverged."""
        places, metric = barrier.alphas(self.scale.landscape.points[self.role]), self.scale.metric[self.role]
        ends = [self.weights(name, at) for name in pair]
        if any(not_finite(state) is not None for state in ends):
            rows = pd.DataFrame({"alpha": places, "split": "test", "metric": metric, "value": float("nan")})
        else:
            rows = barrier.along(self.evaluator, *ends, places, splits=("test",))
        rows = rows[rows.metric == metric].assign(**_keys(pair))
        return rows.assign(pairing="independent", checkpoint=at, checkpoint_b=at)


def _keys(pair: tuple[Named, Named]) -> dict:
    return {"p": pair[0][0], "p_b": pair[1][0]} | named((pair[0][1:], pair[1][1:]))
