"""Rewinding, paths with noise, and criticality of a network's modules (paper, section 3.4).

Zhang, Bengio & Singer (2019) set one module back to where it began; Chatterji, Neyshabur & Sedghi (2020) go
there step by step, add noise on the way, and make a number of it. Weights are state dicts; networks are
chains of modules (`tlbook.questions.criticality.method.suffix`).
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import metrics
from tlbook.errors import TlbookError
from tlbook.models.interpolation import interpolate
from tlbook.questions.criticality.method.suffix import Chain, Suffix, Weights, evaluate
from tlbook.vocabulary import RUN, headline

Path = Mapping[float, Weights]  # a module's weights by fraction of the way: 0 initial, 1 final, in order
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
    images: Sequence[Tensor],
    labels: Tensor,
    metric: str,
    earlier: Mapping[int, Weights],
    redrawn: Sequence[Weights] = (),
) -> pd.DataFrame:
    """What a network measures after each module, or stage, is set back.

    ``images`` are batches, ``labels`` those of all; ``earlier`` maps epochs to whole state dicts to rewind
    to, ``redrawn`` are fresh draws of the init, over which "redraw" is the mean (to epoch 0). Columns module,
    method, to_epoch, metric, value; module "none" is the network as it is. Where a stage is one block, it has
    the block's values.
    """
    states = [("rewind", epoch, state) for epoch, state in earlier.items()]
    states += [("redraw", 0, state) for state in redrawn]
    variants: dict[tuple, Weights] = {(): {}}  # the network itself, then what is set back to which state
    for modules in groups(chain).values():  # a stage of one block is that block: computed once
        variants |= {
            (modules, number): part(chain, state, modules) for number, (*_, state) in enumerate(states)
        }
    logits = evaluate(chain, images, variants)
    measured = {variant: metrics.measure(values, labels, metric) for variant, values in logits.items()}

    keys = ["module", "method", "to_epoch", "metric", "value"]
    rows = [("none", "rewind", 0, *pair) for pair in measured[()].items()]
    for name, modules in groups(chain).items():
        for number, (method, epoch, _) in enumerate(states):
            rows += [(name, method, epoch, *pair) for pair in measured[modules, number].items()]
    return pd.DataFrame(rows, columns=keys).groupby(keys[:-1], sort=False).value.mean().reset_index()


def part(chain: Chain, state: Weights, modules: Sequence[str]) -> dict[str, Tensor]:
    """The parameters of some modules out of a state dict."""
    wanted = frozenset().union(*(chain.members[module] for module in modules))
    return {name: value for name, value in state.items() if name in wanted}


# Paths and noise (Figure 6)


def direct_path(start: Weights, end: Weights, points: int) -> Path:
    """(1 - a) start + a end for ``points`` values of a, evenly from 0 to 1; the ends are exact."""
    if points < 2:
        raise TlbookError(f"A path needs at least 2 points, its ends, not {points}.")
    return {a: interpolate(start, end, a) for a in np.linspace(0, 1, points).tolist()}


def optimisation_path(checkpoints: Mapping[int, Weights]) -> Path:
    """Through a module's weights at each epoch; the fraction is that of the epochs."""
    last = max(checkpoints)
    return {epoch / last: checkpoints[epoch] for epoch in sorted(checkpoints)}


def units(end: Weights, norm: str) -> dict[str, float]:
    """What each tensor of a module is measured in, for distance and noise: 1, if ``norm`` is "raw".

    If it is "relative": the root mean square of each weight tensor at the end. Scaling a tensor, as a
    rescaling that preserves the function does (Dinh et al. 2017), scales its unit. Biases and scales, whose
    sizes can be 0, have unit 0: they follow the path without noise, and do not count for the distance.
    """
    if norm == "raw":
        return dict.fromkeys(end, 1.0)
    sizes = {name: float(value.double().square().mean().sqrt()) for name, value in end.items()}
    return {name: size if end[name].ndim > 1 else 0.0 for name, size in sizes.items()}


def distances(path: Path, units: Mapping[str, float]) -> dict[float, float]:
    """The l2 distance of each point of a path from its beginning, each tensor in its unit."""
    start = next(iter(path.values()))
    found = {}
    for fraction, weights in path.items():
        squares = {
            name: float((weights[name].double() - start[name].double()).square().sum()) for name in start
        }
        found[fraction] = math.sqrt(
            sum(square / units[name] ** 2 for name, square in squares.items() if units[name])
        )
    return found


def gaussian(weights: Weights, seed: Sequence[int]) -> dict[str, Tensor]:
    """Standard normal noise of the shape of a module's weights, on their device, the same for a seed."""
    rng = np.random.default_rng(list(seed))
    return {
        name: torch.from_numpy(rng.standard_normal(tuple(value.shape), np.float32)).to(value.device)
        for name, value in weights.items()
    }


def noisy(weights: Weights, noise: Weights, factor: float, units: Mapping[str, float]) -> Weights:
    """weights + factor * noise, each tensor's noise in its unit."""
    return {name: value + factor * units[name] * noise[name] for name, value in weights.items()}


def noise_map(
    suffix: Suffix,
    labels: Tensor,
    metric: str,
    path: Path,
    noises: Sequence[Weights],
    factors: Sequence[float],
    last_factors: Sequence[float] = (),
) -> pd.DataFrame:
    """Metrics along a path under noise times signed factors: rows fraction, distance, noise, metric, value.

    ``factors`` are positive; each stands with both signs, and 0 is always there. ``last_factors`` are further
    ones at the path's end only. Values are means over ``noises`` (standard normal draws); ``distance`` is l2
    from the path's beginning. Metrics are the role's ``metric`` and the loss.
    """
    raw = units(path[1.0], "raw")
    moved = distances(path, raw)
    rows = []
    for fraction, weights in path.items():
        sizes = sorted({*factors, *(last_factors if fraction == 1 else ())})
        signed = [sign * size for sign in (-1, 1) for size in sizes]
        variants = {(0.0, None): weights}  # by factor and draw; without noise there is one
        variants |= {
            (f, draw): noisy(weights, noise, f, raw) for f in signed for draw, noise in enumerate(noises)
        }
        logits = suffix.logits(list(variants.values()))
        for (factor, _), values in zip(variants, logits, strict=True):
            measured = metrics.measure(values, labels, metric)
            at = fraction, moved[fraction], factor
            rows += [(*at, name, measured[name]) for name in (metric, "loss")]
    keys = ["fraction", "distance", "noise", "metric"]
    by_draw = pd.DataFrame(rows, columns=[*keys, "value"]).groupby(keys, sort=False, dropna=False)
    return by_draw.value.agg(
        lambda values: values.mean(skipna=False)
    ).reset_index()  # one broken draw is told


# Criticality as a number


class Criticality(NamedTuple):
    """The smallest distance^2 / noise^2 that keeps the error, its range over single draws, and where it is:
    the fraction of the path, and the noise. All are NaN if no point bears the smallest noise."""

    value: float
    lowest: float
    highest: float
    fraction: float
    noise: float


NOT_FOUND = Criticality(*[math.nan] * 5)


def ladder() -> np.ndarray:
    """The noise sizes that are searched, from 1 down."""
    return 2.0 ** (-np.arange(OCTAVES * STEPS_PER_OCTAVE + 1) / STEPS_PER_OCTAVE)


def criticality(
    error: Callable[[float, float], np.ndarray], distances: Mapping[float, float], allowed: float
) -> Criticality:
    """The module criticality of Chatterji, Neyshabur & Sedghi (2020), by search.

    mu = min over points a of the path and noise s of (distances[a] / s)^2 such that the mean over draws of
    ``error(a, s)`` (one value a draw) is at most ``allowed``. s is searched on `ladder` by bisection, taking
    the error to grow with s; points that cannot be better than the best so far cost one look. A path that
    bears the smallest noise at its beginning (distance 0) has 0, and no more is searched. The range is that
    over single draws at the best point.
    """
    sizes = ladder()
    smallest = len(sizes) - 1
    looked = functools.cache(lambda a, rung: error(a, float(sizes[rung])))

    def borne(a: float, rung: int, draws: int | slice = slice(None)) -> bool:
        return bool(looked(a, rung)[draws].mean() <= allowed)

    def largest(a: float, last: int, draws: int | slice = slice(None)) -> int | None:
        """The rung of the largest noise that a point bears, down to rung ``last``; None if not even that."""
        if last < 0 or not borne(a, last, draws):
            return None
        return bisect_left(range(last), True, key=lambda rung: borne(a, rung, draws))

    for a, distance in distances.items():
        if distance == 0 and borne(a, smallest):
            return Criticality(0.0, 0.0, 0.0, a, float(sizes[smallest]))
    best, where = math.inf, None
    for a, distance in reversed(distances.items()):
        better = (
            int((sizes > distance / math.sqrt(best)).sum()) - 1
        )  # the least noise that would beat the best
        if distance > 0 and (rung := largest(a, better)) is not None:
            best, where = float(distance / sizes[rung]) ** 2, (a, rung)
    if where is None:
        return NOT_FOUND
    a, rung = where
    singles = [largest(a, smallest, draw) for draw in range(len(looked(a, rung)))]
    values = [float(distances[a] / sizes[smallest if one is None else one]) ** 2 for one in singles]
    return Criticality(best, min([best, *values]), max([best, *values]), a, float(sizes[rung]))


def wrong(logits: Tensor, labels: Tensor) -> float:
    """The share of images, or of labels where an image has several, that are wrong, 0 to 1."""
    if labels.ndim == 2:
        return float(((logits > 0) != (labels > 0.5)).double().mean())
    return 1 - metrics.accuracy(logits, labels) / 100


def criticality_of(
    suffix: Suffix,
    labels: Tensor,
    path: Path,
    noises: Sequence[Weights],
    norm: str = "raw",
    epsilon: float = EPSILON,
) -> Criticality:
    """`criticality` of a module along a path: the error is `wrong` on the suffix's images, and may rise by
    ``epsilon`` above that at the path's end. Noise and distance are in `units` ("raw" or "relative"). A
    network that diverged has none."""
    sizes = units(path[1.0], norm)

    def error(a: float, size: float) -> np.ndarray:
        variants = [noisy(path[a], noise, size, sizes) for noise in noises]
        return np.array([wrong(logits, labels) for logits in suffix.logits(variants)])

    (end,) = suffix.logits([path[1.0]])
    if not torch.isfinite(end).all():
        return NOT_FOUND
    return criticality(error, distances(path, sizes), wrong(end, labels) + epsilon)


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
