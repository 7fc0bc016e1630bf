"""Figures of partial transfer and of probes."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style

PARTS = {
    "first": {"color": style.INIT_COLOURS["P-T"], "marker": "o", "linestyle": "-"},
    "last": {"color": style.SAME_INIT, "marker": "v", "linestyle": "--"},
}
FEATURES = {"P": ("P-T", "o"), "random": ("RI-T", "s")}  # coloured as what starts from them
METHODS = {"linear": ("-", None), "neighbours": (":", "white")}  # dashes, and the marker's face
PANEL = {"width": 3.8, "height": 2.8, "sharey": False}


def partial(table: pd.DataFrame) -> Figure:
    """The role's test metric against how many modules start from P, from below and from above; lines are
    means, bars all seeds. ``table`` is the table partial."""
    shown = vocabulary.headline(table[table.split == "test"])
    figure, panels = style.by_role(shown, **PANEL)
    for _, rows, ax in panels:
        for part, look in PARTS.items():
            style.spans(ax, rows[rows.part == part], "modules", label=f"the {part} modules from P", **look)
        ax.set_xticks(sorted(set(rows.modules)))
        ax.set_xlabel("modules from P (0: RI-T, all: P-T)")
    style.label_metric([ax for *_, ax in panels], shown, "test")
    style.legend(figure)
    return style.described(figure, "Final test metric against how many modules start from P")


def probes(table: pd.DataFrame) -> Figure:
    """What probes of each module's frozen features say on test images; lines are means over seeds, bars all
    of them (P's features are the same for all). ``table`` is the table probes."""
    figure, panels = style.by_role(table, **PANEL)
    for _, rows, ax in panels:
        modules = vocabulary.by_depth(rows.module)
        placed = rows.assign(place=rows.module.map(modules.index))
        for (init, method), values in placed.groupby(["init", "method"], sort=False):
            colour, marker = FEATURES[init]
            dashes, face = METHODS[method]
            look = {"color": style.INIT_COLOURS[colour], "marker": marker, "linestyle": dashes}
            label = f"{init}, {'linear probe' if method == 'linear' else 'nearest neighbours'}"
            style.spans(ax, values, "place", label=label, markerfacecolor=face, **look)
        ax.set_xticks(range(len(modules)), modules, rotation=30)
        ax.set_xlabel("module")
    style.label_metric([ax for *_, ax in panels], table, "test")
    style.legend(figure, columns=2)
    return style.described(figure, "Test metric of probes of frozen features, of P and of random weights")
