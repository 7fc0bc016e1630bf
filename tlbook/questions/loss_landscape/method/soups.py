"""Averages of the weights of several models ("soups", Wortsman et al. 2022), and what they are to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import metrics
from tlbook.errors import TlbookError
from tlbook.models.interpolation import average, not_finite
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

KINDS = ("soup", "members", "best", "ensemble")


Predicted = Mapping[str, tuple[Tensor, Tensor]]  # dev and test -> logits, labels


def predicted(evaluator: Evaluator, state: Mapping[str, Tensor]) -> Predicted:
    """What a member predicts on dev and test."""
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
    on_test = pd.DataFrame([metrics.measure(*one["test"], metric) for one in known])
    on_dev = [metrics.measure(*one["dev"], metric)[metric] for one in known]
    labels = known[0]["test"][1]
    together = _mean_probability([one["test"][0] for one in known], labels.ndim == 2)
    averaged = evaluator.measure(average(members), ("test",))
    by_kind = {
        "soup": {name: value for (_, name), value in averaged.items()},
        "members": on_test.mean(skipna=False).to_dict(),
        "best": on_test.iloc[int(np.argmax(on_dev))].to_dict(),
        "ensemble": metrics.measure(together, labels, metric),
    }
    rows = [
        (kind, "test", name, value) for kind, of_kind in by_kind.items() for name, value in of_kind.items()
    ]
    return pd.DataFrame(rows, columns=["kind", "split", "metric", "value"])


def leave_one_out(
    evaluator: Evaluator, members: Sequence[tuple[int, Mapping[str, Tensor]]], metric: str
) -> pd.DataFrame:
    """`soup` of all members (seed, weights), and with each seed left out.

    Columns left_out ("-": none), members (how many), and those of `soup`. A soup with a member that diverged,
    or of one alone, is not made.
    """
    known = [predicted(evaluator, state) for _, state in members]
    diverged = [not_finite(state) is not None for _, state in members]
    tables = []
    for left_out in (None, *sorted({seed for seed, _ in members})):
        kept = [k for k, (seed, _) in enumerate(members) if seed != left_out]
        if len(kept) < 2 or any(diverged[k] for k in kept):
            continue
        table = soup(evaluator, [members[k][1] for k in kept], metric, [known[k] for k in kept])
        tables.append(table.assign(left_out="-" if left_out is None else str(left_out), members=len(kept)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _mean_probability(logits: Sequence[Tensor], several_labels: bool) -> Tensor:
    """Logits (n, k) whose probabilities are the mean of the members'."""
    stacked = torch.stack(list(logits)).double()
    if several_labels:
        return torch.logit(stacked.sigmoid().mean(0), eps=1e-12)
    return torch.logsumexp(stacked.log_softmax(-1), 0) - np.log(len(logits))
