"""What a checkpoint of pre-training is worth on a target (paper, section 3.5, Figure 7; Abnar et al. 2022).

All functions take the tables finetuned and source_accuracy. Metrics are compared in points: accuracy in
percent, AUC times 100. Each role and checkpoint is seen at its better rate, by the mean dev metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tlbook import vocabulary
from tlbook.intervals import LEVEL, student
from tlbook.vocabulary import at_better_rate, metric_of, roles

MODELS = ("constant", "line", "power law")
PAYS = 0.1  # points of target for a point of source: less than that does not pay
EXPONENTS = np.geomspace(1, 100, 300)  # 1 is a straight line; at 100 nearly an exponential
REPLICATES = 1000
POINTS = 40  # of a curve
NEAR = 0.03  # of pre-training: how near a checkpoint of the paper must be to stand beside ours


def by_seed(of_role: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """One role's metric in points at the better rates: a row a seed, a column a checkpoint, in order.

    NaN where a seed has no run, or its metric is NaN.
    """
    metric = metric_of(of_role)
    shown = at_better_rate(of_role)
    shown = shown[(shown.split == split) & (shown.metric == metric)]
    return shown.pivot(index="seed", columns="checkpoint", values="value").sort_index(
        axis=1
    ) * vocabulary.points(metric)


def source_at(source: pd.DataFrame) -> pd.Series:
    """The source's test accuracy in percent by checkpoint (NaN where it is not known)."""
    rows = source[(source.split == "test") & (source.metric == "accuracy")]
    return rows.set_index("checkpoint").value.sort_index()


def drops(source: pd.DataFrame) -> list[int]:
    """The epochs after which the learning rate of pre-training falls, from the rows rate of the table."""
    rates = source[source.metric == "rate"].set_index("checkpoint").value.sort_index().dropna()
    return [int(epoch) for epoch in rates.index[:-1][np.diff(rates) < 0]]


# How early is good enough


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
    rows = []
    for role in roles(finetuned):
        of_role = finetuned[finetuned.role == role]
        values, rates = by_seed(of_role), at_better_rate(of_role).groupby("checkpoint").rate.first()
        fractions = of_role.groupby("checkpoint").checkpoint_fraction.first()
        noise, freedom = pooled_noise(values)
        last = values.columns[-1]
        for checkpoint in values:
            gaps = (values[last] - values[checkpoint]).dropna()
            mean, half = gaps.mean(), interval(noise, freedom, len(gaps))
            rows.append({"role": role, "checkpoint": checkpoint, "checkpoint_fraction": fractions[checkpoint],
                         "rate": rates[checkpoint], "n": max(len(gaps), 1), "value": mean,
                         "low": mean - half, "high": mean + half})  # fmt: skip
            if checkpoint == last:
                rows[-1] |= {"value": 0.0, "low": 0.0, "high": 0.0}  # behind itself by nothing
    return pd.DataFrame(rows)


def interval(noise: float, freedom: int, seeds: int) -> float:
    """Half the 95 % interval of a difference of two checkpoints' means over ``seeds`` paired runs."""
    if freedom < 1 or seeds < 1:
        return float("nan")
    return float(stats.t.ppf(0.5 + LEVEL / 2, freedom) * noise * np.sqrt(2 / seeds))


def good_enough(behind: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Per role, the first checkpoint that the last does not beat beyond noise, and where it stands.

    ``behind`` is the table behind_last. Columns: role; checkpoint; cost, its share of pre-training in
    percent; behind, in points; noise, the least difference that would have been seen; lasting, the first
    checkpoint from which on all are good enough; source, its accuracy on the source, with its gain over the
    tenth of pre-training before and after it; plateau's end, whether the learning rate drops next (or
    training ends). NaN and "–" where one seed cannot say, or the source is not known.
    """
    accuracy, steps = source_at(source), drops(source)
    rows = []
    for role, own in behind.groupby("role", sort=False):
        own = own.sort_values("checkpoint").reset_index(drop=True)
        enough = own.low <= 0
        row = {"role": role, "checkpoint": "–", "cost (%)": np.nan, "behind": np.nan,
               "noise": (own.high - own.low)[:-1].max() / 2, "lasting": "–"}  # fmt: skip
        if not own.low[:-1].isna().any():
            first = own[enough].iloc[0]
            lasting = own.checkpoint[enough[::-1].cummin()[::-1]].iloc[0]
            row |= {"checkpoint": str(first.checkpoint), "cost (%)": 100 * first.checkpoint_fraction,
                    "behind": first.value, "lasting": str(lasting)}  # fmt: skip
            row |= _place(int(first.checkpoint), own.checkpoint.max(), accuracy, steps)
        rows.append(row)
    return pd.DataFrame(rows)


def _place(checkpoint: int, last: int, accuracy: pd.Series, steps: list[int]) -> dict:
    """Where a checkpoint stands on the source's curve."""
    around = max(round(last / 10), 1)
    at = {shift: accuracy.get(checkpoint + shift, np.nan) for shift in (-around, 0, around)}
    end = checkpoint in (*steps, last)
    return {"source (%)": at[0], "gain before": at[0] - at[-around], "gain after": at[around] - at[0],
            "plateau's end": "yes" if end else "no" if steps else "–"}  # fmt: skip


def best_on_dev(finetuned: pd.DataFrame) -> pd.DataFrame:
    """Per role, whether the checkpoint that dev prefers beats the last one on test, beyond noise.

    One checkpoint a role is chosen, on dev, so that the interval of its lead on test needs no correction for
    many. Columns: role, checkpoint, last, n, ahead (points of test), low, high, and better, in words.
    """
    rows = []
    for role in roles(finetuned):
        of_role = finetuned[finetuned.role == role]
        dev, test = by_seed(of_role, "dev").mean(skipna=False), by_seed(of_role)
        last, noise = test.columns[-1], pooled_noise(test)
        chosen = dev.fillna(-np.inf).idxmax() if len(dev) else last
        gaps = (test[chosen] - test[last]).dropna()
        half = interval(*noise, len(gaps))
        low, high = gaps.mean() - half, gaps.mean() + half
        words = "the last is best" if chosen == last else _beyond(low, high)
        if chosen == last:
            low = high = 0.0
        rows.append({"role": role, "best on dev": chosen, "last": last, "n": len(gaps), "ahead": gaps.mean(),
                     "low": low, "high": high, "beyond noise": words})  # fmt: skip
    return pd.DataFrame(rows)


def _beyond(low: float, high: float) -> str:
    if np.isnan(low):
        return "one seed cannot say"
    return "yes, better" if low > 0 else "no, worse" if high < 0 else "within noise"


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


def replicates(found: Fit, source: np.ndarray, count: int = REPLICATES, seed: int = 0) -> list[Fit]:
    """Fits to ``count`` made-up sets of points: the fit plus normal errors (a parametric bootstrap).

    So few points do not know their error well, so each set draws its own from what they say about it:
    sqrt(sum of squared residuals / chi-squared), with n - parameters of the mean degrees of freedom. (With
    nine points such 95 % intervals hold the truth in 91 to 92 % of made-up studies; drawing the residuals
    themselves anew, in 86 to 90 %.)
    """
    points, freedom = len(found.residuals), len(found.residuals) - found.parameters + 1
    if freedom < 1:
        return []
    rng = np.random.default_rng(seed)
    errors = np.sqrt((found.residuals**2).sum() / rng.chisquare(freedom, (count, 1)))
    targets = found.at(source) + errors * rng.normal(size=(count, points))
    parts = zip(*_fits(found.model, source, targets), targets, strict=True)
    return [Fit(found.model, c, s, e, t - (c - s * (1 - source / 100) ** e)) for c, s, e, t in parts]


def points_of(of_role: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """One role's pre-trained checkpoints whose source accuracy is known: columns source (percent), target
    (points, mean over seeds). Checkpoint 0, random weights, is none."""
    target = by_seed(of_role).mean(skipna=False).drop(0, errors="ignore")
    return pd.DataFrame({"source": source_at(source).reindex(target.index), "target": target}).dropna()


def saturation(
    finetuned: pd.DataFrame, source: pd.DataFrame, pays: float = PAYS, count: int = REPLICATES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables saturation and saturation_curve: each model fitted to each role's checkpoints.

    A role with fewer than three known points is left out. ``pays`` as in `Fit.stops_paying`; ``count``
    made-up sets for the intervals.
    """
    rows, curves = [], []
    for role in roles(finetuned):
        of_role = finetuned[finetuned.role == role]
        points = points_of(of_role, source)
        if len(points) < 3 or points.source.nunique() < 3:
            continue
        upstream, lowest, highest = points.source.to_numpy(), points.source.min(), points.source.max()
        found = [fit(model, upstream, points.target.to_numpy()) for model in MODELS]
        weights = akaike_weights([one.aicc for one in found])
        places = np.linspace(lowest, highest, POINTS)
        for one, weight in zip(found, weights, strict=True):
            again = replicates(one, upstream, count)
            measured = _measured(one, again, lowest, highest, pays)
            measured |= {"points": (len(points),), "aicc": (one.aicc,), "weight": (weight,)}
            for metric, (value, *ends) in measured.items():
                low, high = ends or (np.nan, np.nan)
                rows.append({"role": role, "model": one.model, "metric": metric, "value": float(value),
                             "low": low, "high": high})  # fmt: skip
            curves.append(_curve(role, one, again, places, vocabulary.points(metric_of(of_role))))
    names = ["role", "model", "metric", "value", "low", "high"]
    drawn = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    return pd.DataFrame(rows, columns=names), drawn


def akaike_weights(aicc: list[float]) -> np.ndarray:
    """How the evidence is shared among models (Burnham & Anderson 2002): sums to 1; 0 where undefined."""
    values = np.array(aicc)
    if np.isnan(values).all():
        return np.full(len(values), np.nan)
    likelihood = np.exp(-(values - np.nanmin(values)) / 2)
    return np.nan_to_num(likelihood / np.nansum(likelihood))


def _measured(one: Fit, again: list[Fit], lowest: float, highest: float, pays: float) -> dict[str, tuple]:
    """What a fit says, each with its interval over the replicates."""
    ask = {}
    if one.model != "constant":
        ask["slope"] = lambda each: each.slope(highest)
        ask["stops_paying"] = lambda each: each.stops_paying(lowest, pays)
    if one.model == "power law":
        ask |= {"ceiling": lambda each: each.ceiling, "exponent": lambda each: each.exponent}
    return {name: (of(one), *_ends([of(each) for each in again])) for name, of in ask.items()}


def _ends(values) -> tuple:
    """The middle 95 % of values (along the first axis); NaN where there are none."""
    if not len(values):
        return np.nan, np.nan
    return tuple(np.quantile(values, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0))


def _curve(role: str, one: Fit, again: list[Fit], places: np.ndarray, points: float) -> pd.DataFrame:
    low, high = _ends([each.at(places) for each in again])
    return pd.DataFrame({"role": role, "model": one.model, "source": places, "value": one.at(places) / points,
                         "low": low / points, "high": high / points})  # fmt: skip


# For pages


def reading(table: pd.DataFrame) -> pd.DataFrame:
    """The table saturation for reading: one row a role and model, intervals in words."""
    rows = []
    for (role, model), own in table.groupby(["role", "model"], sort=False):
        at = own.set_index("metric")
        row = {"role": role, "model": model, "checkpoints": int(at.value["points"]),
               "weight": at.value["weight"]}  # fmt: skip
        rows.append(row | {name: _words(at, name) for name in ("exponent", "slope", "stops_paying")})
    names = {"slope": "slope at the end", "stops_paying": "stops paying at (%)"}
    return pd.DataFrame(rows).rename(columns=names)


def _words(at: pd.DataFrame, name: str) -> str:
    if name not in at.index:
        return "–"
    row = at.loc[name]
    if np.isnan(row.low):
        return f"{row.value:.3g}"
    return f"{row.value:.3g} ({row.low:.3g} to {row.high:.3g})"


def beside_paper(finetuned: pd.DataFrame, source: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Every role and checkpoint: its better rate, test and range over seeds, speed, and the paper's values.

    ``paper`` is the frame `tlbook.evidence.paper.figure7`; its checkpoint nearest in fraction stands beside ours if it
    is within `NEAR` of pre-training. Accuracies are percent, AUC 0 to 1.
    """
    accuracy = source_at(source)
    rows = []
    for (role, checkpoint), own in at_better_rate(finetuned).groupby(["role", "checkpoint"], sort=False):
        metric = metric_of(finetuned[finetuned.role == role])
        test = own[(own.split == "test") & (own.metric == metric)].value
        speed = own[(own.split == "train") & (own.metric == f"mean_{metric}")].value
        fraction = own.checkpoint_fraction.iloc[0]
        theirs = {kind: _theirs(paper, role, kind, fraction) for kind in (metric, f"mean_{metric}")}
        rows.append({"role": role, "checkpoint": checkpoint, "of pre-training": fraction,
                     "rate": own.rate.iloc[0], "n": len(test), "test": test.mean(), "lowest": test.min(),
                     "highest": test.max(), "paper": theirs[metric], "speed": speed.mean(),
                     "paper's speed": theirs[f"mean_{metric}"],
                     "source (%)": accuracy.get(checkpoint, np.nan)})  # fmt: skip
    return pd.DataFrame(rows)


def _theirs(paper: pd.DataFrame, role: str, metric: str, fraction: float) -> float:
    rows = paper[(paper.role == role) & (paper.metric == metric)]
    far = (rows.checkpoint_fraction - fraction).abs()
    return float(rows.value[far.idxmin()]) if len(rows) and far.min() <= NEAR else float("nan")


def without_steps(finetuned: pd.DataFrame, source: pd.DataFrame, constant: pd.DataFrame) -> pd.DataFrame:
    """P beside the second pre-training at a constant rate, at the latter's checkpoints.

    ``constant`` is the table constant_rate. P's checkpoint is the same epoch, or else the last before it that
    was fine-tuned, so that the constant one never had less training. Columns: role, constant, P (epochs);
    the source's accuracy of both; the target's test metric of both, and P minus constant in points with its
    95 % interval by Student's t over paired seeds (NaN with one).
    """
    ours, theirs = source_at(source), source_at(constant[constant.role == "source"])
    rows = []
    for role in roles(constant):
        of_p, of_constant = finetuned[finetuned.role == role], constant[constant.role == role]
        metric = metric_of(of_constant)
        for epoch, own in of_constant.groupby("checkpoint"):
            before = [each for each in of_p.checkpoint.unique() if 0 < each <= epoch]
            if not before:
                continue
            p = of_p[(of_p.checkpoint == max(before)) & (of_p.rate == own.rate.iloc[0])]
            test = [each[(each.split == "test") & (each.metric == metric)].set_index("seed").value
                    for each in (p, own)]  # fmt: skip
            gaps = ((test[0] - test[1]) * vocabulary.points(metric)).dropna()
            mean, low, high = student(gaps)
            rows.append({"role": role, "constant": epoch, "P": max(before), "n": len(gaps),
                         "source: P": ours.get(max(before), np.nan),
                         "source: constant": theirs.get(epoch, np.nan), "target: P": test[0].mean(),
                         "target: constant": test[1].mean(), "P ahead": mean,
                         "low": low, "high": high})  # fmt: skip
    return pd.DataFrame(rows)
