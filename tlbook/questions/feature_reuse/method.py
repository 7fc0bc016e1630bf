"""How much sooner fine-tuning gets where random init ends (paper, section 3.1: "optimization speed")."""

from __future__ import annotations

import pandas as pd

from tlbook.vocabulary import RUN, at_last_epoch, better_rate


def convergence(curves: pd.DataFrame, metrics: dict[str, str], images: dict[str, int]) -> pd.DataFrame:
    """When each unshuffled run first reached the level that RI-T ends with.

    ``curves`` is the table learning_curves; ``metrics`` maps a role to its metric, ``images`` to the training
    images of an epoch. The level is the mean test metric of RI-T over seeds at its better rate, at its
    "final" and at its "best" dev epoch. Only measured epochs count, so a value is an upper bound within one
    interval between them. A run that never got there has its last epoch and ``reached`` 0. Rows as the table
    convergence.
    """
    rows = []
    for role, of_role in curves.groupby("role"):
        metric = metrics[role]
        of_role = of_role[of_role.metric == metric]
        rate = better_rate(of_role[of_role.init == "RI-T"])
        reference = of_role[(of_role.init == "RI-T") & (of_role.rate == rate)]
        for name, level in (("final", _final(reference)), ("best", _best(reference))):
            for keys, run in of_role[of_role.split == "test"].groupby(RUN):
                rows += _reached(dict(zip(RUN, keys, strict=True)), run, name, rate, level, images[role])
    return pd.DataFrame(rows)


def _reached(keys: dict, run: pd.DataFrame, name: str, rate: str, level: float, images: int) -> list[dict]:
    there = run[run.value >= level].epoch
    epochs, last = (there.min() if len(there) else run.epoch.max()), run.epoch.max()
    values = {"epochs": epochs, "fraction": epochs / last, "images": epochs * images}
    return [
        keys
        | {
            "reference": name,
            "reference_rate": rate,
            "metric": metric,
            "value": float(value),
            "reached": int(len(there) > 0),
        }
        for metric, value in values.items()
    ]


def _final(reference: pd.DataFrame) -> float:
    last = at_last_epoch(reference)
    return float(last[last.split == "test"].value.mean())


def _best(reference: pd.DataFrame) -> float:
    """The mean over seeds of the test metric at each run's best dev epoch (earliest on ties)."""
    dev = reference[reference.split == "dev"].dropna(subset="value").sort_values("epoch")
    if dev.empty:
        return _final(reference)
    best = dev.loc[dev.groupby("seed").value.idxmax(), ["seed", "epoch"]]
    return float(reference[reference.split == "test"].merge(best).value.mean())
