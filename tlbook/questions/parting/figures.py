"""Figures of runs that share their first steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style

LINEAR = 0.01  # shares of training up to here are drawn to scale, so that 0 has a place


def parted(table: pd.DataFrame) -> Figure:
    """The barrier between two runs against the share of training that they share: a panel a role and number
    of images, a line an init and rate. Lines are means, bars all seeds. ``table`` is the table parted."""
    shown = table[(table.quantity == "height") & table.metric.isin(("accuracy", "auc"))]
    cases = [(role, count) for role in vocabulary.roles(shown) for count in sorted(set(shown.images))]
    cases = [case for case in cases if ((shown.role == case[0]) & (shown.images == case[1])).any()]
    figure, axes = style.panels(len(cases), width=4.2, height=2.9)
    for ax, (role, count) in zip(axes, cases, strict=True):
        rows = shown[(shown.role == role) & (shown.images == count)]
        for name, (init, rate) in style.runs(rows).items():
            of_kind = rows[(rows.init == init) & (rows.rate == rate)]
            look = {"color": style.INIT_COLOURS[init], "marker": style.INIT_MARKERS[init]}
            look |= {"linestyle": "--" if rate == "high" else "-"}
            style.spans(ax, of_kind, "fraction", label=name, **look)
        ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.5)
        ticks = sorted({round(fraction, 3) for fraction in rows.fraction})
        ax.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
        ax.minorticks_off()
        ax.set_title(f"{role}, {count} images")
        ax.set_xlabel("share of training in common")
        ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    unit = "AUC" if vocabulary.metric_of(shown) == "auc" else "points"
    axes[0].set_ylabel(f"barrier between the two ({unit})")
    style.legend(figure, columns=4)
    return style.described(figure, "Barrier between two runs against the share of training in common")
