"""The paper's definition of a basin (section 3.3), applied to the segment between two models.

A closed convex set S is an (epsilon, delta)-basin of a loss l if, with mu the mean loss over S,

1. the loss hardly varies in S: E |l(w) - mu| <= epsilon, w uniform in S;
2. noise at the border of S raises it: E [l(f + nu) - mu] >= 2 epsilon, with f the last point of S on the ray
   from w1 through w2 (both uniform in S), nu ~ N(0, delta^2 / n I) in n dimensions;
3. so does going on along that ray: E [l(f + |nu| u) - mu] >= 2 epsilon, u the ray's direction,
   nu ~ N(0, delta^2).

With S the segment between two models, f is one end or the other with equal chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from tlbook.models.interpolation import check_pair, difference, interpolate, moved, norm

POINTS = 9  # of the segment, for the mean over it (trapezoids)
DRAWS = 2  # of the noise, at each end
SEED = 0


def basin(
    loss: Callable[[Mapping[str, Tensor]], float],
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    delta: float,
    on_line: Sequence[float] | None = None,
    draws: int = DRAWS,
) -> dict[str, float]:
    """The three quantities of the definition for the segment between two models.

    ``loss`` maps weights to a number; ``delta`` is a length in weight space. ``on_line`` are losses at evenly
    spaced points of the segment, both ends among them, if they are known. Returns distance (l2), mean (mu),
    spread (what 1 bounds), noise_rise and beyond_rise (what 2 and 3 bound), and epsilon_low and epsilon_high:
    the pair is in one basin for each epsilon between them, for none if epsilon_low is the larger. Equal
    models span no segment: beyond_rise is then NaN.
    """
    check_pair(first, second)
    if on_line is None:
        on_line = [loss(interpolate(first, second, a)) for a in np.linspace(0, 1, POINTS)]
    weights = np.ones(len(on_line))
    weights[[0, -1]] = 0.5  # the trapezoid rule
    mean = float(np.average(on_line, weights=weights))
    spread = float(np.average(np.abs(np.asarray(on_line) - mean), weights=weights))
    noise = np.mean([loss(state) for end in (first, second) for state in _noisy(end, delta, draws)])
    distance = norm(difference(first, second))
    beyond = _beyond(loss, first, second, delta / distance, draws) if distance else float("nan")
    rises = float(noise - mean), float(beyond - mean)
    return {
        "distance": distance,
        "mean": mean,
        "spread": spread,
        "noise_rise": rises[0],
        "beyond_rise": rises[1],
        "epsilon_low": spread,
        "epsilon_high": min(rises) / 2,
    }


def _noisy(state: Mapping[str, Tensor], delta: float, draws: int):
    """Copies with Gaussian noise whose expected squared length is delta^2."""
    generator = torch.Generator().manual_seed(SEED)
    floats = {name: state[name] for name in sorted(state) if state[name].is_floating_point()}
    scale = delta / sum(tensor.numel() for tensor in floats.values()) ** 0.5
    for _ in range(draws):
        noise = {name: torch.randn(t.shape, generator=generator).to(t.device) for name, t in floats.items()}
        yield moved(state, noise, scale)


def _beyond(loss, first, second, share: float, draws: int) -> float:
    """Mean loss past both ends, |N(0, 1)| times that share of the segment further on: at the means of equal
    shares of that law."""
    parts = torch.tensor([(k + 0.5) / draws for k in range(draws)], dtype=torch.float64)
    steps = share * 2**0.5 * torch.erfinv(parts)  # quantiles of |N(0, 1)|
    places = [place for step in steps.tolist() for place in (-step, 1 + step)]
    return float(np.mean([loss(interpolate(first, second, place)) for place in places]))
