"""Figures of question 1: learning curves (paper, Figure 2) and block shuffling (Figure 3)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.scales import PIXELS

PANEL = {"height": 2.9, "aspect": 1.35}


def learning_curves(curves: pd.DataFrame, split: str = "test") -> Figure:
    """Figure 2: the role's metric against epochs, one panel a role; lines are means, bands all seeds.

    ``curves`` is the table learning_curves. Epochs are on a symmetric log axis, so that the first ones, where
    fine-tuning does most of its work, can be seen. Inits differ in colour and marker, rates in dashes.
    """
    style.apply()
    shown = vocabulary.headline(curves[curves.split == split])
    shown = shown.assign(run=style.run_names(shown))
    runs = style.runs(shown)
    grid = sns.relplot(
        shown,
        x="epoch",
        y="value",
        col="role",
        col_order=vocabulary.roles(shown),
        col_wrap=2,
        kind="line",
        hue="run",
        hue_order=list(runs),
        palette={run: style.INIT_COLOURS[init] for run, (init, _) in runs.items()},
        style="run",
        style_order=list(runs),
        dashes={run: style.RATE_DASHES[rate] for run, (_, rate) in runs.items()},
        markers={run: style.INIT_MARKERS[init] for run, (init, _) in runs.items()},
        errorbar=style.RANGE,
        facet_kws={"sharex": False, "sharey": False},
        **PANEL,
    )
    for ax, role in zip(grid.axes.flat, vocabulary.roles(shown), strict=True):
        style.epoch_axis(ax, shown.epoch[shown.role == role].max())
    grid.set_axis_labels("epoch (0: before training)", "")
    grid.set_titles("{col_name}")
    grid.legend.set_title("init, rate")
    style.label_metric(grid.axes.flat, shown, split)
    grid.tight_layout()
    return style.described(
        grid.figure, f"{split} metric against epoch for P-T and RI-T at each learning rate"
    )


def block_shuffle(table: pd.DataFrame, what: str = "test") -> Figure:
    """Figure 3: the role's metric against block size, each init at its better rate; bars span all seeds.

    ``table`` is the table block_shuffle; ``what`` is "test" (left in the paper) or "speed", the mean training
    metric over epochs (right). The right-most block size is the unshuffled run without augmentation; '*',
    which is no block size, stands apart.
    """
    style.apply()
    prefix, split = ("mean_", "train") if what == "speed" else ("", "test")
    shown = vocabulary.headline(vocabulary.at_better_rate(table), prefix)
    shown = shown[shown.split == split]
    order = style.block_order(shown.block_size)
    if order[0] == PIXELS:
        order.insert(1, "")  # an empty place, at which the lines break
    grid = sns.catplot(
        shown,
        x="block_size",
        order=order,
        y="value",
        col="role",
        col_order=vocabulary.roles(shown),
        col_wrap=2,
        kind="point",
        hue="init",
        hue_order=vocabulary.inits(shown),
        palette=style.INIT_COLOURS,
        markers=[style.INIT_MARKERS[init] for init in vocabulary.inits(shown)],
        errorbar=style.RANGE,
        dodge=0.2,
        linewidth=1.5,
        markersize=5,
        err_kws={"linewidth": 1.5},
        sharex=False,
        sharey=False,
        **PANEL,
    )
    grid.set_axis_labels("block size (pixels; *: all values)", "")
    grid.set_titles("{col_name}")
    style.label_metric(grid.axes.flat, shown, "mean training" if what == "speed" else "test")
    grid.tight_layout()
    name = "mean training metric over epochs" if what == "speed" else "final test metric"
    return style.described(grid.figure, f"{name} against block size for P-T and RI-T")


def relative_drop(table: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """100 (A_P-T - A_RI-T) / A_P-T against block size as a share of the side, with the paper's numbers.

    ``table`` is block_shuffle, ``paper`` the frame `tlbook.evidence.paper.figure3`. Lines are means, bars all seeds;
    '*' stands apart.
    """
    style.apply()
    drops = drop_by_seed(table)
    roles = vocabulary.roles(table)
    figure, axes = style.panels(len(roles), width=3.6, height=2.8)
    for ax, role in zip(axes, roles, strict=True):
        theirs = paper[(paper.role == role) & (paper.metric == "relative_drop")]
        if len(theirs):
            ax.plot(_place(theirs.block_fraction), theirs.value, label="paper", **style.PAPER)
        ours = drops[drops.role == role].groupby("block_fraction").value.agg(["mean", "min", "max"])
        for part, line in ((ours[ours.index == 0], "none"), (ours[ours.index > 0], "-")):
            ax.errorbar(
                _place(part.index),
                part["mean"],
                [spread.clip(lower=0) for spread in (part["mean"] - part["min"], part["max"] - part["mean"])],
                label="ours" if line == "-" else None,
                capsize=2,
                linestyle=line,
                color=style.ROLE_COLOURS[role],
                marker=style.ROLE_MARKERS[role],
            )
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_title(role)
        ax.set_xticks([-9, -8, -6, -4, -2, 0], ["*", "1/256", "1/64", "1/16", "1/4", "1"])
        ax.set_xlabel("block size / image side")
        ax.set_ylabel("relative drop (%)")
        ax.legend(loc="best")
    figure.tight_layout()
    return style.described(figure, "Relative drop of RI-T below P-T against block size, the paper's and ours")


def drop_by_seed(table: pd.DataFrame) -> pd.DataFrame:
    """The relative drop in percent: columns role, block_size, block_fraction, seed, value.

    A seed that lacks a run at one of the better rates has no drop, nor has a P-T that gets nothing right.
    """
    shown = vocabulary.headline(vocabulary.at_better_rate(table))
    keys = ["role", "block_size", "block_fraction", "seed"]
    both = shown[shown.split == "test"].pivot_table(index=keys, columns="init", values="value")
    drop = 100 * (both["P-T"] - both["RI-T"]) / both["P-T"].where(both["P-T"] > 0)
    return drop.rename("value").dropna().reset_index()


def convergence(table: pd.DataFrame) -> Figure:
    """Epochs until each run first reaches what RI-T ends with; a hollow mark never got there.

    ``table`` is the table convergence; one point a run, on a symmetric log axis.
    """
    style.apply()
    shown = table[(table.reference == "final") & (table.metric == "epochs")]
    shown = shown.assign(run=style.run_names(shown))
    order = list(style.runs(shown))
    roles = vocabulary.roles(shown)
    figure, axes = style.panels(len(roles), width=3.6, height=2.2)
    for ax, role in zip(axes, roles, strict=True):
        for row in shown[shown.role == role].itertuples():
            colour = style.INIT_COLOURS[row.init]
            y = order.index(row.run) + 0.12 * (row.seed % 3 - 1)
            ax.plot(
                row.value,
                y,
                style.INIT_MARKERS[row.init],
                color=colour,
                markerfacecolor=colour if row.reached else "white",
            )
        style.epoch_axis(ax, shown.value.max())
        ax.set_title(role)
        ax.set_xlabel("epochs")
    axes[0].set_yticks(range(len(order)), order)
    axes[0].invert_yaxis()
    figure.tight_layout()
    return style.described(
        figure, "Epochs until each run reaches RI-T's final metric; hollow marks never reach it"
    )


def one_block_size(
    table: pd.DataFrame, role: str, block_size: str, images: np.ndarray | None = None
) -> Figure:
    """One role at one block size, for the explorer: every run's test metric, beside examples.

    ``images`` is uint8 (k, side, side, 3), k even, shuffled with that block size, or None where none are at
    hand.
    """
    style.apply()
    runs = vocabulary.headline(table[(table.role == role) & (table.split == "test")])
    here = runs[runs.block_size == block_size]
    columns = 2 if images is not None else 1
    figure, axes = plt.subplots(1, columns, figsize=(3.4 * columns + 0.6, 2.9), squeeze=False)
    ax = axes[0, -1]
    rates, metric = vocabulary.rates(runs), runs.metric.iloc[0]
    for init, shift in zip(vocabulary.inits(runs), (-0.15, 0.15), strict=False):
        own = here[here.init == init]
        places = own.rate.map(rates.index) + shift
        ax.plot(places, own.value, style.INIT_MARKERS[init], color=style.INIT_COLOURS[init], label=init)
    ax.set_xticks(range(len(rates)), rates)
    ax.set_xlim(-0.5, len(rates) - 0.5)
    lowest, highest = (0, 100) if metric == "accuracy" else (min(0.4, runs.value.min()), 1)
    ax.set_ylim(lowest, highest * 1.03)  # the same at every block size
    ax.set_ylabel(f"test {style.WORDS[metric]}")
    ax.set_xlabel("learning rate")
    ax.set_title(f"{role}, block size {block_size}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    if images is not None:
        axes[0, 0].imshow(np.concatenate([np.concatenate(row, 1) for row in np.split(images, 2)]))
        axes[0, 0].axis("off")
    figure.tight_layout()
    return style.described(figure, f"Test metric of P-T and RI-T on {role} at block size {block_size}")


def sizes(table: pd.DataFrame) -> list[str]:
    """The block sizes of the table block_shuffle, from unshuffled to '*', as a reader moves through them."""
    return style.block_order(table.block_size)[::-1]


def _place(fractions) -> np.ndarray:
    """Where a block fraction stands: its binary logarithm; '*' (0) at -9, left of the smallest."""
    fractions = np.asarray(fractions, dtype=float)
    return np.where(fractions > 0, np.log2(np.maximum(fractions, 1e-9)), -9.0)
