"""One place on the lines between models, as a reader moves along them: metric, images, predictions."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlbook.evidence import style
from tlbook.questions.loss_landscape.figures import (
    KIND_LOOKS,
    KINDS,
    alpha_axis,
    draw_line,
    measure_axis,
    measured,
    of_kind,
)


def on_the_way(
    lines: pd.DataFrame,
    predictions: pd.DataFrame,
    role: str,
    alpha: float,
    images: Mapping[tuple[str, str], np.ndarray] | None = None,
) -> Figure:
    """One place on the lines of a role, for the explorer: the metric, and what models there say of images.

    ``lines`` is the table interpolation, ``predictions`` the table of that name; ``images`` maps
    (path, digest) to uint8 (side, side, 3), as far as they are at hand. A bold name is wrong.
    """
    style.apply()
    here = predictions[(predictions.role == role) & np.isclose(predictions.alpha, alpha)]
    kinds = [kind for kind in list(KINDS)[:3] if len(of_kind(here, kind))]
    widest = max([of_kind(here, kind).path.nunique() for kind in kinds], default=0)
    figure = plt.figure(figsize=(3.6 + 1.05 * widest, 3.9), layout="constrained")
    grid = figure.add_gridspec(max(len(kinds), 1), widest + 1, width_ratios=[3.4, *[1] * widest])
    _curves_at(figure.add_subplot(grid[:, 0]), lines[lines.role == role], alpha)
    for row, kind in enumerate(kinds):
        of = of_kind(here, kind)
        for column, said in enumerate(of.itertuples()):
            ax = figure.add_subplot(grid[row, column + 1])
            _image(ax, (images or {}).get((said.path, said.sha256)), said)
            if column == 0:
                ax.set_ylabel(kind.replace(" & ", "\n& "), fontsize="small", color=KIND_LOOKS[kind]["color"])
    return style.described(
        figure, f"Test metric on {role} along three kinds of lines, and predictions at alpha {alpha:g}"
    )


def _curves_at(ax: Axes, lines: pd.DataFrame, alpha: float) -> None:
    rows = measured(lines[lines.alpha.between(0, 1)], "metric")
    for kind in list(KINDS)[:3]:
        draw_line(ax, of_kind(rows, kind), "alpha", label=kind, **KIND_LOOKS[kind] | {"markersize": 3})
        at = of_kind(rows, kind)
        at = at[np.isclose(at.alpha, alpha)].value
        if len(at):
            looks = KIND_LOOKS[kind] | {"markersize": 10}
            ax.plot(alpha, at.mean(), **looks)
    ax.axvline(alpha, color="0.6", linewidth=0.8)
    alpha_axis(ax)
    measure_axis(ax, rows, "metric")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize="small")


def _image(ax: Axes, image: np.ndarray | None, said) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    if image is None:
        ax.text(0.5, 0.5, said.label, ha="center", va="center", fontsize="x-small", wrap=True)
    else:
        ax.imshow(image, interpolation="nearest")
    right = said.prediction in said.label.split(" + ")
    ax.set_title(
        f"{said.prediction}\n{100 * said.confidence:.0f} %",
        fontsize="x-small",
        fontweight="normal" if right else "bold",
        color="0.2" if right else "#A33C00",
    )


def files(tables: Mapping[str, pd.DataFrame], role: str) -> list[tuple[str, str]]:
    """The images of a role that `frames` shows: (path, digest)."""
    said = tables.get("predictions")
    if said is None:
        return []
    own = said[said.role == role].drop_duplicates("path")
    return list(zip(own.path, own.sha256, strict=True))


def frames(
    tables: Mapping[str, pd.DataFrame], role: str, images: Mapping[tuple[str, str], np.ndarray]
) -> dict[str, Figure | str]:
    """A frame for each place on the way, for `tlbook.book.explorer`; a sentence where nothing was recorded."""
    said = tables.get("predictions")
    if said is None or role not in set(said.role):
        return {"–": "No predictions along a line are recorded for this domain; a line needs two seeds."}
    places = sorted(said[said.role == role].alpha.unique())
    return {f"{at:.2f}": on_the_way(tables["interpolation"], said, role, at, images) for at in places}
