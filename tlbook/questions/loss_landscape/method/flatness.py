"""How flat the loss is around a model: random steps, raw and relative to the filters' norms.

Flatness in raw weights is not a property of the function: a twin whose convolutions are scaled up and down in
turn computes the same and scores otherwise (Dinh et al. 2017). Steps relative to each filter's own norm
(Li et al. 2018) score a twin the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models import skeleton
from tlbook.models.interpolation import difference, interpolate, moved, norm, not_finite
from tlbook.models.symmetry import rescaled
from tlbook.questions.loss_landscape.method.evaluation import (
    Evaluator,
    Measured,
    mean,
    tabulated,
    unmeasured,
)

NORMALISATIONS = ("raw", "filter")
SEED = 0  # of the random directions, the same for every model


def direction(
    state: Mapping[str, Tensor], normalisation: str, generator: torch.Generator
) -> dict[str, Tensor]:
    """A random step of relative length 1.

    raw: one Gaussian vector over all weights, as long as the whole weight vector. filter: a Gaussian per
    filter (a row of the head's weight is one), as long as that filter; biases and scales, which have none,
    stay. Both draw the same numbers from ``generator``. Another name is refused.
    """
    if normalisation not in NORMALISATIONS:
        names = ", ".join(NORMALISATIONS)
        raise TlbookError(f"There is no normalisation {normalisation!r} of steps; choose from {names}.")
    # by name, since a file of weights is read in no fixed order and the draws must not depend on it
    floats = {name: state[name] for name in sorted(state) if state[name].is_floating_point()}
    drawn = {name: torch.randn(t.shape, generator=generator).to(t) for name, t in floats.items()}
    if normalisation == "raw":
        length = norm(floats) / norm(drawn)
        return {name: length * step for name, step in drawn.items()}
    return {name: _like_filters(floats[name], step) for name, step in drawn.items() if step.ndim > 1}


def _like_filters(weight: Tensor, step: Tensor) -> Tensor:
    """Each filter of ``step`` at the norm of the same filter of ``weight``."""
    lengths = [t.double().flatten(1).norm(dim=1) for t in (weight, step)]
    ratio = (lengths[0] / lengths[1].clamp_min(torch.finfo(torch.float64).tiny)).to(step.dtype)
    return step * ratio.view(-1, *[1] * (step.ndim - 1))


def stepped(
    evaluator: Evaluator,
    state: Mapping[str, Tensor],
    normalisation: str,
    lengths: Sequence[float],
    directions: int,
    splits: Sequence[str],
) -> Iterator[Measured]:
    """Metrics after random steps of each length, mean over directions; length 0 is the model itself."""
    generator = torch.Generator().manual_seed(SEED)
    steps = [direction(state, normalisation, generator) for _ in range(directions)]
    for length in lengths:
        some = steps if length else steps[:1]
        yield mean([evaluator.measure(moved(state, step, length), splits) for step in some])


def flatness(
    evaluator: Evaluator,
    state: Mapping[str, Tensor],
    distances: Sequence[float],
    directions: int = 10,
    splits: Sequence[str] = ("train",),
) -> pd.DataFrame:
    """Metrics after random steps, mean over directions.

    Columns normalisation, distance, split, metric, value. ``distances`` are relative (see `direction`); 0,
    the model itself, is always among them. Every model is moved along the same draws. A model that diverged
    has NaN everywhere.
    """
    if directions < 1:
        raise TlbookError(f"The number of directions must be at least 1, not {directions}.")
    lengths = sorted({0.0, *map(float, distances)})
    tables = []
    for normalisation in NORMALISATIONS:
        if not_finite(state):
            measured = [unmeasured(evaluator.measure(state, splits))] * len(lengths)
        else:
            measured = stepped(evaluator, state, normalisation, lengths, directions, splits)
        table = tabulated("distance", zip(lengths, measured, strict=True))
        tables.append(table.assign(normalisation=normalisation))
    return pd.concat(tables, ignore_index=True)


def rescaled_twin(state: Mapping[str, Tensor], network: str, factor: float) -> dict[str, Tensor]:
    """A network that computes the same with other weights (Dinh et al. 2017).

    Every block that its family can rescale is, by ``factor``, which must be above 0.
    """
    if not factor > 0:
        raise TlbookError(f"A twin's factor must be above 0, not {factor!r}.")
    twin, rescalings = dict(state), skeleton(network).rescalings()
    for block in rescalings:
        twin = rescaled(twin, rescalings, block, factor)
    return twin


def around(
    evaluator: Evaluator,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    fractions: Sequence[float],
    directions: int = 4,
    splits: Sequence[str] = (),
) -> pd.DataFrame:
    """Steps from either end as long as parts of the line between two models: how far does the basin reach?

    Columns direction (line: on along the line, past the end; random: mean over ``directions`` raw Gaussian
    directions), end (first, second), fraction (length of the step / distance between the two), split, metric,
    value.
    """
    distance = norm(difference(first, second))
    tables = []
    for end, state in (("first", first), ("second", second)):
        places = [-fraction if end == "first" else 1 + fraction for fraction in fractions]
        lengths = [fraction * distance / norm(state) for fraction in fractions]
        by_direction = {
            "line": (evaluator.measure(interpolate(first, second, place), splits) for place in places),
            "random": stepped(evaluator, state, "raw", lengths, directions, splits),
        }
        for name, measured in by_direction.items():
            table = tabulated("fraction", zip(map(float, fractions), measured, strict=True))
            tables.append(table.assign(direction=name, end=end))
    return pd.concat(tables, ignore_index=True)
