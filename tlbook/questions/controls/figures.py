"""Figures of question 1's controls: redrawn inits, similarity of domains, speed, few images."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.questions.controls.method.gain import at_most_images, gain_summary
from tlbook.questions.controls.method.speed import lead_summary
from tlbook.scales import CONTROLS, INITS, PIXELS, SOURCE

INITS_SHOWN = (*INITS, *CONTROLS)
COLOURS = style.INIT_COLOURS | style.CONTROL_COLOURS
MARKERS = style.INIT_MARKERS | style.CONTROL_MARKERS
PANEL = {"height": 2.9, "aspect": 1.35}
OVER = {"end": "final metric", "whole": "mean over the run", "tenth": "mean over its first tenth"}
POINTS = "points (AUC: hundredths)"


def curves(table: pd.DataFrame, split: str = "test") -> Figure:
    """The role's metric against epochs for all inits, one panel a role; lines are means, bands all seeds.

    ``table`` is the table control_curves; roles without a control are left out, if any has one.
    """
    style.apply()
    shown = _with_controls(vocabulary.headline(table[table.split == split]))
    inits = _inits(shown)
    grid = sns.relplot(
        shown,
        x="epoch",
        y="value",
        col="role",
        col_order=vocabulary.roles(shown),
        col_wrap=min(2, shown.role.nunique()),
        kind="line",
        hue="init",
        hue_order=inits,
        palette=COLOURS,
        style="init",
        style_order=inits,
        dashes=False,
        markers=MARKERS,
        errorbar=style.RANGE,
        facet_kws={"sharex": False, "sharey": False},
        **PANEL,
    )
    for ax, role in zip(grid.axes.flat, vocabulary.roles(shown), strict=True):
        style.epoch_axis(ax, shown.epoch[shown.role == role].max())
    grid.set_axis_labels("epoch (0: before training)", "")
    grid.set_titles("{col_name}")
    style.label_metric(grid.axes.flat, shown, "training" if split == "train" else split)
    grid.tight_layout()
    return style.described(
        grid.figure, f"{split} metric against epoch for P-T, RI-T and inits redrawn from P's weights"
    )


def remains(lead: pd.DataFrame, split: str = "test") -> Figure:
    """How far each init is ahead of RI-T, in points, at the end and on average; bars are 95 % over seeds.

    ``lead`` is the table lead. One panel a role, one line of marks for each of `OVER`. Where there is one
    seed there is no bar.
    """
    style.apply()
    found = _with_controls(lead_summary(lead[lead.split == split]))
    roles = vocabulary.roles(found)
    figure, axes = style.panels(len(roles), width=3.7, height=2.5)
    for ax, role in zip(axes, roles, strict=True):
        ax.axvline(0, color=COLOURS["RI-T"], linewidth=1.2)
        for shift, init in zip((-0.22, 0, 0.22), (i for i in INITS_SHOWN if i != "RI-T"), strict=True):
            own = found[(found.role == role) & (found.init == init)]
            places = own.over.map(list(OVER).index) + shift
            _bars(ax, own["mean"], places, own, init, label=init, horizontal=True)
        ax.set_title(role)
        ax.set_xlabel(f"ahead of RI-T, {POINTS}")
    axes[0].set_yticks(range(len(OVER)), OVER.values())
    axes[0].set_ylim(len(OVER) - 0.5, -0.5)
    _legend(figure, axes[0])
    what = f"How far each init is ahead of RI-T in {split} metric"
    return style.described(figure, f"{what}, with 95 % intervals")


def shuffled(table: pd.DataFrame) -> Figure:
    """The role's test metric of every init at a few block sizes; marks are means, bars all seeds.

    ``table`` is the table control_shuffle.
    """
    style.apply()
    shown = _with_controls(vocabulary.headline(table[table.split == "test"]))
    roles, order = vocabulary.roles(shown), style.block_order(shown.block_size)
    figure, axes = style.panels(len(roles), width=3.7, height=2.6, sharey=False)
    for ax, role in zip(axes, roles, strict=True):
        for shift, init in zip((-0.21, -0.07, 0.07, 0.21), INITS_SHOWN, strict=True):
            own = shown[(shown.role == role) & (shown.init == init)]
            spread = own.groupby("block_size").value.agg(["mean", "min", "max"]).reindex(order).dropna()
            places = np.array([order.index(size) for size in spread.index]) + shift
            spread = spread.rename(columns={"min": "low", "max": "high"})
            _bars(ax, places, spread["mean"], spread, init, label=init)
        ax.set_xticks(range(len(order)), order)
        ax.set_xlim(-0.5, len(order) - 0.5)
        ax.set_xlabel(f"block size (pixels; {PIXELS}: all values)")
        ax.set_title(role)
    style.label_metric(axes, shown, "test")
    _legend(figure, axes[0])
    return style.described(figure, "Final test metric of four inits at a few block sizes")


def distances(table: pd.DataFrame) -> Figure:
    """How far each role is from the source in P's features, by block size; bars are 95 % over images.

    ``table`` is the table domain_distance, of which the kernel distance as the runs see the images is drawn.
    The grey line is what other images of the source measure.
    """
    style.apply()
    full = at_most_images(table[(table.metric == "kernel") & (table.normalisation == "run")])
    order = style.block_order(full.block_size)
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    floor = full[full.role == SOURCE].value.mean()
    ax.axhline(floor, color=style.PAPER["color"], linewidth=1.2, linestyle=":", label="source, other images")
    roles = vocabulary.roles(full)
    for shift, role in zip(np.linspace(-0.15, 0.15, len(roles)), roles, strict=True):
        own = full[full.role == role].set_index("block_size").reindex(order).dropna(subset="value")
        places = np.array([order.index(size) for size in own.index]) + shift
        errors = [own.value - own.low, own.high - own.value]
        look = {"color": style.ROLE_COLOURS[role], "marker": style.ROLE_MARKERS[role]}
        ax.errorbar(places, own.value, errors, linestyle="none", capsize=2, label=role, **look)
    ax.set_xticks(range(len(order)), order)
    ax.set_xlabel(f"block size (pixels; {PIXELS}: all values; {order[-1]}: unshuffled)")
    ax.set_ylabel("kernel distance from the source")
    _root_axis(ax.yaxis, full.high.max())
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    what = "Distance of each domain from the source by block size"
    return style.described(figure, f"{what}, with 95 % intervals")


def by_images(table: pd.DataFrame) -> Figure:
    """Why a kernel distance: both distances, as a share of their last, against the number of images.

    ``table`` is the table domain_distance. One panel a distance. The source against itself should be at 0,
    and is drawn as a share of the farthest role's.
    """
    style.apply()
    whole = table[(table.block_fraction == 1) & (table.normalisation == "run")]
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3), sharex=True, sharey=True)
    for ax, metric, name in zip(axes, ("frechet", "kernel"), ("Fréchet", "kernel, unbiased"), strict=True):
        own = whole[whole.metric == metric]
        unit = at_most_images(own).value.max()
        for role in (*vocabulary.roles(own), SOURCE):
            line = own[own.role == role].sort_values("images")
            colour, marker = style.ROLE_COLOURS.get(role, "0.35"), style.ROLE_MARKERS.get(role, "x")
            ax.plot(line.images, line.value / unit, label=role, color=colour, marker=marker)
        ax.set_xscale("log")
        counts = sorted(set(own[own.role == SOURCE].images))
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("images of each domain")
        ax.set_title(name)
    axes[0].set_ylabel("distance / the farthest role's")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return style.described(figure, "Fréchet and kernel distance from the source against the number of images")


def gain_by_distance(gain: pd.DataFrame, distance: pd.DataFrame) -> Figure:
    """What P is worth against how far the images are from the source: in points, and relative to P-T.

    ``gain`` and ``distance`` are the tables gain and domain_distance. Filled marks are Figure 2's runs,
    hollow ones Figure 3's, one for each block size. Bars are 95 %, over seeds upright, over images sideways.
    """
    style.apply()
    found = gain_summary(gain, distance)
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.4))
    for ax, metric in zip(axes, ("points", "relative"), strict=True):
        ax.axhline(0, color="0.6", linewidth=0.8)
        for role in vocabulary.roles(found):
            for figure_number, face in (("3", "white"), ("2", style.ROLE_COLOURS[role])):
                here = (found.role == role) & (found.metric == metric) & (found.figure == figure_number)
                own = found[here].dropna(subset=["mean", "distance"])
                look = {"color": style.ROLE_COLOURS[role], "marker": style.ROLE_MARKERS[role]}
                ax.errorbar(
                    own.distance, own["mean"], _errors(own, own["mean"]),
                    [own.distance - own.distance_low, own.distance_high - own.distance],
                    linestyle="none", markerfacecolor=face, elinewidth=0.8, **look,
                    label=role if figure_number == "2" else None,
                )  # fmt: skip
        _root_axis(ax.xaxis, found.distance_high.max())
        ax.set_xlabel("kernel distance from the source")
        ax.set_ylabel(f"gain, {POINTS}" if metric == "points" else "gain, % of P-T's metric")
    axes[1].plot([], [], "o", color="0.35", markerfacecolor="white", label="Figure 3, by block size")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return style.described(figure, "Gain of P-T over RI-T against the distance of the images from the source")


def few_images(table: pd.DataFrame, what: str = "test") -> Figure:
    """The role's metric against the number of training images; lines are means, bars all seeds.

    ``table`` is the table few_images; ``what`` is "test" (final) or "speed" (mean training metric).
    """
    style.apply()
    prefix, split = ("mean_", "train") if what == "speed" else ("", "test")
    shown = vocabulary.headline(table, prefix)
    shown = shown[shown.split == split]
    roles = vocabulary.roles(shown)
    figure, axes = style.panels(len(roles), width=3.6, height=2.6, sharey=False)
    for ax, role in zip(axes, roles, strict=True):
        for init in vocabulary.inits(shown):
            own = shown[(shown.role == role) & (shown.init == init)]
            spread = own.groupby("images").value.agg(["mean", "min", "max"]).dropna()
            spread = spread.rename(columns={"min": "low", "max": "high"})
            _bars(ax, spread.index, spread["mean"], spread, init, label=init, linestyle="-")
        _images_axis(ax, shown.images[shown.role == role])
        ax.set_title(role)
    style.label_metric(axes, shown, "mean training" if what == "speed" else "test")
    _legend(figure, axes[0])
    name = "mean training metric over the run" if what == "speed" else "final test metric"
    return style.described(figure, f"{name} of P-T and RI-T against the number of training images")


def _root_axis(axis: Axis, highest: float) -> None:
    """Squared distances span orders of magnitude and may be below 0: the axis shows their roots."""
    roots = (lambda v: np.sign(v) * np.sqrt(np.abs(v)), lambda v: np.sign(v) * np.square(v))
    scale = getattr(axis.axes, f"set_{axis.axis_name}scale")
    scale("function", functions=roots)
    size = 10.0 ** np.floor(np.log10(highest)) if highest > 0 else 1.0
    axis.set_major_locator(FixedLocator([0, *(size * step for step in (0.1, 0.5, 1, 2, 5, 10, 20))]))
    axis.set_major_formatter("{x:g}")


def _images_axis(ax: Axes, images: pd.Series) -> None:
    counts = sorted(set(images))
    ax.set_xscale("log")
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("training images (log scale)")


def _bars(ax, x, y, spread: pd.DataFrame, init: str, label: str, horizontal=False, linestyle="none") -> None:
    """Marks of an init with bars from ``spread.low`` to ``spread.high`` (no bar where these are NaN)."""
    errors = _errors(spread, x if horizontal else y)
    bars = {"xerr": errors} if horizontal else {"yerr": errors}
    look = {"color": COLOURS[init], "marker": MARKERS[init]}
    ax.errorbar(x, y, **bars, capsize=2, linestyle=linestyle, label=label, **look)


def _errors(spread: pd.DataFrame, middle) -> list:
    return [(middle - spread.low).clip(lower=0), (spread.high - middle).clip(lower=0)]


def _with_controls(table: pd.DataFrame) -> pd.DataFrame:
    """The roles in which a control was run; all, if none was."""
    having = table.role[table.init.isin(CONTROLS)].unique()
    return table[table.role.isin(having)] if len(having) else table


def _inits(table: pd.DataFrame) -> list[str]:
    return [init for init in INITS_SHOWN if init in set(table.init)]


def _legend(figure: Figure, ax: Axes) -> None:
    """One legend for all panels, to their right."""
    figure.tight_layout()
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))


def filters(weights: dict[str, np.ndarray]) -> Figure:
    """The stem's filters of several networks as colours, a panel each; grey is 0.

    ``weights`` maps a name to floats (n, 3, k, k), all drawn on one scale.
    """
    style.apply()
    largest = max(np.abs(own).max() for own in weights.values())
    figure, axes = plt.subplots(1, len(weights), figsize=(2.1 * len(weights), 2.2), squeeze=False)
    for ax, (name, own) in zip(axes.flat, weights.items(), strict=True):
        ax.imshow(_tiles(0.5 + 0.5 * own / largest), interpolation="nearest")
        ax.set_title(name)
        ax.axis("off")
    figure.tight_layout()
    return style.described(figure, f"Filters of the first layer of {', '.join(weights)}, as coloured squares")


def _tiles(filters: np.ndarray) -> np.ndarray:
    """(n, 3, k, k) in 0 to 1 as one square sheet (h, w, 3) with white between the filters."""
    columns = int(np.ceil(np.sqrt(len(filters))))
    framed = np.pad(filters.transpose(0, 2, 3, 1), ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    blank = np.ones((columns * -(-len(framed) // columns) - len(framed), *framed.shape[1:]))
    rows = np.concatenate([framed, blank]).reshape(-1, columns, *framed.shape[1:])
    return np.concatenate([np.concatenate(row, 1) for row in rows])
