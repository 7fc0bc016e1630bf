"""Which images train, choose (dev) and test: from fixed seeds, and stratified unless the paper says how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from tlbook.data.folders import Listing
from tlbook.errors import TlbookError

SPLIT_SEED = 2020  # the seed of the official DomainNet subsample
CHEXPERT_SEED = 1234  # of the official order of CheXpert's rows
DEV_SHARE = 0.1
DOMAINNET_DEV_SHARE = 0.05  # of the training images
REPEATED = ("Cardiomegaly", "Consolidation")  # a training row with either comes twice (official code)
MIN_PER_CLASS = 4  # one each for test and dev, and two to train on


def parts(found: Listing, train: int, test: int, dev: bool) -> dict[str, np.ndarray]:
    """Indices of train, dev and test into a listing, in the order of the examples; an index may come twice.

    ``train`` and ``test`` cap the counts; without ``dev`` that part is empty. How depends on the listing's
    ``scheme``: "stratified" (ours: `split`, then `cap`), "domainnet" or "chexpert" (the official code's).
    """
    return _SCHEMES[found.scheme](found, train, test, dev)


def _stratified_parts(found: Listing, train: int, test: int, dev: bool) -> dict[str, np.ndarray]:
    limits = {"train": train, "dev": len(found.paths), "test": test}
    chosen = split(found.labels, found.classes, found.split, dev)
    drawn = {name: cap(part, found.labels, limits[name], found.classes) for name, part in chosen.items()}
    for name in ("train", *(["dev"] if dev else []), "test"):
        _enough(np.asarray(found.labels)[drawn[name]], found.classes, f" in the {name} part", minimum=1)
    return drawn


def _domainnet_parts(found: Listing, train: int, test: int, dev: bool) -> dict[str, np.ndarray]:
    """The official subsample of each list; dev from training lines outside it, else 5 % of the training."""
    listed = {name: np.flatnonzero(np.asarray(found.split) == name) for name in ("train", "test")}
    chosen = {"train": subsample(listed["train"], train), "test": subsample(listed["test"], test)}
    if not dev:
        return {"train": chosen["train"], "dev": listed["train"][:0], "test": chosen["test"]}
    count = max(1, round(DOMAINNET_DEV_SHARE * len(chosen["train"])))
    left = np.setdiff1d(listed["train"], chosen["train"])
    held_out = np.sort(subsample(left if len(left) >= count else chosen["train"], count))
    kept = chosen["train"][~np.isin(chosen["train"], held_out)]
    return {"train": kept, "dev": held_out, "test": chosen["test"]}


def subsample(indices: np.ndarray, size: int) -> np.ndarray:
    """``size`` of the indices in drawn order, all of them in their own order if there are no more (official
    DomainNet class: a fresh generator for each list)."""
    if size >= len(indices):
        return indices
    return indices[np.random.RandomState(SPLIT_SEED).choice(len(indices), size, replace=False)]


def _chexpert_parts(found: Listing, train: int, test: int, dev: bool) -> dict[str, np.ndarray]:
    """Rows of train.csv in a permuted order: the first train, the next test; dev is the official validation.

    A training row with Cardiomegaly or Consolidation comes twice in a row. The split is by image, so a
    patient can be in both.
    """
    rows = np.flatnonzero(np.asarray(found.split) == "train")
    if train + test > len(rows):
        few = f"train.csv of CheXpert has {len(rows)} rows, fewer than the {train} + {test} images"
        raise TlbookError(f"{few} that are to train and test.")
    order = rows[np.random.RandomState(CHEXPERT_SEED).permutation(len(rows))]
    first = order[:train]
    doubled = [found.classes.index(name) for name in REPEATED]
    twice = np.asarray([found.labels[i] for i in first])[:, doubled].any(1)
    held_out = np.flatnonzero(np.asarray(found.split) == "dev")
    return {
        "train": np.repeat(first, 1 + twice),
        "dev": held_out if dev else held_out[:0],
        "test": order[train : train + test],
    }


_SCHEMES = {
    "stratified": _stratified_parts,
    "domainnet": _domainnet_parts,
    "chexpert": _chexpert_parts,
}


def split(
    labels: Sequence[int], classes: Sequence[str], official: Sequence[str] = (), dev: bool = True
) -> dict[str, np.ndarray]:
    """Indices of train, dev and test, each in the order of the images.

    ``labels`` are n class indices. ``official`` is empty (test is then a stratified half) or holds "train",
    "dev" or "test" per image. With ``dev``, that part is the official one, else a stratified tenth of the
    training half that holds every class; without it dev is empty (the source, on which nothing is chosen).
    Raises TlbookError where a class has too few images to be split, or none in an official part.
    """
    labels = np.asarray(labels)
    given = np.asarray(official)
    if len(given):
        train, chosen, test = (np.flatnonzero(given == name) for name in ("train", "dev", "test"))
        _enough(labels[test], classes, " in the test part", minimum=1)
    else:
        _enough(labels, classes, "")
        train, test = _stratified(np.arange(len(labels)), labels, len(labels) // 2)
        chosen = train[:0]
    if not dev:
        return {"train": train, "dev": train[:0], "test": test}
    if len(chosen):
        _enough(labels[chosen], classes, " in the dev part", minimum=1)
        return {"train": train, "dev": chosen, "test": test}
    _enough(labels[train], classes, " to train on", minimum=2)
    count = max(round(DEV_SHARE * len(train)), len(classes))
    kept, chosen = _stratified(train, labels, count)
    if len(np.unique(labels[chosen])) < len(classes):  # a rare class is left out: it would have no AUC
        chosen = _spread(train, labels, count)
        kept = np.setdiff1d(train, chosen)
    return {"train": kept, "dev": chosen, "test": test}


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
        raise TlbookError(f"{few}; at least {minimum} {'is' if minimum == 1 else 'are'} needed.")
