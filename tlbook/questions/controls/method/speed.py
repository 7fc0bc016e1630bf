"""How much sooner, and by how much ahead: times with what is known of them, areas between curves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook.vocabulary import RUN, at_last_epoch, points

EARLY = 0.1  # of a run: where most of a head start lies


def times(curves: pd.DataFrame, metrics: dict[str, str], images: dict[str, int]) -> pd.DataFrame:
    """When each run first reached RI-T's final test metric, and what is known of it.

    ``curves`` is the table control_curves, in which each init has one rate; ``metrics`` maps a role to its
    metric, ``images`` to the training images of an epoch. The level is the mean final test metric of RI-T.
    Test is measured now and then, so the time lies between ``low``, the last measured epoch before (0 if
    there is none), and ``value``, the first at or above. A run that never got there has ``reached`` 0 and its
    ``last`` epoch in both: all that is known is that it takes longer. Columns as the table time_to_level.
    """
    rows = []
    for role, of_role in curves.groupby("role"):
        test = of_role[(of_role.metric == metrics[role]) & (of_role.split == "test")]
        level = float(at_last_epoch(test[test.init == "RI-T"]).value.mean())
        for keys, run in test.groupby(RUN):
            there, last = run[run.value >= level].epoch, int(run.epoch.max())
            first = int(there.min()) if len(there) else last
            before = [0, *run.epoch[run.epoch < first]] if len(there) else [last]
            epochs = {"low": max(before), "value": first, "last": last}
            for unit, factor in (("epochs", 1.0), ("images", float(images[role]))):
                row = dict(zip(RUN, keys, strict=True)) | {"unit": unit}
                row |= {name: epoch * factor for name, epoch in epochs.items()}
                rows.append(row | {"reached": int(len(there) > 0)})
    return pd.DataFrame(rows)


def leads(curves: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """How far each run is ahead of the RI-T of its seed, in points (100 AUC): at the end, and on average.

    The mean over a run is the area between the two curves, by trapezia between measured epochs, divided by
    the epochs: ``over`` is "whole" (of the shorter run), "tenth" (its first tenth) or "end". ``split`` is
    test or train; ``curves`` and ``metrics`` as in `times`. A seed without RI-T is left out. Columns as the
    table lead.
    """
    rows = []
    for (role, split), of_role in curves[curves.split.isin(("test", "train"))].groupby(["role", "split"]):
        runs = of_role[of_role.metric == metrics[role]]
        base = dict(list(runs[runs.init == "RI-T"].groupby("seed")))
        for keys, run in runs[(runs.init != "RI-T") & runs.seed.isin(base)].groupby(RUN):
            named = dict(zip(RUN, keys, strict=True)) | {"split": split}
            for over, ahead in _ahead(run, base[named["seed"]]).items():
                rows.append(named | {"over": over, "value": points(metrics[role]) * ahead})
    return pd.DataFrame(rows, columns=[*RUN, "split", "over", "value"])


def _ahead(run: pd.DataFrame, base: pd.DataFrame) -> dict[str, float]:
    """Mean difference of two curves over the whole of the shorter and its first tenth, and of their ends."""
    one, other = (frame.set_index("epoch").value.sort_index() for frame in (run, base))
    last = min(one.index[-1], other.index[-1])
    ahead = {"end": float(one.iloc[-1] - other.iloc[-1])}
    for name, until in (("whole", last), ("tenth", EARLY * last)):
        at = np.unique([*one.index, *other.index, until]).astype(float)
        at = at[at <= until]
        gap = np.interp(at, one.index, one.values) - np.interp(at, other.index, other.values)
        ahead[name] = float(np.trapezoid(gap, at) / until)
    return ahead
