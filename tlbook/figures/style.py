"""What every figure shares: colours that colour-blind readers can tell apart, names, the role's metric."""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook.analysis.convergence import headline as headline  # the role's metric
from tlbook.scales import INITS, PIXELS, RATES, TARGETS

# Okabe & Ito's colours; inits also differ in marker, rates in dashes.
INIT_COLOURS = {"P-T": "#0072B2", "RI-T": "#D55E00"}
INIT_MARKERS = {"P-T": "o", "RI-T": "s"}
CONTROL_COLOURS = {"MeanVar-T": "#009E73", "Permuted-T": "#CC79A7"}
CONTROL_MARKERS = {"MeanVar-T": "^", "Permuted-T": "D"}
RATE_DASHES = {"low": "", "high": (3, 1.5)}
ROLE_COLOURS = {"real": "#009E73", "clipart": "#D55E00", "quickdraw": "#0072B2", "xray": "#CC79A7"}
ROLE_MARKERS = {"real": "o", "clipart": "s", "quickdraw": "^", "xray": "D"}
PAIR_COLOURS = {
    "P-T & P-T": "#0072B2",
    "P-T & RI-T": "#009E73",
    "RI-T & RI-T": "#D55E00",
    "P-T & P": "#000000",
    "RI-T & P": "#CC79A7",
}
PAIR_MARKERS = {"P-T & P-T": "o", "P-T & RI-T": "D", "RI-T & RI-T": "s", "P-T & P": "^", "RI-T & P": "v"}
PAPER = {"color": "0.35", "marker": "x", "linestyle": "none"}
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


def roles(table: pd.DataFrame) -> list[str]:
    """The roles of a table in the book's order."""
    return [role for role in TARGETS if role in set(table.role)]


def inits(table: pd.DataFrame) -> list[str]:
    """The inits of a table, P-T first."""
    return [init for init in INITS if init in set(table.init)]


def rates(table: pd.DataFrame) -> list[str]:
    """The rates of a table, the low one first."""
    return [rate for rate in RATES if rate in set(table.rate)]


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
    count: int, width: float, height: float, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels of that size in inches, two a row, with one y axis for all or one each."""
    columns = min(count, 2)
    rows = -(-count // columns)
    size = (width * columns + 0.6, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=sharey, squeeze=False)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def described(figure: Figure, alt: str) -> Figure:
    """The figure with the text that stands for it where it cannot be seen (`tlbook.explorer` reads it)."""
    figure.alt = alt
    return figure
