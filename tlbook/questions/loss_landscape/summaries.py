"""Question 3 in words and numbers: what kinds of pairs are called, and barriers, basins, rescaled twins and
soups as small tables for the page.

Intervals are 95 % over seeds: each left out in turn (`tlbook.intervals.over_pairs`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.intervals import between, jackknife, over_pairs

KINDS = (
    "P-T & P-T",
    "P-T & RI-T",
    "RI-T & RI-T",
    "RI-T & RI-T, same init",
)  # what the paper's figures compare
CONTROLS = {
    "order": "P-T & P-T: other order only",
    "head": "P-T & P-T: other head only",
    "rate": "P-T & P-T: other rate only",
    "other_source": "P-T & P-T: other P only",
}
ORDER = (
    "P-T & P-T",
    "P-T & P-T, both high",
    *CONTROLS.values(),
    "P-T & RI-T",
    "P-T & RI-T, both low",
    "P-T & RI-T, both high",
    "RI-T & RI-T, same init",
    "RI-T & RI-T",
    "RI-T & RI-T, both low",
)
SPLITS = {"metric": "test", "loss": "test", "calibrated_loss": "test", "training_loss": "train"}
REACH = 0.1  # the relative length of a step at which twins are compared, as in claim 21


def measured(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Rows of one measure: "metric" (the role's, on test), "loss" or "calibrated_loss" (test), or
    "training_loss"."""
    rows = table[table.split == SPLITS[what]]
    if what == "metric":
        return vocabulary.headline(rows)
    return rows[rows.metric == what.removeprefix("training_")]


def with_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column ``pair``, what their kind is called: the paper's by their inits and what they
    share, others with their rates or as `CONTROLS`. A table without pairings holds independent pairs."""
    named = table if "pairing" in table else table.assign(pairing="independent")
    return table.assign(pair=pd.Series(map(_name, named.itertuples()), index=table.index, dtype=object))


def _name(row) -> str:
    if row.pairing in CONTROLS:
        return CONTROLS[row.pairing]
    name = f"{row.init} & {row.init_b}"
    if row.pairing != "independent":
        return f"{name}, {row.pairing.replace('_', ' ')}"
    if (row.rate, row.rate_b) == tuple(vocabulary.PAPER_RATES[init] for init in (row.init, row.init_b)):
        return name
    return f"{name}, both {row.rate}" if row.rate == row.rate_b else f"{name}, {row.rate} & {row.rate_b}"


def final(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of pairs of final models."""
    return table[(table.checkpoint == "final") & (table.checkpoint_b == "final")]


def in_order(pairs: pd.Series) -> list[str]:
    """The kinds of pairs that there are, as in `ORDER`, others after them."""
    return sorted(set(pairs), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def _by_pair(named: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(role, kind of pair, their rows) in the book's order."""
    for role in vocabulary.roles(named):
        of_role = named[named.role == role]
        for pair in in_order(of_role.pair):
            yield role, pair, of_role[of_role.pair == pair]


def barriers(table: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Height, place and width of the barriers by kind of pair, beside the paper's lowest points.

    ``table`` is the table barriers; ``paper`` the frames `tlbook.evidence.paper.figure4` and `figure16`, one
    under the other. Height is in the role's metric and, in nats, in calibrated test loss; means over pairs.
    """
    rates = {
        "rate": paper.init.map(vocabulary.PAPER_RATES),
        "rate_b": paper.init_b.map(vocabulary.PAPER_RATES),
    }
    theirs = _with_checkpoints(paper.assign(**rates)[paper.quantity == "minimum"])
    theirs = theirs.groupby(["role", "pair"]).value.first()
    rows = []
    for role, pair, of_pair in _by_pair(_with_checkpoints(table)):
        metric = measured(of_pair, "metric")
        means = metric.groupby("quantity").value.mean()
        heights = of_pair[of_pair.quantity == "height"]
        in_metric = measured(heights, "metric")
        row = {"role": role, "pair": pair, "pairs": len(in_metric), "height": means["height"]}
        row["95 % interval"] = _interval(in_metric)
        row |= {quantity: means[quantity] for quantity in ("place", "width", "lowest")}
        row["paper's lowest"] = theirs.get((role, pair), np.nan)
        row["height, calibrated loss"] = measured(heights, "calibrated_loss").value.mean()
        rows.append(row)
    return pd.DataFrame(rows)


def _with_checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """`with_pairs`, and with their checkpoints where they are not both final."""
    named = with_pairs(table)
    at = table.checkpoint + " & " + table.checkpoint_b
    return named.assign(pair=named.pair.where(at == "final & final", named.pair + ", " + at))


def _interval(pairs: pd.DataFrame) -> str:
    """The 95 % interval of the mean over pairs; a dash where fewer than three seeds say nothing about it."""
    few = len({*pairs.seed, *pairs.seed_b}) < 3
    return "–" if few else between(*over_pairs(pairs)[1:])


def basins(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's definition by kind of pair: means over pairs, and how many of them are in one basin.

    ``table`` is the table basins. A pair is in one basin for every epsilon from the spread inside to half of
    the smaller rise outside, so for some epsilon if the first is below the second.
    """
    keys = ["pair", "delta", *vocabulary.PAIR]
    wide = with_pairs(table).pivot(index=keys, columns="quantity", values="value").reset_index()
    rows = []
    for role, pair, of_pair in _by_pair(wide):
        means = of_pair[["distance", "spread"]].mean()
        row = {"role": role, "pair": pair, **means}
        for delta, at in of_pair.groupby("delta"):
            row[f"rise/2, δ = {delta:g}"] = at.epsilon_high.mean()
            row[f"one basin, δ = {delta:g}"] = f"{(at.epsilon_low <= at.epsilon_high).sum()} of {len(at)}"
        rows.append(row)
    return pd.DataFrame(rows)


def twins(table: pd.DataFrame) -> pd.DataFrame:
    """How much sharper a rescaled twin, the same function, seems than the model.

    ``table`` is the table twins. Rise: the training loss after steps of the recorded length nearest 0.1,
    minus that of the model itself, in nats.
    """
    losses = measured(table, "training_loss")
    reach = min(losses.distance[losses.distance > 0], key=lambda distance: abs(distance - REACH))
    keys = ["role", "init", "normalisation"]
    wide = losses.pivot_table(index=[*keys, "factor"], columns="distance", values="value")
    rise = (wide[reach] - wide[0.0]).unstack("factor")  # the factor 1 is the model itself
    twin = rise.drop(columns=1.0).iloc[:, 0]
    named = pd.DataFrame({"rise": rise[1.0], "rise of the twin": twin}).reset_index()
    return vocabulary.in_book_order(named, ["role"]).rename(columns={"normalisation": "steps"})


def soups(table: pd.DataFrame) -> pd.DataFrame:
    """Averaged weights against the mean and the best of their members, and against their ensemble.

    ``table`` is the table soups. The last two columns are the soup minus the mean, with its jackknife
    interval over the seed that is left out, and minus the member that is best on dev.
    """
    shown = vocabulary.headline(table)
    rows = []
    for role in vocabulary.roles(shown):
        of_role = shown[shown.role == role]
        for (init, rate, pairing), group in of_role.groupby(["init", "rate", "pairing"], sort=False):
            by_kind = group.pivot_table(index="left_out", columns="kind", values="value")
            if "-" not in by_kind.index:
                continue
            whole, gain = by_kind.loc["-"], by_kind.soup - by_kind.members
            left_out = gain.drop("-")
            row = {"role": role, "averaged": _group_name(init, rate, pairing)}
            row["models"] = int(group[group.left_out == "-"].members.iloc[0])
            row |= {kind: whole[kind] for kind in ("soup", "members", "best", "ensemble")}
            _, low, high = jackknife(gain["-"], left_out)
            row["soup - members"] = gain["-"]
            row["95 % interval"] = f"{low:.3g} to {high:.3g}" if len(left_out) >= 3 else "–"
            rows.append(row | {"soup - best": whole.soup - whole.best})
    return pd.DataFrame(rows)


def _group_name(init: str, rate: str, pairing: str) -> str:
    if pairing == "rate":
        return f"{init}, both rates"
    return f"{init}, {rate}" + ("" if pairing == "independent" else f", {pairing.replace('_', ' ')}")
