"""Tables of question 1 as a reader wants them: how runs end, and what P was worth on each target."""

from __future__ import annotations

import pandas as pd

from tlbook.intervals import student
from tlbook.scales import INITS
from tlbook.vocabulary import at_last_epoch, better_rate, headline, in_book_order, metric_of, roles


def worth(curves: pd.DataFrame, domains: pd.DataFrame, convergence: pd.DataFrame) -> pd.DataFrame:
    """A row a target: how P-T and RI-T end in test metric, each at its better rate by dev, and their gap.

    The arguments are the tables of these names. ``p_t`` and ``ri_t`` are means over runs (accuracy in
    percent, AUC 0 to 1); ``gain`` is the mean of P-T minus RI-T over the ``n`` seeds that both have, ``low``
    and ``high`` its 95 % interval by Student's t (NaN for one seed). ``training`` is RI-T's final training
    metric: below 90 % it had not fitted its images. ``sooner`` is the share of its training after which P-T
    passed RI-T's end, NaN if a run never did. Of ``domains``: dataset, classes, chance, train (images).
    """
    about = domains.set_index("role")
    rows = []
    for role in roles(curves):
        own = headline(curves[curves.role == role])
        metric = own.metric.iloc[0]
        rates = {init: better_rate(own[own.init == init]) for init in INITS}
        ends = {init: _ends(own, init, rate) for init, rate in rates.items()}
        gaps = (ends["P-T"].test - ends["RI-T"].test).dropna()  # of the seeds that both have
        gain, low, high = student(gaps)
        when = convergence.query("role == @role and reference == 'final' and metric == 'fraction'")
        when = when[(when.init == "P-T") & (when.rate == rates["P-T"])]
        rows.append(
            {"role": role, **about.loc[role, ["dataset", "classes", "train", "chance"]], "metric": metric,
             "p_t": ends["P-T"].test.mean(), "ri_t": ends["RI-T"].test.mean(),
             "n": len(gaps), "gain": gain, "low": low, "high": high, "training": ends["RI-T"].train.mean(),
             "sooner": when.value.mean() if when.reached.all() else float("nan")}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _ends(curves: pd.DataFrame, init: str, rate: str) -> pd.DataFrame:
    """Final metric by seed (rows) and split (columns)."""
    final = at_last_epoch(curves[(curves.init == init) & (curves.rate == rate)])
    return final.pivot(index="seed", columns="split", values="value")


def final_metrics(curves: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """How unshuffled runs end: role, init, rate, n, test mean and range over seeds, training, the paper's.

    ``curves`` is the table learning_curves, ``paper`` the frame `tlbook.evidence.paper.figure2` (NaN where it shows
    none). Accuracies are percent, AUC 0 to 1. Roles in the book's order, P-T and the low rate first.
    """
    final = at_last_epoch(curves)
    rows = []
    for (role, init, rate), runs in final.groupby(["role", "init", "rate"]):
        metric = metric_of(runs)
        test = runs[(runs.split == "test") & (runs.metric == metric)].value
        train = runs[(runs.split == "train") & (runs.metric == metric)].value
        theirs = paper.query("role == @role and init == @init and rate == @rate and metric == @metric")
        theirs = theirs[theirs.checkpoint == "final"].value
        rows.append(
            {
                "role": role,
                "init": init,
                "rate": rate,
                "n": len(test),
                "test": test.mean(),
                "lowest": test.min(),
                "highest": test.max(),
                "training": train.mean(),
                "paper": theirs.iloc[0] if len(theirs) else float("nan"),
            }
        )
    return in_book_order(pd.DataFrame(rows), ["role", "init", "rate"])
