"""Figures of question 4: rewinding (paper, Figure 5), paths with noise (Figure 6), criticality over depth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.questions.criticality.summaries import losses, rank
from tlbook.vocabulary import PAPER_RATES, depth, modules

LOST = {"accuracy": "accuracy lost (points)", "auc": "AUC lost"}
MAP = "viridis"
PATHS = ("direct", "optimisation")
PANEL = {"width": 3.9, "height": 2.9, "sharey": False}
ALONE = {"width": 7.0, "height": 3.8}


def rewinding(rewind: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Figure 5: what the test metric loses when one module goes back to epoch 0; one panel a role.

    ``rewind`` is the table rewind, ``paper`` the frame `tlbook.evidence.paper.figure5` (xray), dotted in the
    init's colour (P-T low, RI-T high). Points are runs, lines their means; fc, whose beginning is a fresh
    head, stands apart.
    """
    lost = losses(rewind)
    lost = lost[(lost.to_epoch == 0) & (lost.method == "rewind")]
    figure, panels = style.by_role(lost, **(PANEL if lost.role.nunique() > 1 else ALONE))
    for role, rows, ax in panels:
        _by_module(ax, rows, "lost", np.mean)
        if role == "xray" and len(paper):
            _papers_losses(ax, paper, modules(rows.module))
        _lost_axis(ax, rows)
    style.legend(figure, columns=5)
    return style.described(figure, "Test metric lost by setting one module back to epoch 0, by module")


def each_rewinding(rewind: pd.DataFrame, paper: pd.DataFrame) -> dict[str, Figure]:
    """`rewinding` by role, the paper's first."""
    roles = sorted(vocabulary.roles(rewind), key=lambda role: role not in set(paper.role))
    return {role: rewinding(rewind[rewind.role == role], paper) for role in roles}


def _papers_losses(ax: Axes, paper: pd.DataFrame, names: list[str]) -> None:
    """The paper's losses at all of its modules, each where it stands in its stage; the head apart."""
    for init, rows in _main_rates(paper).groupby("init"):
        values = rows.set_index("module").value
        places = _papers_places(modules(values.index), names)
        lost = pd.DataFrame({"place": places, "value": values["none"] - values[list(places)]})
        for part in (lost[lost.index != "fc"], lost[lost.index == "fc"]):
            style.papers_line(ax, part, "place", style.INIT_COLOURS[init])
    style.papers_label(ax, paper)


def _papers_places(theirs: list[str], ours: list[str]) -> dict[str, float]:
    """Where the paper's modules stand on our axis: its blocks spread over the room that their stage has."""
    places, stage = _places(ours), lambda name: depth(name)[0]
    found = {}
    for name in theirs:
        own, fellows = ([other for other in some if stage(other) == stage(name)] for some in (ours, theirs))
        if own:
            found[name] = places[own[0]] + fellows.index(name) * len(own) / len(fellows)
    return found


def rewinding_or_redrawing(rewind: pd.DataFrame) -> Figure:
    """Set back to epoch 0 (filled) or drawn anew (hollow): means over seeds at the main rates, all roles."""
    lost = losses(rewind)
    lost = _main_rates(lost[(lost.to_epoch == 0) & lost.module.isin(modules(lost.module))])
    figure, panels = style.by_role(lost, **PANEL)
    for _, rows, ax in panels:
        places = _module_axis(ax, modules(rows.module))
        for init in vocabulary.inits(rows):
            for method, words, shift in (("rewind", "set back", -0.1), ("redraw", "drawn anew", 0.1)):
                chosen = rows[(rows.init == init) & (rows.method == method)]
                means = chosen.groupby(chosen.module.map(places) + shift).lost.mean()
                ax.plot(
                    means.index, means, label=f"{init}, {words}", **_mark(init, method == "redraw", size=6)
                )
        _lost_axis(ax, rows)
    style.legend(figure, columns=2)
    return style.described(figure, "Test metric lost by setting a module back or drawing it anew, by module")


def rewinding_in_time(rewind: pd.DataFrame) -> Figure:
    """Test metric lost by the epoch that a module goes back to: heat maps of module by epoch, means over
    seeds at the main rates; one row a role, one column an init, one colour scale a role."""
    lost = losses(rewind)
    lost = _main_rates(lost[(lost.method == "rewind") & lost.module.isin(modules(lost.module))])
    roles, inits = vocabulary.roles(lost), vocabulary.inits(lost)
    figure, axes = _grid(len(roles), len(inits), layout="constrained")
    for panels, role in zip(axes, roles, strict=True):
        of_role = lost[lost.role == role]
        names = modules(of_role.module)
        highest = max(float(np.nan_to_num(of_role.lost.max())), 1e-9)
        for ax, init in zip(panels, inits, strict=True):
            cells = of_role[of_role.init == init]
            cells = cells.pivot_table(index="module", columns="to_epoch", values="lost").reindex(names)
            drawn = _heat_map(ax, cells, Normalize(0, highest), str, str)
            ax.invert_yaxis()
            ax.set_title(f"{role}: {init}")
            ax.set_xlabel("set back to epoch")
        figure.colorbar(drawn, ax=list(panels), label=f"test {LOST[of_role.metric.iloc[0]]}")
    return style.described(figure, "Test metric lost by module and by the epoch that it is set back to")


def noise_maps(paths: pd.DataFrame, role: str, module: str) -> Figure:
    """Figure 6: the training metric over distance from the beginning and signed noise factor, for one module.

    ``paths`` is the table paths. One row an init, one column a path; of the first seed that has the module,
    on one colour scale. Factors are in order, not to scale, and so are points of the optimisation path, which
    may turn back.
    """
    table = paths[(paths.role == role) & (paths.module == module) & (paths.split == "train")]
    table = vocabulary.headline(table[table.seed == table.seed.min()])
    inits, names = vocabulary.inits(table), [name for name in PATHS if name in set(table.path)]
    figure, axes = _grid(len(inits), len(names))
    figure.subplots_adjust(wspace=0.15, hspace=0.35, top=0.88)  # a layout engine takes as long as the drawing
    colours = Normalize(table.value.min(), table.value.max())
    for (init, path), ax in zip(itertools.product(inits, names), axes.flat, strict=True):
        rows = table[(table.init == init) & (table.path == path)]
        everywhere = rows.groupby("noise").fraction.nunique() == rows.fraction.nunique()
        rows = rows[rows.noise.isin(everywhere.index[everywhere])]  # more factors are measured at the end
        distances = rows.groupby("fraction").distance.first()
        cells = rows.pivot(index="noise", columns="fraction", values="value")
        drawn = _heat_map(ax, cells, colours, lambda f, d=distances: f"{d[f]:.2g}", _signed)
        ax.set_title(f"{init}, {path} path")
        ax.set_ylabel("noise factor" if path == names[0] else "")
        ax.tick_params(labelleft=path == names[0])
        ax.set_xlabel(r"distance $\Vert\theta-\theta_0\Vert_2$" if init == inits[-1] else "")
    figure.colorbar(drawn, ax=axes, label=f"training {style.WORDS[table.metric.iloc[0]]}")
    figure.suptitle(f"{role}: {module}")
    words = (
        f"Training metric over distance from the initial value and noise, {module} of P-T and RI-T on {role}"
    )
    return style.described(figure, words)


def shown_modules(paths: pd.DataFrame, role: str) -> list[str]:
    """The modules of the table paths for a role, in order of depth."""
    return modules(paths.module[paths.role == role])


def noise_at_the_end(paths: pd.DataFrame) -> Figure:
    """The training metric under noise on the final first module, the worse sign, by seed; a panel a role."""
    at_end = (paths.split == "train") & (paths.path == "direct") & (paths.fraction == 1)
    first = modules(paths.module)[0]
    table = vocabulary.headline(paths[at_end & (paths.module == first)])
    figure, panels = style.by_role(table.assign(size=table.noise.abs()), **PANEL)
    for _, rows, ax in panels:
        for (init, _), run in rows.groupby(["init", "seed"]):
            worse = run.groupby("size").value.min()
            ax.plot(worse.index, worse, label=init, **_mark(init) | {"linestyle": "-", "linewidth": 1})
        smallest = rows["size"][rows["size"] > 0].min()
        ax.set_xscale("symlog", linthresh=smallest, base=2, linscale=0.5)
        powers = [power for power in (64, 32, 16, 8, 4, 2) if 1 / power >= smallest * 0.9]
        ax.set_xticks([0, *(1 / power for power in powers)], ["0", *(f"1/{power}" for power in powers)])
        ax.minorticks_off()
        ax.set_xlabel("noise factor (both signs, the worse)")
        ax.set_ylabel(f"training {style.WORDS[rows.metric.iloc[0]]}")
    style.legend(figure)
    return style.described(figure, f"Training metric against the noise added to the final {first}")


def over_depth(criticality: pd.DataFrame, path: str = "direct") -> Figure:
    """The criticality of each module, raw (left) and relative (right); one row a role.

    ``criticality`` is the table criticality. Points are runs, lines their medians; 0 stands at the foot of
    the logarithmic axis.
    """
    figure, panels = _raw_and_relative(criticality[criticality.path == path])
    for title, rows, ax in panels:
        shown, ticks, limits = _zero_at_the_foot(rows.value)
        ax.set_yscale("log")
        _by_module(ax, rows.assign(value=shown), "value", np.median)
        ax.set_yticks(list(ticks), list(ticks.values()))
        ax.minorticks_off()
        ax.set_ylim(limits)
        ax.set_title(title)
        ax.set_ylabel(r"criticality $\mu$")
    style.legend(figure, columns=4)
    return style.described(figure, f"Criticality of each module on the {path} path, P-T and RI-T, by depth")


def against_the_gap(network: pd.DataFrame) -> Figure:
    """Network criticality (direct path) against the generalisation gap; one row a role, raw and relative.

    ``network`` is the table network_criticality. The number is Spearman's correlation over all runs; a
    criticality of 0 stands at the left end of the logarithmic axis.
    """
    figure, panels = _raw_and_relative(network[network.path == "direct"])
    for title, rows, ax in panels:
        rows = rows.dropna(subset=["value", "gap"])
        shown, ticks, limits = _zero_at_the_foot(rows.value)
        for name, (init, rate) in style.runs(rows).items():
            chosen = (rows.init == init) & (rows.rate == rate)
            ax.plot(shown[chosen], rows.gap[chosen], label=name, **_mark(init, rate == "high", size=6))
        ax.set_xscale("log")
        ax.set_xticks(list(ticks), list(ticks.values()))
        ax.minorticks_off()
        ax.set_xlim(limits)
        correlation = rank(rows)
        ax.set_title(title + ("" if np.isnan(correlation) else f", rank correlation {correlation:.2f}"))
        ax.set_xlabel("network criticality")
        ax.set_ylabel("train − test " + ("AUC" if title.startswith("xray") else "accuracy"))
    style.legend(figure, columns=4)
    return style.described(figure, "Generalisation gap against network criticality, one point a run")


# What several figures share


def _grid(rows: int, columns: int, **how) -> tuple[Figure, np.ndarray]:
    """A figure and its axes (rows, columns); ``how`` as in `matplotlib.pyplot.subplots`."""
    style.apply()
    size = (4.3 * columns, 2.7 * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **how)


def _raw_and_relative(table: pd.DataFrame) -> tuple[Figure, Iterator[tuple[str, pd.DataFrame, Axes]]]:
    """A figure with a row a role, raw left and relative right; and each panel's title, rows and axes."""
    roles, norms = vocabulary.roles(table), ("raw", "relative")
    figure, axes = style.panels(2 * len(roles), width=4.3, height=2.7, sharey=False)
    places = [(role, norm) for role in roles for norm in norms]
    panels = (
        (f"{role}: {norm}", table[(table.role == role) & (table.norm == norm)], ax)
        for (role, norm), ax in zip(places, axes, strict=True)
    )
    return figure, panels


def _heat_map(
    ax: Axes, cells: pd.DataFrame, colours: Normalize, across: Callable, upwards: Callable
) -> QuadMesh:
    """Values by index (upwards) and columns (across), whose labels those two write; returns what a colour bar
    needs."""
    drawn = ax.pcolormesh(cells.to_numpy(), cmap=MAP, norm=colours)
    ax.set_xticks(np.arange(cells.shape[1]) + 0.5, [across(label) for label in cells.columns])
    ax.set_yticks(np.arange(cells.shape[0]) + 0.5, [upwards(label) for label in cells.index])
    ax.grid(False)
    return drawn


def _signed(factor: float) -> str:
    return f"{factor:+.3g}" if factor else "0"


def _zero_at_the_foot(values: pd.Series) -> tuple[pd.Series, dict[float, str], tuple[float, float]]:
    """For a logarithmic axis with a place for 0 at its foot, if there is one: what to draw, the ticks by
    place, the limits."""
    positive = values[values > 0]
    ends = np.log10([positive.min(), positive.max()]) if len(positive) else (0, 0)
    low, high = int(np.floor(ends[0])), int(np.ceil(ends[1] + 0.2))
    powers = range(low, high + 1, max(1, (high - low) // 4))
    ticks = {10.0**power: f"$10^{{{power}}}$" for power in powers}
    if not (values == 0).any():
        return values, ticks, (10.0**low / 1.5, 10.0**high)
    foot = 10.0 ** (low - 1)
    return values.clip(lower=foot), {foot: "0"} | ticks, (foot / 2, 10.0**high)


def _mark(init: str, hollow: bool = False, size: float = 4) -> dict:
    """How single values of an init are drawn."""
    colour = style.INIT_COLOURS[init]
    face = "white" if hollow else colour
    look = {"color": colour, "markerfacecolor": face, "marker": style.INIT_MARKERS[init]}
    return look | {"markersize": size, "linestyle": "none"}


def _by_module(ax: Axes, rows: pd.DataFrame, value: str, middle: Callable) -> None:
    """Each run a point, each kind of run a line through its middle values, the head apart."""
    *body, head = modules(rows.module)
    rows = rows[rows.module.isin([*body, head])]
    places = _module_axis(ax, [*body, head])
    kinds = style.runs(rows)
    for number, (name, (init, rate)) in enumerate(kinds.items()):
        chosen = rows[(rows.init == init) & (rows.rate == rate)]
        at = chosen.module.map(places) + 0.12 * (number - (len(kinds) - 1) / 2)
        ax.plot(at, chosen[value], label=name, **_mark(init, rate == "high"))
        line = chosen[chosen.module != head].groupby(at)[value].agg(middle)
        dashes = style.RATE_DASHES[rate] or (None, None)
        ax.plot(line.index, line, color=style.INIT_COLOURS[init], linewidth=1, dashes=dashes)


def _places(names: list[str]) -> dict[str, float]:
    """Where modules stand on the axis: one apart, the head, the last one, another half."""
    return {name: place + (0.5 if name == names[-1] else 0) for place, name in enumerate(names)}


def _module_axis(ax: Axes, names: list[str]) -> dict[str, float]:
    """Write the modules on the x axis; their places."""
    places = _places(names)
    ax.set_xticks(list(places.values()), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.axvline(places[names[-1]] - 0.75, color="0.7", linewidth=0.8, linestyle=":")
    ax.set_xlabel("module")
    return places


def _lost_axis(ax: Axes, rows: pd.DataFrame) -> None:
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set_ylabel(f"test {LOST[rows.metric.iloc[0]]}")


def _main_rates(table: pd.DataFrame) -> pd.DataFrame:
    """P-T at the low rate and RI-T at the high one, as the paper compares them."""
    return table[table.rate == table.init.map(PAPER_RATES)]
