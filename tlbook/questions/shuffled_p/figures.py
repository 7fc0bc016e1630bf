"""Figures of P's of shuffled images."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.questions.shuffled_p.summaries import ends, places

COLOURS = style.INIT_COLOURS | style.CONTROL_COLOURS | style.SHUFFLED_P_COLOURS
MARKERS = style.INIT_MARKERS | style.CONTROL_MARKERS | style.SHUFFLED_P_MARKERS


def given(table: pd.DataFrame, what: str = "test") -> Figure:
    """What each init ends with (``what`` "test"), or how fast it learns ("speed"): on whole images, and on
    images shuffled in large and small blocks. Marks are means, bars all seeds.

    ``table`` is the table from_shuffled.
    """
    shown = ends(table, what)
    figure, panels = style.by_role(shown, width=3.8, height=2.8, sharey=False)
    names = vocabulary.inits(shown)
    shifts = dict(zip(names, style.apart(len(names), 0.6), strict=True))
    for _, rows, ax in panels:
        labels = places(rows)
        at = rows.block_fraction.map({fraction: place for place, fraction in enumerate(labels)})
        for init in names:
            own = rows.assign(place=at + shifts[init])[rows.init == init]
            look = {"color": COLOURS[init], "marker": MARKERS[init], "linestyle": "none", "label": init}
            style.spans(ax, own, "place", **look)
        ax.set_xticks(range(len(labels)), labels.values())
        ax.set_xlim(-0.5, len(labels) - 0.5)
        ax.set_xlabel("the target's images")
    style.label_metric([ax for *_, ax in panels], shown, "mean training" if what == "speed" else "test")
    style.legend(figure, columns=5)
    name = "mean training metric" if what == "speed" else "final test metric"
    return style.described(figure, f"{name} of five inits on whole and on shuffled images")
