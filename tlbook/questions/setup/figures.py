"""Figures of the first page: sample images (paper, Figure 1)."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tlbook.evidence import style


def figure_1(samples: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Figure 1: an image of each role, a row a role, a column a block size, without smoothing.

    ``samples`` maps role -> block size -> uint8 (n, side, side, 3), of which the first is drawn.
    """
    style.apply()
    sizes = list(next(iter(samples.values())))
    size = (1.25 * len(sizes), 1.35 * len(samples))
    figure, axes = plt.subplots(len(samples), len(sizes), figsize=size, squeeze=False, layout="constrained")
    for row, (role, shown) in zip(axes, samples.items(), strict=True):
        for ax, block_size in zip(row, sizes, strict=True):
            ax.imshow(shown[block_size][0], interpolation="nearest")
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(role, fontsize="large")
    for ax, block_size in zip(axes[0], sizes, strict=True):
        ax.set_title("whole" if block_size == sizes[0] else block_size, fontsize="large")
    what = f"An image of {', '.join(samples)}, whole and with its blocks shuffled, down to single values"
    return style.described(figure, what)


def source_accuracy(table: pd.DataFrame) -> Figure:
    """P's test accuracy on its source against epochs of pre-training (columns epoch, value in percent)."""
    style.apply()
    figure, ax = plt.subplots(figsize=(5.2, 2.7))
    ax.plot(table.epoch, table.value, marker="o", markersize=4, color=style.OURS)
    ax.set_xlabel("epoch of pre-training (0: random weights)")
    ax.set_ylabel("source test accuracy (%)")
    ax.set_ylim(bottom=0)
    figure.tight_layout()
    last = f"{table.value.iloc[-1]:.1f}"
    return style.described(figure, f"P's accuracy on its source against epoch; it ends at {last} percent")
