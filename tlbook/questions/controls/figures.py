"""Figures of question 1's controls: redrawn inits, similarity of domains, speed, few images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.evidence.curves import COLOURS, MARKERS, against_blocks, against_epochs, lines
from tlbook.questions.controls.summaries import (
    OVER,
    as_runs_see_them,
    few_images_summary,
    gain_summary,
    lead_summary,
)
from tlbook.scales import CONTROLS, PIXELS, SOURCE

POINTS = "points (AUC: hundredths)"


def curves(table: pd.DataFrame, split: str = "test") -> Figure:
    """The role's metric against epochs for all inits, one panel a role; lines are means, bands all seeds.

    ``table`` is the table control_curves; roles without a control are left out, if any has one.
    """
    shown = _with_controls(vocabulary.headline(table[table.split == split]))
    figure = against_epochs(shown, "training" if split == "train" else split)
    what = f"{split} metric against epoch for P-T, RI-T and inits redrawn from P's weights"
    return style.described(figure, what)


def shuffled(table: pd.DataFrame) -> Figure:
    """The role's test metric of every init at a few block sizes; marks are means, bars all seeds.

    ``table`` is the table control_shuffle.
    """
    shown = _with_controls(vocabulary.headline(table[table.split == "test"]))
    figure = against_blocks(shown, "test", joined=False)
    return style.described(figure, "Final test metric of four inits at a few block sizes")


def few_images(table: pd.DataFrame, what: str = "test") -> Figure:
    """The role's metric against the number of training images; lines are means, bars all seeds.

    ``table`` is the table few_images; ``what`` is "test" (final) or "speed" (mean training metric).
    """
    prefix, split, words = ("mean_", "train", "mean training") if what == "speed" else ("", "test", "test")
    shown = vocabulary.headline(table, prefix)
    shown = shown[shown.split == split]
    figure, panels = lines(shown, "images", err_style="bars", err_kws={"capsize": 2})
    for _, rows, ax in panels:
        _counted_axis(ax.xaxis, rows.images)
        ax.set_xlabel("training images (log scale)")
    style.label_metric([ax for *_, ax in panels], shown, words)
    name = "mean training metric over the run" if what == "speed" else "final test metric"
    return style.described(figure, f"{name} of P-T and RI-T against the number of training images")


def worth_by_images(table: pd.DataFrame) -> Figure:
    """What P is worth, P-T minus RI-T in final test metric, against the number of training images.

    ``table`` is the table few_images. Bars are 95 % over seeds; marks are hollow where RI-T had not fitted
    its training images, so that a lead may only mean that it was stopped early.
    """
    summary = few_images_summary(table)
    figure, panels = style.by_role(summary, width=3.7, height=2.5)
    for role, rows, ax in panels:
        ax.axhline(0, color=COLOURS["RI-T"], linewidth=1.2)
        ax.errorbar(
            rows.images, rows["mean"], _errors(rows["mean"], rows.low, rows.high), capsize=2, **_of_role(role)
        )
        unfitted = rows[~rows.fitted]
        hollow = _of_role(role) | {"markerfacecolor": "white", "linestyle": "none", "zorder": 3}
        ax.plot(unfitted.images, unfitted["mean"], **hollow)
        _counted_axis(ax.xaxis, rows.images)
        ax.set_xlabel("training images (log scale)")
        ax.set_ylabel("lead, hundredths of AUC" if rows.metric.iloc[0] == "auc" else "lead, points")
    what = "What P is worth against the number of training images"
    return style.described(figure, f"{what}, with 95 % intervals")


def remains(lead: pd.DataFrame, split: str = "test") -> Figure:
    """How far each init is ahead of RI-T, in points, at the end and on average; bars are 95 % over seeds.

    ``lead`` is the table lead. One panel a role, one line of marks for each of `OVER`. Where there is one
    seed there is no bar.
    """
    summary = _with_controls(lead_summary(lead[lead.split == split]))
    figure, panels = style.by_role(summary, width=3.7, height=2.5)
    for _, rows, ax in panels:
        ax.axvline(0, color=COLOURS["RI-T"], linewidth=1.2)
        for shift, init in zip((-0.22, 0, 0.22), vocabulary.inits(summary), strict=False):
            shown = rows[rows.init == init]
            places = shown.over.map(list(OVER).index) + shift
            look = {"color": COLOURS[init], "marker": MARKERS[init], "linestyle": "none", "capsize": 2}
            bars = _errors(shown["mean"], shown.low, shown.high)
            ax.errorbar(shown["mean"], places, xerr=bars, label=init, **look)
        ax.set_xlabel(f"ahead of RI-T, {POINTS}")
    first = panels[0][2]
    first.set_yticks(range(len(OVER)), OVER.values())
    first.set_ylim(len(OVER) - 0.5, -0.5)
    style.legend(figure)
    what = f"How far each init is ahead of RI-T in {split} metric"
    return style.described(figure, f"{what}, with 95 % intervals")


def distances(table: pd.DataFrame) -> Figure:
    """How far each role is from the source in P's features, by block size; bars are 95 % over images.

    ``table`` is the table domain_distance, of which the kernel distance as the runs see the images is drawn.
    The grey line is what other images of the source measure.
    """
    full = as_runs_see_them(table)
    order, roles = style.block_order(full.block_size), vocabulary.roles(full)
    figure, (ax,) = style.panels(1, width=6.2, height=3.4)
    floor = full[full.role == SOURCE].value.mean()
    ax.axhline(floor, color=style.PAPER["color"], linewidth=1.2, linestyle=":", label="source, other images")
    for shift, role in zip(np.linspace(-0.15, 0.15, len(roles)), roles, strict=True):
        shown = full[full.role == role].dropna(subset="value")
        places = shown.block_size.map(order.index) + shift
        bars = _errors(shown.value, shown.low, shown.high)
        ax.errorbar(places, shown.value, bars, linestyle="none", capsize=2, label=role, **_of_role(role))
    ax.set_xticks(range(len(order)), order)
    ax.set_xlabel(f"block size (pixels; {PIXELS}: all values; {order[-1]}: unshuffled)")
    ax.set_ylabel("kernel distance from the source")
    _root_axis(ax.yaxis, full.high.max())
    style.legend(figure, columns=5)
    what = "Distance of each domain from the source by block size"
    return style.described(figure, f"{what}, with 95 % intervals")


def by_images(table: pd.DataFrame) -> Figure:
    """Why a kernel distance: both distances, as a share of their last, against the number of images.

    ``table`` is the table domain_distance. One panel a distance. The source against itself should be at 0,
    and is drawn as a share of the farthest role's.
    """
    whole = table[(table.block_fraction == 1) & (table.normalisation == "run")]
    figure, axes = style.panels(2, width=3.4, height=3)
    for ax, metric, name in zip(axes, ("frechet", "kernel"), ("Fréchet", "kernel, unbiased"), strict=True):
        shown = whole[whole.metric == metric].sort_values("images")
        farthest = shown.groupby("role").value.last().max()
        for role in (*vocabulary.roles(shown), SOURCE):
            of_role = shown[shown.role == role]
            ax.plot(of_role.images, of_role.value / farthest, label=role, **_of_role(role))
        _counted_axis(ax.xaxis, shown.images[shown.role == SOURCE])
        ax.set_xlabel("images of each domain (log scale)")
        ax.set_title(name)
    axes[0].set_ylabel("distance / the farthest role's")
    style.legend(figure, columns=5)
    return style.described(figure, "Fréchet and kernel distance from the source against the number of images")


def gain_by_distance(gain: pd.DataFrame, distance: pd.DataFrame) -> Figure:
    """What P is worth against how far the images are from the source: in points, and relative to P-T.

    ``gain`` and ``distance`` are the tables gain and domain_distance. Filled marks are Figure 2's runs,
    hollow ones Figure 3's, one for each block size. Bars are 95 %, over seeds upright, over images sideways.
    """
    summary = gain_summary(gain, distance).dropna(subset=["mean", "distance"])
    figure, axes = style.panels(2, width=4.2, height=3.3, sharey=False)
    for ax, metric in zip(axes, ("points", "relative"), strict=True):
        ax.axhline(0, color="0.6", linewidth=0.8)
        for role in vocabulary.roles(summary):
            for number, face in (("3", "white"), ("2", style.ROLE_COLOURS[role])):
                here = (summary.role == role) & (summary.metric == metric) & (summary.figure == number)
                shown = summary[here]
                ax.errorbar(
                    shown.distance,
                    shown["mean"],
                    yerr=_errors(shown["mean"], shown.low, shown.high),
                    xerr=_errors(shown.distance, shown.distance_low, shown.distance_high),
                    linestyle="none",
                    elinewidth=0.8,
                    markerfacecolor=face,
                    label=role if number == "2" else None,
                    **_of_role(role),
                )
        _root_axis(ax.xaxis, summary.distance_high.max())
        ax.set_xlabel("kernel distance from the source")
        ax.set_ylabel(f"gain, {POINTS}" if metric == "points" else "gain, % of P-T's metric")
    axes[1].plot([], [], "o", color="0.35", markerfacecolor="white", label="Figure 3, by block size")
    style.legend(figure, columns=5)
    return style.described(figure, "Gain of P-T over RI-T against the distance of the images from the source")


def filters(weights: dict[str, np.ndarray]) -> Figure:
    """The stem's filters of several networks as colours, a panel each; grey is 0.

    ``weights`` maps a name to floats (n, 3, k, k), all drawn on one scale.
    """
    largest = max(np.abs(values).max() for values in weights.values())
    figure, axes = style.panels(len(weights), width=2.1, height=2.2, columns=len(weights))
    for ax, (name, values) in zip(axes, weights.items(), strict=True):
        ax.imshow(_tiles(0.5 + 0.5 * values / largest), interpolation="nearest")
        ax.set_title(name)
        ax.axis("off")
    return style.described(figure, f"Filters of the first layer of {', '.join(weights)}, as coloured squares")


def _tiles(filters: np.ndarray) -> np.ndarray:
    """(n, 3, k, k) in 0 to 1 as one square sheet (h, w, 3) with white between the filters."""
    columns = int(np.ceil(np.sqrt(len(filters))))
    framed = np.pad(filters.transpose(0, 2, 3, 1), ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    blank = np.ones((columns * -(-len(framed) // columns) - len(framed), *framed.shape[1:]))
    rows = np.concatenate([framed, blank]).reshape(-1, columns, *framed.shape[1:])
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def _of_role(role: str) -> dict[str, str]:
    """How a role, or the source, is drawn."""
    return {"color": style.ROLE_COLOURS.get(role, "0.35"), "marker": style.ROLE_MARKERS.get(role, "x")}


def _errors(middle: pd.Series, low: pd.Series, high: pd.Series) -> list:
    """The lengths of bars; none where a bound is NaN."""
    return [(middle - low).clip(lower=0), (high - middle).clip(lower=0)]


def _root_axis(axis: Axis, highest: float) -> None:
    """Squared distances span orders of magnitude and may be below 0: the axis shows their roots."""
    roots = (lambda v: np.sign(v) * np.sqrt(np.abs(v)), lambda v: np.sign(v) * np.square(v))
    getattr(axis.axes, f"set_{axis.axis_name}scale")("function", functions=roots)
    size = 10.0 ** np.floor(np.log10(highest)) if highest > 0 else 1.0
    axis.set_major_locator(FixedLocator([0, *(size * step for step in (0.1, 0.5, 1, 2, 5, 10, 20))]))
    axis.set_major_formatter("{x:g}")


def _counted_axis(axis: Axis, counts: pd.Series) -> None:
    """A logarithmic axis with a tick at each of the numbers that were measured."""
    axis.axes.set_xscale("log")
    axis.set_ticks(sorted(set(counts)), [str(count) for count in sorted(set(counts))])
    axis.set_minor_locator(NullLocator())


def _with_controls(table: pd.DataFrame) -> pd.DataFrame:
    """The roles in which a control was run; all, if none was."""
    having = table.role[table.init.isin(CONTROLS)].unique()
    return table[table.role.isin(having)] if len(having) else table
