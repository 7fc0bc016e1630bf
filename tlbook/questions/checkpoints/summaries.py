"""What the tables of question 5 say: which checkpoint is good enough, what stands beside the paper's numbers,
what the drop of the learning rate has to do with it.

Frames in, frames out; no network is needed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook.intervals import student
from tlbook.questions.checkpoints.method import by_seed, interval, pooled_noise, source_at
from tlbook.vocabulary import at_better_rate, headline, in_book_order, points, roles

NEAR = 0.03  # of pre-training: how near a checkpoint of the paper must be to stand beside ours
ENDS = {"exponent": "exponent", "slope": "slope at the end", "stops_paying": "stops paying at (%)"}


def drops(source: pd.DataFrame) -> list[int]:
    """The epochs after which the learning rate of pre-training falls, from the rows rate of the table."""
    rates = source[source.metric == "rate"].set_index("checkpoint").value.sort_index().dropna()
    return [int(epoch) for epoch in rates.index[:-1][np.diff(rates) < 0]]


def first_good_enough(behind: pd.DataFrame) -> tuple[pd.Series | None, float]:
    """Of one role's rows of behind_last, the first that the last does not beat beyond noise, and that noise:
    the least difference that would have been seen. None and NaN where one seed cannot say."""
    behind = behind.sort_values("checkpoint")
    noise = (behind.high - behind.low)[:-1].max() / 2
    if behind.low[:-1].isna().any():
        return None, noise
    return behind[behind.low <= 0].iloc[0], noise


def good_enough(behind: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Per role, the first checkpoint that the last does not beat beyond noise, and where it stands.

    ``behind`` is the table behind_last. Columns: role; checkpoint; cost, its share of pre-training in
    percent; behind, in points; noise, the least difference that would have been seen; lasting, the first
    checkpoint from which on all are good enough; source, its accuracy on the source, with its gain over the
    tenth of pre-training before and after it; plateau's end, whether the learning rate drops next (or
    training ends). NaN and "–" where one seed cannot say, or the source is not known.
    """
    accuracy, steps = source_at(source), drops(source)
    rows = []
    for role in roles(behind):
        of_role = behind[behind.role == role].sort_values("checkpoint")
        first, noise = first_good_enough(of_role)
        row = {"role": role, "checkpoint": "–", "cost (%)": np.nan, "behind": np.nan, "noise": noise}
        row["lasting"] = "–"
        if first is not None:
            last = of_role.checkpoint.max()
            beaten = of_role.checkpoint[of_role.low > 0].max()
            lasting = of_role.checkpoint[~(of_role.checkpoint <= beaten)].min()
            row |= {"checkpoint": str(first.checkpoint), "cost (%)": 100 * first.checkpoint_fraction}
            row |= {"behind": first.value, "lasting": str(lasting)}
            row |= _place(first.checkpoint, last, accuracy)
            end = first.checkpoint in (*steps, last)
            row["plateau's end"] = "yes" if end else "no" if steps else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def _place(checkpoint: int, last: int, accuracy: pd.Series) -> dict:
    """Where a checkpoint stands on the source's curve."""
    around = max(round(last / 10), 1)
    before, at, after = (accuracy.get(checkpoint + shift, np.nan) for shift in (-around, 0, around))
    return {"source (%)": at, "gain before": at - before, "gain after": after - at}


def best_on_dev(finetuned: pd.DataFrame) -> pd.DataFrame:
    """Per role, whether the checkpoint that dev prefers beats the last one on test, beyond noise.

    One checkpoint a role is chosen, on dev, so that the interval of its lead on test needs no correction for
    many. Columns: role, checkpoint, last, n, ahead (points of test), low, high, and better, in words.
    """
    rows = []
    for role in roles(finetuned):
        of_role = finetuned[finetuned.role == role]
        dev, test = by_seed(of_role, "dev").mean(skipna=False), by_seed(of_role)
        last = test.columns[-1]
        chosen = dev.fillna(-np.inf).idxmax() if len(dev) else last
        gaps = (test[chosen] - test[last]).dropna()
        half = 0.0 if chosen == last else interval(*pooled_noise(test), len(gaps))
        low, high = gaps.mean() - half, gaps.mean() + half
        words = "the last is best" if chosen == last else _beyond(low, high)
        rows.append((role, chosen, last, len(gaps), gaps.mean(), low, high, words))
    names = ["role", "best on dev", "last", "n", "ahead", "low", "high", "beyond noise"]
    return pd.DataFrame(rows, columns=names)


def _beyond(low: float, high: float) -> str:
    if np.isnan(low):
        return "one seed cannot say"
    return "yes, better" if low > 0 else "no, worse" if high < 0 else "within noise"


def reading(table: pd.DataFrame) -> pd.DataFrame:
    """The table saturation for reading: one row a role and model, intervals in words."""
    rows = []
    for (role, model), fitted in table.groupby(["role", "model"], sort=False):
        at = fitted.set_index("metric")
        words = {name: _words(at.loc[name]) if name in at.index else "–" for name in ENDS}
        rows.append((role, model, int(at.value["points"]), at.value["weight"], *words.values()))
    return pd.DataFrame(rows, columns=["role", "model", "checkpoints", "weight", *ENDS.values()])


def _words(row: pd.Series) -> str:
    interval = "" if np.isnan(row.low) else f" ({row.low:.3g} to {row.high:.3g})"
    return f"{row.value:.3g}{interval}"


def compared(finetuned: pd.DataFrame, source: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Every role and checkpoint: its better rate, test and range over seeds, speed, and the paper's values.

    ``paper`` is the frame `tlbook.evidence.paper.figure7`; its checkpoint nearest in fraction stands beside
    ours if it is within `NEAR` of pre-training. Accuracies are percent, AUC 0 to 1.
    """
    shown, keys = at_better_rate(finetuned), ["role", "checkpoint"]
    test = headline(shown)[lambda rows: rows.split == "test"].groupby(keys)
    speed = headline(shown, "mean_")[lambda rows: rows.split == "train"].groupby(keys)
    first = test[["checkpoint_fraction", "rate"]].first()
    ends = test.value.agg(n="size", test="mean", lowest="min", highest="max")
    table = first.join(ends).join(speed.value.mean().rename("speed")).reset_index()
    for name, metric in (("paper", "accuracy"), ("paper's speed", "mean_accuracy")):
        table[name] = [_theirs(paper, row, metric) for row in table.itertuples()]
    table["source (%)"] = table.checkpoint.map(source_at(source))
    table = table.rename(columns={"checkpoint_fraction": "of pre-training"})
    table.insert(table.columns.get_loc("speed"), "paper", table.pop("paper"))
    return in_book_order(table, keys)


def _theirs(paper: pd.DataFrame, row, metric: str) -> float:
    rows = paper[(paper.role == row.role) & (paper.metric == metric)]
    far = (rows.checkpoint_fraction - row.checkpoint_fraction).abs()
    return float(rows.value[far.idxmin()]) if len(rows) and far.min() <= NEAR else float("nan")


def without_steps(finetuned: pd.DataFrame, source: pd.DataFrame, constant: pd.DataFrame) -> pd.DataFrame:
    """P beside the second pre-training at a constant rate, at the latter's checkpoints.

    ``constant`` is the table constant_rate. P's checkpoint is the same epoch, or else the last before it that
    was fine-tuned, so that the constant one never had less training. Columns: role, constant, P (epochs);
    the source's accuracy of both; the target's test metric of both, and P minus constant in points with its
    95 % interval by Student's t over paired seeds (NaN with one).
    """
    of_p, of_constant = source_at(source), source_at(constant[constant.role == "source"])
    ours, theirs = (headline(table)[lambda rows: rows.split == "test"] for table in (finetuned, constant))
    rows = []
    for (role, epoch), second in theirs[theirs.rate != "-"].groupby(["role", "checkpoint"], sort=False):
        same = ours[(ours.role == role) & (ours.rate == second.rate.iloc[0])]
        before = same.checkpoint[(same.checkpoint > 0) & (same.checkpoint <= epoch)].max()
        if np.isnan(before):
            continue
        first = same[same.checkpoint == before].set_index("seed").value
        gaps = (first - second.set_index("seed").value).dropna() * points(second.metric.iloc[0])
        sources = of_p.get(before, np.nan), of_constant.get(epoch, np.nan)
        row = role, epoch, before, len(gaps), *sources, first.mean(), second.value.mean(), *student(gaps)
        rows.append(row)
    both = [f"{what}: {which}" for what in ("source", "target") for which in ("P", "constant")]
    names = ["role", "constant", "P", "n", *both, "P ahead", "low", "high"]
    return in_book_order(pd.DataFrame(rows, columns=names), ["role", "constant"])
