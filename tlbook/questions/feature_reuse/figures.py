"""Figures of question 1: learning curves (paper, Figure 2) and block shuffling (Figure 3)."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tlbook import vocabulary
from tlbook.evidence import curves, style
from tlbook.questions.feature_reuse.summaries import drop_by_seed


def learning_curves(table: pd.DataFrame, paper: pd.DataFrame | None = None, split: str = "test") -> Figure:
    """Figure 2: the role's metric against epochs, one panel a role; lines are means, bands all seeds.

    ``table`` is the table learning_curves, ``paper`` the frame `tlbook.evidence.paper.figure2_curves`. Inits
    differ in colour and marker, rates in dashes.
    """
    shown = vocabulary.headline(table[table.split == split])
    figure = curves.against_epochs(shown, split, each_rate=True, paper=paper)
    return style.described(figure, f"{split} metric against epoch for P-T and RI-T at each learning rate")


def block_shuffle(table: pd.DataFrame, paper: pd.DataFrame | None = None, what: str = "test") -> Figure:
    """Figure 3: the role's metric against block size, each init at its better rate; bars span all seeds.

    ``table`` is the table block_shuffle, ``paper`` the frame `tlbook.evidence.paper.figure3`; ``what`` is
    "test" (left in the paper) or "speed", the mean training metric over epochs (right). The right-most block
    size is the unshuffled run without augmentation.
    """
    prefix, split, words = ("mean_", "train", "mean training") if what == "speed" else ("", "test", "test")
    shown = vocabulary.headline(vocabulary.at_better_rate(table), prefix)
    theirs = None if paper is None else vocabulary.headline(paper, prefix)
    figure = curves.against_blocks(shown[shown.split == split], words, theirs)
    name = "mean training metric over epochs" if what == "speed" else "final test metric"
    return style.described(figure, f"{name} against block size for P-T and RI-T")


def relative_drop(table: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """100 (A_P-T - A_RI-T) / A_P-T against block size as a share of the side, with the paper's numbers.

    ``table`` is block_shuffle, ``paper`` the frame `tlbook.evidence.paper.figure3`. Lines are means, bars all
    seeds; '*' stands apart.
    """
    drops, theirs = drop_by_seed(table), paper[paper.metric == "relative_drop"]
    figure, panels = style.by_role(table, width=3.6, height=2.6)
    for role, _, ax in panels:
        curves.by_blocks(ax, theirs[theirs.role == role], **style.PAPER_LINE, capsize=0)
        curves.by_blocks(ax, drops[drops.role == role], color=style.OURS, marker="o", label="ours")
        ax.axhline(0, color="0.6", linewidth=0.8)
        curves.block_axis(ax)
        ax.set_ylabel("relative drop (%)")
    style.papers_label(panels[0][2], theirs)
    style.legend(figure)
    return style.described(figure, "Relative drop of RI-T below P-T against block size, the paper's and ours")


def convergence(table: pd.DataFrame) -> Figure:
    """Epochs until each run first reaches what RI-T ends with; a hollow mark never got there.

    ``table`` is the table convergence; one point a run, on a symmetric log axis.
    """
    shown = table[(table.reference == "final") & (table.metric == "epochs")]
    kinds = style.runs(shown)
    figure, panels = style.by_role(shown, width=3.6, height=2.2)
    for _, rows, ax in panels:
        for place, (init, rate) in enumerate(kinds.values()):
            of_kind = rows[(rows.init == init) & (rows.rate == rate)]
            for run, shift in zip(of_kind.itertuples(), style.apart(len(of_kind)), strict=True):
                face = style.INIT_COLOURS[init] if run.reached else "white"
                look = {"color": style.INIT_COLOURS[init], "marker": style.INIT_MARKERS[init]}
                ax.plot(run.value, place + shift, markerfacecolor=face, **look)
        style.epoch_axis(ax, shown.value.max())
        ax.set_xlabel("epochs")
    first = panels[0][2]
    first.set_yticks(range(len(kinds)), list(kinds))
    first.invert_yaxis()
    return style.described(
        figure, "Epochs until each run reaches RI-T's final metric; hollow marks never reach it"
    )


def one_block_size(
    table: pd.DataFrame, role: str, block_size: str, images: np.ndarray | None = None, words: str = ""
) -> Figure:
    """One role at one block size, for the explorer: every run's test metric, and examples.

    ``images`` is uint8 (k, side, side, 3), k even, shuffled with that block size, or None where none are at
    hand; ``words`` stand above them.
    """
    runs = vocabulary.headline(table[(table.role == role) & (table.split == "test")])
    figure, axes = style.panels(1 if images is None else 2, width=3.4, height=2.9, sharey=False)
    ax, rates, metric = axes[-1], vocabulary.rates(runs), vocabulary.metric_of(runs)
    for init, shift in zip(vocabulary.inits(runs), (-0.15, 0.15), strict=False):
        shown = runs[(runs.init == init) & (runs.block_size == block_size)]
        places = shown.rate.map(rates.index) + shift
        ax.plot(places, shown.value, style.INIT_MARKERS[init], color=style.INIT_COLOURS[init], label=init)
    ax.set_xticks(range(len(rates)), rates)
    ax.set_xlim(-0.5, len(rates) - 0.5)
    lowest, highest = (0, 100) if metric == "accuracy" else (min(0.4, runs.value.min()), 1)
    ax.set_ylim(lowest, highest * 1.03)  # the same at every block size
    ax.set_ylabel(f"test {style.WORDS[metric]}")
    ax.set_xlabel("learning rate")
    ax.set_title(f"{role}, block size {block_size}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    if images is not None:
        axes[0].imshow(np.concatenate([np.concatenate(row, 1) for row in np.split(images, 2)]))
        axes[0].axis("off")
        axes[0].set_title(textwrap.fill(words, 44), fontsize="small")
    return style.described(figure, f"Test metric of P-T and RI-T on {role} at block size {block_size}")


def sizes(table: pd.DataFrame) -> list[str]:
    """The block sizes of the table block_shuffle, from unshuffled to '*', as a reader moves through them."""
    return style.block_order(table.block_size)[::-1]
