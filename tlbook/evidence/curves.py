"""Figures that several questions draw: a metric against epochs, images or block sizes, by init."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.scales import PIXELS

COLOURS = style.INIT_COLOURS | style.CONTROL_COLOURS
MARKERS = style.INIT_MARKERS | style.CONTROL_MARKERS
PANEL = {"width": 3.8, "height": 2.8, "sharey": False}
Panels = list[tuple[str, pd.DataFrame, Axes]]


def lines(table: pd.DataFrame, x: str, each_rate: bool = False, **looks) -> tuple[Figure, Panels]:
    """``value`` against the column ``x``, a panel a role: lines are means over seeds, bands span all seeds.

    A line for each init, told apart by colour and marker; with ``each_rate`` one for each of its rates, told
    apart by dashes. ``looks`` goes to seaborn's ``lineplot``. Returns the figure and its panels.
    """
    kinds = {init: (init, "low") for init in vocabulary.inits(table)}
    shown = table.assign(kind=table.init)
    if each_rate:
        kinds, shown = style.runs(table), table.assign(kind=style.run_names(table))
    figure, panels = style.by_role(shown, **PANEL)
    for _, rows, ax in panels:
        sns.lineplot(
            rows,
            x=x,
            y="value",
            hue="kind",
            hue_order=list(kinds),
            palette={kind: COLOURS[init] for kind, (init, _) in kinds.items()},
            style="kind",
            style_order=list(kinds),
            markers={kind: MARKERS[init] for kind, (init, _) in kinds.items()},
            dashes={kind: style.RATE_DASHES[rate] for kind, (_, rate) in kinds.items()},
            errorbar=style.RANGE,
            ax=ax,
            **looks,
        )
    style.legend(figure, columns=4)
    return figure, panels


def against_epochs(table: pd.DataFrame, what: str, each_rate: bool = False) -> Figure:
    """`lines` against epochs on a symmetric log axis, so that the first ones, where fine-tuning does most of
    its work, can be seen. ``what`` names the metric's split."""
    figure, panels = lines(table, "epoch", each_rate)
    for _, rows, ax in panels:
        style.epoch_axis(ax, rows.epoch.max())
        ax.set_xlabel("epoch (0: before training)")
    style.label_metric([ax for *_, ax in panels], table, what)
    return figure


def against_blocks(table: pd.DataFrame, what: str, joined: bool = True) -> Figure:
    """``value`` against block size, a panel a role: means over seeds by init, bars span all seeds.

    The right-most block size is the unshuffled one; '*', which is no block size, stands apart, and no line
    leads to it, if the others are ``joined``.
    """
    names, order = vocabulary.inits(table), style.block_order(table.block_size)
    if joined and order[0] == PIXELS:
        order.insert(1, "")  # an empty place, at which the lines break
    figure, panels = style.by_role(table, **PANEL)
    for _, rows, ax in panels:
        sns.pointplot(
            rows,
            x="block_size",
            order=order,
            y="value",
            hue="init",
            hue_order=names,
            palette=COLOURS,
            markers=[MARKERS[init] for init in names],
            linestyle="-" if joined else "none",
            errorbar=style.RANGE,
            dodge=0.1 * len(names),
            linewidth=1.5,
            markersize=5,
            err_kws={"linewidth": 1.5},
            ax=ax,
        )
        ax.set_xlabel(f"block size (pixels; {PIXELS}: all values)")
    style.label_metric([ax for *_, ax in panels], table, what)
    style.legend(figure, columns=4)
    return figure
