"""How much sooner fine-tuning gets where random init ends (paper, section 3.1: "optimization speed")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tlbook.scales import INITS, RATES, TARGETS

RUN = ["role", "init", "rate", "seed"]


def better_rate(curves: pd.DataFrame, metric: str, init: str) -> str:
    """The rate whose final mean *dev* metric over seeds is higher; "low" on ties and where none was measured.

    A rate with a run whose dev metric is NaN loses to one without.

    ``curves`` holds one role's rows of the table learning_curves (or block_shuffle of one block size).
    """
    wanted = curves[(curves.init == init) & (curves.metric == metric)]
    final = at_last_epoch(wanted)
    means = final[final.split == "dev"].groupby("rate").value.mean(skipna=False).fillna(-np.inf)
    if means.empty:
        return min(wanted.rate, key=RATES.index)
    return max(means.index, key=lambda rate: (means[rate], rate == "low"))


def headline(table: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """Rows of each role's metric: AUC where a role has one (xray), else accuracy; ``prefix`` as "mean_"."""
    has_auc = set(table.loc[table.metric == f"{prefix}auc", "role"])
    wanted = table.role.map(lambda role: f"{prefix}auc" if role in has_auc else f"{prefix}accuracy")
    return table[table.metric == wanted]


def at_last_epoch(curves: pd.DataFrame, keys: Sequence[str] = RUN) -> pd.DataFrame:
    """The rows of each run's last epoch; a table without an epoch column holds only those.

    ``keys`` are the columns that name a run, or whatever else has epochs.
    """
    if "epoch" not in curves:
        return curves
    return curves[curves.epoch == curves.groupby(list(keys)).epoch.transform("max")]


def optimisation_speed(history: pd.DataFrame, metric: str) -> float:
    """The mean training metric over epochs 1 … last of one run (Figures 3 and 7, right); NaN if one is."""
    train = history[(history.split == "train") & (history.metric == metric) & (history.epoch >= 1)]
    return float(train.value.mean(skipna=False))


def at_end(history: pd.DataFrame) -> pd.DataFrame:
    """The last epoch of one run's history, and its optimisation speed as the training metric ``mean_…``."""
    final = history[history.epoch == history.epoch.max()]
    speed = [
        {"epoch": final.epoch.iloc[0], "split": "train", "metric": f"mean_{metric}",
         "value": optimisation_speed(history, metric)}
        for metric in final.loc[final.split == "train", "metric"].unique()
    ]  # fmt: skip
    return pd.concat([final, pd.DataFrame(speed)], ignore_index=True)


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
        rate = better_rate(of_role, metric, "RI-T")
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
        keys | {"reference": name, "reference_rate": rate, "metric": metric, "value": float(value),
                "reached": int(len(there) > 0)}
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


def at_better_rate(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table block_shuffle (or learning_curves) at each init's better rate.

    That rate is chosen by dev at every role (and block size).
    """
    roles = table.groupby("role")
    metric = {role: "auc" if "auc" in set(rows.metric) else "accuracy" for role, rows in roles}
    chosen = [
        rows[rows.rate == better_rate(rows, metric[role], init)]
        for (role, init, *_), rows in table.groupby(["role", "init", *({"block_size"} & set(table.columns))])
    ]
    return pd.concat(chosen)


def final_metrics(curves: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """How unshuffled runs end: role, init, rate, n, test mean and range over seeds, training, the paper's.

    ``curves`` is the table learning_curves, ``paper`` the frame `tlbook.paper.figure2` (NaN where it shows
    none). Accuracies are percent, AUC 0 to 1. Roles in the book's order, P-T and the low rate first.
    """
    final = at_last_epoch(curves)
    rows = []
    kinds = final.groupby(["role", "init", "rate"])
    order = {name: place for place, name in enumerate((*TARGETS, *INITS, *RATES))}
    for (role, init, rate), runs in sorted(kinds, key=lambda kind: [order[name] for name in kind[0]]):
        metric = "auc" if "auc" in set(runs.metric) else "accuracy"
        test = runs[(runs.split == "test") & (runs.metric == metric)].value
        train = runs[(runs.split == "train") & (runs.metric == metric)].value
        theirs = paper.query("role == @role and init == @init and rate == @rate and metric == @metric")
        theirs = theirs[theirs.checkpoint == "final"].value
        rows.append({"role": role, "init": init, "rate": rate, "n": len(test), "test": test.mean(),
                     "lowest": test.min(), "highest": test.max(), "training": train.mean(),
                     "paper": theirs.iloc[0] if len(theirs) else float("nan")})
    return pd.DataFrame(rows)
