"""Question 1: what is the role of feature reuse? (paper, section 3.1, Figures 2 and 3)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from tlbook import data
from tlbook.analysis.convergence import at_end, convergence
from tlbook.runs import ensure, ensure_all, find
from tlbook.scales import INITS, RATES, SOURCE, Scale
from tlbook.specs import RunSpec, unique
from tlbook.studies import grid
from tlbook.tables import TABLES


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: P if we train it, then Figure 2's and Figure 3's."""
    planned = [spec for _, spec in unshuffled(scale, targets, seeds)] + [
        spec for _, spec in _shuffled(scale, targets, seeds)
    ]
    return unique([*grid.pretraining(scale), *planned])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`."""
    ensure_all(runs(scale, targets, seeds), **how)
    curves = _long((keys, ensure(spec).history()) for keys, spec in unshuffled(scale, targets, seeds))
    shuffled = _long((keys, _final(spec)) for keys, spec in _shuffled(scale, targets, seeds))
    images = {role: len(data.load(data.request(scale, role)).train) for role in targets}
    return {
        "learning_curves": curves,
        "block_shuffle": shuffled.drop(columns="epoch"),
        "convergence": convergence(curves, scale.metric, images),
        "domains": domains(scale, targets),
    }


def finished_curves(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """learning_curves of the runs that are there; trains nothing, and is empty if there are none."""
    parts = [(keys, find(spec.id)) for keys, spec in unshuffled(scale, targets, seeds)]
    there = [(keys, run.history()) for keys, run in parts if run is not None]
    return _long(there) if there else pd.DataFrame(columns=TABLES["learning_curves"].names)


def unshuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """Figure 2: unshuffled and augmented, both inits; the second rate on as many seeds as the scale says."""
    for role in targets:
        for init in INITS:
            for rate in RATES:
                main = rate == scale.main_rates[init]
                for seed in seeds if main else seeds[: scale.second_rate_seeds.get(role, 0)]:
                    keys = {"role": role, "init": init, "rate": rate, "seed": seed}
                    yield keys, grid.of_init(scale, init, role, rate, seed)


def _shuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """Figure 3: every block size, the unshuffled run without augmentation included."""
    for role in targets:
        for init in INITS:
            for rate in RATES if scale.shuffle_second_rate else [scale.main_rates[init]]:
                for seed in seeds[: scale.shuffle_seeds]:
                    for size in scale.block_sizes:
                        keys = {"role": role, "init": init, "rate": rate, "seed": seed}
                        keys["block_size"] = str(size)
                        keys["block_fraction"] = grid.block_fraction(size, scale.side)
                        yield keys, grid.of_init(scale, init, role, rate, seed, block_size=size)


def _final(spec: RunSpec) -> pd.DataFrame:
    """A run's last epoch, and its optimisation speed."""
    return at_end(ensure(spec).history())


def _long(parts) -> pd.DataFrame:
    """Histories under their keys as one table, the keys first."""
    frames = [history.assign(**keys)[[*keys, *history.columns]] for keys, history in parts]
    return pd.concat(frames, ignore_index=True)


def domains(scale: Scale, targets: Sequence[str]) -> pd.DataFrame:
    """The data behind each role whose images are at hand, the source too. Raises MissingData if none are."""
    rows = []
    for role in (SOURCE, *targets):
        try:
            domain = data.load(data.request(scale, role))
        except data.MissingData:
            continue
        chance = 0.5 if scale.metric[role] == "auc" else 100 / len(domain.classes)
        row = {"role": role, "dataset": domain.dataset, "classes": len(domain.classes)}
        row |= {split: len(getattr(domain, split)) for split in ("train", "dev", "test")}
        rows.append(row | {"chance": chance, "metric": scale.metric[role]})
    if not rows:
        data.load(data.request(scale, targets[0]))  # raises the sentence that says what is missing
    return pd.DataFrame(rows)
