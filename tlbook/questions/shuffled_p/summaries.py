"""What the tables of shuffled P's say, as a reader wants it. Frames in, frames out."""

from __future__ import annotations

import pandas as pd

from tlbook import vocabulary


def ends(table: pd.DataFrame, what: str = "test") -> pd.DataFrame:
    """Rows of the table from_shuffled at each init's better rate by dev, in the role's metric: on test
    (``what`` "test"), or the mean over the run on train ("speed")."""
    prefix, split = ("mean_", "train") if what == "speed" else ("", "test")
    rows = vocabulary.headline(vocabulary.at_better_rate(table), prefix)
    return rows[rows.split == split]


def places(table: pd.DataFrame) -> dict[float, str]:
    """The block sizes of the target's images, the whole image first, in words by their share of the side."""
    sizes = table.drop_duplicates("block_fraction").sort_values("block_fraction", ascending=False)
    words = [
        "whole" if row.block_fraction == 1 else f"blocks of {row.block_size}" for row in sizes.itertuples()
    ]
    return dict(zip(sizes.block_fraction, words, strict=True))


def reached(sources: pd.DataFrame) -> pd.DataFrame:
    """What each shuffled P knows of its own, shuffled, source at the end: test and training accuracy, and how
    many times chance that is. ``sources`` is the table shuffled_sources."""
    last = sources[(sources.metric == "accuracy") & (sources.epoch == sources.epoch.max())]
    table = last.pivot_table(
        index=["init", "source_fraction", "epoch", "chance"], columns="split", values="value"
    )
    table = table.reset_index().sort_values("source_fraction")
    return pd.DataFrame(
        {
            "P of": table.init,
            "block / side": table.source_fraction,
            "epochs": table.epoch,
            "test (%)": table.test,
            "training (%)": table.train,
            "test / chance": table.test / table.chance,
        }
    )
