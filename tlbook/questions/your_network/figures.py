"""A figure for each answer about a network: P-T, RI-T and their pairs in the book's colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook.evidence import style
from tlbook.questions.your_network import answers
from tlbook.questions.your_network.answers import Tables

COLOURS = style.INIT_COLOURS | style.CONTROL_COLOURS
MARKERS = style.INIT_MARKERS | style.CONTROL_MARKERS
LONGEST = 18  # letters of a module's name on an axis


def curves(tables: Tables) -> Figure:
    """Test accuracy against epochs, P permuted too: lines are means, bands span all seeds."""
    table = pd.concat([tables[name] for name in ("curves", "permuted") if name in tables])
    table = table[(table.split == "test") & (table.metric == "accuracy")]
    figure, (ax,) = style.panels(1, width=5, height=3)
    for start, rows in table.groupby("start", sort=False):
        spread = rows.groupby("epoch").value.agg(["mean", "min", "max"])
        ax.plot(spread.index, spread["mean"], color=COLOURS[start], marker=MARKERS[start], label=start)
        ax.fill_between(spread.index, spread["min"], spread["max"], color=COLOURS[start], alpha=0.15)
    ax.set_xlabel("epoch")
    ax.set_ylabel("test accuracy (%)")
    style.legend(figure)
    return style.described(figure, "Test accuracy against epoch for each start")


def ends(tables: Tables) -> Figure:
    """The same where nothing was trained: one mark a network."""
    final = answers.ends(tables["ends"])
    figure, (ax,) = style.panels(1, width=3.6, height=2.4)
    for place, start in enumerate(final):
        ax.plot([place] * len(final), final[start], MARKERS[start], color=COLOURS[start])
    ax.set_xticks(range(final.shape[1]), list(final))
    ax.set_ylabel("test accuracy (%)")
    return style.described(figure, "Test accuracy of every network")


def leads(tables: Tables) -> Figure:
    """How far each is ahead of networks from scratch in the end, with its interval over seeds."""
    found = {"P": answers.lead(tables["curves"])}
    if "permuted" in tables:
        found["P permuted"] = answers.lead(tables["permuted"], "Permuted-T", over=tables["curves"])
    if "shuffled" in tables:
        found["P, blocks shuffled"] = answers.lead(tables["shuffled"])
    figure, (ax,) = style.panels(1, width=5, height=0.6 + 0.5 * len(found))
    _intervals(ax, found)
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_xlabel("points of test accuracy ahead of random weights")
    return style.described(figure, "The lead of P, of P permuted and on shuffled images")


def kappa(tables: Tables) -> Figure:
    """Consistency of mistakes by kind of pair."""
    table = tables["mistakes"]
    found = answers.by_kind(table[table.metric == "kappa"].dropna())
    figure, (ax,) = style.panels(1, width=5, height=0.6 + 0.5 * len(found))
    _intervals(ax, found, by_kind=True)
    ax.set_xlabel("consistency of mistakes beyond chance (kappa)")
    return style.described(figure, "Kappa of shared mistakes by kind of pair")


def similarity(tables: Tables) -> Figure:
    """CKA by module and kind of pair: means over pairs."""
    table = tables["similarity"]
    return _by_module(table[table.metric == "cka"], "kind", "linear CKA of features", style.PAIR_COLOURS)


def moved(tables: Tables) -> Figure:
    """How far each module moved, in units of its length in P."""
    table = tables["moved"]
    figure = _by_module(table[table.metric == "l2_relative"], "start", "l2 moved / length in P", COLOURS)
    figure.panels[0].set_yscale("log")
    return figure


def lines(tables: Tables) -> Figure:
    """Test accuracy on straight lines between networks: a line a pair; the soups' as hollow stars."""
    table = tables["lines"]
    table = table[table.metric == "accuracy"]
    figure, (ax,) = style.panels(1, width=5, height=3)
    for (kind, *_), line in table.groupby(["kind", "seed", "seed_b"], sort=False):
        ax.plot(line.alpha, line.value, color=style.PAIR_COLOURS[kind], label=kind, alpha=0.8)
    if "soups" in tables:
        soups = tables["soups"]
        soups = soups[(soups.metric == "accuracy") & (soups.left_out == "-") & (soups.kind == "soup")]
        for row in soups.itertuples():
            colour = COLOURS[row.start]
            look = {"marker": "*", "markersize": 11, "markerfacecolor": "white", "linestyle": "none"}
            ax.plot(0.5, row.value, color=colour, label=f"average of all {row.start}", **look)
    ax.set_xlabel("place on the line (0, 1: the two networks)")
    ax.set_ylabel("test accuracy (%)")
    style.legend(figure)
    return style.described(figure, "Test accuracy on the straight lines between networks")


def rewind(tables: Tables) -> Figure:
    """What setting a module back costs, alone and with all before it; bars are intervals over seeds."""
    table = answers.costs(tables["rewind"])
    order = list(dict.fromkeys(table[table.together == "alone"].module))
    words = {"alone": "it alone", "up to": "up to it"}
    figure, (ax,) = style.panels(1, width=0.35 * len(order) + 3, height=3)
    for (start, together), rows in table.groupby(["start", "together"], sort=False):
        at = [order.index(module) for module in rows.module]
        bars = np.nan_to_num([rows.value - rows.low, rows.high - rows.value]).clip(min=0)
        dashes = "-" if together == "alone" else ":"
        look = {"color": COLOURS[start], "marker": MARKERS[start], "linestyle": dashes, "capsize": 2}
        ax.errorbar(at, rows.value, bars, label=f"{start}, {words[together]}", **look)
    _name_modules(ax, order)
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set_ylabel("points of test accuracy lost")
    style.legend(figure, columns=2)
    return style.described(figure, "What setting back each module costs")


def probe(tables: Tables) -> Figure:
    """A linear classifier on each module's features, beside what trained networks reach."""
    colours = {"P": "#000000", "RI": "#7F7F7F"}
    figure = _by_module(tables["probe"], "start", "test accuracy (%)", colours)
    (ax,) = figure.panels
    trained = answers.ends(answers.final(tables)).mean()
    for start in trained.index:
        look = {"color": COLOURS[start], "linestyle": "--", "linewidth": 1}
        ax.axhline(trained[start], label=f"{start}, trained", **look)
    for one in figure.legends:
        one.remove()
    style.legend(figure, columns=2)
    return style.described(figure, "Test accuracy of a linear classifier on each module's features")


def _by_module(table: pd.DataFrame, by: str, what: str, colours: Mapping[str, str]) -> Figure:
    """Means of a value against modules from input to output, a line for each kind."""
    order = list(dict.fromkeys(table.module))
    figure, (ax,) = style.panels(1, width=0.35 * len(order) + 3, height=3)
    for kind, rows in table.groupby(by, sort=False):
        means = rows.groupby("module", sort=False).value.mean()
        marker = (style.PAIR_MARKERS | MARKERS).get(kind, "o")
        ax.plot([order.index(m) for m in means.index], means, color=colours[kind], marker=marker, label=kind)
    _name_modules(ax, order)
    ax.set_ylabel(what)
    style.legend(figure)
    return style.described(figure, f"{what} by module")


def _name_modules(ax: Axes, order: Sequence[str]) -> None:
    names = [
        name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}" for name in map(style.literal, order)
    ]
    ax.set_xticks(range(len(order)), names, rotation=60, ha="right", rotation_mode="anchor")


def _intervals(ax: Axes, found: Mapping[str, tuple], by_kind: bool = False) -> None:
    """Values with their intervals, one below the other."""
    for place, (name, (value, low, high)) in enumerate(found.items()):
        bars = np.nan_to_num([[value - low], [high - value]]).clip(min=0)
        colour = style.PAIR_COLOURS[name] if by_kind else style.OURS
        look = {"color": colour, "marker": style.PAIR_MARKERS[name] if by_kind else "o", "capsize": 3}
        ax.errorbar(value, place, xerr=bars, **look)
    ax.set_yticks(range(len(found)), [answers.WORDS.get(name, name) for name in found])
    ax.set_ylim(len(found) - 0.5, -0.5)


FIGURES: dict[str, tuple[str, Callable[[Tables], Figure]]] = {  # answer -> table that it needs, figure
    "end": ("curves", curves),
    "features": ("permuted", leads),
    "mistakes": ("mistakes", kappa),
    "similarity": ("similarity", similarity),
    "moved": ("moved", moved),
    "basin": ("lines", lines),
    "rewind": ("rewind", rewind),
    "probe": ("probe", probe),
}


def of(name: str, tables: Tables) -> Figure | None:
    """The figure of an answer, or None where its tables are not there."""
    if name == "end" and "curves" not in tables:
        return ends(tables)
    needed, draw = FIGURES[name]
    if name == "features" and "curves" in tables and {"permuted", "shuffled"} & set(tables):
        return draw(tables)
    return draw(tables) if needed in tables else None
