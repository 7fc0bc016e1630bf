"""Figures of question 3: lines between models (paper, Figures 4 and 16), and what is around them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.questions.loss_landscape.summaries import KINDS, final, in_order, measured, with_pairs

# Kinds of pairs and methods differ in colour, marker and dashes.
_LINES = {"P-T & P-T": "-", "P-T & RI-T": "-.", "RI-T & RI-T": "-"}
LOOKS = {
    kind: {"color": style.PAIR_COLOURS[kind], "marker": style.PAIR_MARKERS[kind], "linestyle": line}
    for kind, line in _LINES.items()
} | {"RI-T & RI-T, same init": {"color": style.SAME_INIT, "marker": "v", "linestyle": "--"}}
_RAW = {"color": style.INIT_COLOURS["RI-T"], "marker": "s"}
_ALIGNED = {"color": style.ALIGNED, "marker": "^"}
_HOLLOW = {"linestyle": "--", "markerfacecolor": "white"}
METHOD_LOOKS = {
    "raw": _RAW | {"label": "raw"},
    "raw_repaired": _RAW | _HOLLOW | {"label": "raw, repaired"},
    "aligned": _ALIGNED | _HOLLOW | {"label": "aligned"},
    "repaired": _ALIGNED | {"label": "aligned, repaired"},
}
WORDS = {
    "metric": "test metric",
    "loss": "test loss",
    "calibrated_loss": "calibrated loss",
    "training_loss": "training loss",
}
DECADES = 1e3  # over more, an axis has ticks at powers of ten only


def interpolation(table: pd.DataFrame, paper: pd.DataFrame | None = None, what: str = "metric") -> Figure:
    """Figures 4 and 16: a measure along the lines between final models, one panel a role.

    ``table`` is the table interpolation, ``what`` as in `measured`, ``paper`` the frame
    `tlbook.evidence.paper.figure4_lines`. Lines are means over pairs, bands all pairs. Losses are drawn on a
    logarithmic axis.
    """
    rows = with_pairs(final(measured(table, what)))
    theirs = None if paper is None else _papers(paper, "final", "final")
    figure, panels = style.by_role(rows[rows.alpha.between(0, 1)], sharey=False)
    for role, of_role, ax in panels:
        for kind in KINDS:
            if theirs is not None:
                same = (theirs.role == role) & (theirs.pair == kind)
                style.papers_line(ax, theirs[same], "alpha", LOOKS[kind]["color"])
            _line(ax, of_role[of_role.pair == kind], "alpha", label=kind, **LOOKS[kind])
        _alpha_axis(ax)
        _measure_axis(ax, of_role, what)
    style.papers_label(panels[0][2], theirs)
    style.legend(figure)
    return style.described(figure, f"The {WORDS[what]} along the line between two models, by kind of pair")


def _papers(paper: pd.DataFrame, at: str, at_b: str) -> pd.DataFrame:
    """The paper's lines between these checkpoints, at its rates, with the names of their pairs."""
    chosen = paper[(paper.checkpoint == at) & (paper.checkpoint_b == at_b)]
    rates = {
        "rate": chosen.init.map(vocabulary.PAPER_RATES),
        "rate_b": chosen.init_b.map(vocabulary.PAPER_RATES),
    }
    return with_pairs(chosen.assign(**rates))


def checkpoints(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 4, right: lines between best and final checkpoints on xray, in the role's test metric.

    Left to right: two best, two final, and best to final within one run. ``paper`` as in `interpolation`.
    """
    rows = measured(table, "metric")
    rows = with_pairs(rows[(rows.role == "xray") & rows.alpha.between(0, 1)])
    figure, axes = style.panels(3, width=3, height=3.1, columns=3)
    cases = (("best", "best"), ("final", "final"), ("best", "final"))
    for ax, (at, at_b) in zip(axes, cases, strict=True):
        both = rows[(rows.checkpoint == at) & (rows.checkpoint_b == at_b)]
        theirs = None if paper is None else _papers(paper, at, at_b).query("role == 'xray'")
        for kind in KINDS[:3]:
            name = kind if at == at_b else f"{kind}, same run"
            if theirs is not None:
                style.papers_line(ax, theirs[theirs.pair == name], "alpha", LOOKS[kind]["color"])
            _line(ax, both[both.pair == name], "alpha", label=kind, **LOOKS[kind])
        ax.set_title(f"{at} & {at_b}" if at == at_b else "best to final of one run")
        _alpha_axis(ax)
    style.papers_label(axes[0], paper)
    style.legend(figure, columns=4)
    axes[0].set_ylabel(f"test {style.WORDS[vocabulary.metric_of(rows)]}")
    return style.described(
        figure, "Test AUC on xray along lines between best checkpoints, final ones, and from best to final"
    )


def drivers(table: pd.DataFrame, what: str = "metric") -> Figure:
    """What shares a basin with what: the height of every barrier, one row a kind of pair, one panel a role.

    ``table`` is the table barriers. Marks are pairs, bars their means; 0 is no barrier.
    """
    shown = with_pairs(final(measured(table[table.quantity == "height"], what)))
    pairs = in_order(shown.pair)
    figure, panels = style.by_role(shown, width=4.2, height=0.26 * len(pairs) + 0.9)
    for _, of_role, ax in panels:
        for y, pair in enumerate(pairs):
            heights = of_role[of_role.pair == pair].value.to_numpy()
            if len(heights):
                kind = "RI-T & RI-T, same init" if "same init" in pair else pair.split(",")[0].split(":")[0]
                colour = LOOKS[kind]["color"] if "other P" not in pair else style.OTHER_P
                ax.barh(y, heights.mean(), height=0.62, color=colour, alpha=0.3, edgecolor=colour)
                ax.plot(heights, [y] * len(heights), "o", color=colour, markersize=4)
        unit = "AUC" if vocabulary.metric_of(of_role) == "auc" else "points"
        ax.set_xlabel(f"barrier ({unit if what == 'metric' else 'nats'})")
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5))
        ax.grid(axis="y", visible=False)
        ax.set_axisbelow(True)
    figure.axes[0].set_yticks(range(len(pairs)), pairs)
    figure.axes[0].set_ylim(len(pairs) - 0.4, -0.6)
    return style.described(figure, "Barrier between two models by what they share, one mark a pair")


def past_the_ends(table: pd.DataFrame) -> Figure:
    """Training loss past the ends of a line, beside random steps of the same length; one panel a role.

    ``table`` is the table around. Solid: on along the line; dotted: random. Lines are means over pairs and
    both ends, bands all of them.
    """
    figure, panels = style.by_role(with_pairs(table), sharey=False)
    for _, of_role, ax in panels:
        for pair in ("P-T & P-T", "RI-T & RI-T"):
            rows = of_role[of_role.pair == pair]
            along, random = (rows[rows.direction == direction] for direction in ("line", "random"))
            _line(ax, along, "fraction", label=f"{pair}, along the line", **LOOKS[pair])
            dotted = LOOKS[pair] | {"linestyle": ":", "markerfacecolor": "white"}
            _line(ax, random, "fraction", label=f"{pair}, random", **dotted)
        ax.set_xlabel("length of the step / distance of the two")
        ax.set_ylabel("training loss (nats)")
        _log_axis(ax)
    style.legend(figure, columns=min(len(panels), 2))
    return style.described(
        figure, "Training loss past the ends of the line between two models, and after random steps as long"
    )


def flatness(table: pd.DataFrame) -> Figure:
    """Rise of the training loss after random steps: a row a normalisation, a column a role.

    ``table`` is the table flatness. Each run's loss at the model itself is taken off; lines are means over
    seeds, bands all of them; dotted is the rate that the paper does not use for an init.
    """
    losses = measured(table, "training_loss")
    run = [*vocabulary.RUN, "normalisation"]
    itself = losses[losses.distance == 0].set_index(run).value.rename("itself")
    losses = losses.join(itself, on=run)
    rises = losses.assign(value=losses.value - losses.itself)
    roles = vocabulary.roles(rises)
    figure, axes = style.panels(2 * len(roles), width=2.5, height=2.4, sharey=False, columns=len(roles))
    cases = itertools.product({"raw": "raw", "filter": "by filter"}.items(), roles)
    for ax, ((normalisation, words), role) in zip(axes, cases, strict=True):
        steps = rises[(rises.role == role) & (rises.normalisation == normalisation)]
        for (init, rate), of_rate in steps.groupby(["init", "rate"], sort=False):
            looks = {"color": style.INIT_COLOURS[init], "marker": style.INIT_MARKERS[init]}
            if rate != vocabulary.PAPER_RATES[init]:
                looks |= {"linestyle": ":", "markerfacecolor": "white"}
            _line(ax, of_rate, "distance", label=f"{init} ({rate})", **looks)
        ax.set_title(f"{role}, {words}")
        ax.set_xlabel("length / norm")
    for ax in axes[:: len(roles)]:
        ax.set_ylabel("rise of training loss (nats)")
    style.legend(figure, columns=4)
    return style.described(figure, "Rise of the training loss after random steps, raw and by filter")


def alignment(table: pd.DataFrame, what: str = "metric") -> Figure:
    """Two RI-T before and after their units are matched and their statistics repaired; one panel a role."""
    figure, panels = style.by_role(measured(table, what), sharey=False)
    for _, of_role, ax in panels:
        for method, looks in METHOD_LOOKS.items():
            _line(ax, of_role[of_role.method == method], "alpha", **looks)
        _alpha_axis(ax)
        _measure_axis(ax, of_role, what)
    style.legend(figure, columns=4)
    return style.described(figure, f"The {WORDS[what]} between two RI-T, raw, aligned and repaired")


# One place on the lines, as a reader moves along them


def frames(
    tables: Mapping[str, pd.DataFrame], role: str, images: Mapping[tuple[str, str], np.ndarray]
) -> dict[str, Figure | str]:
    """A frame for each place on the way, for `tlbook.book.explorer`; a sentence where none was recorded."""
    places = sorted(predictions(tables, role).alpha.unique())
    if not places:
        return {"–": "No predictions along a line are recorded for this domain; a line needs two seeds."}
    return {
        f"{at:.2f}": on_the_way(tables["interpolation"], tables["predictions"], role, at, images)
        for at in places
    }


def files(tables: Mapping[str, pd.DataFrame], role: str) -> list[tuple[str, str]]:
    """The images of a role that `frames` shows: (path, digest)."""
    shown = predictions(tables, role).drop_duplicates("path")
    return list(zip(shown.path, shown.sha256, strict=True))


def predictions(tables: Mapping[str, pd.DataFrame], role: str) -> pd.DataFrame:
    """Rows of the table predictions of a role; none where there is no such table."""
    said = tables.get("predictions", pd.DataFrame(columns=["role", "alpha", "path", "sha256"]))
    return said[said.role == role]


def on_the_way(
    lines: pd.DataFrame,
    predictions: pd.DataFrame,
    role: str,
    alpha: float,
    images: Mapping[tuple[str, str], np.ndarray] | None = None,
) -> Figure:
    """One place on the lines of a role: the metric, and what models there say of images.

    ``lines`` is the table interpolation, ``predictions`` the table of that name; ``images`` maps
    (path, digest) to uint8 (side, side, 3), as far as they are at hand. A bold name is wrong.
    """
    style.apply()
    here = with_pairs(predictions[(predictions.role == role) & np.isclose(predictions.alpha, alpha)])
    kinds = [kind for kind in KINDS[:3] if kind in set(here.pair)]
    widest = here.groupby("pair").path.nunique().max() if kinds else 0
    figure = plt.figure(figsize=(3.6 + 1.05 * widest, 3.9), layout="constrained")
    grid = figure.add_gridspec(max(len(kinds), 1), widest + 1, width_ratios=[3.4, *[1] * widest])
    _curves_at(figure.add_subplot(grid[:, 0]), lines[lines.role == role], alpha)
    for row, kind in enumerate(kinds):
        for column, said in enumerate(here[here.pair == kind].itertuples()):
            ax = figure.add_subplot(grid[row, column + 1])
            _image(ax, (images or {}).get((said.path, said.sha256)), said)
            if column == 0:
                ax.set_ylabel(kind.replace(" & ", "\n& "), fontsize="small", color=LOOKS[kind]["color"])
    return style.described(
        figure, f"Test metric on {role} along three kinds of lines, and predictions at alpha {alpha:g}"
    )


def _curves_at(ax: Axes, lines: pd.DataFrame, alpha: float) -> None:
    rows = with_pairs(final(measured(lines[lines.alpha.between(0, 1)], "metric")))
    for kind in KINDS[:3]:
        of_kind = rows[rows.pair == kind]
        _line(ax, of_kind, "alpha", label=kind, **LOOKS[kind] | {"markersize": 3})
        here = of_kind[np.isclose(of_kind.alpha, alpha)].value
        if len(here):
            ax.plot(alpha, here.mean(), **LOOKS[kind] | {"markersize": 10})
    ax.axvline(alpha, color="0.6", linewidth=0.8)
    _alpha_axis(ax)
    _measure_axis(ax, rows, "metric")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize="small")


def _image(ax: Axes, image: np.ndarray | None, said) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    if image is None:
        words = style.literal(f"is: {said.label}")
        ax.text(0.5, 0.9, words, ha="center", va="top", fontsize="x-small", wrap=True)
        ax.spines[:].set_visible(False)
    else:
        ax.imshow(image, interpolation="nearest")
    right = said.prediction in said.label.split(" + ")
    ax.set_title(
        f"{style.literal(said.prediction)}\n{100 * said.confidence:.0f} %",
        fontsize="x-small",
        fontweight="normal" if right else "bold",
        color="0.2" if right else "#A33C00",
    )


# Lines and axes


def _line(ax: Axes, rows: pd.DataFrame, x: str, **looks) -> None:
    """The mean of ``value`` over all rows at an x, and a band over them; nothing if there are none."""
    if rows.empty:
        return
    spread = rows.groupby(x).value.agg(["mean", "min", "max"])
    ax.plot(spread.index, spread["mean"], **{"markersize": 4, "linewidth": 1.5} | looks)
    ax.fill_between(spread.index, spread["min"], spread["max"], color=looks["color"], alpha=0.15, linewidth=0)


def _alpha_axis(ax: Axes) -> None:
    """The axis of places on a line."""
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    ax.set_xlabel("α (0: first model, 1: second)")


def _measure_axis(ax: Axes, rows: pd.DataFrame, what: str) -> None:
    """The axis of a measure (see `measured`) of one role; losses on a logarithmic one."""
    if what == "metric":
        ax.set_ylabel(f"test {style.WORDS[vocabulary.metric_of(rows)]}")
        return
    ax.set_ylabel(f"{WORDS[what]} (nats)")
    if (rows.value > 0).all():
        _log_axis(ax)


def _log_axis(ax: Axes) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 (over many decades at 1), written as plain numbers."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < DECADES else (1,)))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(ticker.NullLocator())
