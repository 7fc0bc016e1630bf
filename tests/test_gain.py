"""What P is worth, by hand, and beside the distance of the images."""

import numpy as np
import pandas as pd
import pytest

from tlbook import questions, tables
from tlbook.questions.controls.method.gain import gain
from tlbook.questions.controls.summaries import gain_summary


def ends(role, metric, values, **keys):
    """Final test and dev rows: values maps (init, rate, seed) to the metric."""
    rows = [(role, *run, split, metric, value) for run, value in values.items() for split in ("dev", "test")]
    names = ["role", "init", "rate", "seed", "split", "metric", "value"]
    return pd.DataFrame(rows, columns=names).assign(**keys)


def test_gain_by_hand():
    whole = {("P-T", "low", 0): 80.0, ("RI-T", "high", 0): 60.0, ("RI-T", "low", 0): 50.0}
    whole["P-T", "low", 1] = 70.0
    curves = pd.concat([
        ends("real", "accuracy", whole, epoch=10),
        ends("xray", "auc", {("P-T", "low", 0): 0.9, ("RI-T", "high", 0): 0.8}, epoch=10),
    ])  # fmt: skip
    blocks = {"block_size": "*", "block_fraction": 0.0}
    shuffled = ends("real", "accuracy", {("P-T", "low", 0): 20.0, ("RI-T", "high", 0): 25.0}, **blocks)
    found = gain(curves, shuffled, 32)
    tables.check(questions.tables()["gain"], found)
    value = found.set_index(["role", "figure", "block_size", "seed", "metric"]).value
    assert value["real", "2", "32", 0, "points"] == 20 and value["real", "2", "32", 0, "relative"] == 25
    assert value["real", "3", "*", 0, "points"] == -5 and value["real", "3", "*", 0, "relative"] == -25
    assert value["xray", "2", "32", 0, "points"] == pytest.approx(10)
    assert value["xray", "2", "32", 0, "relative"] == pytest.approx(100 / 9)
    assert 1 not in found.seed.tolist()  # P-T alone

    distance = pd.DataFrame([
        {"role": "real", "block_size": "32", "metric": "kernel", "normalisation": name, "images": n,
         "value": v, "low": v - 1, "high": v + 1}
        for name, n, v in (("run", 10, 5.0), ("run", 5, 4.0), ("source", 10, 9.0))
    ])  # fmt: skip
    joined = gain_summary(found, distance).set_index(["role", "figure", "metric"])
    assert joined.loc[("real", "2", "points"), ["n", "mean", "distance"]].tolist() == [1, 20, 5]
    assert np.isnan(joined.loc[("real", "3", "points"), "distance"])
