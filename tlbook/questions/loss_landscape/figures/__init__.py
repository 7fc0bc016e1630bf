"""Figures of question 3: lines between models (paper, Figures 4 and 16), and what is around them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.scales import INITS
from tlbook.vocabulary import PAPER_RATES as RATE

# What the paper compares, by name: (init, init_b, pairing) at its rates; colour, marker and dashes differ.
KINDS = {
    "P-T & P-T": ("P-T", "P-T", "independent"),
    "P-T & RI-T": ("P-T", "RI-T", "independent"),
    "RI-T & RI-T": ("RI-T", "RI-T", "independent"),
    "RI-T & RI-T, same init": ("RI-T", "RI-T", "same_init"),
}
KIND_LOOKS = {
    "P-T & P-T": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "P-T & RI-T": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "RI-T & RI-T": {"color": "#D55E00", "marker": "s", "linestyle": "-"},
    "RI-T & RI-T, same init": {"color": "#E69F00", "marker": "D", "linestyle": "--"},
}
CONTROLS = {
    "order": "P-T & P-T: other order only",
    "head": "P-T & P-T: other head only",
    "rate": "P-T & P-T: other rate only",
    "other_source": "P-T & P-T: other P only",
}
EVERY_NAME = (
    "P-T & P-T",
    "P-T & P-T, both high",
    *CONTROLS.values(),
    "P-T & RI-T",
    "P-T & RI-T, both low",
    "P-T & RI-T, both high",
    "RI-T & RI-T, same init",
    "RI-T & RI-T",
    "RI-T & RI-T, both low",
)
METHOD_LOOKS = {
    "raw": {"color": "#D55E00", "marker": "s", "linestyle": "-", "label": "raw"},
    "raw_repaired": {"color": "#E69F00", "marker": "D", "linestyle": "--", "label": "raw, repaired"},
    "aligned": {"color": "#56B4E9", "marker": "^", "linestyle": "-.", "label": "aligned"},
    "repaired": {"color": "#0072B2", "marker": "o", "linestyle": "-", "label": "aligned, repaired"},
}
MEASURES = {"metric": "test", "loss": "test", "calibrated_loss": "test", "training_loss": "train"}
DECADES = 1e3  # over more, an axis has ticks at powers of ten only
CALIBRATED = "calibrated loss (nats)"


def measured(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Rows of one measure: "metric" (the role's, on test), "loss" or "calibrated_loss" (test), or
    "training_loss"."""
    rows = table[table.split == MEASURES[what]]
    return (
        vocabulary.headline(rows) if what == "metric" else rows[rows.metric == what.removeprefix("training_")]
    )


def of_kind(table: pd.DataFrame, kind: str, at: tuple[str, str] = ("final", "final")) -> pd.DataFrame:
    """Rows of one of `KINDS`, at the paper's rates and at those checkpoints where the table has any."""
    init, init_b, pairing = KINDS[kind]
    own = (table.init == init) & (table.init_b == init_b)
    own &= (table.rate == RATE[init]) & (table.rate_b == RATE[init_b])
    if "pairing" in table:
        own &= table.pairing == pairing
    if "checkpoint" in table:
        own &= (table.checkpoint == at[0]) & (table.checkpoint_b == at[1])
    return table[own]


def interpolation(table: pd.DataFrame, what: str = "metric") -> Figure:
    """Figures 4 and 16: a measure along the lines between final models, one panel a role.

    ``table`` is the table interpolation, ``what`` as in `measured`. Lines are means over pairs, bands all
    pairs. Losses are drawn on a logarithmic axis.
    """
    style.apply()
    shown = measured(table, what)
    shown = shown[shown.alpha.between(0, 1)]
    roles = vocabulary.roles(shown)
    figure, axes = _panels(len(roles))
    for ax, role in zip(axes, roles, strict=True):
        own = shown[shown.role == role]
        for kind in KINDS:
            draw_line(ax, of_kind(own, kind), "alpha", label=kind, **KIND_LOOKS[kind])
        ax.set_title(role)
        alpha_axis(ax)
        measure_axis(ax, own, what)
    _legend(figure, axes)
    return style.described(figure, f"{_words(what)} along the line between two models, by kind of pair")


def checkpoints(table: pd.DataFrame) -> Figure:
    """Figure 4, right: lines between best and final checkpoints on xray, in the role's test metric.

    Left to right: two best, two final, and best to final within one run.
    """
    style.apply()
    rows = measured(table, "metric")
    rows = rows[(rows.role == "xray") & rows.alpha.between(0, 1)]
    places = {"best & best": ("best", "best"), "final & final": ("final", "final")}
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.1), sharey=True, layout="constrained")
    for ax, (title, at) in zip(axes, places.items(), strict=False):
        for kind in list(KINDS)[:3]:
            draw_line(ax, of_kind(rows, kind, at), "alpha", label=kind, **KIND_LOOKS[kind])
        ax.set_title(title)
    for init, kind in zip(INITS, ("P-T & P-T", "RI-T & RI-T"), strict=True):
        own = rows[(rows.pairing == "same_run") & (rows.init == init) & (rows.rate == RATE[init])]
        looks = KIND_LOOKS[kind] | {"marker": style.INIT_MARKERS[init]}
        draw_line(axes[2], own, "alpha", label=f"one {init}", **looks)
    axes[2].set_title("best to final of one run")
    for ax in axes:
        alpha_axis(ax)
    axes[0].set_ylabel(f"test {style.WORDS[rows.metric.iloc[0]]}" if len(rows) else "test AUC")
    for ax in axes[1:]:
        ax.legend(fontsize="small")
    return style.described(
        figure, "Test AUC on xray along lines between best checkpoints, final ones, and from best to final"
    )


def drivers(table: pd.DataFrame, what: str = "metric") -> Figure:
    """What shares a basin with what: the height of every barrier, one row a kind of pair, one panel a role.

    ``table`` is the table barriers. Marks are pairs, bars their means; 0 is no barrier.
    """
    style.apply()
    shown = measured(table[table.quantity == "height"], what)
    shown = shown[(shown.checkpoint == "final") & (shown.checkpoint_b == "final")]
    shown = shown.assign(row=pair_names(shown))
    order = [name for name in EVERY_NAME if name in set(shown.row)]
    roles = vocabulary.roles(shown)
    columns = min(len(roles), 2)
    rows = -(-len(roles) // columns)
    size = (3.4 * columns + 2.2, (0.26 * len(order) + 0.9) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
    for ax in axes.flat[len(roles) :]:
        ax.remove()
    for ax, role in zip(axes.flat, roles, strict=False):
        own = shown[shown.role == role]
        for y, name in enumerate(order):
            heights = own[own.row == name].value.to_numpy()
            if len(heights):
                colour = _name_colour(name)
                ax.barh(y, heights.mean(), height=0.62, color=colour, alpha=0.3, edgecolor=colour)
                ax.plot(heights, [y] * len(heights), "o", color=colour, markersize=4)
        ax.set_title(role)
        ax.set_xlabel(_height_words(own, what))
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5))
        ax.grid(axis="y", visible=False)
        ax.set_axisbelow(True)
    axes[0, 0].set_yticks(range(len(order)), order)
    axes[0, 0].set_ylim(len(order) - 0.4, -0.6)
    return style.described(figure, "Barrier between two models by what they share, one mark a pair")


def pair_names(table: pd.DataFrame) -> pd.Series:
    """What each row's kind of pair is called: the paper's by their inits, others with their rates."""
    return pd.Series([_name(row) for row in table.itertuples()], index=table.index, dtype=object)


def _name(row) -> str:
    if row.pairing in CONTROLS:
        return CONTROLS[row.pairing]
    name = f"{row.init} & {row.init_b}"
    if row.pairing != "independent":
        return f"{name}, {row.pairing.replace('_', ' ')}"
    if (row.rate, row.rate_b) == (RATE[row.init], RATE[row.init_b]):
        return name
    return f"{name}, both {row.rate}" if row.rate == row.rate_b else f"{name}, {row.rate} & {row.rate_b}"


def _name_colour(name: str) -> str:
    pair = name.split(",")[0].split(":")[0]
    return KIND_LOOKS[pair]["color"]


def past_the_ends(table: pd.DataFrame) -> Figure:
    """Training loss past the ends of a line, beside random steps of the same length; one panel a role.

    ``table`` is the table around. Solid: on along the line; dotted: random. Lines are means over pairs and
    both ends, bands all of them.
    """
    style.apply()
    roles = vocabulary.roles(table)
    figure, axes = _panels(len(roles))
    for ax, role in zip(axes, roles, strict=True):
        for kind in ("P-T & P-T", "RI-T & RI-T"):
            own = of_kind(table[table.role == role], kind)
            for direction, line in (("line", "-"), ("random", ":")):
                label = f"{kind}, {'along the line' if direction == 'line' else 'random'}"
                looks = KIND_LOOKS[kind] | {"linestyle": line}
                if direction == "random":
                    looks |= {"markerfacecolor": "white"}
                draw_line(ax, own[own.direction == direction], "fraction", label=label, **looks)
        ax.set_title(role)
        ax.set_xlabel("length of the step / distance of the two")
        ax.set_ylabel("training loss (nats)")
        _log_axis(ax)
    _legend(figure, axes)
    return style.described(
        figure, "Training loss past the ends of the line between two models, and after random steps as long"
    )


def flatness(table: pd.DataFrame) -> Figure:
    """Rise of the training loss after random steps: a row a normalisation, a column a role.

    ``table`` is the table flatness. Each run's loss at the model itself is taken off; lines are means over
    seeds, bands all of them.
    """
    style.apply()
    shown = measured(table, "training_loss")
    run = ["role", "init", "rate", "seed", "normalisation"]
    own = shown[shown.distance == 0].set_index(run).value.rename("own")
    shown = shown.join(own, on=run)
    shown = shown.assign(value=shown.value - shown.own)
    roles = vocabulary.roles(shown)
    size = (2.5 * len(roles) + 0.8, 4.8)
    figure, axes = plt.subplots(2, len(roles), figsize=size, sharex=True, squeeze=False, layout="constrained")
    for row, (normalisation, words) in enumerate((("raw", "raw"), ("filter", "by filter"))):
        for ax, role in zip(axes[row], roles, strict=True):
            steps = shown[(shown.role == role) & (shown.normalisation == normalisation)]
            for init in vocabulary.inits(steps):
                looks = {"color": style.INIT_COLOURS[init], "marker": style.INIT_MARKERS[init]}
                draw_line(ax, steps[steps.init == init], "distance", label=init, **looks)
            ax.set_title(f"{role}, {words}")
    for ax in axes[:, 0]:
        ax.set_ylabel("rise of training loss (nats)")
    for ax in axes[1]:
        ax.set_xlabel("length / norm")
    axes[0, 0].legend()
    return style.described(figure, "Rise of the training loss after random steps, raw and by filter")


def alignment(table: pd.DataFrame, what: str = "metric") -> Figure:
    """Two RI-T before and after their units are matched and their statistics repaired; one panel a role."""
    style.apply()
    shown = measured(table, what)
    roles = vocabulary.roles(shown)
    figure, axes = _panels(len(roles))
    for ax, role in zip(axes, roles, strict=True):
        own = shown[shown.role == role]
        for method, looks in METHOD_LOOKS.items():
            draw_line(ax, own[own.method == method], "alpha", **looks)
        ax.set_title(role)
        alpha_axis(ax)
        measure_axis(ax, own, what)
    _legend(figure, axes)
    return style.described(figure, f"{_words(what)} between two RI-T, raw, aligned and repaired")


def _panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    """Panels two a row, each with its own y axis, room for a legend at the right."""
    columns = min(count, 2)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.5 * columns + 2.0, 2.7 * rows), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def draw_line(ax: Axes, rows: pd.DataFrame, x: str, **looks) -> None:
    """The mean of ``value`` over all rows at an x, and a band over them; nothing if there are none."""
    if rows.empty:
        return
    spread = rows.groupby(x).value.agg(["mean", "min", "max"])
    ax.plot(spread.index, spread["mean"], **{"markersize": 4, "linewidth": 1.5} | looks)
    ax.fill_between(spread.index, spread["min"], spread["max"], color=looks["color"], alpha=0.15, linewidth=0)


def alpha_axis(ax: Axes) -> None:
    """The axis of places on a line."""
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    ax.set_xlabel("α (0: first model, 1: second)")


def _words(what: str) -> str:
    return {"metric": "Test metric", "loss": "Test loss", "training_loss": "Training loss"}.get(
        what, "Calibrated test loss"
    )


def measure_axis(ax: Axes, rows: pd.DataFrame, what: str) -> None:
    """The axis of a measure (see `measured`); losses on a logarithmic one."""
    if what == "metric":
        ax.set_ylabel(f"test {style.WORDS[rows.metric.iloc[0]]}")
        return
    ax.set_ylabel({"training_loss": "training loss (nats)", "loss": "test loss (nats)"}.get(what, CALIBRATED))
    if (rows.value > 0).all():
        _log_axis(ax)


def _log_axis(ax: Axes) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 (over many decades at 1), written as plain numbers."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < DECADES else (1,)))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(ticker.NullLocator())


def _height_words(rows: pd.DataFrame, what: str) -> str:
    if what != "metric":
        return "barrier (nats)"
    return "barrier (AUC)" if (rows.metric == "auc").any() else "barrier (points)"


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, at the right: every label once."""
    found = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside right upper")
