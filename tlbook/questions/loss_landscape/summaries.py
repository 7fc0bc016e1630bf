"""Question 3 in numbers: barriers, basins, rescaled twins and soups, as small tables for the page.

Intervals are 95 % over seeds: each left out in turn (`tlbook.intervals.over_pairs`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.intervals import jackknife, over_pairs
from tlbook.questions.loss_landscape.figures import EVERY_NAME, KINDS, measured, pair_names

REACH = 0.1  # the relative length of a step at which twins are compared, as in claim 21


def barriers(table: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Height, place and width of the barriers by kind of pair, beside the paper's lowest points.

    ``table`` is the table barriers; ``paper`` the frames `tlbook.evidence.paper.figure4` and `figure16` under
    each other. Height is in the role's metric and, in nats, in test loss raw and calibrated; means over
    pairs."""
    named = table.assign(pair=_with_checkpoints(table, pair_names(table)))
    rows = []
    for role in vocabulary.roles(named):
        own = named[named.role == role]
        for pair in sorted(set(own.pair), key=_place):
            of = own[own.pair == pair]
            height = of[of.quantity == "height"]
            metric = measured(height, "metric")
            row = {"role": role, "pair": pair, "pairs": len(metric), "height": metric.value.mean()}
            row["95 % interval"] = interval(metric)
            for name in ("place", "width", "lowest"):
                row[name] = measured(of[of.quantity == name], "metric").value.mean()
            row["paper's lowest"] = _theirs(paper, role, pair)
            row["height, loss"] = measured(height, "loss").value.mean()
            row["height, calibrated loss"] = measured(height, "calibrated_loss").value.mean()
            rows.append(row)
    return pd.DataFrame(rows)


def _with_checkpoints(table: pd.DataFrame, names: pd.Series) -> pd.Series:
    """Names of pairs, with their checkpoints where they are not both final."""
    at = table.checkpoint + " & " + table.checkpoint_b
    return names.where(at == "final & final", names + ", " + at)


def _place(name: str) -> tuple[int, str]:
    known = [index for index, own in enumerate(EVERY_NAME) if name == own]
    return (known[0] if known else len(EVERY_NAME), name)


def interval(rows: pd.DataFrame) -> str:
    """The 95 % interval of the mean over pairs, in words; a dash where fewer than three seeds say nothing
    about it."""
    if rows.empty or len({*rows.seed, *rows.seed_b}) < 3:
        return "–"
    _, low, high = over_pairs(rows)
    return "–" if np.isnan(low) else f"{low:.3g} to {high:.3g}"


def _theirs(paper: pd.DataFrame, role: str, pair: str) -> float:
    """The lowest point in the paper's figure; NaN where it shows none."""
    parts = pair.split(", ")
    at = parts.pop().split(" & ") if parts[-1].split(" & ")[0] in ("best", "final") else ["final", "final"]
    same_run = parts[-1] == "same run"
    name = ", ".join(parts[:-1] if same_run else parts)
    if name not in KINDS:
        return float("nan")
    init, init_b, pairing = KINDS[name]
    rows = paper[(paper.role == role) & (paper.init == init) & (paper.init_b == init_b)]
    rows = rows[(rows.pairing == ("same_run" if same_run else pairing)) & (rows.quantity == "minimum")]
    rows = rows[(rows.checkpoint == at[0]) & (rows.checkpoint_b == at[1])]
    return float(rows.value.iloc[0]) if len(rows) else float("nan")


def basins(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's definition by kind of pair: means over pairs, and how many of them are in one basin.

    ``table`` is the table basins. A pair is in one basin for every epsilon from the spread inside to half of
    the smaller rise outside, so for some epsilon if the first is below the second.
    """
    named = table.assign(pair=pair_names(table))
    keys = ["role", "pair", "delta", *_RUNS]
    wide = named.pivot(index=keys, columns="quantity", values="value").reset_index()
    rows = []
    for role in vocabulary.roles(wide):
        own = wide[wide.role == role]
        for pair in sorted(set(own.pair), key=_place):
            of = own[own.pair == pair]
            row = {"role": role, "pair": pair, "distance": of.distance.mean(), "spread": of.spread.mean()}
            for delta, at in of.groupby("delta"):
                row[f"rise/2, δ = {delta:g}"] = at.epsilon_high.mean()
                held = int((at.epsilon_low <= at.epsilon_high).sum())
                row[f"one basin, δ = {delta:g}"] = f"{held} of {len(at)}"
            rows.append(row)
    return pd.DataFrame(rows)


_RUNS = ["init", "rate", "seed", "init_b", "rate_b", "seed_b"]


def twins(table: pd.DataFrame) -> pd.DataFrame:
    """How much sharper a rescaled twin, the same function, seems than the model.

    ``table`` is the table twins. Rise: the training loss after steps of the recorded length nearest 0.1,
    minus that of the model itself, in nats.
    """
    rows = measured(table, "training_loss")
    reach = min(rows.distance[rows.distance > 0], key=lambda distance: abs(distance - REACH))
    wide = rows.pivot_table(
        index=["role", "init", "normalisation", "factor"], columns="distance", values="value"
    )
    rise = (wide[reach] - wide[0.0]).rename("rise").reset_index()
    found = []
    for role in vocabulary.roles(rise):
        for (init, normalisation), own in rise[rise.role == role].groupby(["init", "normalisation"]):
            model, twin = (own[own.factor == 1].rise, own[own.factor != 1].rise)
            row = {"role": role, "init": init, "steps": normalisation}
            found.append(row | {"rise": model.iloc[0], "rise of the twin": twin.iloc[0]})
    return pd.DataFrame(found)


def soups(table: pd.DataFrame) -> pd.DataFrame:
    """Averaged weights against the mean and the best of their members, and against their ensemble.

    ``table`` is the table soups. The last two columns are the soup minus the mean, with its jackknife
    interval over the seed that is left out, and minus the member that is best on dev.
    """
    shown = vocabulary.headline(table)
    rows = []
    for role in vocabulary.roles(shown):
        own = shown[shown.role == role]
        for (init, rate, pairing), group in own.groupby(["init", "rate", "pairing"], sort=False):
            wide = group.pivot_table(index="left_out", columns="kind", values="value")
            if "-" not in wide.index:
                continue
            row = {"role": role, "averaged": _group_name(init, rate, pairing)}
            row["models"] = int(group[group.left_out == "-"].members.iloc[0])
            row |= {name: wide.loc["-", name] for name in ("soup", "members", "best", "ensemble")}
            gain = wide.soup - wide.members
            row |= {"soup - members": gain["-"], "95 % interval": "–"}
            if len(gain) > 3:
                _, low, high = jackknife(gain["-"], gain.drop("-"))
                row["95 % interval"] = f"{low:.3g} to {high:.3g}"
            rows.append(row | {"soup - best": wide.loc["-", "soup"] - wide.loc["-", "best"]})
    return pd.DataFrame(rows)


def _group_name(init: str, rate: str, pairing: str) -> str:
    if pairing == "rate":
        return f"{init}, both rates"
    return f"{init}, {rate}" + ("" if pairing == "independent" else f", {pairing.replace('_', ' ')}")
