"""What the tables of question 4 say: losses by rewinding, criticality of networks, whether it ranks runs.

Frames in, frames out; no network is needed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from tlbook.scales import INITS, RATES, TARGETS
from tlbook.vocabulary import RUN, headline, modules

KINDS = ("all", *INITS)


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
    """Losses by rewinding to epoch 0 per module: mean and range over seeds, and the paper's loss, if it has
    a module of that name (`tlbook.evidence.paper.figure5`; xray). Columns role, init, rate, module, n, lost, lowest,
    highest, redrawn, paper."""
    lost = losses(rewind)
    lost = lost[lost.to_epoch == 0]
    theirs = paper.set_index(["init", "rate", "module"]).value
    rows = []
    order = {name: place for place, name in enumerate((*TARGETS, *INITS, *RATES))}
    kinds = lost.groupby(["role", "init", "rate"])
    for (role, init, rate), own in sorted(kinds, key=lambda kind: [order[name] for name in kind[0]]):
        for module in modules(own.module):
            back = own[(own.module == module) & (own.method == "rewind")].lost
            fresh = own[(own.module == module) & (own.method == "redraw")].lost
            known = role == "xray" and (init, rate, module) in theirs.index
            rows.append(
                {"role": role, "init": init, "rate": rate, "module": module, "n": len(back),
                 "lost": back.mean(), "lowest": back.min(), "highest": back.max(), "redrawn": fresh.mean(),
                 "paper": theirs[init, rate, "none"] - theirs[init, rate, module] if known else np.nan}
            )  # fmt: skip
    return pd.DataFrame(rows)


def ranks_gap(network: pd.DataFrame) -> pd.DataFrame:
    """Does a network's criticality rank the runs of a role by their generalisation gap?

    Spearman's correlation over runs (1: the more critical, the larger the gap), over all runs of a role and
    within each init, for the direct path. NaN where either does not vary or fewer than three runs have both.
    ``network`` is the table network_criticality. Columns role, norm, runs (all, P-T, RI-T), n, spearman.
    """
    both = network[network.path == "direct"].dropna(subset=["value", "gap"])
    rows = []
    for role in [role for role in TARGETS if role in set(both.role)]:
        for norm in ("raw", "relative"):
            own = both[(both.role == role) & (both.norm == norm)]
            for kind in KINDS:
                runs = own if kind == "all" else own[own.init == kind]
                found = {"n": len(runs), "spearman": rank(runs)}
                rows.append({"role": role, "norm": norm, "runs": kind} | found)
    return pd.DataFrame(rows)


def rank(runs: pd.DataFrame) -> float:
    """Spearman's correlation of the columns value and gap; NaN where it says nothing."""
    if len(runs) < 3 or runs.value.nunique() < 2 or runs.gap.nunique() < 2:
        return float("nan")
    return float(spearmanr(runs.value, runs.gap).statistic)
