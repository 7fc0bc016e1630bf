"""Figures of question 2: mistakes, similarity of features (paper, Table 1), distance of weights (Table 2).

Wherever pairs are drawn, colour and marker are the kind of pair, and hollow is away from the paper's rates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.vocabulary import PAIR, PAIR_KINDS, at_last_epoch, at_papers_rates, by_depth, pair_kind

MEASURES = {
    "cka": "CKA",
    "cka_debiased": "CKA, debiased",
    "cka_positions": "CKA, positions as examples",
    "neighbours": "shared neighbours",
}
NULL = {"cka": ("cka_null", "cka_null_high"), "neighbours": ("neighbours_null", "neighbours_null")}
SETS = {
    "both_right": "both right",
    "only_second_wrong": "only RI-T wrong",
    "only_first_wrong": "only P-T wrong",
    "both_wrong": "both wrong",
}
JUDGES = {"all": "all", "P-T": "P-T only", "RI-T": "RI-T only"}
SHARES = {"shared": "shared mistakes / all mistakes", "kappa": "error consistency κ"}
GALLERY = 4  # images in a row
GAP = 1.55  # from one to the next, in image widths: room for the words above


def mistakes(table: pd.DataFrame, metric: str = "shared") -> Figure:
    """Shared mistakes (``metric`` "shared") or error consistency ("kappa") of every pair, 95 % intervals.

    ``table`` is mistakes. One panel a role, one row a kind of pair and rate. Where `shared` is shown, a tick
    is what independent errors of the same rates would share.
    """
    pairs = _grouped(_wide(table))
    figure, panels, groups = _group_panels(pairs)
    independent = "if errors were independent"
    for _, rows, ax in panels:
        y = _points(ax, rows, groups, metric)
        ax.hlines(y, rows[f"{metric}_low"], rows[f"{metric}_high"], color=_colours(rows), linewidth=0.8)
        if metric == "shared":
            ax.plot(rows.shared_expected, y, "|", color="0.35", markersize=7, label=independent)
        ax.axvline(0, color="0.5", linewidth=0.8)
        ax.set_xlabel(SHARES[metric])
    if metric == "shared":
        style.legend(figure, {independent: Line2D([], [], linestyle="none", marker="|", color="0.35")})
    return style.described(
        figure, f"{SHARES[metric]} of every pair of models by kind of pair, with intervals"
    )


def difficulty(table: pd.DataFrame) -> Figure:
    """How hard the examples are that P-T and RI-T get right or wrong; one point a pair at the paper's rates.

    ``table`` is mistake_difficulty; lines are means over pairs.
    """
    figure, panels = style.by_role(at_papers_rates(table), height=2.5)
    for _, rows, ax in panels:
        for place, name in enumerate(SETS):
            values = rows.value[rows.examples == name]
            ax.plot(place + style.apart(len(values)), values, linestyle="none", **_look("P-T & RI-T"))
            ax.hlines(values.mean(), place - 0.35, place + 0.35, color="0.2", linewidth=1.5)
        ax.set_xticks(range(len(SETS)), SETS.values(), rotation=25, ha="right")
        ax.set_ylim(-0.03, 1.03)
        ax.set_ylabel("difficulty (share wrong)")
    return style.described(
        figure, "Mean difficulty of the examples that P-T and RI-T get right or wrong, by pair"
    )


def judges(table: pd.DataFrame) -> Figure:
    """How much harder "only P-T wrong" is than "only RI-T wrong", by who says what is hard; one bar a pair.

    ``table`` is difficulty_test; bars are 95 % bootstrap intervals over examples.
    """
    figure, panels = style.by_role(_wide(table, "judges"), height=2.5)
    for _, rows, ax in panels:
        for place, (name, colour) in enumerate({"all": "0.2", **style.INIT_COLOURS}.items()):
            judged = rows[rows.judges == name]
            x = place + style.apart(len(judged))
            marker = style.INIT_MARKERS.get(name, "D")
            ax.plot(x, judged.difference, marker, color=colour, markersize=4)
            ax.vlines(x, judged.difference_low, judged.difference_high, color=colour, linewidth=0.8)
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set_xticks(range(len(JUDGES)), JUDGES.values())
        ax.set_xlabel("models that say what is hard")
        ax.set_ylabel("harder by (share wrong)")
    return style.described(
        figure, "Difference in difficulty of the examples that only P-T and only RI-T get wrong, by judges"
    )


def layers(table: pd.DataFrame, paper: pd.DataFrame | None = None, measure: str = "cka") -> Figure:
    """Table 1 as lines: similarity of the same module in two models, at the paper's rates, against depth.

    ``table`` is similarity; ``measure`` one of `MEASURES`, of which ``paper``, the frame
    `tlbook.evidence.paper.table1`, has CKA. Lines are means over pairs, bands all pairs. Grey is what
    permuted examples give (plain CKA: its mean up to the largest of the draws), or chance.
    """
    figure, panels = style.by_role(at_papers_rates(table[table.module == table.module_b]), width=3.8)
    theirs = None if paper is None else paper[paper.metric == measure]
    for role, rows, ax in panels:
        modules = by_depth(rows.module)
        for kind, values in () if theirs is None else theirs[theirs.role == role].groupby(pair_kind(theirs)):
            placed = values.assign(place=values.module.map(modules.index))
            style.papers_line(ax, placed, "place", style.PAIR_COLOURS[kind])
        _along_modules(ax, rows[rows.metric == measure], modules)
        _null_band(ax, rows, measure, modules)
        ax.set_ylim(min(-0.03, ax.get_ylim()[0]), 1.04)
        ax.set_ylabel(MEASURES[measure])
    style.papers_label(panels[0][2], theirs)
    style.legend(figure)
    return style.described(
        figure, f"{MEASURES[measure]} of the same module in two models, by kind of pair and depth"
    )


def _null_band(ax: Axes, rows: pd.DataFrame, measure: str, modules: Sequence[str]) -> None:
    if measure == "cka_debiased":
        ax.axhline(0, color="0.5", linewidth=0.8)
    if measure not in NULL:
        return
    mean, high = (rows[rows.metric == name].groupby("module").value for name in NULL[measure])
    low, top = mean.mean().reindex(modules), high.max().reindex(modules)
    name = "examples permuted" if measure == "cka" else "chance"
    ax.fill_between(range(len(modules)), low, top, color="0.6", alpha=0.5, linewidth=0)
    ax.plot(range(len(modules)), low, color="0.4", linewidth=1, linestyle=":", label=name)


def layer_by_layer(table: pd.DataFrame, role: str, kind: str, measure: str = "cka") -> Figure:
    """Every module of one model against every module of the other, mean over the pairs of one kind.

    ``table`` is similarity; ``kind`` one of `tlbook.vocabulary.PAIR_KINDS`, at the paper's rates.
    """
    style.apply()
    pairs = at_papers_rates(table[(table.role == role) & (table.metric == measure)])
    pairs = pairs[pair_kind(pairs) == kind]
    modules = by_depth(pairs.module)
    means = pairs.pivot_table(index="module", columns="module_b", values="value", dropna=False)
    means = means.reindex(index=modules[::-1], columns=modules)
    side = 0.42 * len(modules)
    figure, ax = plt.subplots(figsize=(side + 2.4, side + 1.3))
    image = ax.imshow(means, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    if len(modules) <= 8:
        for (y, x), value in np.ndenumerate(means.to_numpy()):
            colour = "black" if value > 0.6 else "white"
            ax.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(len(modules)), modules, rotation=90)
    ax.set_yticks(range(len(modules)), modules[::-1])
    ax.grid(False)
    first, second = kind.split(" & ")
    one, other = ("one ", "the other ") if first == second else ("", "")
    ax.set_xlabel(f"module of {other}{second}")
    ax.set_ylabel(f"module of {one}{first}")
    ax.set_title(f"{role}: {kind}")
    figure.colorbar(image, ax=ax, label=MEASURES[measure])
    return style.described(figure, f"{MEASURES[measure]} of every module with every module on {role}, {kind}")


def kinds(table: pd.DataFrame, role: str) -> list[str]:
    """The kinds of pairs that a role's table has, in the book's order."""
    return _kinds(table[table.role == role])


def distances(table: pd.DataFrame, metric: str = "l2_sum") -> Figure:
    """Table 2: distance of every pair at the last epoch, both rates; filled at the paper's rates.

    ``table`` is distance; ``metric`` "l2_sum", the sum of the modules' l2, or "l2", the root.
    """
    pairs = _grouped(at_last_epoch(table[(table.module == "all") & (table.metric == metric)]))
    figure, panels, groups = _group_panels(pairs)
    for _, rows, ax in panels:
        _points(ax, rows, groups, "value")
        ax.set_xlim(0, 1.05 * pairs.value.max())
        ax.set_xlabel("distance, sum of modules' ℓ2" if metric == "l2_sum" else "distance, ℓ2")
    return style.described(figure, "Distance between the weights of every pair, by kind of pair and rate")


def along_training(table: pd.DataFrame) -> Figure:
    """How distances (without fc, relative to the norm of P) grow with epochs; lines are means over pairs.

    ``table`` is distance. Colours are kinds of pairs; dashes are the high rate (of both, or of the one run).
    """
    pairs = table[(table.module == "body") & (table.metric == "l2_relative")]
    pairs = pairs[(pairs.rate_b == "-") | (pairs.rate == pairs.rate_b)]
    strokes = {"low": "-", "high": "--"}
    figure, panels = style.by_role(pairs, width=3.8, height=2.9)
    for _, rows, ax in panels:
        for (kind, rate), values in rows.groupby([pair_kind(rows), "rate"]):
            mean = values.groupby("epoch").value.mean()
            ax.plot(mean.index, mean, linestyle=strokes[rate], **_look(kind))
        style.epoch_axis(ax, rows.epoch.max())
        ax.set_xlabel("epoch (0: before training)")
        ax.set_ylabel("distance / norm of P")
    panels[0][2].set_ylim(bottom=0)  # of all panels, now that all is drawn
    handles = {kind: Line2D([], [], **_look(kind)) for kind in _kinds(pairs)}
    for rate in vocabulary.rates(pairs):
        handles[f"{rate} rate"] = Line2D([], [], color="0.3", linestyle=strokes[rate])
    style.legend(figure, handles)
    return style.described(
        figure, "Distance between weights against epoch, by kind of pair and learning rate"
    )


def gallery(table: pd.DataFrame, images: Mapping[tuple[str, str], np.ndarray]) -> Figure:
    """Examples of one set of one pair, with both models' answers and confidence, and the difficulty.

    ``table`` holds these rows of mistake_examples; ``images`` are uint8 (side, side, 3) by (path, digest).
    """
    style.apply()
    rows = -(-len(table) // GALLERY)
    figure, ax = plt.subplots(figsize=(2.3 * GALLERY, 2.15 * rows))
    for place, row in enumerate(table.sort_values("place").itertuples()):
        x, y = GAP * (place % GALLERY), -1.5 * (place // GALLERY)
        image = images.get((row.path, row.digest))
        if image is not None:
            ax.imshow(image, interpolation="nearest", extent=(x, x + 1, y, y + 1))
        lines = [
            f"{row.answer} (difficulty {row.difficulty:.2f})",
            f"{row.init}: {row.prediction} ({row.confidence:.2f})",
            f"{row.init_b}: {row.prediction_b} ({row.confidence_b:.2f})",
        ]
        ax.text(x, y + 1.04, style.literal("\n".join(lines)), va="bottom", fontsize=7)
    ax.set_xlim(0, GAP * GALLERY)
    ax.set_ylim(-1.5 * (rows - 1), 1.4)
    ax.axis("off")
    what = SETS[table.examples.iloc[0]]
    ax.set_title(f"{table.role.iloc[0]}: {what}", loc="left", fontsize="medium")
    shown = f"{len(table)} test images of {table.role.iloc[0]}"
    return style.described(figure, f"{shown}, {what}, with the answers of a P-T and an RI-T")


# What these figures share


def _kinds(pairs: pd.DataFrame) -> list[str]:
    there = set(pair_kind(pairs))
    return [kind for kind in PAIR_KINDS if kind in there]


def _wide(table: pd.DataFrame, *more: str) -> pd.DataFrame:
    """One row a pair, metrics as columns."""
    return table.pivot(index=[*more, *PAIR], columns="metric", values="value").reset_index()


def _grouped(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of pairs in the book's order with the columns pair, its kind; group, the kind with its rates ("P-T
    low & RI-T high", "2 P-T low", "P-T low & P"); and filled: at the paper's rates."""
    first = pairs.init + " " + pairs.rate
    second = (pairs.init_b + " " + pairs.rate_b).str.removesuffix(" -")
    group = (first + " & " + second).where(first != second, "2 " + first)
    filled = pairs.index.isin(at_papers_rates(pairs).index)
    named = pairs.assign(pair=pair_kind(pairs), group=group, filled=filled)
    return vocabulary.in_book_order(named, ["pair", "rate", "rate_b"])


def _group_panels(pairs: pd.DataFrame) -> tuple[Figure, list[tuple[str, pd.DataFrame, Axes]], list[str]]:
    """One panel a role as `style.by_role` gives them, and the groups of each from top to bottom."""
    groups = list(dict.fromkeys(pairs.group))
    figure, panels = style.by_role(pairs, height=0.24 * len(groups) + 1.0)
    _group_axis(panels[0][2], groups)
    return figure, panels, groups


def _group_axis(ax: Axes, groups: Sequence[str]) -> None:
    ax.set_yticks(range(len(groups)), groups)
    ax.set_ylim(len(groups) - 0.4, -0.6)


def _points(ax: Axes, pairs: pd.DataFrame, groups: Sequence[str], column: str) -> pd.Series:
    """Draw every pair as a point in the row of its group; returns how high each stands."""
    heights = pd.Series(np.nan, index=pairs.index)
    for (group, kind, filled), rows in pairs.groupby(["group", "pair", "filled"], sort=False):
        heights[rows.index] = groups.index(group) + style.apart(len(rows))
        ax.plot(rows[column], heights[rows.index], linestyle="none", label=group, **_look(kind, filled))
    return heights


def _along_modules(ax: Axes, pairs: pd.DataFrame, modules: Sequence[str]) -> None:
    """A line a kind of pair, the mean over its pairs, and a band that spans them all."""
    x = range(len(modules))
    for kind in _kinds(pairs):
        values = pairs[pair_kind(pairs) == kind].groupby("module").value
        low, mean, high = (getattr(values, name)().reindex(modules) for name in ("min", "mean", "max"))
        ax.plot(x, mean, label=kind, **_look(kind))
        ax.fill_between(x, low, high, color=style.PAIR_COLOURS[kind], alpha=0.2, linewidth=0)
    few = len(modules) <= 8
    ax.set_xticks(x, modules, rotation=40 if few else 90, ha="right" if few else "center")


def _colours(pairs: pd.DataFrame) -> list[str]:
    return [style.PAIR_COLOURS[kind] for kind in pairs.pair]


def _look(kind: str, filled: bool = True) -> dict:
    """Colour and marker of a kind of pair."""
    colour = style.PAIR_COLOURS[kind]
    face = colour if filled else "white"
    return {"color": colour, "marker": style.PAIR_MARKERS[kind], "markerfacecolor": face, "markersize": 4}
