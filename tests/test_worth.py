"""What P was worth, against hand-made curves."""

import numpy as np
import pandas as pd
import pytest
from made_up import ROLES, tables
from scipy import stats

from tlbook.questions.feature_reuse.summaries import in_words, what_p_gave, what_would_sharpen, worth

DOMAINS = pd.DataFrame(
    [{"role": "real", "dataset": "mine", "classes": 4, "train": 30, "dev": 4, "test": 40, "chance": 25.0,
      "metric": "accuracy"}]
)  # fmt: skip


def curves(ends):
    """Final test, dev and training accuracy by (init, rate, seed); an earlier epoch that must not count."""
    rows = []
    for (init, rate, seed), (test, dev, train) in ends.items():
        for split, value in (("test", test), ("dev", dev), ("train", train)):
            for epoch, accuracy in ((1, 99.0), (20, value)):
                rows.append(("real", init, rate, seed, epoch, split, "accuracy", accuracy))
    names = ["role", "init", "rate", "seed", "epoch", "split", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def reached(*values, init="P-T", rate="low", there=1):
    found = enumerate(values)
    rows = [("real", init, rate, seed, "final", "high", "fraction", v, there) for seed, v in found]
    names = ["role", "init", "rate", "seed", "reference", "reference_rate", "metric", "value", "reached"]
    return pd.DataFrame(rows, columns=names)


ENDS = {
    ("P-T", "low", 0): (70, 60, 100), ("P-T", "low", 1): (74, 60, 100), ("P-T", "low", 2): (72, 60, 100),
    ("P-T", "high", 0): (90, 50, 100), ("P-T", "high", 1): (90, 50, 100), ("P-T", "high", 2): (90, 50, 100),
    ("RI-T", "high", 0): (61, 55, 80), ("RI-T", "high", 1): (62, 55, 90), ("RI-T", "high", 2): (63, 55, 91),
    ("RI-T", "low", 0): (80, 40, 100), ("RI-T", "low", 1): (80, 40, 100), ("RI-T", "low", 2): (80, 40, 100),
}  # fmt: skip


def test_rates_are_chosen_on_dev_and_seeds_are_paired():
    """On test the other rate of either start would be better."""
    row = worth(curves(ENDS), DOMAINS, reached(0.1, 0.2, 0.3)).iloc[0]
    assert (row.p_t, row.ri_t, row.n, row.training) == (72, 62, 3, 87)
    differences = np.array([9.0, 12.0, 9.0])
    half = stats.t.ppf(0.975, 2) * differences.std(ddof=1) / np.sqrt(3)
    assert (row.gain, row.low, row.high) == pytest.approx((10, 10 - half, 10 + half))
    assert row.sooner == pytest.approx(0.2)
    assert (row.dataset, row.classes, row.train, row.chance) == ("mine", 4, 30, 25.0)


def test_only_seeds_that_both_have_are_compared_and_a_run_that_never_got_there_is_none():
    few = {key: value for key, value in ENDS.items() if key != ("RI-T", "high", 1)}
    row = worth(curves(few), DOMAINS, reached(0.1, 1.0, 0.3, there=0)).iloc[0]
    assert (row.n, row.gain) == (2, 9) and np.isnan(row.sooner)


def test_one_seed_has_no_interval():
    one = {key: value for key, value in ENDS.items() if key[2] == 0}
    row = worth(curves(one), DOMAINS, reached(0.1)).iloc[0]
    assert (row.n, row.gain) == (1, 9) and np.isnan(row.low) and np.isnan(row.high)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "P gave +13.6 points (95 % interval 2.1 to 25.1, 3 runs of each). P-T passed RI-T's end after"),
        ({"n": 2}, "(2 run(s) of each, too few for an interval)"),
        ({"training": 74.0}, "But RI-T had reached only 74.0 % on its own training images"),
        ({"metric": "auc", "p_t": 0.915, "ri_t": 0.892, "training": 0.99, "chance": 0.5, "gain": 0.0229},
         "chance AUC 0.500): P-T ends at AUC 0.915, RI-T at AUC 0.892. P gave +0.023 of AUC"),
    ],
)  # fmt: skip
def test_worth_in_words(changes, words):
    row = {"role": "real", "dataset": "folder:/home/me/cats", "classes": 3, "train": 49, "chance": 100 / 3,
           "metric": "accuracy", "p_t": 56.8, "ri_t": 43.2, "n": 3, "gain": 13.6, "low": 2.1, "high": 25.1,
           "training": 97.0, "sooner": 0.1}  # fmt: skip
    said = in_words(next(pd.DataFrame([row | changes]).itertuples())).replace("\xa0", " ")
    assert said.startswith("real · cats (3 classes, 49 training images, chance") and words in said
    assert ("needed longer" in said) == ("training" in changes and changes["training"] == 74.0)


def test_an_interval_that_holds_0_is_told_what_would_sharpen_it():
    """For the same scatter its half is t s / sqrt(n): 4.303 / sqrt(3) against 2.262 / sqrt(10)."""
    row = {"n": 3, "low": -16.7, "high": 50.8}

    def said(**changes):
        return what_would_sharpen(next(pd.DataFrame([row | changes]).itertuples()))

    assert "10 seeds" in said() and "3.5 times as narrow" in said()
    assert said(low=1.0) == said(n=10) == said(low=np.nan, high=np.nan) == ""


def test_it_is_told_of_every_target():
    found = tables()
    told = what_p_gave(found["learning_curves"], found["domains"], found["convergence"])
    assert [line.split(" · ")[0] for line in told] == list(ROLES)
