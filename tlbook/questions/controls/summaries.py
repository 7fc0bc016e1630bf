"""Tables of the controls over seeds, and as a reader wants them.

Intervals are 95 %, Student's t over seeds, conditional on the one P and the one split.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook.evidence.selection import FITTED
from tlbook.intervals import between, over_seeds, share, widest
from tlbook.scales import CONTROLS
from tlbook.vocabulary import headline, in_book_order, p_t_and_ri_t, points

OVER = {"end": "final metric", "whole": "mean over the run", "tenth": "mean over its first tenth"}


def _groups(table: pd.DataFrame, keys: list[str]):
    """Each group of a table as (its keys, its rows), in the book's order, and in that of `OVER`."""
    if "over" in keys:
        table = table.sort_values("over", key=lambda over: over.map(list(OVER).index), kind="stable")
    ordered = in_book_order(table, [key for key in keys if key != "over"])
    for values, rows in ordered.groupby(keys, sort=False):
        yield dict(zip(keys, values, strict=True)), rows


def speed_summary(times: pd.DataFrame) -> pd.DataFrame:
    """Over seeds: epochs and images until RI-T's final metric, with intervals, and how many times sooner.

    ``times`` is the table time_to_level or few_images_time. The mean counts a run that never got there at its
    last epoch (the mean time restricted to the length of a run, which is known whatever would come later);
    its interval is the widest that any times within the measured intervals give, cut at 0 and at that epoch,
    outside of which it cannot lie. ``sooner`` is the length of RI-T's runs divided by that mean; without an
    upper bound (inf) where the interval touches 0.
    Columns role, init, rate (and images, where the table has them), n, reached (how many runs got there),
    epochs, epochs_low, epochs_high, images_seen and its bounds, sooner and its bounds.
    """
    task = ["role", *({"images"} & set(times.columns))]
    lengths = times[(times.init == "RI-T") & (times.unit == "epochs")].groupby(task)["last"].max()
    rows = []
    for row, runs in _groups(times, [*task, "init", "rate"]):
        of_unit = {unit: rows for unit, rows in runs.groupby("unit")}
        length = lengths.get(tuple(row[name] for name in task) if len(task) > 1 else row["role"], np.nan)
        row |= {"n": runs.seed.nunique(), "reached": int(of_unit["epochs"].reached.sum())}
        for unit, name in (("epochs", "epochs"), ("images", "images_seen")):
            shown = of_unit[unit]
            low, high = np.clip(widest(shown.low, shown.value), 0.0, shown["last"].max())
            row |= {name: shown.value.mean(), f"{name}_low": low, f"{name}_high": high}
        ends = {"sooner": "epochs", "sooner_low": "epochs_high", "sooner_high": "epochs_low"}
        rows.append(row | {name: length / row[end] if row[end] else np.inf for name, end in ends.items()})
    return pd.DataFrame(rows)


def speed_to_read(times: pd.DataFrame) -> pd.DataFrame:
    """`speed_summary` for reading."""
    summary = speed_summary(times)
    kept = [name for name in ("role", "images", "init", "rate") if name in summary]
    return summary[kept].assign(
        **{
            "got there": [f"{row.reached} of {row.n}" for row in summary.itertuples()],
            "epochs": summary.epochs,
            "95 % interval": list(map(between, summary.epochs_low, summary.epochs_high)),
            "images seen": summary.images_seen.round().astype(int),
            "times sooner": summary.sooner,
            "95 % interval ": list(map(between, summary.sooner_low, summary.sooner_high)),
        }
    )


def lead_summary(lead: pd.DataFrame) -> pd.DataFrame:
    """The table lead over seeds: role, init, rate, split, over, n, mean, low, high, and the share of P-T's.

    Shares are paired by seed, with Fieller's interval (`tlbook.intervals.share`), and NaN for P-T itself.
    """
    same = ["role", "split", "over", "seed"]
    whole = lead[lead.init == "P-T"].set_index(same).value.rename("whole")
    rows = []
    for row, runs in _groups(lead, ["role", "init", "rate", "split", "over"]):
        both = runs.join(whole, on=same, how="inner")
        shares = (np.nan,) * 3 if row["init"] == "P-T" else share(both.value, both.whole)
        shares = dict(zip(("share", "share_low", "share_high"), shares, strict=True))
        rows.append(row | over_seeds(runs.value) | shares)
    return pd.DataFrame(rows)


def shares_to_read(lead: pd.DataFrame) -> pd.DataFrame:
    """`lead_summary` of the redrawn inits, for reading: leads in points, shares of P-T's lead in percent."""
    summary = lead_summary(lead)
    summary = summary[summary.init.isin(CONTROLS)]
    return pd.DataFrame(
        {
            "role": summary.role,
            "init": summary.init,
            "metric": summary.split,
            "over": summary.over,
            "n": summary.n,
            "lead": summary["mean"],
            "95 % interval": list(map(between, summary.low, summary.high)),
            "share of P-T's (%)": 100 * summary.share,
            "95 % interval ": list(map(between, 100 * summary.share_low, 100 * summary.share_high)),
        }
    )


def gain_summary(gain: pd.DataFrame, distance: pd.DataFrame) -> pd.DataFrame:
    """The tables gain and domain_distance side by side.

    Columns role, figure, block_size, block_fraction, metric, n, mean, low, high (over seeds), and the kernel
    distance of the images as the runs see them: distance, distance_low, distance_high (NaN where it was not
    measured).
    """
    keys = ["role", "figure", "block_size", "block_fraction", "metric"]
    summary = pd.DataFrame([row | over_seeds(runs.value) for row, runs in _groups(gain, keys)])
    names = {"value": "distance", "low": "distance_low", "high": "distance_high"}
    full = as_runs_see_them(distance)[["role", "block_size", *names]].rename(columns=names)
    return summary.merge(full, on=["role", "block_size"], how="left")


def as_runs_see_them(distance: pd.DataFrame) -> pd.DataFrame:
    """Kernel distances of the table domain_distance as the runs see the images, each at the largest number
    of images that it was measured at."""
    shown = distance[(distance.metric == "kernel") & (distance.normalisation == "run")]
    return shown[shown.images == shown.groupby(["role", "block_size"]).images.transform("max")]


def few_images_summary(table: pd.DataFrame) -> pd.DataFrame:
    """The table few_images over seeds: role, metric, images, n, mean, low and high of P-T's lead in final
    test metric (points, or hundredths of AUC; Student's interval, over the seeds that have both), how P-T and
    RI-T end, and RI-T's training metric, which is ``fitted`` or not. Roles in the book's order."""
    test, training = p_t_and_ri_t(table).reset_index(), p_t_and_ri_t(table, "train")
    metrics = headline(table).groupby("role").metric.first()
    rows = []
    for row, ends in _groups(test, ["role", "images"]):
        metric, reached = metrics[row["role"]], training.loc[(row["role"], row["images"]), "RI-T"].mean()
        row |= {"metric": metric} | over_seeds((ends["P-T"] - ends["RI-T"]).dropna() * points(metric))
        row |= {"p_t": ends["P-T"].mean(), "ri_t": ends["RI-T"].mean()}
        rows.append(row | {"training": reached, "fitted": reached >= FITTED[metric]})
    return pd.DataFrame(rows)


def few_images_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """`few_images_summary` for reading."""
    summary = few_images_summary(table)
    between_them = list(map(between, summary.low, summary.high))
    shown = summary[["role", "images", "n", "p_t", "ri_t", "mean"]].assign(interval=between_them)
    names = {"p_t": "P-T, test", "ri_t": "RI-T, test", "mean": "lead", "interval": "95 % interval"}
    return shown.assign(training=summary.training).rename(columns=names | {"training": "RI-T, training"})
