"""What every figure shares: colours that colour-blind readers can tell apart, names, the role's metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook.scales import INITS, PIXELS, RATES, TARGETS
from tlbook.vocabulary import roles

# One colour means one thing, on every page. Most inits and pairs have Okabe & Ito's colours, targets Tol's
# muted ones. Inits, pairs and targets also differ in marker, rates in dashes.
INIT_COLOURS = {"P-T": "#0072B2", "RI-T": "#D55E00"}
INIT_MARKERS = {"P-T": "o", "RI-T": "s"}
CONTROL_COLOURS = {"MeanVar-T": "#8B5A2B", "Permuted-T": "#CC79A7"}
CONTROL_MARKERS = {"MeanVar-T": "^", "Permuted-T": "D"}
SHUFFLED_P_COLOURS = {"Pixels-T": "#44AA99", "Blocks-T": "#117733"}
SHUFFLED_P_MARKERS = {"Pixels-T": "v", "Blocks-T": "P"}
RATE_DASHES = {"low": "", "high": (3, 1.5)}
ROLE_COLOURS = dict(
    zip(TARGETS, cycle(("#117733", "#AA4499", "#999933", "#332288", "#661100")), strict=False)
)
ROLE_MARKERS = dict(zip(TARGETS, cycle("os^DvP*"), strict=False))
PAIR_COLOURS = {
    "P-T & P-T": INIT_COLOURS["P-T"],
    "P-T & RI-T": "#009E73",
    "RI-T & RI-T": INIT_COLOURS["RI-T"],
    "P-T & P": "#000000",
    "RI-T & P": "#7F7F7F",
}
PAIR_MARKERS = {"P-T & P-T": "o", "P-T & RI-T": "D", "RI-T & RI-T": "s", "P-T & P": "^", "RI-T & P": "v"}
SAME_INIT = "#E69F00"
OTHER_P = "#882255"
ALIGNED = "#44AA99"
OURS = "0.2"  # where a panel shows one thing only
PAPER = {"color": "0.45", "marker": "x", "markersize": 4, "linestyle": "none"}
PAPER_LINE = PAPER | {"linestyle": ":", "linewidth": 1}
RANGE = ("pi", 100)  # seaborn: the band or bar spans all runs
WORDS = {"accuracy": "accuracy (%)", "auc": "AUC", "loss": "loss (nats)"}


def apply() -> None:
    """Set the look of all figures: white face (readable in dark mode too), thin grid, letters for print."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.85)
    plt.rcParams |= {
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "savefig.facecolor": "white",
        "legend.frameon": False,
        "figure.max_open_warning": 0,
    }


def run_names(table: pd.DataFrame) -> pd.Series:
    """What each row's kind of run is called in legends: "P-T, low"."""
    return table.init + ", " + table.rate


def runs(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The kinds of run in a table by name: (init, rate), P-T and the low rate first."""
    found = set(zip(table.init, table.rate, strict=True))
    return {f"{init}, {rate}": (init, rate) for init in INITS for rate in RATES if (init, rate) in found}


def label_metric(axes: Iterable, table: pd.DataFrame, what: str) -> None:
    """Write "<what> accuracy (%)" or "<what> AUC" on the y axis of each role's panel, one axis a role."""
    for ax, role in zip(axes, roles(table), strict=True):
        metric = table.loc[table.role == role, "metric"].iloc[0].removeprefix("mean_")
        ax.set_ylabel(f"{what} {WORDS[metric]}")


def block_order(sizes: Iterable[str]) -> list[str]:
    """Block sizes as text, '*' first, then by size."""
    return sorted(set(sizes), key=lambda size: -1 if size == PIXELS else int(size))


def panels(
    count: int, width: float = 3.6, height: float = 2.8, sharey: bool = True, columns: int = 2
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels of that size in inches, ``columns`` a row, sharing the y axis or not."""
    apply()
    columns = min(count, columns)
    rows = -(-count // columns)
    size = (width * columns + 0.6, height * rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, sharey=sharey, layout="constrained"
    )
    for ax in axes.flat[count:]:
        ax.remove()
    figure.panels, figure.panel_size = list(axes.flat[:count]), (width, height)
    return figure, figure.panels


def stack(figure: Figure) -> bool:
    """Put the panels of a figure that `panels` made into one column, for a phone; whether that changed it."""
    axes = getattr(figure, "panels", ())
    if len({ax.get_position().x0 for ax in axes}) < 2:
        return False
    grid = figure.add_gridspec(len(axes), 1)
    for ax, place in zip(axes, grid, strict=True):
        for one in ax.get_shared_x_axes().get_siblings(ax):  # itself, and an axis at its right
            one.set_subplotspec(place)
        ax.tick_params(labelleft=True, labelbottom=True)
        ax.set_ylabel(ax.get_ylabel() or axes[0].get_ylabel())
    for one in figure.legends:
        names = [text.get_text() for text in one.get_texts()]
        one.remove()
        legend(figure, dict(zip(names, one.legend_handles, strict=True)), columns=1)
    width, height = figure.panel_size
    figure.set_size_inches(
        width + 0.4, height * len(axes) + 0.22 * sum(len(o.get_texts()) for o in figure.legends)
    )
    return True


def by_role(table: pd.DataFrame, **how) -> tuple[Figure, list[tuple[str, pd.DataFrame, Axes]]]:
    """A figure with a panel for each role of a table, titled with it, in the book's order; and for each panel
    the role, its rows and its axes. ``how`` as `panels`."""
    names = roles(table)
    figure, axes = panels(len(names), **how)
    for name, ax in zip(names, axes, strict=True):
        ax.set_title(name)
    return figure, [(name, table[table.role == name], ax) for name, ax in zip(names, axes, strict=True)]


def legend(figure: Figure, handles: Mapping[str, Artist] | None = None, columns: int = 3, **how) -> None:
    """One legend for all panels, above them: ``handles`` by label, or what the panels label."""
    found = dict(handles or {})
    if handles is None:
        for ax in figure.axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                found.setdefault(label, handle)
            if ax.get_legend():
                ax.get_legend().remove()
    figure.handles = found
    if found:
        ncols = min(len(found), columns)
        figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=ncols, **how)


def epoch_axis(ax: Axes, last: float) -> None:
    """Epochs up to ``last`` (at least 1; NaN counts as 1) on a symmetric log axis that shows epoch 0 too."""
    last = max(int(np.nan_to_num(last)), 1)
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ticks = [tick for tick in (0, 1, 2, 5, 10, 20, 50, 100, 200) if tick < 0.4 * last] + [last]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim(-0.15, last * 1.2)


def literal(name: str) -> str:
    """A user's name (of a class, a file) as text for a figure, in which a ``$`` begins no mathematics.

    Every figure draws such names through this; what cannot be encoded shows as "?".
    """
    return name.encode(errors="replace").decode().replace("$", r"\$")


def papers_line(ax: Axes, rows: pd.DataFrame, x: str, colour: str = PAPER["color"]) -> None:
    """The paper's values against a column, or nothing where it has none: dotted, with small crosses."""
    if len(rows):
        ax.plot(rows[x], rows.value, **PAPER_LINE | {"color": colour})


def papers_label(ax: Axes, paper: pd.DataFrame | None) -> None:
    """Let a legend say which lines are the paper's, if there are any."""
    if paper is not None and len(paper):
        ax.plot([], [], label="paper", **PAPER_LINE)


def apart(count: int, width: float = 0.5) -> np.ndarray:
    """Places around 0 for points that would hide each other."""
    return np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(count)


def spans(ax: Axes, rows: pd.DataFrame, x: str, **look) -> None:
    """The mean of ``value`` at each place of a column, and a bar over all seeds."""
    ends = rows.groupby(x).value.agg(["mean", "min", "max"])
    bars = [(ends["mean"] - ends["min"]).clip(lower=0), (ends["max"] - ends["mean"]).clip(lower=0)]
    ax.errorbar(ends.index, ends["mean"], bars, **{"capsize": 2, "markersize": 5, "linewidth": 1.5} | look)


def described(figure: Figure, alt: str) -> Figure:
    """The figure with the text that stands for it where it cannot be seen (see `tlbook.book.explorer`)."""
    figure.alt = alt
    return figure
