"""Figures of question 5: fine-tuning from checkpoints along pre-training (paper, Figure 7)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.questions.checkpoints.method import by_seed, source_at
from tlbook.questions.checkpoints.summaries import drops, first_good_enough

TABLES = ("finetuned", "source_accuracy", "tuning_curves")  # that the explorer shows
RATE_MARKERS = {"low": "v", "high": "^"}
P_T, RI_T = style.INIT_COLOURS["P-T"], style.INIT_COLOURS["RI-T"]
SHADE, DROP = "0.88", {"color": "0.45", "linestyle": ":", "linewidth": 1}
MODEL_LINES = {"constant": (":", "0.45"), "line": ("--", "0.3"), "power law": ("-", "black")}
RING = {"color": "black", "marker": "o", "markersize": 11, "markerfacecolor": "none", "linestyle": "none"}
GREY = {"color": "0.75", "linewidth": 3}  # the last checkpoint, to compare with
PANEL = {"width": 4.2, "height": 3.0, "sharey": False}
LINEAR = 2.0  # points around 0 that are drawn to scale where gaps are


def finetuned(
    table: pd.DataFrame, source: pd.DataFrame, paper: pd.DataFrame | None = None, what: str = "test"
) -> Figure:
    """Figure 7: the role's metric after fine-tuning against the checkpoint, the source's accuracy shaded.

    ``table`` and ``source`` are the tables finetuned and source_accuracy, ``paper`` the frame
    `tlbook.evidence.paper.figure7`. ``what`` is "test" (left in the paper) or "speed", the mean training
    metric over epochs (right). Lines join means at the better rate by dev, bars span all seeds, the marker
    says which rate it was; the other rate's means are hollow. Checkpoints stand at their share of
    pre-training.
    """
    prefix, split, words = ("mean_", "train", "mean training") if what == "speed" else ("", "test", "test")
    shown = vocabulary.headline(table, prefix)
    shown = shown[shown.split == split]
    better = vocabulary.at_better_rate(table).groupby(["role", "checkpoint"]).rate.first()
    theirs = None if paper is None else paper[paper.metric == f"{prefix}accuracy"]
    figure, panels = style.by_role(shown, **PANEL)
    for role, rows, ax in panels:
        _shade(ax, rows.checkpoint.max(), source)
        if theirs is not None:
            style.papers_line(ax, theirs[theirs.role == role], "checkpoint_fraction")
        _both_rates(ax, rows, better[role])
        _share_axis(ax)
    style.label_metric([ax for _, _, ax in panels], shown, words)
    style.legend(figure, _marks(shown, source, theirs))
    name = "mean training metric over epochs" if what == "speed" else "final test metric"
    return style.described(figure, f"{name} against the checkpoint that fine-tuning started from")


def _both_rates(ax: Axes, rows: pd.DataFrame, better: pd.Series) -> None:
    """One role's means and spans: a line through the better rates, hollow marks at the other."""
    chosen = rows[rows.rate == rows.checkpoint.map(better)]
    mean = chosen.groupby("checkpoint_fraction").value.mean()
    ax.plot(mean.index, mean, color=P_T, linewidth=1.5)
    for (share, checkpoint, rate), run in rows.groupby(["checkpoint_fraction", "checkpoint", "rate"]):
        look = {"color": P_T if checkpoint else RI_T, "marker": RATE_MARKERS[rate]}
        if better[checkpoint] == rate:
            style.spans(ax, run, "checkpoint_fraction", **look)
        else:
            ax.plot(share, run.value.mean(), markersize=5, markerfacecolor="white", alpha=0.6, **look)


def _shade(ax: Axes, last: int, source: pd.DataFrame) -> None:
    """The source's accuracy behind a panel, on an axis at its right, and where its learning rate drops."""
    accuracy = source_at(source).dropna()
    if len(accuracy):
        behind = ax.twinx()
        behind.fill_between(accuracy.index / last, 0, accuracy, color=SHADE, linewidth=0)
        behind.set_ylim(0, 100 if accuracy.max() > 60 else 60 if accuracy.max() > 40 else 40)
        behind.grid(False)
        behind.set_ylabel("source accuracy (%)")
        ax.set_zorder(behind.get_zorder() + 1)
        ax.patch.set_visible(False)
    for step in drops(source):
        ax.axvline((step + 0.5) / last, **DROP)


def _marks(shown: pd.DataFrame, source: pd.DataFrame, paper: pd.DataFrame | None) -> dict[str, Artist]:
    """What marks, shade and dotted lines mean, by what is said of them."""

    def mark(marker: str, colour: str = P_T, **how) -> Line2D:
        return Line2D([], [], marker=marker, color=colour, linestyle="none", **how)

    rates = vocabulary.rates(shown)
    said = {f"better rate: {rate}": mark(RATE_MARKERS[rate]) for rate in rates}
    if len(rates) > 1:
        said["the other rate"] = mark("v", markerfacecolor="white")
    if (shown.checkpoint == 0).any():
        said["random weights"] = mark("v", RI_T)
    if source_at(source).notna().any():
        said["source accuracy (right axis)"] = Patch(color=SHADE)
    if drops(source):
        said["pre-training's rate drops"] = Line2D([], [], **DROP)
    if paper is not None and len(paper):
        said["paper"] = Line2D([], [], **style.PAPER_LINE)
    return said


def gap_to_last(behind: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """How far each checkpoint is from the last one, with the paper's, against its share of pre-training.

    ``behind`` is the table behind_last, ``paper`` the frame `tlbook.evidence.paper.figure7`. The band is the
    95 % interval around the last; a ring marks the first checkpoint that the last does not beat beyond noise.
    The vertical axis is to scale near 0 only.
    """
    figure, panels = style.by_role(behind, **PANEL | {"sharey": True})
    for role, rows, ax in panels:
        first, noise = first_good_enough(rows)
        if first is not None:
            ax.axhspan(-noise, noise, color=SHADE, linewidth=0)
            ax.plot(first.checkpoint_fraction, -first.value, **RING)
        theirs = paper[(paper.role == role) & (paper.metric == "accuracy")]
        if len(theirs):
            end = theirs.value[theirs.checkpoint_fraction.idxmax()]
            behind_last = theirs.assign(value=theirs.value - end)
            style.papers_line(ax, behind_last, "checkpoint_fraction")
        ours = rows.sort_values("checkpoint")
        ax.plot(ours.checkpoint_fraction, -ours.value, color=P_T, marker="o", linewidth=1.2, markersize=5)
        _share_axis(ax)
        _near_zero(ax)
        ax.set_ylabel("metric minus the last's (points)")
    handles = {
        "ours, mean over seeds": Line2D([], [], color=P_T, marker="o", markersize=5),
        "paper": Line2D([], [], **style.PAPER_LINE),
        "within noise of the last (95 %)": Patch(color=SHADE),
        "first that is good enough": Line2D([], [], **RING),
    }
    style.legend(figure, handles, columns=2)
    words = "Test metric from each checkpoint minus the last's against the share of pre-training"
    return style.described(figure, f"{words}, ours and the paper's")


def _share_axis(ax: Axes) -> None:
    """Shares of pre-training, to scale."""
    ax.set_xticks([0, 1 / 3, 2 / 3, 1], ["0", "1/3", "2/3", "1"])
    ax.set_xlim(-0.03, 1.04)
    ax.set_xlabel("share of pre-training")


def _near_zero(ax: Axes) -> None:
    """Points, to scale near 0 only."""
    ax.set_yscale("symlog", linthresh=LINEAR)
    low, high = ax.get_ylim()
    ticks = [tick for tick in (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20) if low <= tick <= high]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()


def saturation(table: pd.DataFrame, source: pd.DataFrame, fits: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Target against source accuracy over the pre-trained checkpoints, and the three fits.

    The tables finetuned, source_accuracy, saturation and saturation_curve. Small marks are runs, large ones
    means; the band is the power law's. A dotted line stands where one more point of source accuracy stops
    paying, if that is within what was seen.
    """
    figure, panels = style.by_role(fits, **PANEL)
    for role, fitted, ax in panels:
        of_role = table[table.role == role]
        metric = vocabulary.metric_of(of_role)
        values = by_seed(of_role).drop(columns=0, errors="ignore") / vocabulary.points(metric)
        accuracy = source_at(source).reindex(values.columns)
        look = {"color": P_T, "marker": "o", "linestyle": "none"}
        for _, of_seed in values.iterrows():
            ax.plot(accuracy, of_seed, markersize=3, alpha=0.45, **look)
        ax.plot(accuracy, values.mean(), markersize=6, **look)
        numbers = fitted.set_index(["model", "metric"]).value
        _fitted(ax, curves[curves.role == role], numbers)
        if numbers["power law", "stops_paying"] <= accuracy.max():
            ax.axvline(numbers["power law", "stops_paying"], **DROP)
        ax.set_xlabel("source accuracy (%)")
        ax.set_ylabel(f"test {style.WORDS[metric]}")
        ax.legend(loc="lower right", fontsize="x-small", title="Akaike weight", title_fontsize="x-small")
    words = "Test metric on the target against source accuracy, a mark a checkpoint, with a constant, a line"
    return style.described(figure, f"{words} and a saturating power law fitted")


def _fitted(ax: Axes, curves: pd.DataFrame, numbers: pd.Series) -> None:
    """The fitted curves of one role, each named with its Akaike weight, and the power law's band."""
    low, high = ax.get_ylim()
    for model, (line, colour) in MODEL_LINES.items():
        curve = curves[curves.model == model]
        label = f"{model}: {numbers[model, 'weight']:.2f}"
        ax.plot(curve.source, curve.value, linestyle=line, color=colour, linewidth=1.2, label=label)
        if model == "power law":
            ax.fill_between(curve.source, curve.low, curve.high, color="0.5", alpha=0.2, linewidth=0)
    spare = 0.15 * (high - low)
    ax.set_ylim(low - 2 * spare, high + spare)  # room for the legend; a wild band must not set the scale


def constant_rate(table: pd.DataFrame, source: pd.DataFrame, constant: pd.DataFrame) -> Figure:
    """P and the second pre-training at a constant rate: source accuracy, then each role's test metric.

    The tables finetuned, source_accuracy and constant_rate; both at the same rate of fine-tuning. Lines are
    means, bars span all seeds; dotted lines are the drops of P's rate.
    """
    rate = constant.loc[constant.rate != "-", "rate"].iloc[0]
    same, other = (
        vocabulary.headline(rows[(rows.rate == rate) & (rows.split == "test")]) for rows in (table, constant)
    )
    roles = vocabulary.roles(same)
    figure, (first, *others) = style.panels(len(roles) + 1, **PANEL)
    for rows, colour in ((source, P_T), (constant[constant.role == "source"], style.OTHER_P)):
        known = source_at(rows)
        first.plot(known.index, known, color=colour, linewidth=1.5)
    first.set_ylabel("source accuracy (%)")
    for ax, role in zip(others, roles, strict=True):
        for rows, colour, marker in ((same, P_T, "o"), (other, style.OTHER_P, "D")):
            values = rows[(rows.role == role) & (rows.checkpoint > 0)].groupby("checkpoint").value
            mean, lowest, highest = values.mean(), values.min(), values.max()
            look = {"color": colour, "marker": marker, "markersize": 5, "capsize": 2}
            ax.errorbar(mean.index, mean, [mean - lowest, highest - mean], **look)
    style.label_metric(others, same, "test")
    for ax, title in zip((first, *others), ("source", *roles), strict=True):
        ax.set_title(title)
        ax.set_xlabel("epochs of pre-training")
        for step in drops(source):
            ax.axvline(step + 0.5, **DROP)
    handles = {
        "P: its rate drops": Line2D([], [], color=P_T, marker="o"),
        "second pre-training: constant rate": Line2D([], [], color=style.OTHER_P, marker="D"),
        "P's rate drops": Line2D([], [], **DROP),
    }
    style.legend(figure, handles)
    return style.described(
        figure, f"Source accuracy and test metrics from P and from a pre-training at a constant rate ({rate})"
    )


def one_checkpoint(
    table: pd.DataFrame, source: pd.DataFrame, curves: pd.DataFrame, role: str, checkpoint: int
) -> Figure:
    """One role and checkpoint, for the explorer: where it stands, how its runs learn, where they end.

    The tables finetuned, source_accuracy and tuning_curves. Left: the source's accuracy over pre-training;
    middle: the training metric over epochs of fine-tuning, one line a run; right: each run's test metric. The
    last checkpoint's mean at its better rate is grey in both. Axes are the same for every checkpoint.
    """
    style.apply()
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(8.6, 2.8), gridspec_kw={"width_ratios": [3, 4, 2]}
    )
    _on_the_source(left, source, checkpoint)
    of_role, curves = table[table.role == role], curves[curves.role == role]
    metric, last = vocabulary.metric_of(of_role), of_role[of_role.checkpoint == of_role.checkpoint.max()]
    best = vocabulary.better_rate(last)
    ends = of_role[(of_role.split == "test") & (of_role.metric == metric)]
    _learning(middle, curves, checkpoint, best)
    middle.set_ylabel(f"training {style.WORDS[metric]}")
    right.axhline(ends[ends.index.isin(last.index) & (ends.rate == best)].value.mean(), **GREY)
    _endings(right, ends, checkpoint)
    right.set_ylabel(f"test {style.WORDS[metric]}")
    kind = "random weights" if checkpoint == 0 else f"from epoch {checkpoint}"
    middle.set_title(f"{role}, {kind}")
    figure.subplots_adjust(wspace=0.4)  # the same for every frame, so that nothing jumps
    words = f"Fine-tuning on {role}, {kind} of pre-training"
    return style.described(figure, f"{words}: training metric by epoch and final test metric of each run")


def _endings(ax: Axes, ends: pd.DataFrame, checkpoint: int) -> None:
    """The test metric of each run from a checkpoint, by rate."""
    rates, here = vocabulary.rates(ends), ends[ends.checkpoint == checkpoint]
    for place, rate in enumerate(rates):
        values = here[here.rate == rate].value
        ax.plot([place] * len(values), values, RATE_MARKERS[rate], color=P_T if checkpoint else RI_T)
    ax.set_xticks(range(len(rates)), rates)
    ax.set_xlim(-0.6, len(rates) - 0.4)
    spare = 0.06 * (ends.value.max() - ends.value.min() or 1)
    if ends.value.notna().any():
        ax.set_ylim(ends.value.min() - spare, ends.value.max() + spare)
    ax.set_xlabel("learning rate")


def _on_the_source(ax: Axes, source: pd.DataFrame, checkpoint: int) -> None:
    """The source's accuracy over pre-training, the checkpoint marked."""
    accuracy = source_at(source)
    ax.plot(accuracy.index, accuracy, color="0.5", linewidth=1.2)
    if np.isfinite(accuracy.get(checkpoint, np.nan)):
        ax.plot(checkpoint, accuracy[checkpoint], "o", color=P_T if checkpoint else RI_T, markersize=8)
    for step in drops(source):
        ax.axvline(step + 0.5, **DROP)
    ax.set_xlabel("epochs of pre-training")
    ax.set_ylabel("source accuracy (%)")


def _learning(ax: Axes, curves: pd.DataFrame, checkpoint: int, best: str) -> None:
    """Training metric by epoch of a role's runs from a checkpoint, over the last one's mean at one rate."""
    last = curves[(curves.checkpoint == curves.checkpoint.max()) & (curves.rate == best)]
    mean = last.groupby("epoch").value.mean()
    ax.plot(mean.index, mean, **GREY)
    here = curves[curves.checkpoint == checkpoint]
    for (rate, _), run in here.groupby(["rate", "seed"]):
        dashes = style.RATE_DASHES[rate] or (None, None)
        ax.plot(run.epoch, run.value, color=P_T if checkpoint else RI_T, linewidth=1, dashes=dashes)
    if curves.value.notna().any():
        ax.set_ylim(curves.value.min(), curves.value.max() * 1.03)
    ax.set_xlabel("epochs of fine-tuning")
    handles = [
        Line2D([], [], color="0.3", linewidth=1, label=rate, dashes=style.RATE_DASHES[rate] or (None, None))
        for rate in vocabulary.rates(curves)
    ]
    handles += [Line2D([], [], label="last checkpoint", **GREY)]
    ax.legend(handles=handles, fontsize="x-small", loc="lower right")


def frames(tables: dict[str, pd.DataFrame], role: str) -> dict[str, Figure]:
    """`one_checkpoint` for every checkpoint of a role, by its epochs, as a reader moves through them."""
    finetuned, source, curves = (tables[name] for name in TABLES)
    epochs = sorted(finetuned.checkpoint[finetuned.role == role].unique())
    return {str(epoch): one_checkpoint(finetuned, source, curves, role, epoch) for epoch in epochs}
