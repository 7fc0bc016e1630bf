"""Averages of the weights of several models ("soups", Wortsman et al. 2022), and what they are to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import metrics
from tlbook.errors import TlbookError
from tlbook.models.interpolation import average
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

KINDS = ("soup", "members", "best", "ensemble")


Predicted = Mapping[str, tuple[Tensor, Tensor]]  # dev and test -> logits, labels


def predicted(evaluator: Evaluator, state: Mapping[str, Tensor]) -> Predicted:
    """What a member predicts on dev and test, to be reused in several soups."""
    model = evaluator.load(state)
    return {split: evaluator.predict(model, split) for split in ("dev", "test")}


def soup(
    evaluator: Evaluator,
    members: Sequence[Mapping[str, Tensor]],
    metric: str,
    known: Sequence[Predicted] | None = None,
) -> pd.DataFrame:
    """Test metrics of the averaged weights beside their members: columns kind, split, metric, value.

    soup: one model with the mean of the weights; members: the mean of the members' metrics; best: the member
    that is best on dev by ``metric`` (the first on ties); ensemble: the members' probabilities averaged,
    which takes as many forward passes as there are members. ``known`` are the members' `predicted`. Fewer
    than two members are refused.
    """
    if len(members) < 2:
        raise TlbookError(f"A soup needs at least two models, not {len(members)}.")
    known = known or [predicted(evaluator, state) for state in members]
    own = pd.DataFrame([metrics.measure(*one["test"], metric) for one in known])
    on_dev = [metrics.measure(*one["dev"], metric)[metric] for one in known]
    labels = known[0]["test"][1]
    together = _mean_probability([one["test"][0] for one in known], labels.ndim == 2)
    mixed = evaluator.measure(average(members), ("test",))
    found = {
        "soup": {name: value for (_, name), value in mixed.items()},
        "members": own.mean(skipna=False).to_dict(),
        "best": own.iloc[int(np.argmax(on_dev))].to_dict(),
        "ensemble": metrics.measure(together, labels, metric),
    }
    rows = [(kind, "test", name, value) for kind, values in found.items() for name, value in values.items()]
    return pd.DataFrame(rows, columns=["kind", "split", "metric", "value"])


def _mean_probability(logits: Sequence[Tensor], several_labels: bool) -> Tensor:
    """Logits (n, k) whose probabilities are the mean of the members'."""
    stacked = torch.stack(list(logits)).double()
    if several_labels:
        return torch.logit(stacked.sigmoid().mean(0), eps=1e-12)
    return torch.logsumexp(stacked.log_softmax(-1), 0) - np.log(len(logits))
