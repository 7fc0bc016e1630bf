"""What P is worth, and how that goes with the distance of a domain from the source."""

from __future__ import annotations

import pandas as pd

from tlbook.intervals import student
from tlbook.questions.controls.method.speed import ORDER, between
from tlbook.vocabulary import at_better_rate, at_last_epoch, headline


def gain(curves: pd.DataFrame, shuffled: pd.DataFrame, side: int) -> pd.DataFrame:
    """What P is worth, by seed: the final test metric of P-T minus RI-T's, each at its better rate by dev.

    ``curves`` and ``shuffled`` are the tables learning_curves and block_shuffle, ``side`` the image's in
    pixels. Columns role, figure (2: augmented, unshuffled; 3: by block size), block_size, block_fraction,
    seed, metric, value: "points" (of accuracy, or of 100 AUC) and "relative", the share of P-T's metric in
    percent. A seed that lacks one of the two is left out.
    """
    unshuffled = {"figure": "2", "block_size": str(side), "block_fraction": 1.0}
    ends = at_last_epoch(at_better_rate(curves)).assign(**unshuffled)
    rows = pd.concat([ends, at_better_rate(shuffled).assign(figure="3")])
    auc = set(rows.role[rows.metric == "auc"])
    rows = headline(rows[rows.split == "test"])
    keys = ["role", "figure", "block_size", "block_fraction", "seed"]
    both = rows.pivot_table(index=keys, columns="init", values="value").dropna().reset_index()
    difference = both["P-T"] - both["RI-T"]
    measured = {
        "points": difference * both.role.map(lambda role: 100.0 if role in auc else 1.0),
        "relative": 100 * difference / both["P-T"].where(both["P-T"] > 0),
    }
    found = pd.concat([both[keys].assign(metric=name, value=value) for name, value in measured.items()])
    return found.dropna(subset="value").reset_index(drop=True)


def gain_summary(gain: pd.DataFrame, distance: pd.DataFrame) -> pd.DataFrame:
    """The tables gain and domain_distance side by side.

    Columns role, figure, block_size, block_fraction, metric, n, mean, low, high (over seeds), and the kernel
    distance of the images as the runs see them: distance, distance_low, distance_high (NaN where it was not
    measured).
    """
    keys = ["role", "figure", "block_size", "block_fraction", "metric"]
    rows = []
    for found, runs in gain.groupby(keys):
        mean, low, high = student(runs.value)
        over_seeds = {"n": len(runs), "mean": mean, "low": low, "high": high}
        rows.append(dict(zip(keys, found, strict=True)) | over_seeds)
    full = at_most_images(distance[(distance.metric == "kernel") & (distance.normalisation == "run")])
    names = {"value": "distance", "low": "distance_low", "high": "distance_high"}
    full = full[["role", "block_size", *names]].rename(columns=names)
    return pd.DataFrame(rows).merge(full, on=["role", "block_size"], how="left")


def at_most_images(distance: pd.DataFrame) -> pd.DataFrame:
    """Each distance of the table domain_distance at the largest number of images that it was measured at."""
    keys = ["role", "block_size", "metric", "normalisation"]
    return distance[distance.images == distance.groupby(keys).images.transform("max")]


def few_images_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """The table few_images for reading: final test metrics, P-T's lead over seeds, RI-T's training metric.

    Roles in the book's order; ``lead`` in points, or hundredths of AUC, with Student's interval over the
    seeds that have both.
    """
    rows = []
    groups = table.groupby(["role", "images"])
    for (role, images), own in sorted(groups, key=lambda group: (ORDER[group[0][0]], group[0][1])):
        metric = "auc" if "auc" in set(own.metric) else "accuracy"
        final = own[own.metric == metric].pivot_table(index="seed", columns=["init", "split"], values="value")
        ahead = (final["P-T", "test"] - final["RI-T", "test"]).dropna() * (100 if metric == "auc" else 1)
        lead, low, high = student(ahead)
        ends = {"P-T, test": final["P-T", "test"].mean(), "RI-T, test": final["RI-T", "test"].mean()}
        row = {"role": role, "images": images, "n": len(ahead)} | ends | {"lead": lead}
        row["95 % interval"] = between(pd.Series([low]), pd.Series([high]))[0]
        rows.append(row | {"RI-T, training": final["RI-T", "train"].mean()})
    return pd.DataFrame(rows)
