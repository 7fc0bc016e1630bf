"""How far a domain is from the source, in P's own features."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.intervals import LEVEL
from tlbook.models import Network

FEWEST = 3  # images of either domain: with one left out, there must still be pairs
DEGREE = 3  # of the polynomial kernel, as in KID


@torch.no_grad()
def features(model: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
    """What reaches the head, float64 (n, d), for all batches."""
    caught: list[Tensor] = []
    head = model.get_submodule(model.head)
    hook = head.register_forward_pre_hook(lambda _, given: caught.append(given[0].double().cpu()))
    try:
        for images, _ in batches:
            model(images)
    finally:
        hook.remove()
    return torch.cat(caught).numpy()


def kernel_distance(source: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """The kernel distance of two sets of features (n, d) and (m, d): estimate, low and high of 95 %.

    The squared maximum mean discrepancy (Gretton et al. 2012) under the kernel ((x . y) / d + 1)^3, as in KID
    (Binkowski et al. 2018). It is unbiased at any number of images, so about 0, and at times below, where the
    domains are one. All features are first divided by one number, such that a source image has the mean
    square d: a network whose features are all twice as large measures the same. The interval is the
    two-sample jackknife's (every image of either set left out in turn) with normal quantiles. Fewer than 3
    images, sets of other dimensions, and features that are not finite, are refused.
    """
    _refuse(source, target)
    size = np.sqrt(np.square(source).mean()) or 1.0
    x, y = source / size, target / size
    (within_x, without_x), (within_y, without_y) = _within(x), _within(y)
    across = _kernel(x, y)
    value = within_x + within_y - 2 * across.mean()
    left_out = (
        without_x + within_y - 2 * _means_without(across),
        within_x + without_y - 2 * _means_without(across.T),
    )
    variance = sum((len(v) - 1) / len(v) * np.square(v - v.mean()).sum() for v in left_out)
    half = stats.norm.ppf(0.5 + LEVEL / 2) * np.sqrt(variance)
    return float(value), float(value - half), float(value + half)


def frechet_distance(source: np.ndarray, target: np.ndarray) -> float:
    """The Fréchet distance of the Gaussians fitted to two sets of features (Heusel et al. 2017).

    Not corrected: its bias depends on the number of images and on the domains (Chong & Forsyth 2020), and it
    is here to show that. Features are scaled, and sets refused, as in `kernel_distance`.
    """
    _refuse(source, target)
    size = np.sqrt(np.square(source).mean()) or 1.0
    x, y = source / size, target / size
    one, other = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(min=0)).sum()
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(one) + np.trace(other) - 2 * cross)


def distances(source: np.ndarray, target: np.ndarray, counts: Iterable[int]) -> pd.DataFrame:
    """Both distances between the first images of each set, at each number of them.

    Columns images, metric (kernel, frechet), value, low, high (NaN for frechet). Where a set is smaller than
    a count, all of it is used; ``images`` counts the target's.
    """
    rows = []
    for count in counts:
        x, y = source[:count], target[:count]
        value, low, high = kernel_distance(x, y)
        rows.append({"images": len(y), "metric": "kernel", "value": value, "low": low, "high": high})
        other = {"value": frechet_distance(x, y), "low": np.nan, "high": np.nan}
        rows.append({"images": len(y), "metric": "frechet"} | other)
    return pd.DataFrame(rows).drop_duplicates(["images", "metric"], keep="last")


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** DEGREE


def _within(x: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean kernel of pairs of different images, and again with each image left out (n,)."""
    kernel = _kernel(x, x)
    np.fill_diagonal(kernel, 0)
    n, rows = len(x), kernel.sum(1)
    whole = rows.sum()
    return whole / (n * (n - 1)), (whole - 2 * rows) / ((n - 1) * (n - 2))


def _means_without(kernel: np.ndarray) -> np.ndarray:
    """The mean of a matrix (n, m) with each row left out (n,)."""
    n, m = kernel.shape
    return (kernel.sum() - kernel.sum(1)) / ((n - 1) * m)


def _refuse(source: np.ndarray, target: np.ndarray) -> None:
    shapes = f"{source.shape} and {target.shape}"
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1] or not source.shape[1]:
        raise TlbookError(
            f"Two sets of features need the shapes (n, d) and (m, d) with some d, not {shapes}."
        )
    if min(len(source), len(target)) < FEWEST:
        raise TlbookError(f"A distance of domains needs at least {FEWEST} images of each, not {shapes}.")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise TlbookError("A distance of domains needs finite features; this network's are not.")
