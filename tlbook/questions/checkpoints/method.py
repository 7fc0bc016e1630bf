"""What a checkpoint of pre-training is worth on a target: how far it is behind the last one, and whether its
worth saturates (paper, section 3.5, Figure 7; Abnar et al. 2022).

All functions take the tables finetuned and source_accuracy. Metrics are compared in points: accuracy in
percent, AUC times 100. Each role and checkpoint is seen at its better rate, by the mean dev metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tlbook import vocabulary
from tlbook.intervals import LEVEL
from tlbook.vocabulary import at_better_rate, metric_of, roles

MODELS = ("constant", "line", "power law")
PAYS = 0.1  # points of target for a point of source: less than that does not pay
EXPONENTS = np.geomspace(1, 100, 300)  # 1 is a straight line; at 100 nearly an exponential
REPLICATES = 1000
POINTS = 40  # of a curve


def by_seed(of_role: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """One role's metric in points at the better rates: a row a seed, a column a checkpoint, in order.

    NaN where a seed has no run, or its metric is NaN.
    """
    metric = metric_of(of_role)
    shown = at_better_rate(of_role)
    shown = shown[(shown.split == split) & (shown.metric == metric)]
    values = shown.pivot(index="seed", columns="checkpoint", values="value").sort_index(axis=1)
    return values * vocabulary.points(metric)


def source_at(source: pd.DataFrame) -> pd.Series:
    """The source's test accuracy in percent by checkpoint (NaN where it is not known)."""
    rows = source[(source.split == "test") & (source.metric == "accuracy")]
    return rows.set_index("checkpoint").value.sort_index()


# How far behind


def pooled_noise(values: pd.DataFrame) -> tuple[float, int]:
    """The standard deviation of one run beside checkpoint and seed, and its degrees of freedom.

    ``values`` is as `by_seed`; what is left after each checkpoint's and each seed's mean is taken off (a
    two-way analysis of variance) is noise. Checkpoint 0 is left out: random weights scatter more than
    pre-trained ones. (NaN, 0) for fewer than two seeds or checkpoints.
    """
    pooled = values.drop(columns=0, errors="ignore").dropna()
    seeds, checkpoints = pooled.shape
    freedom = (seeds - 1) * (checkpoints - 1)
    if freedom < 1:
        return float("nan"), 0
    left = pooled.sub(pooled.mean(axis=1), axis=0) - pooled.mean() + pooled.to_numpy().mean()
    return float(np.sqrt((left**2).to_numpy().sum() / freedom)), freedom


def behind_last(finetuned: pd.DataFrame) -> pd.DataFrame:
    """How far each checkpoint is behind the last, in points, paired by seed; rows as the table behind_last.

    The interval is Student's t with the noise and the degrees of freedom of `pooled_noise`.
    """
    parts = []
    for role in roles(finetuned):
        of_role = finetuned[finetuned.role == role]
        values = by_seed(of_role)
        last = values.columns[-1]
        gaps = -values.sub(values[last], axis=0)
        noise, freedom = pooled_noise(values)
        half = pd.Series({epoch: interval(noise, freedom, seeds) for epoch, seeds in gaps.count().items()})
        half[last] = 0.0  # it is behind itself by nothing, even where its metric is NaN
        mean = gaps.mean().where(gaps.columns != last, 0.0)
        of_checkpoint = at_better_rate(of_role).groupby("checkpoint")[["checkpoint_fraction", "rate"]].first()
        table = of_checkpoint.assign(role=role, n=gaps.count().clip(lower=1), value=mean)
        parts.append(table.assign(low=mean - half, high=mean + half).reset_index())
    columns = ["role", "checkpoint", "checkpoint_fraction", "rate", "n", "value", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns]


def interval(noise: float, freedom: int, seeds: int) -> float:
    """Half the 95 % interval of a difference of two checkpoints' means over ``seeds`` paired runs."""
    if freedom < 1 or seeds < 1:
        return float("nan")
    return float(stats.t.ppf(0.5 + LEVEL / 2, freedom) * noise * np.sqrt(2 / seeds))


# Does it saturate?


@dataclass(frozen=True)
class Fit:
    """One model of target on source accuracy: ceiling - scale (1 - source)^exponent, both in points.

    ``line`` has exponent 1, ``constant`` scale 0. ``parameters`` counts the error's variance too.
    """

    model: str
    ceiling: float
    scale: float
    exponent: float
    residuals: np.ndarray

    @property
    def parameters(self) -> int:
        """2, 3 or 4."""
        return 2 + MODELS.index(self.model)

    @property
    def aicc(self) -> float:
        """Akaike's criterion, corrected for few points (Hurvich & Tsai 1989); NaN where they are too few."""
        points, free = len(self.residuals), self.parameters
        if points <= free + 1:
            return float("nan")
        error = max(float(np.mean(self.residuals**2)), 1e-12)  # points²: an exact fit is no better than that
        return points * np.log(error) + 2 * free + 2 * free * (free + 1) / (points - free - 1)

    def at(self, source: np.ndarray) -> np.ndarray:
        """The fitted points at source accuracies in percent."""
        return self.ceiling - self.scale * (1 - np.asarray(source) / 100) ** self.exponent

    def slope(self, source: float) -> float:
        """Points of target for a point of source, at a source accuracy in percent."""
        return self.scale * self.exponent * (1 - source / 100) ** (self.exponent - 1) / 100

    def stops_paying(self, lowest: float, pays: float = PAYS) -> float:
        """The source accuracy (percent) from which the slope is under ``pays``.

        ``lowest`` where it is so from there on; 100 where it never is.
        """
        if self.slope(lowest) <= pays:
            return lowest
        if self.exponent == 1:
            return 100.0
        root = (100 * pays / (self.scale * self.exponent)) ** (1 / (self.exponent - 1))
        return float(100 * (1 - root))


def fit(model: str, source: np.ndarray, target: np.ndarray) -> Fit:
    """Least squares of ``target`` (n, points) on ``source`` (n, percent).

    Given the exponent, ceiling and scale are linear (variable projection, Golub & Pereyra 1973); so the
    exponent is searched on a grid, from 1, a straight line, up: only what bends towards a ceiling is fitted.
    """
    if model not in MODELS:
        raise ValueError(f"a model is one of {', '.join(MODELS)}, not {model!r}")
    source, target = np.asarray(source, float), np.asarray(target, float)
    ceiling, scale, exponent = (part[0] for part in _fits(model, source, target[None]))
    fitted = ceiling - scale * (1 - source / 100) ** exponent
    return Fit(model, float(ceiling), float(scale), float(exponent), target - fitted)


def _fits(model: str, source: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ceiling, scale and exponent of each row of ``targets`` (rows, n); a line may fall, a power law not."""
    exponents = EXPONENTS if model == "power law" else EXPONENTS[:1]
    basis = -((1 - source / 100) ** exponents[:, None])  # (exponents, n)
    centred = basis - basis.mean(axis=1, keepdims=True)
    centres = targets.mean(axis=1)
    covered = (targets - centres[:, None]) @ centred.T  # (rows, exponents)
    power = (centred**2).sum(axis=1)
    scales = np.divide(covered, power, out=np.zeros_like(covered), where=power > 0)
    if model != "line":
        scales = np.maximum(scales, 0) * (model == "power law")
    best = np.argmax(2 * scales * covered - scales**2 * power, axis=1)  # the largest cut in squared error
    chosen = scales[np.arange(len(targets)), best]
    return centres - chosen * basis.mean(axis=1)[best], chosen, exponents[best]


def replicates(one: Fit, source: np.ndarray, count: int = REPLICATES, seed: int = 0) -> list[Fit]:
    """Fits to ``count`` made-up sets of points: the fit plus normal errors (a parametric bootstrap).

    So few points do not know their error well, so each set draws its own from what they say about it:
    sqrt(sum of squared residuals / chi-squared), with n - parameters of the mean degrees of freedom. (With
    nine points such 95 % intervals hold the truth in 91 to 92 % of made-up studies; drawing the residuals
    themselves anew, in 86 to 90 %.)
    """
    points, freedom = len(one.residuals), len(one.residuals) - one.parameters + 1
    if freedom < 1:
        return []
    rng = np.random.default_rng(seed)
    errors = np.sqrt((one.residuals**2).sum() / rng.chisquare(freedom, (count, 1)))
    targets = one.at(source) + errors * rng.normal(size=(count, points))
    parts = zip(*_fits(one.model, source, targets), targets, strict=True)
    return [Fit(one.model, c, s, e, t - (c - s * (1 - source / 100) ** e)) for c, s, e, t in parts]


def saturation(
    finetuned: pd.DataFrame, source: pd.DataFrame, pays: float = PAYS, count: int = REPLICATES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables saturation and saturation_curve: each model fitted to each role's checkpoints.

    A point is a pre-trained checkpoint (0, random weights, is none) whose source accuracy is known: that
    accuracy, and the target's mean over seeds. A role with fewer than three is left out. ``pays`` as in
    `Fit.stops_paying`; ``count`` made-up sets for the intervals.
    """
    rows, curves = [], []
    for role in roles(finetuned):
        of_role = finetuned[finetuned.role == role]
        target = by_seed(of_role).mean(skipna=False).drop(0, errors="ignore")
        known = pd.DataFrame({"source": source_at(source).reindex(target.index), "target": target}).dropna()
        if known.source.nunique() < 3:
            continue
        upstream, lowest, highest = known.source.to_numpy(), known.source.min(), known.source.max()
        fits = [fit(model, upstream, known.target.to_numpy()) for model in MODELS]
        weights = akaike_weights([one.aicc for one in fits])
        places = np.linspace(lowest, highest, POINTS)
        unit = vocabulary.points(metric_of(of_role))
        for one, weight in zip(fits, weights, strict=True):
            again = replicates(one, upstream, count)
            measured = {"points": len(known), "aicc": one.aicc, "weight": weight}
            values = {name: (float(value), np.nan, np.nan) for name, value in measured.items()}
            values |= _measured(one, again, lowest=lowest, highest=highest, pays=pays)
            rows += [(role, one.model, name, *value_and_ends) for name, value_and_ends in values.items()]
            low, high = (end / unit for end in _ends([each.at(places) for each in again]))
            drawn = {"source": places, "value": one.at(places) / unit, "low": low, "high": high}
            curves.append(pd.DataFrame({"role": role, "model": one.model} | drawn))
    names = ["role", "model", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names), pd.concat(
        curves, ignore_index=True
    ) if curves else pd.DataFrame()


def akaike_weights(aicc: list[float]) -> np.ndarray:
    """How the evidence is shared among models (Burnham & Anderson 2002): sums to 1; 0 where undefined."""
    values = np.array(aicc)
    if np.isnan(values).all():
        return np.full(len(values), np.nan)
    likelihood = np.exp(-(values - np.nanmin(values)) / 2)
    return np.nan_to_num(likelihood / np.nansum(likelihood))


def _measured(one: Fit, again: list[Fit], *, lowest: float, highest: float, pays: float) -> dict[str, tuple]:
    """What a fit says, each with its interval over the replicates."""
    ask = {}
    if one.model != "constant":
        ask["slope"] = lambda each: each.slope(highest)
        ask["stops_paying"] = lambda each: each.stops_paying(lowest, pays)
    if one.model == "power law":
        ask |= {"ceiling": lambda each: each.ceiling, "exponent": lambda each: each.exponent}
    return {name: (float(of(one)), *_ends([of(each) for each in again])) for name, of in ask.items()}


def _ends(values: list) -> tuple:
    """The middle 95 % of values (along the first axis); NaN where there are none."""
    if not values:
        return np.nan, np.nan
    return tuple(np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0))
