"""How alike two models' features are: linear CKA, plain and debiased, its null, and shared neighbours.

Features are float arrays whose rows are examples; what a row holds (a whole feature map flattened, or one
position of it) is the caller's choice. Linear CKA (Kornblith et al. 2019) needs only inner products of the
centred features, either of two sets of columns or of two Gram matrices, whichever is cheaper. Between all
modules of all models, each Gram matrix is made once (`Chunk`). What does not fit is added up over chunks of
examples, with the unbiased HSIC of Nguyen, Raghu & Kornblith (2021). NumPy only: no network is run here.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tlbook.errors import TlbookError

LEAST = 4  # the unbiased estimate of HSIC divides by n (n - 3)
DRAWS = 19  # permutations: what exceeds all of them is at the 5 % level
NEIGHBOURS = 10
CONSTANT = 1e-11  # features whose variance is below this share of their mean square vary by rounding only
ROWS = 32  # products of Gram matrices are added up in float64 over so many of their rows at a time


class ConstantFeatures(UserWarning):
    """A module's features are the same for all examples, or not finite: its similarity is NaN."""


class ManyFeatures(UserWarning):
    """There are more features than examples, so plain CKA is biased upwards."""


def centred(features) -> np.ndarray:
    """Features as (n, p), columns centred; of NumPy or torch, (n, …) flattened. Zeros if they are constant.

    Half precision, in which sums overflow, is centred in float32. Refused: fewer than four examples, and
    features without columns, or that are no real numbers.
    """
    if len(features) < LEAST:
        raise TlbookError(f"CKA needs at least {LEAST} examples, and there are {len(features)}.")
    if 0 in features.shape:
        raise TlbookError(
            f"CKA needs features, and these, of shape {tuple(features.shape)}, have no columns."
        )
    flat = _flat(features)
    if hasattr(flat, "numpy"):
        flat = flat if flat.dtype.itemsize > 2 and flat.is_floating_point() else flat.float()
        flat = flat if flat.is_cuda else flat.numpy()
    elif flat.dtype.kind == "f" and flat.itemsize == 2:
        flat = flat.astype(np.float32)
    elif flat.dtype.kind not in "fiub":
        raise TlbookError(f"CKA needs features that are real numbers, not {flat.dtype}.")
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged network; `normalised` names it
        mean = flat.mean(0)
        moved = flat - mean
        spread, level = moved.reshape(-1) @ moved.reshape(-1), len(flat) * (mean @ mean)
        constant = spread <= CONSTANT * (spread + level)
    return moved * 0 if constant else moved


def _flat(features):
    """Features (n, …) as (n, p)."""
    return features.reshape(len(features), -1)


def gram(features, into: np.ndarray) -> None:
    """Write the Gram matrix (n, n) of centred features (n, …), computed where they are (a GPU too); NaN where
    they are not finite."""
    x = centred(features)
    with np.errstate(invalid="ignore", over="ignore"):
        if isinstance(x, np.ndarray):
            np.matmul(x, x.T, out=into)  # NumPy computes one triangle of it, which is half the work
        else:
            into[:] = (x @ x.T).cpu()
    if not np.isfinite(np.diagonal(into)).all():
        into[:] = np.nan


def cka(first, second, debiased: bool = False) -> float:
    """Linear CKA of two feature arrays (n, …) of the same n examples: 0 to 1; debiased, from below 0 to 1.

    1 for features that are a rotation, scaling and shift of each other. Exact, in the cheaper of feature and
    Gram form. Constant features give NaN and a warning.
    """
    n = len(first)
    if n != len(second):
        raise TlbookError(f"CKA compares the same examples, not {n} of one and {len(second)}.")
    sets = {"the first features": first, "the second features": second}
    widths = {name: int(np.prod(features.shape[1:])) for name, features in sets.items()}
    many = [f"{name} {width}" for name, width in widths.items() if width > n]
    if many:
        text = f"more features than the {n} examples ({', '.join(many)}): plain CKA is biased upwards"
        warnings.warn(text, ManyFeatures, stacklevel=2)
    if sum(widths.values()) < n:
        inner = inner_by_features([centred(features) for features in sets.values()])
    else:
        chunk = Chunk(sets, n, neighbours=0)
        for name, features in sets.items():
            chunk.put(name, features)
        inner = chunk.inner()
    return float(normalised(inner.unbiased() if debiased else inner.products, list(sets))[0, 1])


@dataclass(frozen=True)
class Inner:
    """Of the centred Gram matrices K of m feature sets over n examples: inner products <K, L> (m, m), inner
    products of their diagonals (m, m), and traces (m,)."""

    products: np.ndarray
    diagonals: np.ndarray
    traces: np.ndarray
    n: int

    def unbiased(self) -> np.ndarray:
        """Unbiased HSIC (Song et al. 2012), from the sums that centring leaves of its three terms (m, m)."""
        n, d = self.n, self.diagonals
        constant = np.outer(self.traces, self.traces) / ((n - 1) * (n - 2))
        return (self.products - d + constant - 2 / (n - 2) * d) / (n * (n - 3))

    def of_permuted(self) -> np.ndarray:
        """What <K, L> is on average if one side's examples are permuted (m, m)."""
        return np.outer(self.traces, self.traces) / (self.n - 1)


def inner_by_features(sets: Sequence[np.ndarray]) -> Inner:
    """`Inner` of centred feature sets (n, p): <K, L> = ||X'Y||², so nothing of size n² is made."""
    edges = np.cumsum([0] + [x.shape[1] for x in sets])
    stacked = np.concatenate(sets, axis=1)
    square = (stacked.T @ stacked).astype(float) ** 2
    products = np.add.reduceat(np.add.reduceat(square, edges[:-1], 0), edges[:-1], 1)
    lengths = np.array([(x.astype(float) ** 2).sum(1) for x in sets])
    return Inner(products, lengths @ lengths.T, lengths.sum(1), len(stacked))


class Chunk:
    """The Gram matrices of m feature sets over n examples: 4 m n² bytes, and m n²/8 for neighbours."""

    def __init__(self, names: Iterable[Hashable], n: int, neighbours: int = NEIGHBOURS):
        """``neighbours`` of each example are noted; 0 for none."""
        self.names, self.n, self.neighbours = list(names), n, neighbours
        if n < LEAST:
            raise TlbookError(f"CKA needs at least {LEAST} examples, and there are {n}.")
        if not 0 <= neighbours < n:
            raise TlbookError(f"An example has between 0 and {n - 1} neighbours here, not {neighbours}.")
        m = len(self.names)
        self.grams = np.empty((m, n, n), dtype=np.float32)  # zeros on the diagonal: that stands apart
        self.diagonals = np.empty((m, n))
        self.near = np.zeros((m, n, -(-n // 8)), dtype=np.uint8) if neighbours else None

    def put(self, name: Hashable, features) -> None:
        """Take in one feature set (n, …)."""
        row = self.names.index(name)
        k = self.grams[row]
        gram(features, into=k)
        self.diagonals[row] = np.diagonal(k)
        if self.near is not None:
            self.near[row] = nearest(k, self.neighbours)
        np.fill_diagonal(k, 0)

    def inner(self) -> Inner:
        """Inner products of all with all."""
        diagonals = self.diagonals @ self.diagonals.T
        return Inner(self._products() + diagonals, diagonals, self.diagonals.sum(1), self.n)

    def permuted(self, groups: Sequence[Sequence[int]], draws: int, rng: np.random.Generator) -> np.ndarray:
        """<K, L> with the examples of L permuted, for K and L of one group (draws, m, m); NaN elsewhere."""
        found = np.full((draws, len(self.names), len(self.names)), np.nan)
        for products in found:
            order = rng.permutation(self.n)
            for group in map(list, groups):
                diagonals = self.diagonals[group] @ self.diagonals[group][:, order].T
                products[np.ix_(group, group)] = self._products(group, order) + diagonals
        return found

    def _products(
        self, group: slice | list[int] = slice(None), order: np.ndarray | None = None
    ) -> np.ndarray:
        """<K, L> without diagonals, for K and L of a group; with an order, that of the examples of L."""
        total = 0.0
        for start in range(0, self.n, ROWS):
            first = second = self.grams[group, start : start + ROWS]
            if order is not None:
                second = self.grams[np.ix_(group, order[start : start + ROWS])].take(order, axis=2)
            total = total + (_flat(first) @ _flat(second).T).astype(float)
        return total

    def shared_neighbours(self) -> np.ndarray:
        """Mean share of the neighbours that two feature sets have in common, 0 to 1 (m, m)."""
        flat = _flat(self.near)
        share = np.empty((len(flat), len(flat)))
        for i, one in enumerate(flat):
            common = np.bitwise_count(one & flat[i:]).sum(1, dtype=np.int64)
            share[i, i:] = share[i:, i] = common / (self.n * self.neighbours)
        return share


def nearest(k: np.ndarray, count: int) -> np.ndarray:
    """Which examples are the ``count`` nearest of each, by the distances in a Gram matrix: bits (n, n/8)."""
    far = np.diagonal(k) - 2 * k  # squared distances, up to each row's own length
    np.fill_diagonal(far, np.inf)
    chosen = np.argpartition(far, count - 1, axis=1)[:, :count]
    bits = np.zeros(k.shape, dtype=bool)
    np.put_along_axis(bits, chosen, True, axis=1)
    return np.packbits(bits, axis=1)


def normalised(values: np.ndarray, names: Sequence, by: np.ndarray | None = None) -> np.ndarray:
    """values_ij / √(by_ii by_jj), ``by`` being the values unless given; NaN, with a warning that names it,
    where a feature set has none of its own: constant, not finite, or a negative unbiased estimate."""
    own = np.diagonal(values if by is None else by).copy()
    bad = ~(np.isfinite(own) & (own > 0))
    if bad.any():
        which = ", ".join(_words(name) for name, is_bad in zip(names, bad, strict=True) if is_bad)
        text = f"no similarity with {which}: the features are constant or not finite"
        warnings.warn(text, ConstantFeatures, stacklevel=3)
    own[bad] = np.nan
    return values / np.sqrt(np.outer(own, own))


def _words(name: Hashable) -> str:
    return " ".join(map(_words, name)) if isinstance(name, tuple) else str(name)


def compare(
    chunks: Iterable[Chunk],
    groups: Sequence[Sequence[int]] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Similarities of all feature sets with all, added up over chunks of examples: metric -> (m, m).

    cka (plain, as biased as the number of examples in a chunk makes it), cka_debiased (sums of unbiased
    estimates, which converge to what all examples give), cka_null (the mean of plain CKA over permutations of
    the examples, exact), cka_null_high (the largest of ``draws`` such permutations, for feature sets of one
    of the ``groups``), neighbours (mean share of common nearest neighbours).
    """
    rng = np.random.default_rng(seed)
    total: dict[str, np.ndarray] = {}
    names, examples = [], 0
    for chunk in chunks:
        inner, names, examples = chunk.inner(), chunk.names, examples + chunk.n
        sums = {"cka": inner.products, "cka_debiased": inner.unbiased(), "cka_null": inner.of_permuted()}
        if groups and draws:
            sums["cka_null_high"] = chunk.permuted(groups, draws, rng)
        if chunk.near is not None:
            sums["neighbours"] = chunk.shared_neighbours() * chunk.n
        total = {name: total.get(name, 0) + value for name, value in sums.items()}
        del chunk  # before the next is made
    if not total:
        raise TlbookError("There are no examples to compare features on.")
    result = {"cka": normalised(total["cka"], names)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantFeatures)  # named once already
        result["cka_debiased"] = normalised(total["cka_debiased"], names)
        result["cka_null"] = normalised(total["cka_null"], names, by=total["cka"])
        if "cka_null_high" in total:
            drawn = [normalised(values, names, by=total["cka"]) for values in total["cka_null_high"]]
            result["cka_null_high"] = np.max(drawn, axis=0)
    if "neighbours" in total:
        result["neighbours"] = total["neighbours"] / examples
    return result


def cka_of_positions(sets: Sequence[np.ndarray], names: Sequence) -> np.ndarray:
    """Plain CKA (m, m) of all with all where a row is one position of a map: sets (rows, channels)."""
    return normalised(inner_by_features([centred(x) for x in sets]).products, names)
