"""Figures of the first page: sample images (paper, Figure 1)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tlbook.evidence import style


def contact_sheet(images: np.ndarray, what: str, columns: int = 8) -> Figure:
    """Images uint8 (n, side, side, 3) side by side without smoothing; ``what`` says what they are."""
    style.apply()
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * 1.05, rows * 1.05), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image in zip(axes.flat, images, strict=False):
        ax.imshow(image, interpolation="nearest")
    figure.subplots_adjust(0, 0, 1, 1, 0.04, 0.04)
    return style.described(figure, what)


def source_accuracy(table: pd.DataFrame) -> Figure:
    """P's test accuracy on its source against epochs of pre-training (columns epoch, value in percent)."""
    style.apply()
    figure, ax = plt.subplots(figsize=(5.2, 2.7))
    ax.plot(table.epoch, table.value, marker="o", markersize=4, color=style.INIT_COLOURS["P-T"])
    ax.set_xlabel("epoch of pre-training (0: random weights)")
    ax.set_ylabel("source test accuracy (%)")
    ax.set_ylim(bottom=0)
    figure.tight_layout()
    last = f"{table.value.iloc[-1]:.1f}"
    return style.described(figure, f"P's accuracy on its source against epoch; it ends at {last} percent")
