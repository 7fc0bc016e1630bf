"""Figures of other P's: what lies between P-T of one P and of two."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style

ONE, TWO = {"color": style.PAIR_COLOURS["P-T & P-T"]}, {"color": style.OTHER_P, "linestyle": "--"}


def lines(table: pd.DataFrame) -> Figure:
    """The test metric between two P-T of one P, and of two P's of the same seed; lines are means, bands all
    pairs. ``table`` is the table p_interpolation."""
    shown = table[table.checkpoint == "final"]
    figure, panels = style.by_role(shown, width=3.6, height=2.8, sharey=False)
    for _, rows, ax in panels:
        for words, look, mask in _kinds(rows):
            spread = rows[mask].groupby("alpha").value.agg(["mean", "min", "max"])
            if len(spread):
                ax.plot(spread.index, spread["mean"], label=f"two P-T of {words}", **look)
                ax.fill_between(spread.index, spread["min"], spread["max"], color=look["color"], alpha=0.15)
        ax.set_xlabel("α (0: first model, 1: second)")
    style.label_metric([ax for *_, ax in panels], shown, "test")
    style.legend(figure)
    return style.described(figure, "Test metric along lines between two P-T, of one P and of two")


def features(table: pd.DataFrame) -> Figure:
    """CKA of the same module in two P-T of one P, and of two P's; lines are means, bands all pairs.
    ``table`` is the table p_similarity."""
    figure, panels = style.by_role(table, width=3.6, height=2.8)
    for _, rows, ax in panels:
        modules = vocabulary.by_depth(rows.module)
        for words, look, mask in _kinds(rows):
            spread = rows[mask].groupby("module").value.agg(["mean", "min", "max"]).reindex(modules)
            ax.plot(range(len(modules)), spread["mean"], label=f"two P-T of {words}", **look)
            ax.fill_between(
                range(len(modules)), spread["min"], spread["max"], color=look["color"], alpha=0.15
            )
        ax.set_xticks(range(len(modules)), modules, rotation=30)
        ax.set_ylim(-0.03, 1.04)
    panels[0][2].set_ylabel("CKA")
    style.legend(figure)
    return style.described(figure, "CKA of the same module in two P-T, of one P and of two")


def _kinds(rows: pd.DataFrame):
    """(words, look, which rows) of pairs of one P and of two."""
    return ("one P", ONE, rows.p == rows.p_b), ("two P's", TWO, rows.p != rows.p_b)
