"""The words that all questions share: the book's order, a role's metric, the better rate, the paper's rates,
kinds of pairs, modules by depth, and the selections from tables that everything asks for (no torch).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from tlbook.scales import CONTROLS, INITS, RATES, SHUFFLED_PS, SOURCE, TARGETS

RUN = ["role", "init", "rate", "seed"]  # the columns that name a run
PAIR = [*RUN, "init_b", "rate_b", "seed_b"]  # and a pair of runs
PAIR_KINDS = ("P-T & P-T", "P-T & RI-T", "RI-T & RI-T", "P-T & P", "RI-T & P")
PAPER_RATES = {"P-T": "low", "RI-T": "high", "P": "-"}  # at which the paper shows its models
INIT_ORDER = (*INITS, *CONTROLS, *SHUFFLED_PS)
ORDER = {name: place for place, name in enumerate((*TARGETS, SOURCE, *INIT_ORDER, *RATES, "-", *PAIR_KINDS))}


# The book's order


def in_book_order(frame: pd.DataFrame, columns: Sequence[str], modules: Iterable[str] = ()) -> pd.DataFrame:
    """The rows sorted by some columns of words: roles, inits, rates and kinds of pairs as the book has them,
    ``modules`` by depth, numbers by size."""
    place = ORDER | {name: len(ORDER) + number for number, name in enumerate(by_depth(modules))}
    return frame.sort_values(
        list(columns),
        key=lambda c: c.map(lambda word: place.get(word, word)),
        kind="stable",
        ignore_index=True,
    )


def _those_in(column: pd.Series, order: Sequence[str]) -> list[str]:
    there = set(column)
    return [name for name in order if name in there]


def roles(table: pd.DataFrame) -> list[str]:
    """The targets of a table in the book's order."""
    return _those_in(table.role, TARGETS)


def inits(table: pd.DataFrame) -> list[str]:
    """The inits of a table, P-T first, then RI-T, then controls."""
    return _those_in(table.init, INIT_ORDER)


def rates(table: pd.DataFrame) -> list[str]:
    """The rates of a table, the low one first."""
    return _those_in(table.rate, RATES)


# A role's metric


def metric_of(rows: pd.DataFrame) -> str:
    """The metric of one role's rows: "auc" (0 to 1) where they have it, else "accuracy" (percent)."""
    return "auc" if "auc" in set(rows.metric) else "accuracy"


def points(metric: str) -> float:
    """How many points one unit of a metric is: 100 for AUC, 1 for accuracy (``mean_…`` too)."""
    return 100.0 if metric.removeprefix("mean_") == "auc" else 1.0


def headline(table: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """Rows of each role's metric: AUC where a role has one, else accuracy; ``prefix`` as "mean_"."""
    has_auc = set(table.loc[table.metric == f"{prefix}auc", "role"])
    wanted = table.role.map(lambda role: f"{prefix}auc" if role in has_auc else f"{prefix}accuracy")
    return table[table.metric == wanted]


# Rates


def better_rate(rows: pd.DataFrame) -> str:
    """The rate whose mean *dev* metric over seeds at the last epoch is higher, "low" on ties.

    ``rows`` are runs of one role and init (and block size, and checkpoint). A rate with a run whose dev
    metric is NaN loses to one without; where dev was not measured it is the first rate there is.
    """
    final = at_last_epoch(rows[rows.metric == metric_of(rows)])
    means = final[final.split == "dev"].groupby("rate").value.mean(skipna=False).fillna(-np.inf)
    if means.empty:
        return rates(rows)[0]
    return max(means.index, key=lambda rate: (means[rate], rate == "low"))


def at_better_rate(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at the better rate by dev, which is chosen for every role and init, and block size or
    checkpoint where the table has them; in the book's order of roles and inits."""
    keys = [name for name in ("role", "init", "block_size", "checkpoint") if name in table]
    chosen = [rows[rows.rate == better_rate(rows)] for _, rows in table.groupby(keys, sort=False)]
    order = [name for name in ("role", "init", "checkpoint") if name in table]
    return in_book_order(pd.concat(chosen), order) if chosen else table


def at_papers_rates(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of pairs in which P-T has the low rate and RI-T the high one."""
    first = pairs.rate == pairs.init.map(PAPER_RATES)
    return pairs[first & (pairs.rate_b == pairs.init_b.map(PAPER_RATES))]


# Selections


def at_last_epoch(table: pd.DataFrame, keys: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of each run's last epoch; a table without an epoch column holds only those.

    ``keys`` are the columns that name what has epochs (default: those of `PAIR` that the table has).
    """
    if "epoch" not in table:
        return table
    keys = list(keys) or [name for name in PAIR if name in table]
    return table[table.epoch == table.groupby(keys).epoch.transform("max")]


def p_t_and_ri_t(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """How P-T and RI-T end, a column each, in their role's metric: by role, block size where the table has
    one, and seed. Each at its better rate by dev; NaN where a seed lacks one of the two."""
    ends = headline(at_last_epoch(at_better_rate(table)))
    keys = [name for name in ("role", "block_size", "block_fraction", "images", "seed") if name in table]
    ends = ends[ends.split == split].pivot_table(index=keys, columns="init", values="value")
    return ends.reindex(columns=list(INITS))


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


def pair_kind(pairs: pd.DataFrame) -> pd.Series:
    """What each row's pair is called: "P-T & RI-T"."""
    return pairs.init + " & " + pairs.init_b


# Modules by depth


def depth(name: str) -> tuple[int, int, str]:
    """Sort key: conv1, layer1, layer1.0, …, then fc, as in a ResNet; then any other name, all alike."""
    if name == "conv1":
        return 0, 0, name
    stage, _, block = name.removeprefix("layer").partition(".")
    if name.startswith("layer") and stage.isdigit() and (block.isdigit() or not block):
        return int(stage), int(block or -1), name
    return 10**9, name != "fc", ""


def by_depth(names: Iterable[str]) -> list[str]:
    """The distinct names, from input to output; those that no ResNet has in the order in which they come,
    which is a study's own."""
    return sorted(dict.fromkeys(names), key=depth)


def modules(names: Iterable[str]) -> list[str]:
    """The modules among some names, by depth: conv1, blocks, fc; neither "none" nor whole stages."""
    ordered = by_depth(names)
    return [name for name in ordered if name not in ("none", *stages(ordered))]


def stages(names: Iterable[str]) -> list[str]:
    """The whole stages among some names, by depth: layer1, and what another name is a part of."""
    ordered = by_depth(names)
    return [
        name
        for name in ordered
        if depth(name)[1] == -1 or any(other.startswith(f"{name}.") for other in ordered)
    ]
