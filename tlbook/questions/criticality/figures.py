"""Figures of question 4: rewinding (paper, Figure 5), paths with noise (Figure 6), criticality over depth."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import style
from tlbook.questions.criticality.summaries import losses, rank
from tlbook.vocabulary import modules

LOST = {"accuracy": "accuracy lost (points)", "auc": "AUC lost"}
MAP = "viridis"


def rewinding(rewind: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Figure 5: what the test metric loses when one module goes back to epoch 0; one panel a role.

    ``rewind`` is the table rewind, ``paper`` the frame `tlbook.evidence.paper.figure5` (xray), drawn as crosses in the
    init's colour (P-T low, RI-T high) at the modules whose names it shares. Points are runs, lines their
    means; fc, whose beginning is a fresh head, stands apart.
    """
    style.apply()
    lost = losses(rewind)
    lost = lost[(lost.to_epoch == 0) & (lost.method == "rewind")]
    roles = vocabulary.roles(lost)
    figure, axes = _panels(len(roles), 3.9, 2.9)
    for ax, role in zip(axes, roles, strict=True):
        own = lost[lost.role == role]
        names = modules(own.module)
        _by_module(ax, own, names, "lost")
        if role == "xray":
            _papers_losses(ax, paper, names)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_title(role)
        ax.set_ylabel(f"test {LOST[own.metric.iloc[0]]}")
    _legend(figure, axes)
    figure.tight_layout()
    return style.described(figure, "Test metric lost by setting one module back to epoch 0, by module")


def _papers_losses(ax: Axes, paper: pd.DataFrame, names: list[str]) -> None:
    """Crosses right of our points."""
    for init, own in _main_rates(paper).groupby("init"):
        rows = own.set_index("module").value
        shared = [name for name in names if name in rows.index]
        places = [_places(names)[name] + 0.3 for name in shared]
        look = style.PAPER | {"color": style.INIT_COLOURS[init], "markersize": 6}
        ax.plot(places, rows["none"] - rows[shared], **look)
    ax.plot([], [], label="paper", **style.PAPER)


def rewinding_or_redrawing(rewind: pd.DataFrame) -> Figure:
    """Set back to epoch 0 (filled) or drawn anew (hollow): means over seeds at the main rates, all roles."""
    style.apply()
    lost = losses(rewind)
    lost = _main_rates(lost[lost.to_epoch == 0])
    roles = vocabulary.roles(lost)
    figure, axes = _panels(len(roles), 3.9, 2.7)
    for ax, role in zip(axes, roles, strict=True):
        own = lost[lost.role == role]
        names = modules(own.module)
        for init in vocabulary.inits(own):
            for method, fill, shift in (("rewind", "full", -0.1), ("redraw", "none", 0.1)):
                rows = own[(own.init == init) & (own.method == method) & own.module.isin(names)]
                rows = rows.assign(place=rows.module.map(_places(names)) + shift)
                words = {"rewind": "set back", "redraw": "drawn anew"}[method]
                look = {"marker": style.INIT_MARKERS[init], "fillstyle": fill, "linestyle": "none"}
                means = rows.groupby("place").lost.mean()
                colour = style.INIT_COLOURS[init]
                ax.plot(means.index, means, color=colour, label=f"{init}, {words}", **look)
        ax.axhline(0, color="0.6", linewidth=0.8)
        _module_axis(ax, names)
        ax.set_title(role)
        ax.set_ylabel(f"test {LOST[own.metric.iloc[0]]}")
    _legend(figure, axes)
    figure.tight_layout()
    return style.described(figure, "Test metric lost by setting a module back or drawing it anew, by module")


def rewinding_in_time(rewind: pd.DataFrame) -> Figure:
    """Test metric lost by the epoch that a module goes back to: heat maps of module by epoch, means over
    seeds at the main rates; one row a role, one column an init, one colour scale a role."""
    style.apply()
    lost = losses(rewind)
    lost = _main_rates(lost[lost.method == "rewind"])
    roles, inits = vocabulary.roles(lost), vocabulary.inits(lost)
    size = (4.2 * len(inits), 2.7 * len(roles))
    figure, axes = plt.subplots(len(roles), len(inits), figsize=size, squeeze=False, layout="constrained")
    for row, role in zip(axes, roles, strict=True):
        own = lost[lost.role == role]
        names = modules(own.module)
        top = max(float(own.lost.max()), 1e-9) if own.lost.notna().any() else 1.0
        for ax, init in zip(row, inits, strict=True):
            cells = own[(own.init == init) & own.module.isin(names)]
            cells = cells.pivot_table(index="module", columns="to_epoch", values="lost").reindex(names)
            drawn = ax.pcolormesh(cells.to_numpy(), cmap=MAP, norm=Normalize(0, top))
            ax.set_xticks(np.arange(cells.shape[1]) + 0.5, [str(epoch) for epoch in cells.columns])
            ax.set_yticks(np.arange(len(names)) + 0.5, names)
            ax.invert_yaxis()
            ax.grid(False)
            ax.set_title(f"{role}: {init}")
            ax.set_xlabel("set back to epoch")
        figure.colorbar(drawn, ax=list(row), label=f"test {LOST[own.metric.iloc[0]]}")
    return style.described(figure, "Test metric lost by module and by the epoch that it is set back to")


def noise_maps(paths: pd.DataFrame, role: str, module: str, path: str) -> Figure:
    """Figure 6: the metric over distance from the beginning and signed noise factor, for one module and path.

    ``paths`` is the table paths. One row an init, one column a split; of the first seed that has the module,
    on one colour scale a split. Factors are in order, not to scale, and so are points of the optimisation
    path, which may turn back.
    """
    style.apply()
    table = vocabulary.headline(paths[(paths.role == role) & (paths.module == module) & (paths.path == path)])
    table = table[table.seed == table.seed.min()]
    inits, splits = vocabulary.inits(table), [s for s in ("train", "test") if s in set(table.split)]
    size = (4.4 * len(splits), 2.7 * len(inits))
    figure, axes = plt.subplots(len(inits), len(splits), figsize=size, squeeze=False)
    figure.subplots_adjust(wspace=0.3, hspace=0.3, top=0.88)  # tight_layout takes as long as the drawing
    word = style.WORDS[table.metric.iloc[0]]
    for column, split in enumerate(splits):
        here = table[table.split == split]
        colours = Normalize(here.value.min(), here.value.max())
        for row, init in enumerate(inits):
            ax = axes[row, column]
            drawn = _heat_map(ax, here[here.init == init], colours)
            ax.set_title(f"{init}, {split}")
            ax.set_ylabel("noise factor" if column == 0 else "")
            ax.tick_params(labelleft=column == 0)
            ax.set_xlabel(r"distance $\Vert\theta-\theta_0\Vert_2$" if row == len(inits) - 1 else "")
        figure.colorbar(drawn, ax=list(axes[:, column]), label=f"{split} {word}")
    figure.suptitle(f"{role}: {module}, {path} path")
    return style.described(
        figure, f"Metric over distance from the initial value and noise, {module} of P-T and RI-T on {role}"
    )


def _heat_map(ax: Axes, rows: pd.DataFrame, colours: Normalize):
    """One heat map; returns what the colour bar needs."""
    everywhere = rows.groupby("noise").fraction.nunique() == rows.fraction.nunique()
    rows = rows[rows.noise.isin(everywhere.index[everywhere])]  # more factors are measured at the end
    cells = rows.pivot(index="noise", columns="fraction", values="value")
    distances = rows.groupby("fraction").distance.first()
    drawn = ax.pcolormesh(cells.to_numpy(), cmap=MAP, norm=colours)
    ax.set_xticks(np.arange(cells.shape[1]) + 0.5, [f"{d:.2g}" for d in distances])
    ax.set_yticks(np.arange(cells.shape[0]) + 0.5, [f"{n:+.3g}" if n else "0" for n in cells.index])
    ax.grid(False)
    return drawn


def noise_at_the_end(paths: pd.DataFrame) -> Figure:
    """The training metric of the final conv1 under noise, the worse sign, by seed; one panel a role."""
    style.apply()
    table = vocabulary.headline(
        paths[(paths.split == "train") & (paths.path == "direct") & (paths.fraction == 1)]
    )
    table = table[table.module == "conv1"]
    table = table.assign(size=table.noise.abs())
    roles = vocabulary.roles(table)
    figure, axes = _panels(len(roles), 3.9, 2.7)
    for ax, role in zip(axes, roles, strict=True):
        own = table[table.role == role]
        smallest = own["size"][own["size"] > 0].min()
        for init in vocabulary.inits(own):
            label = init
            for _, run in own[own.init == init].groupby("seed"):
                worst = run.groupby("size").value.min()
                look = {"color": style.INIT_COLOURS[init], "marker": style.INIT_MARKERS[init]}
                ax.plot(worst.index, worst, label=label, linewidth=1, markersize=4, **look)
                label = None
        ax.set_xscale("symlog", linthresh=smallest, base=2, linscale=0.5)
        ticks = [0, *(2.0**-k for k in range(6, 0, -1) if 2.0**-k >= smallest * 0.9)]
        ax.set_xticks(ticks, ["0", *(f"1/{round(1 / t)}" for t in ticks[1:])])
        ax.minorticks_off()
        ax.set_title(role)
        ax.set_xlabel("noise factor (both signs, the worse)")
        ax.set_ylabel(f"training {style.WORDS[own.metric.iloc[0]]}")
    _legend(figure, axes)
    figure.tight_layout()
    return style.described(figure, "Training metric against the noise added to the final conv1")


def over_depth(criticality: pd.DataFrame, path: str = "direct") -> Figure:
    """The criticality of each module, raw (left) and relative (right); one row a role.

    ``criticality`` is the table criticality. Points are runs, lines their geometric means where none is 0; 0
    stands at the foot of the logarithmic axis.
    """
    style.apply()
    table = criticality[criticality.path == path]
    roles = vocabulary.roles(table)
    figure, axes = plt.subplots(len(roles), 2, figsize=(8.4, 2.7 * len(roles)), squeeze=False)
    for row, role in zip(axes, roles, strict=True):
        for ax, norm in zip(row, ("raw", "relative"), strict=True):
            own = table[(table.role == role) & (table.norm == norm)]
            names = modules(own.module)
            positive = own.value[own.value > 0]
            floor = 10 ** np.floor(np.log10(positive.min())) if len(positive) else 0.1
            shown = own.assign(shown=own.value.clip(lower=floor / 10))
            ax.set_yscale("log")
            _by_module(ax, shown, names, "shown", np.median)
            ticks = [tick for tick in ax.get_yticks() if tick >= floor]
            top = max(positive.max() * 3 if len(positive) else 1.0, floor * 10)
            ticks = 10.0 ** np.arange(np.log10(floor), np.log10(top), 1)
            ticks = ticks[:: max(1, len(ticks) // 5)]
            ax.set_yticks([floor / 10, *ticks], ["0", *(f"$10^{{{round(np.log10(t))}}}$" for t in ticks)])
            ax.minorticks_off()
            ax.set_ylim(floor / 20, top)
            ax.set_title(f"{role}: {norm}")
            ax.set_ylabel(r"criticality $\mu$")
    _legend(figure, list(axes.flat))
    figure.tight_layout()
    return style.described(figure, f"Criticality of each module on the {path} path, P-T and RI-T, by depth")


def against_the_gap(network: pd.DataFrame) -> Figure:
    """Network criticality (direct path) against the generalisation gap; one row a role, raw and relative.

    ``network`` is the table network_criticality. The number is Spearman's correlation over all runs.
    """
    style.apply()
    table = network[network.path == "direct"]
    roles = vocabulary.roles(table)
    figure, axes = plt.subplots(len(roles), 2, figsize=(8.4, 2.6 * len(roles)), squeeze=False)
    for row, role in zip(axes, roles, strict=True):
        for ax, norm in zip(row, ("raw", "relative"), strict=True):
            own = table[(table.role == role) & (table.norm == norm)].dropna(subset=["value", "gap"])
            for name, (init, rate) in style.runs(own).items():
                runs = own[(own.init == init) & (own.rate == rate)]
                face = style.INIT_COLOURS[init] if rate == "low" else "white"
                look = {"color": style.INIT_COLOURS[init], "markerfacecolor": face, "linestyle": "none"}
                ax.plot(runs.value, runs.gap, label=name, marker=style.INIT_MARKERS[init], **look)
            _criticality_axis(ax, own.value)
            found = rank(own)
            ax.set_title(f"{role}: {norm}" + ("" if np.isnan(found) else f", rank correlation {found:.2f}"))
            ax.set_xlabel("network criticality")
            ax.set_ylabel("train − test " + ("AUC" if _is_auc(own) else "accuracy"))
    _legend(figure, list(axes.flat))
    figure.tight_layout()
    return style.described(figure, "Generalisation gap against network criticality, one point a run")


def _criticality_axis(ax: Axes, values: pd.Series) -> None:
    """A logarithmic x axis with room and a tick at each power of ten; zeros stand at its left edge."""
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 1.0)
    zeros = bool((values == 0).any())
    ax.set_xscale("symlog", linthresh=low) if zeros else ax.set_xscale("log")
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ax.set_xticks([10.0**e for e in exponents], [f"$10^{{{e}}}$" for e in exponents])
    ax.minorticks_off()
    if not zeros:
        ax.set_xlim(10.0 ** exponents[0] / 1.5, 10.0 ** exponents[-1] * 1.5)


def _is_auc(rows: pd.DataFrame) -> bool:
    """Gaps of AUC lie within 1; those of accuracies are in points."""
    return len(rows) > 0 and rows.role.iloc[0] == "xray"


def shown_modules(paths: pd.DataFrame, role: str) -> list[tuple[str, str]]:
    """(module, path) of the table paths for a role, in order of depth, direct path first."""
    own = paths[paths.role == role]
    return [
        (module, path)
        for module in modules(own.module)
        for path in ("direct", "optimisation")
        if ((own.module == module) & (own.path == path)).any()
    ]


def _by_module(ax: Axes, rows: pd.DataFrame, names: list[str], value: str, middle=np.mean) -> None:
    """Each run a point, each kind of run a line through its middle values, fc apart."""
    places = _places(names)
    kinds = style.runs(rows)
    for number, (name, (init, rate)) in enumerate(kinds.items()):
        own = rows[(rows.init == init) & (rows.rate == rate) & rows.module.isin(names)]
        shift = 0.12 * (number - (len(kinds) - 1) / 2)
        at = own.module.map(places) + shift
        colour = style.INIT_COLOURS[init]
        face = colour if rate == "low" else "white"
        look = {"color": colour, "markerfacecolor": face, "markersize": 4, "label": name}
        ax.plot(at, own[value], style.INIT_MARKERS[init], **look)
        means = own.groupby("module")[value].agg(middle).reindex([n for n in names if n != "fc"])
        dashes = style.RATE_DASHES[rate] or (None, None)
        line = [places[n] + shift for n in means.index]
        ax.plot(line, means, color=colour, linewidth=1, dashes=dashes)
    _module_axis(ax, names)


def _places(names: list[str]) -> dict[str, float]:
    """Where modules stand on the axis: one apart, fc another half."""
    return {name: place + (0.5 if name == "fc" else 0) for place, name in enumerate(names)}


def _module_axis(ax: Axes, names: list[str]) -> None:
    places = _places(names)
    ax.set_xticks(list(places.values()), names, rotation=40, ha="right", rotation_mode="anchor")
    if "fc" in places:
        ax.axvline(places["fc"] - 0.75, color="0.7", linewidth=0.8, linestyle=":")
    ax.set_xlabel("module")


def _main_rates(table: pd.DataFrame) -> pd.DataFrame:
    """P-T at the low rate and RI-T at the high one, as the paper compares them."""
    return table[table.rate == np.where(table.init == "P-T", "low", "high")]


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Panels two a row, each with its own axis: accuracies and AUC differ."""
    columns = min(count, 2)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def _legend(figure: Figure, axes: list[Axes]) -> None:
    """One legend for all panels, to the right."""
    found = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        found |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in found}
    if found:
        last = axes[min(len(axes), 2) - 1]
        last.legend(found.values(), found.keys(), loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
