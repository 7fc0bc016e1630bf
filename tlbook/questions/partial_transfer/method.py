"""What a module's frozen features say of a target: linear probes and nearest neighbours, without training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from torch import Tensor

from tlbook import metrics
from tlbook.models import Network

PENALTIES = np.logspace(-2, 5, 15)  # of the probe's weights; features have unit variance
NEIGHBOURS = 10


@torch.no_grad()
def features(network: Network, images: Iterable[Tensor]) -> Iterator[tuple[str, np.ndarray]]:
    """Each module but the head, and what it puts out, averaged over positions: float64 (n, channels)."""
    passing = list(images)
    for module, step in network.steps().items():
        if module == network.head:
            return
        passing = [step(batch) for batch in passing]
        means = [out.float().flatten(2).mean(2) if out.ndim > 2 else out.float() for out in passing]
        yield module, torch.cat(means).double().cpu().numpy()


def probe(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, method: str) -> np.ndarray:
    """Scores (m, classes) of test examples from features (n, d) and answers (n, classes), 0 or 1.

    "linear": ridge regression on the answers, features standardised, with the penalty that leaving each
    training example out in turn prefers (Kumar et al. 2022 probe before they fine-tune). "neighbours": the
    share of each answer among the `NEIGHBOURS` nearest training examples.
    """
    spread = x.std(0)
    x, x_test = ((part - x.mean(0)) / np.where(spread > 0, spread, 1.0) for part in (x, x_test))
    if method == "linear":
        return RidgeCV(PENALTIES).fit(x, y).predict(x_test)
    return KNeighborsRegressor(min(NEIGHBOURS, len(x))).fit(x, y).predict(x_test)


def measured(scores: np.ndarray, labels: Tensor, metric: str) -> float:
    """Accuracy in percent or AUC (``metric``) of such scores."""
    measure = metrics.auc if metric == "auc" else metrics.accuracy
    return measure(torch.from_numpy(scores), labels)
