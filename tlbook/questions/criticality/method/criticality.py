"""Rewinding, paths with noise, and criticality of a network's modules (paper, section 3.4).

Zhang, Bengio & Singer (2019) set one module back to where it began; Chatterji, Neyshabur & Sedghi (2020) go
there step by step, add noise on the way, and make a number of it. Weights are state dicts; networks are
chains of modules (`tlbook.questions.criticality.method.suffix`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import metrics
from tlbook.errors import TlbookError
from tlbook.models.interpolation import interpolate
from tlbook.questions.criticality.method.suffix import Chain, Suffix, Weights, evaluate
from tlbook.vocabulary import RUN, headline

EPSILON = 0.05  # what the training error may rise by: 5 of 100 images
OCTAVES = 12  # noise between 2^-12 and 1 is searched
STEPS_PER_OCTAVE = 4  # so a noise found is at most 2^(1/4) too small, a criticality 2^(1/2) too large


# Rewinding (Figure 5)


def groups(chain: Chain) -> dict[str, tuple[str, ...]]:
    """What is set back at once, by name: each module; each stage ("layer2" is all layer2.x)."""
    stages: dict[str, tuple[str, ...]] = {}
    for module in chain.modules:
        if "." in module:
            stage = module.split(".")[0]
            stages[stage] = (*stages.get(stage, ()), module)
    return {module: (module,) for module in chain.modules} | stages


def rewind(
    chain: Chain,
    batches: Sequence[tuple[Tensor, Tensor]],
    metric: str,
    earlier: Mapping[int, Weights],
    redrawn: Sequence[Weights] = (),
) -> pd.DataFrame:
    """What a network measures after each module, or stage, is set back.

    ``batches`` are (images, labels); ``earlier`` maps epochs to whole state dicts to rewind to, ``redrawn``
    are fresh draws of the init, over which "redraw" is the mean (to epoch 0). Columns module, method,
    to_epoch, metric, value; module "none" is the network as it is. Where a stage is one block, it has the
    block's values.
    """
    sources = [("rewind", epoch, state) for epoch, state in earlier.items()]
    sources += [("redraw", 0, state) for state in redrawn]
    named = groups(chain)
    changes = list(dict.fromkeys(named.values()))  # a stage of one block is that block
    variants: dict[str, list[Weights]] = {module: [] for module in chain.modules}
    where: dict[tuple, tuple[str, list[int]]] = {}
    for modules in changes:
        start = variants[modules[0]]
        where[modules] = modules[0], list(range(len(start), len(start) + len(sources)))
        start += [part(chain, state, modules) for _, _, state in sources]
    last = chain.modules[-1]
    variants[last].append({})  # the network itself
    logits = evaluate(chain, (images for images, _ in batches), variants)
    labels = torch.cat([answers for _, answers in batches]).cpu()

    def rows(module: str, method: str, epoch: int, values: Tensor) -> list[dict]:
        keys = {"module": module, "method": method, "to_epoch": epoch}
        measured = metrics.measure(values, labels, metric)
        return [keys | {"metric": name, "value": value} for name, value in measured.items()]

    found = rows("none", "rewind", 0, logits[last][-1])
    for name, modules in named.items():
        start, places = where[modules]
        for place, (method, epoch, _) in zip(places, sources, strict=True):
            found += rows(name, method, epoch, logits[start][place])
    keys = ["module", "method", "to_epoch", "metric"]
    return pd.DataFrame(found).groupby(keys, sort=False).value.mean().reset_index()


def part(chain: Chain, state: Weights, modules: Sequence[str]) -> dict[str, Tensor]:
    """The parameters of some modules out of a state dict."""
    wanted = frozenset().union(*(chain.members[module] for module in modules))
    return {name: value for name, value in state.items() if name in wanted}


# Paths and noise (Figure 6)


@dataclass(frozen=True)
class Place:
    """A point of a module's path: how far along (0 initial, 1 final), and the module's weights there."""

    fraction: float
    weights: Weights


def direct_path(start: Weights, end: Weights, points: int) -> list[Place]:
    """(1 - a) start + a end for ``points`` values of a, evenly from 0 to 1; the ends are exact."""
    if points < 2:
        raise TlbookError(f"A path needs at least 2 points, its ends, not {points}.")
    return [Place(a, interpolate(start, end, a)) for a in np.linspace(0, 1, points).tolist()]


def optimisation_path(checkpoints: Mapping[int, Weights]) -> list[Place]:
    """Through a module's weights at each epoch; the fraction is that of the epochs."""
    last = max(checkpoints)
    return [Place(epoch / last, checkpoints[epoch]) for epoch in sorted(checkpoints)]


def distance(one: Weights, other: Weights, units: Mapping[str, float] | None = None) -> float:
    """l2 between two sets of weights with the same names, each tensor in its unit (default 1).

    A tensor whose unit is 0 does not count.
    """
    total = 0.0
    for name in one:
        unit = 1.0 if units is None else units.get(name, 0.0)
        if unit:
            total += float((one[name].double() - other[name].double()).square().sum()) / unit**2
    return math.sqrt(total)


def relative_units(end: Weights) -> dict[str, float]:
    """The root mean square of each weight tensor of a module, in which noise and distance are norm-relative.

    Scaling a tensor, as a rescaling that preserves the function does (Dinh et al. 2017), scales its unit.
    Biases and scales, whose sizes can be 0, have unit 0: they follow the path without noise.
    """
    return {
        name: float(value.double().square().mean().sqrt()) if value.ndim > 1 else 0.0
        for name, value in end.items()
    }


def gaussian(weights: Weights, seed: Sequence[int]) -> dict[str, Tensor]:
    """Standard normal noise of the shape of a module's weights, on their device, the same for a seed."""
    rng = np.random.default_rng(list(seed))
    return {
        name: torch.from_numpy(rng.standard_normal(tuple(value.shape), np.float32)).to(value.device)
        for name, value in weights.items()
    }


def noisy(
    weights: Weights, noise: Weights, factor: float, units: Mapping[str, float] | None = None
) -> Weights:
    """weights + factor * noise, each tensor's noise in its unit (default 1)."""
    size = dict.fromkeys(weights, 1.0) if units is None else units
    return {name: value + factor * size[name] * noise[name] for name, value in weights.items()}


def noise_map(
    suffix: Suffix,
    labels: Tensor,
    metric: str,
    places: Sequence[Place],
    factors: Sequence[float],
    noises: Sequence[Weights],
    last_factors: Sequence[float] = (),
) -> pd.DataFrame:
    """Metrics along a path under noise times signed factors: rows fraction, distance, noise, metric, value.

    ``factors`` are positive; each stands with both signs, and 0 is always there. ``last_factors`` are further
    ones at the path's end only. Values are means over ``noises`` (standard normal draws); ``distance`` is l2
    from the path's beginning. Metrics are the role's ``metric`` and the loss.
    """
    rows = []
    for place in places:
        sizes = sorted({*factors, *(last_factors if place is places[-1] else ())})
        signed = [sign * size for sign in (-1, 1) for size in sizes]
        variants = [noisy(place.weights, noise, factor) for factor in signed for noise in noises]
        logits = suffix.logits([place.weights, *variants])
        measured = [metrics.measure(each, labels, metric) for each in logits]
        at = {"fraction": place.fraction, "distance": distance(place.weights, places[0].weights)}
        for name in (metric, "loss"):
            values = np.array([each[name] for each in measured])
            means = [values[0], *values[1:].reshape(len(signed), len(noises)).mean(1)]
            for factor, value in zip([0.0, *signed], means, strict=True):
                rows.append(at | {"noise": factor, "metric": name, "value": float(value)})
    return pd.DataFrame(rows)


# Criticality as a number


@dataclass(frozen=True)
class Criticality:
    """The smallest distance^2 / noise^2 that keeps the error, where it is, and its range over single draws.

    ``place`` counts the points of the path; ``noise`` is the noise there. All are NaN (place -1) if no point
    bears the smallest noise.
    """

    value: float
    lowest: float
    highest: float
    place: int
    noise: float


NOT_FOUND = Criticality(math.nan, math.nan, math.nan, -1, math.nan)


def ladder() -> np.ndarray:
    """The noise sizes that are searched, ascending to 1."""
    return 2.0 ** (np.arange(-OCTAVES * STEPS_PER_OCTAVE, 1) / STEPS_PER_OCTAVE)


def criticality(
    error: Callable[[int, float], np.ndarray], distances: Sequence[float], allowed: float
) -> Criticality:
    """The module criticality of Chatterji, Neyshabur & Sedghi (2020), by search.

    mu = min over points p of the path and noise s of (distances[p] / s)^2 such that the mean over draws of
    ``error(p, s)`` (one value a draw) is at most ``allowed``. s is searched on `ladder` by bisection, taking
    the error to grow with s; points that cannot be better than the best so far cost one look. A path that
    bears the smallest noise at its beginning (distance 0) has 0, and no more is searched. The range is that
    over single draws at the best point.
    """
    sizes = ladder()
    seen: dict[tuple[int, int], np.ndarray] = {}

    def borne(place: int, rung: int, draw: int | None = None) -> bool:
        if (place, rung) not in seen:
            seen[place, rung] = np.atleast_1d(error(place, float(sizes[rung])))
        errors = seen[place, rung]
        return bool((errors.mean() if draw is None else errors[draw]) <= allowed)

    def highest(place: int, least: int = 0, draw: int | None = None) -> int:
        """The highest rung that is borne, ``least`` or above; -1 if that one is not."""
        if not borne(place, least, draw):
            return -1
        low, high = least, len(sizes)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if borne(place, middle, draw) else (low, middle)
        return low

    starts = [place for place, d in enumerate(distances) if d == 0 and borne(place, 0)]
    if starts:
        return Criticality(0.0, 0.0, 0.0, starts[0], float(sizes[0]))
    best, best_place, best_rung = math.inf, -1, -1
    for place in reversed(range(len(distances))):
        # the first rung at which this point would beat the best one so far
        least = int(np.searchsorted(sizes, distances[place] / math.sqrt(best), "right"))
        rung = highest(place, least) if distances[place] > 0 and least < len(sizes) else -1
        if rung >= 0:
            best, best_place, best_rung = float(distances[place] / sizes[rung]) ** 2, place, rung
    if best_place < 0:
        return NOT_FOUND
    draws = range(len(seen[best_place, best_rung]))
    rungs = [max(highest(best_place, draw=draw), 0) for draw in draws]
    singles = [float(distances[best_place] / sizes[rung]) ** 2 for rung in rungs]
    lowest, highest_value = min([best, *singles]), max([best, *singles])
    return Criticality(best, lowest, highest_value, best_place, float(sizes[best_rung]))


def wrong(logits: Tensor, labels: Tensor) -> float:
    """The share of images, or of labels where an image has several, that are wrong, 0 to 1."""
    if labels.ndim == 2:
        return float(((logits > 0) != (labels > 0.5)).double().mean())
    return 1 - metrics.accuracy(logits, labels) / 100


def criticality_of(
    suffix: Suffix,
    labels: Tensor,
    places: Sequence[Place],
    noises: Sequence[Weights],
    relative: bool = False,
    epsilon: float = EPSILON,
) -> Criticality:
    """`criticality` of a module along a path: the error is `wrong` on the suffix's images, and may rise by
    ``epsilon`` above that at the path's end. ``relative``: noise and distance in `relative_units`. A network
    that diverged has none."""
    units = relative_units(places[-1].weights) if relative else None
    distances = [distance(place.weights, places[0].weights, units) for place in places]

    def error(place: int, size: float) -> np.ndarray:
        variants = [noisy(places[place].weights, noise, size, units) for noise in noises]
        return np.array([wrong(logits, labels) for logits in suffix.logits(variants)])

    (end,) = suffix.logits([places[-1].weights])
    if not torch.isfinite(end).all():
        return NOT_FOUND
    return criticality(error, distances, wrong(end, labels) + epsilon)


def network_criticality(criticality: pd.DataFrame, rewind: pd.DataFrame) -> pd.DataFrame:
    """The criticality of each network, the sum over its modules (Chatterji, Neyshabur & Sedghi 2020), beside
    its generalisation gap, training minus test metric. Rows as the table network_criticality; a network of
    which a module has no criticality has none."""
    keys = [*RUN, "path", "norm"]
    sums = criticality.groupby(keys, sort=False).value.agg(lambda values: values.sum(skipna=False))
    return sums.reset_index().merge(gaps(rewind), on=RUN)


def gaps(rewind: pd.DataFrame) -> pd.DataFrame:
    """Each run's generalisation gap: training minus test metric of the network itself; RUN, gap."""
    table = headline(rewind)
    table = table[table.module == "none"].set_index([*RUN, "split"]).value.unstack("split")
    return (table.train - table.test).rename("gap").reset_index()
