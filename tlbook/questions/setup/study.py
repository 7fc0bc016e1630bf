"""What the first page shows: the domains' images, shuffled or not, and how a P-T starts (paper, Figure 1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from tlbook import data
from tlbook.data import augment, shuffles
from tlbook.errors import TlbookError
from tlbook.questions import grid
from tlbook.scales import RATES, Scale
from tlbook.training import runs, weight_files
from tlbook.training.executors import ensure_all
from tlbook.training.loop import initial


def samples(scale: Scale, role: str, block_sizes: Sequence[str | int] = (), count: int = 8, seed: int = 0):
    """Training images of a role under each block size: text -> uint8 (count, side, side, 3).

    Spread evenly over the set. Without block sizes, the scale's. MissingData where they are not here.
    """
    domain = data.load(data.request(scale, role))
    chosen = np.linspace(0, len(domain.train) - 1, count).astype(int)
    images = augment.centre_crop(domain.train.images[torch.from_numpy(chosen)], scale.side)
    shown = {}
    for size in block_sizes or scale.shuffles.sizes:
        shuffle = shuffles.Shuffle.of(size, scale.side, grid.SHUFFLE_SEED + seed)
        shown[str(size)] = shuffles.apply(shuffle, images).permute(0, 2, 3, 1).numpy()
    return shown


def pictures(scale: Scale, role: str, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray]:
    """Test images by (path, digest), uint8 (side, side, 3), of those very files that this machine has.

    MissingData where the set is not here.
    """
    test = data.load(data.request(scale, role)).test
    places = {file: place for place, file in enumerate(zip(test.paths, test.digests, strict=True))}
    here = [file for file in dict.fromkeys(wanted) if file in places]
    images = augment.centre_crop(test.images[[places[file] for file in here]], scale.side)
    return dict(zip(here, images.permute(0, 2, 3, 1).numpy(), strict=True))


def start_of_p_t(scale: Scale, role: str, train: bool = True, seeds: Sequence[int] = (0, 1)) -> pd.DataFrame:
    """How far two P-T are from P, and from each other, before training: l2 per module (P's head differs).

    Columns module, first_to_p, second_to_p, first_to_second. A P that is not there is trained, or refused
    unless ``train``.
    """
    data.load(data.request(scale, role))  # the images say how many classes the head has
    ensure_p(scale, train)
    p = runs.weights(grid.pretrained(scale))
    first, second = (initial(grid.p_t(scale, role, RATES[0], seed), p).model for seed in seeds)
    pairs = {
        "first_to_p": (first.state_dict(), p),
        "second_to_p": (second.state_dict(), p),
        "first_to_second": (first.state_dict(), second.state_dict()),
    }
    rows = []
    for module, parameters in first.members().items():
        compared = list(pairs)[2:] if module == first.head else pairs
        rows.append({"module": module} | {name: _distance(*pairs[name], parameters) for name in compared})
    return pd.DataFrame(rows, columns=["module", *pairs])


def source_accuracy(scale: Scale, train: bool = True) -> pd.DataFrame:
    """How P came to know its source: test accuracy in percent after each epoch (columns epoch, value).

    Read from what ships with P, or from our own pre-training, run if need be where ``train`` allows it. A
    user's weights come without a history and are refused.
    """
    if scale.pretrained == "shipped":
        known = weight_files.card(scale.name)["test_accuracy"]
        return pd.DataFrame({"epoch": [int(epoch) for epoch in known], "value": known.values()})
    if scale.pretrained != "train":
        raise TlbookError(f"Nothing is known of how the weights {scale.pretrained} were trained.")
    ensure_p(scale, train)
    history = runs.ensure(grid.source(scale)).history()
    test = history[(history.split == "test") & (history.metric == "accuracy")]
    return test[["epoch", "value"]].reset_index(drop=True)


def ensure_p(scale: Scale, train: bool) -> None:
    """Train P if it is ours and not there yet, or refuse in one sentence unless ``train``."""
    missing = [spec for spec in grid.pretraining(scale) if not runs.is_done(spec)]
    if missing and not train:
        here = "is not trained on this machine, and results='records' trains nothing"
        raise TlbookError(f"P of scale {scale.name} {here}.")
    ensure_all(missing)


def _distance(one, other, parameters: Sequence[str]) -> float:
    return float(sum((one[name] - other[name]).double().square().sum() for name in parameters)) ** 0.5
