"""What P is worth, by seed."""

from __future__ import annotations

import pandas as pd

from tlbook.vocabulary import metric_of, p_t_and_ri_t, points


def gain(curves: pd.DataFrame, shuffled: pd.DataFrame, side: int) -> pd.DataFrame:
    """What P is worth, by seed: the final test metric of P-T minus RI-T's, each at its better rate by dev.

    ``curves`` and ``shuffled`` are the tables learning_curves and block_shuffle, ``side`` the image's in
    pixels. Columns role, figure (2: augmented, unshuffled; 3: by block size), block_size, block_fraction,
    seed, metric, value: "points" (of accuracy, or of 100 AUC) and "relative", the share of P-T's metric in
    percent. A seed that lacks one of the two is left out.
    """
    figures = {"2": curves.assign(block_size=str(side), block_fraction=1.0), "3": shuffled}
    ends = [p_t_and_ri_t(table).reset_index().assign(figure=name) for name, table in figures.items()]
    both = pd.concat(ends)
    difference = both["P-T"] - both["RI-T"]
    unit = {role: points(metric_of(rows)) for role, rows in curves.groupby("role")}
    measured = {
        "points": difference * both.role.map(unit),
        "relative": 100 * difference / both["P-T"].where(both["P-T"] > 0),
    }
    keys = both[["role", "figure", "block_size", "block_fraction", "seed"]]
    gains = [keys.assign(metric=name, value=value) for name, value in measured.items()]
    return pd.concat(gains).dropna(subset="value").reset_index(drop=True)
