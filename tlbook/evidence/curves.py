"""Figures that several questions draw: a metric against epochs, images or block sizes, by init."""

from __future__ import annotations

import numpy as np
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
STAR = 1 / 700  # the place of '*', left of the smallest block of the paper's, a pixel of 224
SHARES = {"1/128": 1 / 128, "1/32": 1 / 32, "1/8": 1 / 8, "1/2": 1 / 2, "1": 1.0}
Panels = list[tuple[str, pd.DataFrame, Axes]]


def lines(
    table: pd.DataFrame, x: str, each_rate: bool = False, paper: pd.DataFrame | None = None, **looks
) -> tuple[Figure, Panels]:
    """``value`` against the column ``x``, a panel a role: lines are means over seeds, bands span all seeds.

    A line for each init, told apart by colour and marker; with ``each_rate`` one for each of its rates, told
    apart by dashes. ``paper`` has the paper's values, drawn dotted. ``looks`` goes to seaborn's ``lineplot``.
    Returns the figure and its panels.
    """
    kinds = {init: (init, "low") for init in vocabulary.inits(table)}
    shown = table.assign(kind=table.init)
    if each_rate:
        kinds, shown = style.runs(table), table.assign(kind=style.run_names(table))
    figure, panels = style.by_role(shown, **PANEL)
    for role, rows, ax in panels:
        for init, rate in kinds.values() if paper is not None else ():
            same = (paper.role == role) & (paper.init == init) & (paper.rate == rate)
            style.papers_line(ax, paper[same], x, COLOURS[init])
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
    style.papers_label(panels[0][2], paper)
    style.legend(figure, columns=5)
    return figure, panels


def against_epochs(
    table: pd.DataFrame, what: str, each_rate: bool = False, paper: pd.DataFrame | None = None
) -> Figure:
    """`lines` against epochs on a symmetric log axis, so that the first ones, where fine-tuning does most of
    its work, can be seen. ``what`` names the metric's split."""
    figure, panels = lines(table, "epoch", each_rate, paper)
    for role, rows, ax in panels:
        theirs = 0 if paper is None else paper.epoch[paper.role == role].max()
        style.epoch_axis(ax, np.nanmax([rows.epoch.max(), theirs, 1]))
        ax.set_xlabel("epoch (0: before training)")
    style.label_metric([ax for *_, ax in panels], table, what)
    return figure


def against_blocks(
    table: pd.DataFrame, what: str, paper: pd.DataFrame | None = None, joined: bool = True
) -> Figure:
    """``value`` against block size as a share of the image's side, a panel a role: means over seeds by init,
    bars over all of them, and the paper's values dotted, if ``paper`` has some.

    Right-most is the unshuffled image; '*', which is no block size, stands apart at the left, and no line
    leads to it. Nor elsewhere, unless the points are ``joined``.
    """
    names = vocabulary.inits(table)
    shifts = dict(zip(names, np.linspace(-0.12, 0.12, len(names)), strict=True))
    figure, panels = style.by_role(table, **PANEL)
    for role, rows, ax in panels:
        for init in names:
            if paper is not None:
                theirs = paper[(paper.role == role) & (paper.init == init)]
                by_blocks(ax, theirs, **style.PAPER_LINE | {"color": COLOURS[init], "capsize": 0})
            look = {"color": COLOURS[init], "marker": MARKERS[init], "label": init}
            by_blocks(ax, rows[rows.init == init], shifts[init], joined, **look)
        block_axis(ax)
    style.papers_label(panels[0][2], paper)
    style.label_metric([ax for *_, ax in panels], table, what)
    style.legend(figure, columns=5)
    return figure


def by_blocks(ax: Axes, rows: pd.DataFrame, shift: float = 0.0, joined: bool = True, **look) -> None:
    """Means and spans of ``value`` by ``block_fraction`` at their places on a `block_axis`."""
    shares = rows.block_fraction
    placed = rows.assign(place=np.log2(shares.where(shares > 0, STAR)) + shift)
    line = look.pop("linestyle", "-") if joined else "none"
    style.spans(ax, placed[shares > 0], "place", linestyle=line, **look)
    style.spans(ax, placed[shares == 0], "place", **look | {"linestyle": "none", "label": None})


def block_axis(ax: Axes) -> None:
    """Block sizes as shares of the side, each half of the one at its right, and '*' at the left."""
    ax.set_xticks(np.log2([STAR, *SHARES.values()]), [PIXELS, *SHARES])
    ax.set_xlabel(f"block size / image side ({PIXELS}: single values)")
