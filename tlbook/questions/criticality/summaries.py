"""What the tables of question 4 say: losses by rewinding, criticality of networks, whether it ranks runs.

Frames in, frames out; no network is needed.
"""

from __future__ import annotations

import pandas as pd
from scipy.stats import spearmanr

from tlbook.scales import INITS
from tlbook.vocabulary import RUN, headline, in_book_order, modules, roles


def losses(rewind: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """The table rewind with ``lost``: the role's metric of the network itself minus that of the changed one.

    In points of accuracy, or AUC; positive is worse. Rows of module "none" are left out.
    """
    table = headline(rewind)
    table = table[table.split == split]
    whole = table[table.module == "none"].set_index(RUN).value.rename("whole")
    changed = table[table.module != "none"].join(whole, on=RUN)
    return changed.assign(lost=changed.whole - changed.value).drop(columns="whole").reset_index(drop=True)


def compared(rewind: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Losses by rewinding to epoch 0 per module: mean and range over seeds, and the paper's loss, if it has a
    module of that name (`tlbook.evidence.paper.figure5`; xray).

    Columns role, init, rate, module, n, lost, lowest, highest, redrawn, paper.
    """
    keys = ["role", "init", "rate", "module"]
    lost = losses(rewind)
    names = modules(lost.module)
    lost = lost[(lost.to_epoch == 0) & lost.module.isin(names)]
    back = lost[lost.method == "rewind"].groupby(keys).lost
    table = back.agg(n="size", lost="mean", lowest="min", highest="max")
    table["redrawn"] = lost[lost.method == "redraw"].groupby(keys).lost.mean()
    whole = paper[paper.module == "none"].set_index(["init", "rate"]).value.rename("whole")
    theirs = paper.join(whole, on=["init", "rate"])
    theirs = theirs.assign(role="xray", paper=theirs.whole - theirs.value)[[*keys, "paper"]]
    table = table.reset_index().merge(theirs, "left", keys)
    return in_book_order(table, keys, names)


def ranks_gap(network: pd.DataFrame) -> pd.DataFrame:
    """Does a network's criticality rank the runs of a role by their generalisation gap?

    Spearman's correlation over runs (1: the more critical, the larger the gap), over all runs of a role and
    within each init, for the direct path. NaN where either does not vary or fewer than three runs have both.
    ``network`` is the table network_criticality. Columns role, norm, runs (all, P-T, RI-T), n, spearman.
    """
    both = network[network.path == "direct"].dropna(subset=["value", "gap"])
    rows = []
    for role in roles(both):
        for norm in ("raw", "relative"):
            every = both[(both.role == role) & (both.norm == norm)]
            for kind in ("all", *INITS):
                runs = every if kind == "all" else every[every.init == kind]
                rows.append((role, norm, kind, len(runs), rank(runs)))
    return pd.DataFrame(rows, columns=["role", "norm", "runs", "n", "spearman"])


def rank(runs: pd.DataFrame) -> float:
    """Spearman's correlation of the columns value and gap; NaN where it says nothing."""
    if len(runs) < 3 or runs.value.nunique() < 2 or runs.gap.nunique() < 2:
        return float("nan")
    return float(spearmanr(runs.value, runs.gap).statistic)
