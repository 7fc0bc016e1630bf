"""Which images train, choose (dev) and test: stratified, from one fixed seed, before any cap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from tlbook.errors import TlbookError

SPLIT_SEED = 2020  # the seed of the official DomainNet subsample
DEV_SHARE = 0.1
MIN_PER_CLASS = 4  # one each for test and dev, and two to train on


def split(
    labels: Sequence[int], classes: Sequence[str], official: Sequence[str] = (), dev: bool = True
) -> dict[str, np.ndarray]:
    """Indices of train, dev and test, each in the order of the images.

    ``labels`` are n class indices. ``official`` is empty (test is then a stratified half) or holds "train" or
    "test" per image. ``dev`` takes a stratified tenth of the training half; without it dev is empty (the
    source, on which nothing is chosen). Raises TlbookError where a class has too few images to be split.
    """
    labels = np.asarray(labels)
    everything = np.arange(len(labels))
    if len(official):
        is_test = np.asarray(official) == "test"
        train, test = everything[~is_test], everything[is_test]
    else:
        _enough(labels, classes, "")
        train, test = _stratified(everything, labels, len(labels) // 2)
    if not dev:
        return {"train": train, "dev": train[:0], "test": test}
    _enough(labels[train], classes, " to train on", minimum=2)
    train, chosen = _stratified(train, labels, max(round(DEV_SHARE * len(train)), len(classes)))
    return {"train": train, "dev": chosen, "test": test}


def cap(indices: np.ndarray, labels: Sequence[int], limit: int, classes: Sequence[str]) -> np.ndarray:
    """At most ``limit`` of ``indices``, stratified, in their order; fewer than the classes is refused."""
    if len(indices) <= limit:
        return indices
    if limit < len(classes):
        raise TlbookError(f"A cap of {limit} images is fewer than the {len(classes)} classes.")
    labels = np.asarray(labels)
    surplus, counts = len(indices) - limit, np.bincount(labels[indices], minlength=len(classes))
    rare = counts[counts > 0].min() * limit < len(indices)
    if rare or surplus < len(classes):
        return _spread(indices, labels, limit)
    return _stratified(indices, labels, surplus)[0]


def _spread(indices: np.ndarray, labels: np.ndarray, limit: int) -> np.ndarray:
    """The same share of every class and at least one image, where scikit-learn does not give that.

    It refuses to leave out fewer images than there are classes, and may leave out all of a rare class.
    """
    rng = np.random.RandomState(SPLIT_SEED)
    place = np.empty(len(indices))
    for label in np.unique(labels[indices]):
        members = np.flatnonzero(labels[indices] == label)
        place[rng.permutation(members)] = np.arange(len(members)) / len(members)
    return np.sort(indices[np.argsort(place, kind="stable")[:limit]])


def _stratified(indices: np.ndarray, labels: np.ndarray, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    kept, out = train_test_split(
        indices, test_size=held_out, stratify=labels[indices], random_state=np.random.RandomState(SPLIT_SEED)
    )
    return np.sort(kept), np.sort(out)


def _enough(labels: np.ndarray, classes: Sequence[str], what_for: str, minimum: int = MIN_PER_CLASS) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < minimum:
        name = classes[int(counts.argmin())]
        few = f"The class {name!r} has {counts.min()} image(s){what_for}"
        raise TlbookError(f"{few}; at least {minimum} are needed.")
