"""Figures of the first page: sample images (paper, Figure 1)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tlbook.figures import style


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
