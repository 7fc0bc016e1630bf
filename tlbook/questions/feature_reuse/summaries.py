"""Tables of question 1 as a reader wants them: how runs end, and what P was worth on each target."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from scipy import stats

from tlbook.evidence.selection import FITTED
from tlbook.intervals import student
from tlbook.scales import FOLDER
from tlbook.vocabulary import (
    RUN,
    at_better_rate,
    at_last_epoch,
    headline,
    in_book_order,
    metric_of,
    p_t_and_ri_t,
    roles,
)

FEW = 3  # fewer runs say nothing about spread
MANY = 10  # runs of each, as far as it pays: Student's t has come near the normal distribution


def final_metrics(curves: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """How unshuffled runs end: role, init, rate, n, test mean and range over seeds, training, the paper's.

    ``curves`` is the table learning_curves, ``paper`` the frame `tlbook.evidence.paper.figure2` (NaN where it
    shows none). Accuracies are percent, AUC 0 to 1. Roles in the book's order, P-T and the low rate first.
    """
    kinds = ["role", "init", "rate", "metric"]
    final = headline(at_last_epoch(curves))
    of_split = {split: rows.groupby(kinds).value for split, rows in final.groupby("split")}
    ends = of_split["test"].agg(n="size", test="mean", lowest="min", highest="max")
    ends["training"] = of_split["train"].mean()
    theirs = paper[paper.checkpoint == "final"].set_index(kinds).value.rename("paper")
    ends = ends.join(theirs).reset_index().drop(columns="metric")
    return in_book_order(ends, ["role", "init", "rate"])


def drop_by_seed(table: pd.DataFrame) -> pd.DataFrame:
    """The relative drop in percent: columns role, block_size, block_fraction, seed, value.

    ``table`` is block_shuffle. A seed that lacks a run at one of the better rates has no drop, nor has a P-T
    that gets nothing right.
    """
    ends = p_t_and_ri_t(table)
    drop = 100 * (ends["P-T"] - ends["RI-T"]) / ends["P-T"].where(ends["P-T"] > 0)
    return drop.rename("value").dropna().reset_index()


def worth(curves: pd.DataFrame, domains: pd.DataFrame, convergence: pd.DataFrame) -> pd.DataFrame:
    """A row a target: how P-T and RI-T end in test metric, each at its better rate by dev, and their gap.

    The arguments are the tables of these names. ``p_t`` and ``ri_t`` are means over runs (accuracy in
    percent, AUC 0 to 1); ``gain`` is the mean of P-T minus RI-T over the ``n`` seeds that both have, ``low``
    and ``high`` its 95 % interval by Student's t (NaN for one seed). ``training`` is RI-T's final training
    metric: below 90 % it had not fitted its images. ``sooner`` is the share of its training after which P-T
    passed RI-T's end, NaN if a run never did. Of ``domains``: dataset, classes, chance, train (images).
    """
    test, training = p_t_and_ri_t(curves), p_t_and_ri_t(curves, "train")
    passed = convergence[(convergence.reference == "final") & (convergence.metric == "fraction")]
    passed = passed[passed.init == "P-T"].merge(at_better_rate(curves)[RUN].drop_duplicates())
    rows = []
    for role in roles(curves):
        ends, times = test.loc[role], passed[passed.role == role]
        gaps = (ends["P-T"] - ends["RI-T"]).dropna()  # of the seeds that both have
        row = {"role": role, "metric": metric_of(curves[curves.role == role]), "n": len(gaps)}
        row |= dict(zip(("gain", "low", "high"), student(gaps), strict=True))
        row |= {"p_t": ends["P-T"].mean(), "ri_t": ends["RI-T"].mean()}
        row |= {"training": training.loc[role, "RI-T"].mean()}
        rows.append(row | {"sooner": times.value.mean() if times.reached.all() else float("nan")})
    return pd.DataFrame(rows).merge(domains[["role", "dataset", "classes", "train", "chance"]])


def what_p_gave(curves: pd.DataFrame, domains: pd.DataFrame, convergence: pd.DataFrame) -> list[str]:
    """`worth` in words, a sentence or two for each target."""
    return [in_words(row) for row in worth(curves, domains, convergence).itertuples()]


def in_words(row) -> str:
    """A row of `worth` as a reader wants to be told it."""
    auc = row.metric == "auc"

    def said(value: float, digits: int = 1) -> str:
        return f"AUC {value:.3f}" if auc else f"{value:.{digits}f}\N{NO-BREAK SPACE}%"

    name = Path(row.dataset).name if row.dataset.startswith(FOLDER) else row.dataset
    digits = 3 if auc else 1
    spread = f"{row.n} run(s) of each, too few for an interval"
    if row.n >= FEW:
        spread = f"95 % interval {row.low:.{digits}f} to {row.high:.{digits}f}, {row.n} runs of each"
    sentences = [
        f"{row.role} · {name} ({row.classes} classes, {row.train} training images, chance "
        f"{said(row.chance, 0)}): P-T ends at {said(row.p_t)}, RI-T at {said(row.ri_t)}.",
        f"P gave {row.gain:+.{digits}f} {'of AUC' if auc else 'points'} ({spread}).",
    ]
    if sharper := what_would_sharpen(row):
        sentences.append(sharper)
    if row.sooner == row.sooner:
        share = f"{100 * row.sooner:.0f}\N{NO-BREAK SPACE}%"
        sentences.append(f"P-T passed RI-T's end after {share} of its training.")
    if row.training < FITTED[row.metric]:
        sentences.append(
            f"But RI-T had reached only {said(row.training)} on its own training images: some of this may "
            "only mean that it needed longer."
        )
    return " ".join(sentences)


def what_would_sharpen(row) -> str:
    """What to do about an interval of `worth` that holds 0: how much `MANY` seeds of such a scatter would
    narrow it, by Student's t; '' where it does not hold 0, or rests on as many seeds."""
    if not row.low <= 0 <= row.high or row.n >= MANY:
        return ""
    half = {n: stats.t.ppf(0.975, n - 1) / n**0.5 for n in (row.n, MANY)}
    return (
        f"{MANY} seeds (the parameter seeds) whose runs scatter as these do would make the interval "
        f"{half[row.n] / half[MANY]:.1f} times as narrow."
    )
