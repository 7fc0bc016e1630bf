"""Which mistakes two models share, whether by more than chance, and how hard those are that they do not.

Predictions are int64 (n,), classes; with several labels, 0 or 1 (n, k), and every label of every example
counts as a decision of its own. Intervals resample examples (with all their labels). NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from tlbook.errors import TlbookError
from tlbook.intervals import LEVEL
from tlbook.questions.differences.method import Key, Pair, named

DRAWS = 1000  # bootstrap samples of an interval
CHUNK = 100  # of which so many are held at once
SETS = ("both_right", "only_first_wrong", "only_second_wrong", "both_wrong")


def predicted(logits: np.ndarray, classes: int, multilabel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and their confidence, 0 to 1, from logits (n, classes). Refused: another number of classes.

    One label: the class with the largest logit and its softmax. Several: 1 where the logit is above 0, and
    the probability of what was decided, at least 0.5. Logits that are not numbers count as class 0, or as 0,
    with confidence NaN.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.shape[1] != classes:
        raise TlbookError(f"A model tells {logits.shape[1]} classes apart where the data has {classes}.")
    if multilabel:
        probability = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        return (logits > 0).astype(np.int64), np.maximum(probability, 1 - probability)
    choice = logits.argmax(1)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return choice, shares.max(1) / shares.sum(1)


def right(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where predictions equal labels, both (n,) or (n, k). Refused: no examples, other shapes."""
    if not len(labels):
        raise TlbookError("There are no test examples to make mistakes on.")
    if predictions.shape != labels.shape:
        shapes = f"{predictions.shape} for labels of shape {labels.shape}"
        raise TlbookError(f"There are predictions of shape {shapes}, so the classes or examples differ.")
    return predictions == labels


def cells(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each example, how many of its decisions fall into each of `SETS`: (n, 4), from right (n,) or
    (n, k) of two models."""
    kinds = np.stack(list(sets(first, second).values()), axis=-1)
    return kinds.reshape(len(first), -1, len(SETS)).sum(1)


def consistency(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of shared mistakes from counts (…, 4) of `SETS`.

    shared: wrong in both / wrong in either; NaN if neither makes a mistake. kappa (Geirhos et al. 2020):
    agreement in being right or wrong beyond what independent errors of these rates give, (o - e) / (1 - e);
    0 if just one of the two is always right (or always wrong), NaN if both are always right, or both always
    wrong, since then nothing can be seen. shared_expected: what `shared` would be if errors were independent.
    """
    total = counts.sum(-1)
    both_right, only_first, only_second, both_wrong = np.moveaxis(counts, -1, 0) / np.maximum(total, 1)
    p, q = both_right + only_second, both_right + only_first  # shares that are right
    expected = p * q + (1 - p) * (1 - q)
    wrong_by_chance = (1 - p) * (1 - q)
    apart = only_first + only_second
    return {  # in forms that rounding cannot lift above 1
        "shared": _ratio(both_wrong, apart + both_wrong),
        "kappa": 1 - _ratio(apart, 1 - expected),
        "shared_expected": _ratio(wrong_by_chance, 1 - p * q),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where nothing (but rounding) is below."""
    there = np.asarray(below) > 1e-12
    return np.where(there, np.divide(above, np.where(there, below, 1.0)), np.nan)


def bootstrapped(counts: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Counts (m, n, c) summed over examples that are drawn anew with replacement: (draws, m, c).

    Every one of the m tables sees the same draws, so that their differences have intervals too.
    """
    m, n, c = counts.shape
    flat = counts.transpose(1, 0, 2).reshape(n, m * c).astype(np.float64)
    rng, parts = np.random.default_rng(seed), []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        parts.append(times.astype(np.float64) @ flat)
    return np.concatenate(parts).reshape(draws, m, c)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % percentile interval over the first axis; draws in which a value is undefined are left out."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    defined = ~np.isnan(values).all(0)
    low, high = np.full((2, *values.shape[1:]), np.nan)
    if defined.any():
        low[defined], high[defined] = np.nanquantile(values[:, defined], tails, axis=0)
    return low, high


def shared_mistakes(
    predictions: Mapping[Key, np.ndarray],
    labels: np.ndarray,
    pairs: Sequence[Pair],
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Of each pair of models, by key: the columns of `named`, metric, value.

    Metrics: `consistency`'s, shared_low, shared_high, kappa_low, kappa_high (bootstrap over examples),
    agreement (share of decisions in which both say the same), same_wrong (of the mistakes that both make, the
    share in which they also say the same; NaN if there are none), and the four shares of `SETS`.
    """
    hits = {key: right(said, labels) for key, said in predictions.items()}
    counts = np.stack([cells(hits[a], hits[b]) for a, b in pairs])
    measured = consistency(counts.sum(1))
    drawn = consistency(bootstrapped(counts, draws))
    for name in ("shared", "kappa"):
        measured[f"{name}_low"], measured[f"{name}_high"] = interval(drawn[name])
    same = [predictions[a] == predictions[b] for a, b in pairs]
    both_wrong = [~hits[a] & ~hits[b] for a, b in pairs]
    measured["agreement"] = np.array([one.mean() for one in same])
    alike = np.array([(one & wrong).sum() for one, wrong in zip(same, both_wrong, strict=True)])
    measured["same_wrong"] = _ratio(alike, np.array([wrong.sum() for wrong in both_wrong]))
    shares = counts.sum(1) / counts.sum((1, 2))[:, None]
    measured |= {name: shares[:, column] for column, name in enumerate(SETS)}
    return pd.DataFrame(
        named(pair) | {"metric": name, "value": float(values[i])}
        for i, pair in enumerate(pairs)
        for name, values in measured.items()
    )


def by_class(
    predictions: Mapping[Key, np.ndarray],
    labels: np.ndarray,
    pairs: Sequence[Pair],
    classes: Sequence[str],
) -> pd.DataFrame:
    """As `shared_mistakes`, without intervals, on the examples of each class; with several labels, on each
    label's decisions. Columns of `named`, label, metric (shared, kappa, and the shares wrong and wrong_b that
    the two models get wrong), value; a class without test examples has no rows."""
    hits = {key: right(said, labels) for key, said in predictions.items()}
    rows = []
    for number, name in enumerate(classes):
        of_class = np.s_[:, number] if labels.ndim == 2 else labels == number
        if not hits or not next(iter(hits.values()))[of_class].size:
            continue
        for pair in pairs:
            one, other = (hits[key][of_class] for key in pair)
            measured = consistency(cells(one, other).sum(0))
            measured |= {"wrong": 1 - one.mean(), "wrong_b": 1 - other.mean()}
            measured.pop("shared_expected")
            keys = named(pair) | {"label": name}
            rows += [keys | {"metric": metric, "value": float(value)} for metric, value in measured.items()]
    return pd.DataFrame(rows)


# How hard an example is


def difficulty(hits: Mapping[Key, np.ndarray], outside: Sequence[Key]) -> np.ndarray:
    """Share of the outside models that get each decision wrong: 0 easy, 1 hard, (n,) or (n, k).

    NaN everywhere if there are none.
    """
    if not outside:
        return np.full(next(iter(hits.values())).shape, np.nan)
    return np.mean([~hits[key] for key in outside], axis=0)


def sets(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """`SETS` as masks over decisions, from where each model is right."""
    masks = first & second, ~first & second, first & ~second, ~first & ~second
    return dict(zip(SETS, masks, strict=True))


def mean_difficulty(hardness: np.ndarray, chosen: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Columns examples, count, value: how many decisions each set has and how hard they are on average; NaN
    for an empty one."""
    return pd.DataFrame(
        {"examples": name, "count": int(mask.sum()), "value": _mean(hardness[mask])}
        for name, mask in chosen.items()
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def harder(
    hardness: np.ndarray, first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> dict[str, float]:
    """Is a first set of decisions harder than a second (masks like ``hardness``)?

    difference of the mean difficulties with its bootstrap interval over examples (difference_low,
    difference_high); the size of the effect as Cliff's delta, -1 to 1 (the chance that one of the first set
    is harder than one of the second, minus the chance that it is easier); p_value of the Mann-Whitney test,
    two-sided (it takes decisions for independent, which several labels of one example are not). NaN where a
    set is empty or nothing measures difficulty.
    """
    names = ("difference", "difference_low", "difference_high", "cliffs_delta", "p_value")
    if not (first.any() and second.any()) or np.isnan(hardness).any():
        return dict.fromkeys(names, float("nan"))
    per_example = [(hardness * first, first), (hardness * second, second)]
    sums = np.stack([np.reshape(x, (len(x), -1)).sum(1) for both in per_example for x in both], axis=-1)
    drawn = bootstrapped(sums[None].astype(float), draws, seed)[:, 0]
    moved = _ratio(drawn[:, 0], drawn[:, 1]) - _ratio(drawn[:, 2], drawn[:, 3])
    low, high = (bound[0] for bound in interval(moved[:, None]))
    one, other = hardness[first], hardness[second]
    test = mannwhitneyu(one, other, alternative="two-sided")
    delta = 2 * test.statistic / (one.size * other.size) - 1
    values = (one.mean() - other.mean(), low, high, delta, test.pvalue)
    return {name: float(value) for name, value in zip(names, values, strict=True)}
