"""Figures of question 2: mistakes, similarity of features (paper, Table 1), distance of weights (Table 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.scales import RATES
from tlbook.vocabulary import by_depth

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
JITTER = 0.5  # width over which the pairs of one kind are spread


def mistakes(table: pd.DataFrame, metric: str = "shared") -> Figure:
    """Shared mistakes (``metric`` "shared") or error consistency ("kappa") of every pair, 95 % intervals.

    ``table`` is mistakes. One panel a role, one row a kind of pair and rate, filled at the paper's rates.
    Where `shared` is shown, a tick is what independent errors of the same rates would share.
    """
    style.apply()
    shown = table.assign(group=_groups(table))
    groups = _order(shown)
    figure, axes = _group_panels(vocabulary.roles(shown), groups)
    for role, ax in axes.items():
        wide = _wide(shown[shown.role == role])
        for place, group in enumerate(groups):
            own = wide[wide.group == group]
            y = place + _spread(len(own))
            bars = _bars(own, metric)
            ax.errorbar(
                own[metric], y, xerr=bars, **_look(group), linestyle="none", elinewidth=0.8, markersize=4
            )
            if metric == "shared":
                ax.plot(
                    own.shared_expected,
                    y,
                    "|",
                    color="0.35",
                    markersize=7,
                    label="if errors were independent",
                )
        ax.axvline(0, color="0.5", linewidth=0.8)
        ax.set_xlabel(SHARES[metric])
    figure.tight_layout()
    if metric == "shared":
        _legend_beside(figure, next(iter(axes.values())), ["if errors were independent"])
    return style.described(
        figure, f"{SHARES[metric]} of every pair of models by kind of pair, with intervals"
    )


def difficulty(table: pd.DataFrame) -> Figure:
    """How hard the examples are that P-T and RI-T get right or wrong; one point a pair at the paper's rates.

    ``table`` is mistake_difficulty; lines join means over pairs.
    """
    style.apply()
    shown = vocabulary.at_papers_rates(table)
    roles = vocabulary.roles(shown)
    figure, axes = style.panels(len(roles), width=3.6, height=2.5)
    for ax, role in zip(axes, roles, strict=True):
        own = shown[shown.role == role]
        for place, name in enumerate(SETS):
            values = own.value[own.examples == name]
            ax.plot(
                place + _spread(len(values)),
                values,
                "o",
                color=style.PAIR_COLOURS["P-T & RI-T"],
                markersize=4,
            )
            ax.hlines(values.mean(), place - 0.35, place + 0.35, color="0.2", linewidth=1.5)
        ax.set_xticks(range(len(SETS)), SETS.values(), rotation=25, ha="right")
        ax.set_ylim(-0.03, 1.03)
        ax.set_title(role)
        ax.set_ylabel("difficulty (share wrong)")
    figure.tight_layout()
    return style.described(
        figure, "Mean difficulty of the examples that P-T and RI-T get right or wrong, by pair"
    )


def judges(table: pd.DataFrame) -> Figure:
    """How much harder "only P-T wrong" is than "only RI-T wrong", by who says what is hard; one bar a pair.

    ``table`` is difficulty_test; bars are 95 % bootstrap intervals over examples.
    """
    style.apply()
    roles = vocabulary.roles(table)
    figure, axes = style.panels(len(roles), width=3.6, height=2.5)
    for ax, role in zip(axes, roles, strict=True):
        wide = _wide(table[table.role == role], "judges")
        for place, (name, colour) in enumerate({"all": "0.2", **style.INIT_COLOURS}.items()):
            own = wide[wide.judges == name]
            bars = _bars(own, "difference")
            ax.errorbar(place + _spread(len(own)), own.difference, bars, color=colour, linestyle="none",
                        marker=style.INIT_MARKERS.get(name, "D"), elinewidth=0.8, markersize=4)  # fmt: skip
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set_xticks(range(len(JUDGES)), JUDGES.values())
        ax.set_xlabel("models that say what is hard")
        ax.set_ylabel("harder by (share wrong)")
        ax.set_title(role)
    figure.tight_layout()
    return style.described(
        figure, "Difference in difficulty of the examples that only P-T and only RI-T get wrong, by judges"
    )


def by_class(table: pd.DataFrame, role: str, metric: str = "shared") -> Figure:
    """Shared mistakes by class at the paper's rates, one point a pair; ``table`` is mistakes_by_class."""
    style.apply()
    shown = table[(table.role == role) & (table.metric == metric)]
    shown = shown.assign(pair=vocabulary.pair_kind(shown))
    labels = sorted(set(shown.label))
    figure, ax = plt.subplots(figsize=(max(4.5, 0.75 * len(labels) + 2.4), 2.9))
    kinds = [kind for kind in vocabulary.PAIR_KINDS if kind in set(shown.pair)]
    for number, kind in enumerate(kinds):
        own = shown[shown.pair == kind]
        shift = 0.25 * (number - (len(kinds) - 1) / 2)
        ax.plot(own.label.map(labels.index) + shift, own.value, linestyle="none", markersize=4, **_look(kind))
    ax.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    ax.set_ylabel(SHARES[metric])
    ax.set_title(role)
    _pair_legend(ax, kinds)
    figure.tight_layout()
    return style.described(figure, f"{SHARES[metric]} on {role} by class, for each kind of pair")


def layers(table: pd.DataFrame, measure: str = "cka") -> Figure:
    """Table 1 as lines: similarity of the same module in two models, at the paper's rates, against depth.

    ``table`` is similarity; ``measure`` one of `MEASURES`. Lines are means over pairs, bands all pairs. Grey
    is what permuted examples give (plain CKA: its mean up to the largest of the draws), or chance.
    """
    style.apply()
    shown = vocabulary.at_papers_rates(table)
    shown = shown[shown.module == shown.module_b]
    shown = shown.assign(pair=vocabulary.pair_kind(shown))
    roles = vocabulary.roles(shown)
    figure, axes = style.panels(len(roles), width=3.8, height=2.6)
    for ax, role in zip(axes, roles, strict=True):
        own = shown[shown.role == role]
        modules = by_depth(own.module)
        _null_band(ax, own, measure, modules)
        for kind in (kind for kind in vocabulary.PAIR_KINDS if kind in set(own.pair)):
            values = own[(own.pair == kind) & (own.metric == measure)].groupby("module").value
            low, mean, high = (getattr(values, name)().reindex(modules) for name in ("min", "mean", "max"))
            ax.plot(range(len(modules)), mean, markersize=5, **_look(kind))
            ax.fill_between(
                range(len(modules)), low, high, color=style.PAIR_COLOURS[kind], alpha=0.2, linewidth=0
            )
        _module_axis(ax, modules)
        ax.set_ylim(min(-0.03, ax.get_ylim()[0]), 1.04)
        ax.set_title(role)
        ax.set_ylabel(MEASURES[measure])
    figure.tight_layout()
    _legend_beside(figure, axes[0])
    return style.described(
        figure, f"{MEASURES[measure]} of the same module in two models, by kind of pair and depth"
    )


def _null_band(ax: Axes, own: pd.DataFrame, measure: str, modules: Sequence[str]) -> None:
    if measure == "cka_debiased":
        ax.axhline(0, color="0.5", linewidth=0.8)
    if measure not in NULL:
        return
    mean, high = (own[own.metric == name].groupby("module").value for name in NULL[measure])
    low, top = mean.mean().reindex(modules), high.max().reindex(modules)
    name = "examples permuted" if measure == "cka" else "chance"
    ax.fill_between(range(len(modules)), low, top, color="0.6", alpha=0.5, linewidth=0)
    ax.plot(range(len(modules)), low, color="0.4", linewidth=1, linestyle=":", label=name)


def layer_by_layer(table: pd.DataFrame, role: str, kind: str, measure: str = "cka") -> Figure:
    """Every module of one model against every module of the other, mean over the pairs of one kind.

    ``table`` is similarity; ``kind`` one of `tlbook.vocabulary.PAIR_KINDS`, at the paper's rates.
    """
    style.apply()
    shown = vocabulary.at_papers_rates(table[(table.role == role) & (table.metric == measure)])
    shown = shown[vocabulary.pair_kind(shown) == kind]
    modules = by_depth(shown.module)
    means = shown.pivot_table(index="module", columns="module_b", values="value", dropna=False)
    means = means.reindex(index=modules[::-1], columns=modules)
    first, second = kind.split(" & ")
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
    again = "other " if first == second else ""
    ax.set_xlabel(f"module of {'the ' + again if again else ''}{second}")
    ax.set_ylabel(f"module of {'one ' if again else ''}{first}")
    ax.set_title(f"{role}: {kind}")
    figure.colorbar(image, ax=ax, label=MEASURES[measure])
    return style.described(figure, f"{MEASURES[measure]} of every module with every module on {role}, {kind}")


def kinds(table: pd.DataFrame, role: str) -> list[str]:
    """The kinds of pairs that a role's table has, in the book's order."""
    found = set(vocabulary.pair_kind(table[table.role == role]))
    return [kind for kind in vocabulary.PAIR_KINDS if kind in found]


def modules(table: pd.DataFrame, role: str) -> list[str]:
    """The modules of a role's table, from input to output."""
    return by_depth(table.module[table.role == role])


def one_layer(table: pd.DataFrame, role: str, module: str) -> Figure:
    """One module, for the explorer: every pair's value of each measure; filled at the paper's rates."""
    style.apply()
    shown = table[(table.role == role) & (table.module == module) & (table.module_b == module)]
    shown = shown.assign(group=_groups(shown))
    groups = _order(shown)
    size = (2.1 * len(MEASURES) + 1.4, 0.27 * len(groups) + 1.3)
    figure, axes = plt.subplots(1, len(MEASURES), figsize=size, sharey=True)
    for ax, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        for place, group in enumerate(groups):
            values = shown.value[(shown.group == group) & (shown.metric == measure)]
            ax.plot(
                values, place + _spread(len(values)) * 0.8, linestyle="none", markersize=4, **_look(group)
            )
        for null in NULL.get(measure, ()):
            ax.axvline(shown.value[shown.metric == null].mean(), color="0.4", linewidth=1, linestyle=":")
        ax.set_xlim(-0.05, 1.05)
        ax.set_xlabel(name.replace(", ", ",\n"))
    axes[0].set_yticks(range(len(groups)), groups)
    axes[0].invert_yaxis()
    axes[0].set_title(f"{role}, {module}", loc="left")
    return style.described(figure, f"Four measures of similarity at {module} on {role}, every pair of models")


def distances(table: pd.DataFrame, metric: str = "l2_sum") -> Figure:
    """Table 2: distance of every pair at the last epoch, both rates; filled at the paper's rates.

    ``table`` is distance; ``metric`` "l2_sum", the sum of the modules' l2, or "l2", the root.
    """
    style.apply()
    shown = vocabulary.at_last_epoch(table[(table.module == "all") & (table.metric == metric)])
    shown = shown.assign(group=_groups(shown))
    groups = _order(shown)
    figure, axes = _group_panels(vocabulary.roles(shown), groups)
    for role, ax in axes.items():
        for place, group in enumerate(groups):
            values = shown.value[(shown.role == role) & (shown.group == group)]
            ax.plot(values, place + _spread(len(values)), linestyle="none", markersize=5, **_look(group))
        ax.set_xlim(0, 1.05 * shown.value.max())
        ax.set_xlabel("distance, sum of modules' ℓ2" if metric == "l2_sum" else "distance, ℓ2")
    figure.tight_layout()
    return style.described(figure, "Distance between the weights of every pair, by kind of pair and rate")


def along_training(table: pd.DataFrame) -> Figure:
    """How distances (without fc, relative to the norm of P) grow with epochs; lines are means over pairs.

    ``table`` is distance. Colours are kinds of pairs; dashes are the high rate (of both, or of the one run).
    """
    style.apply()
    shown = table[(table.module == "body") & (table.metric == "l2_relative")]
    shown = shown.assign(pair=vocabulary.pair_kind(shown))
    shown = shown[(shown.rate_b == "-") | (shown.rate == shown.rate_b)]
    roles = vocabulary.roles(shown)
    figure, axes = style.panels(len(roles), width=3.8, height=2.7)
    for ax, role in zip(axes, roles, strict=True):
        own = shown[shown.role == role]
        for (kind, rate), values in own.groupby(["pair", "rate"]):
            mean = values.groupby("epoch").value.mean()
            dashes = {"dashes": style.RATE_DASHES[rate]} if style.RATE_DASHES[rate] else {}
            look = _look(kind) | {"label": None}
            ax.plot(mean.index, mean, markersize=4, **look, **dashes)
        style.epoch_axis(ax, own.epoch.max())
        ax.set_title(role)
        ax.set_xlabel("epoch (0: before training)")
        ax.set_ylabel("distance / norm of P")
    axes[0].set_ylim(bottom=0)  # of all panels, now that all is drawn
    for kind in (kind for kind in vocabulary.PAIR_KINDS if kind in set(shown.pair)):
        axes[0].plot([], [], **_look(kind))
    for rate in vocabulary.rates(shown):
        axes[0].plot([], [], color="0.3", label=f"{rate} rate", linestyle="-" if rate == "low" else "--")
    figure.tight_layout()
    _legend_beside(figure, axes[0])
    return style.described(
        figure, "Distance between weights against epoch, by kind of pair and learning rate"
    )


def along_depth(table: pd.DataFrame) -> Figure:
    """Where along the depth the distance sits at the last epoch, per root of the number of weights, at the
    paper's rates; lines are means over pairs, bands all pairs. ``table`` is distance."""
    style.apply()
    shown = vocabulary.at_papers_rates(vocabulary.at_last_epoch(table))
    shown = shown[(shown.metric == "l2_per_root") & ~shown.module.isin(["all", "body"])]
    shown = shown.assign(pair=vocabulary.pair_kind(shown))
    roles = vocabulary.roles(shown)
    figure, axes = style.panels(len(roles), width=3.8, height=2.7)
    for ax, role in zip(axes, roles, strict=True):
        own = shown[shown.role == role]
        names = by_depth(own.module)
        for kind in (kind for kind in vocabulary.PAIR_KINDS if kind in set(own.pair)):
            values = own[own.pair == kind].groupby("module").value
            low, mean, high = (getattr(values, name)().reindex(names) for name in ("min", "mean", "max"))
            ax.plot(range(len(names)), mean, markersize=5, **_look(kind))
            ax.fill_between(
                range(len(names)), low, high, color=style.PAIR_COLOURS[kind], alpha=0.2, linewidth=0
            )
        _module_axis(ax, names)
        ax.set_yscale("log")
        ax.set_title(role)
        ax.set_ylabel("ℓ2 / √weights")
    low, high = axes[0].get_ylim()
    ticks = [step * 10.0**power for power in range(-4, 3) for step in (1, 2, 5)]
    axes[0].set_yticks([tick for tick in ticks if low < tick < high])
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_locator(NullLocator())
    figure.tight_layout()
    _legend_beside(figure, axes[0])
    return style.described(
        figure, "Distance per root of the number of weights along the depth, by kind of pair"
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
        answers = [
            (row.init, row.prediction, row.confidence),
            (row.init_b, row.prediction_b, row.confidence_b),
        ]
        lines = [f"{row.answer} (difficulty {row.difficulty:.2f})"]
        lines += [f"{init}: {said} ({sure:.2f})" for init, said, sure in answers]
        ax.text(x, y + 1.04, "\n".join(lines), va="bottom", fontsize=7)
    ax.set_xlim(0, GAP * GALLERY)
    ax.set_ylim(-1.5 * (rows - 1), 1.4)
    ax.axis("off")
    what = SETS[table.examples.iloc[0]]
    ax.set_title(f"{table.role.iloc[0]}: {what}", loc="left", fontsize="medium")
    shown = f"{len(table)} test images of {table.role.iloc[0]}"
    return style.described(figure, f"{shown}, {what}, with the answers of a P-T and an RI-T")


# What these figures share


def _group_panels(roles: Sequence[str], groups: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """One panel a role, its groups from top to bottom."""
    figure, axes = style.panels(len(roles), width=3.6, height=0.24 * len(groups) + 1.0)
    axes[0].set_yticks(range(len(groups)), groups)
    axes[0].set_ylim(len(groups) - 0.4, -0.6)
    for ax, role in zip(axes, roles, strict=True):
        ax.set_title(role)
    return figure, dict(zip(roles, axes, strict=True))


def _bars(own: pd.DataFrame, metric: str) -> list[pd.Series]:
    """Lengths of the error bars of a metric that has _low and _high."""
    return [
        (own[metric] - own[f"{metric}_low"]).clip(lower=0),
        (own[f"{metric}_high"] - own[metric]).clip(lower=0),
    ]


def _groups(table: pd.DataFrame) -> pd.Series:
    """A kind of pair with its rates: "P-T low & RI-T high", "2 P-T low", "P-T low & P"."""
    first, second = table.init + " " + table.rate, table.init_b + " " + table.rate_b
    same = first == second
    mixed = first + " & " + second.str.removesuffix(" -")
    return mixed.where(~same, "2 " + first)


def _parts(group: str) -> tuple[str, tuple[str, ...]]:
    """(kind of pair, its rates) of a group's name, or of a kind."""
    names = [group.removeprefix("2 ")] * 2 if group.startswith("2 ") else group.split(" & ")
    words = [name.split() for name in names]
    return " & ".join(word[0] for word in words), tuple(word[1] for word in words if len(word) > 1)


def _order(table: pd.DataFrame) -> list[str]:
    """The groups of a table, by kind and rate."""
    return sorted(
        set(table.group),
        key=lambda g: (vocabulary.PAIR_KINDS.index(_parts(g)[0]), [RATES.index(r) for r in _parts(g)[1]]),
    )


def _look(group: str) -> dict:
    """Colour, marker and label of a group or kind; hollow away from the paper's rates."""
    kind, rates = _parts(group)
    wanted = tuple(vocabulary.PAPER_RATES[name] for name in kind.split(" & ") if name != "P")
    colour = style.PAIR_COLOURS[kind]
    filled = not rates or rates == wanted
    return {"color": colour, "marker": style.PAIR_MARKERS[kind], "label": group,
            "markerfacecolor": colour if filled else "white"}  # fmt: skip


def _wide(table: pd.DataFrame, *more: str) -> pd.DataFrame:
    """One row a pair, metrics as columns."""
    names = ["group", *more] if "group" in table else list(more)
    keys = [*names, "init", "rate", "seed", "init_b", "rate_b", "seed_b"]
    return table.pivot(index=keys, columns="metric", values="value").reset_index()


def _spread(count: int) -> np.ndarray:
    """Places around 0 for points that would hide each other."""
    return np.linspace(-0.5, 0.5, count) * JITTER if count > 1 else np.zeros(count)


def _module_axis(ax: Axes, names: Sequence[str]) -> None:
    ax.set_xticks(
        range(len(names)),
        names,
        rotation=40 if len(names) <= 8 else 90,
        ha="right" if len(names) <= 8 else "center",
    )


def _pair_legend(ax: Axes, kinds: Sequence[str]) -> None:
    handles = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    ax.legend(handles.values(), handles.keys(), loc="upper left", bbox_to_anchor=(1, 1))


def _legend_beside(figure: Figure, ax: Axes, only: Sequence[str] = ()) -> None:
    """One legend for all panels, right of them, of ``only`` these labels if any are named."""
    handles = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    handles = {label: handle for label, handle in handles.items() if not only or label in only}
    figure.legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1, 0.5))
