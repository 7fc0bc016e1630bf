"""Speed, leads and their intervals against hand-made curves, brute force, and what the methods promise."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tlbook import intervals, questions, tables
from tlbook.intervals import student
from tlbook.questions.controls import summaries
from tlbook.questions.controls.method import speed

METRICS, IMAGES = {"real": "accuracy", "xray": "auc"}, {"real": 100, "xray": 50}
RATE = {"RI-T": "high", "P-T": "low", "MeanVar-T": "high"}


def run(init, seed, values, role="real", epochs=(0, 1, 4, 10), split="test"):
    """One run's measured metric, in its role's unit, with a loss that nothing should read."""
    keys = {"role": role, "init": init, "rate": RATE[init], "seed": seed, "split": split}
    measured = pd.DataFrame({"epoch": epochs, "metric": METRICS[role], "value": values})
    return pd.concat([measured, measured.assign(metric="loss", value=99.0)]).assign(**keys)


@pytest.fixture
def curves():
    """RI-T ends at 58 and 62, so the level is 60."""
    return pd.concat(
        [
            run("RI-T", 0, [10, 20, 40, 58]),
            run("RI-T", 1, [10, 30, 50, 62]),
            run("P-T", 0, [10, 60, 70, 80]),
            run("P-T", 1, [61, 55, 66, 75]),
            run("MeanVar-T", 0, [10, 20, 60, 59]),
            run("MeanVar-T", 1, [10, 20, 30, 59.9]),
        ]
    )


def test_times_by_hand(curves):
    found = speed.times(curves, METRICS, IMAGES)
    tables.check(questions.tables()["time_to_level"], found)
    table = found.set_index(["init", "seed", "unit"])[["low", "value", "last", "reached"]]
    assert table.loc[("P-T", 0, "epochs")].tolist() == [0, 1, 10, 1]
    assert table.loc[("P-T", 0, "images")].tolist() == [0, 100, 1000, 1]
    assert table.loc[("P-T", 1, "epochs")].tolist() == [0, 0, 10, 1]  # before the first step
    assert table.loc[("MeanVar-T", 0, "epochs")].tolist() == [1, 4, 10, 1]  # and fell again
    assert table.loc[("MeanVar-T", 1, "epochs")].tolist() == [10, 10, 10, 0]
    assert table.loc[("RI-T", 1, "epochs")].tolist() == [4, 10, 10, 1]


def test_a_diverged_run_never_gets_there(curves):
    broken = curves.copy()
    broken.loc[(broken.init == "P-T") & (broken.seed == 0), "value"] = np.nan
    found = speed.times(broken, METRICS, IMAGES).set_index(["init", "seed", "unit"])
    assert found.loc[("P-T", 0, "epochs"), ["value", "reached"]].tolist() == [10, 0]


def test_leads_are_areas_between_curves(curves):
    """Against trapezia by hand: gaps of seed 0 are 0, 40, 30, 22 at epochs 0, 1, 4, 10."""
    found = speed.leads(curves, METRICS)
    tables.check(questions.tables()["lead"], found)
    assert set(found.init) == {"P-T", "MeanVar-T"} and set(found.split) == {"test"}
    lead = found.set_index(["init", "seed", "over"]).value
    assert lead["P-T", 0, "end"] == 22
    assert lead["P-T", 0, "whole"] == pytest.approx((20 * 1 + 35 * 3 + 26 * 6) / 10)
    assert lead["P-T", 0, "tenth"] == pytest.approx(20)  # the first of ten epochs


def test_a_tenth_that_ends_between_measured_epochs_is_interpolated():
    flat = pd.concat([run("RI-T", 0, [0, 0], epochs=(0, 20)), run("P-T", 0, [0, 20], epochs=(0, 20))])
    lead = speed.leads(flat, METRICS).set_index("over").value
    assert lead["tenth"] == pytest.approx(1) and lead["whole"] == pytest.approx(10)


def test_auc_counts_in_hundredths_and_the_shorter_run_sets_the_area():
    """The paper's CheXpert: 200 epochs from P, 400 from random weights."""
    short, long = (0, 10), (0, 10, 20)
    both = pd.concat(
        [run("P-T", 0, [0.5, 0.8], "xray", short), run("RI-T", 0, [0.5, 0.6, 0.7], "xray", long)]
    )
    lead = speed.leads(both, METRICS).set_index("over").value
    assert lead["whole"] == pytest.approx(10) and lead["end"] == pytest.approx(10)


def test_a_seed_without_ri_t_has_no_lead(curves):
    lacking = curves[~((curves.init == "RI-T") & (curves.seed == 1))]
    assert set(speed.leads(lacking, METRICS).seed) == {0}


def test_curves_of_training_and_test_are_kept_apart(curves):
    training = curves.assign(split="train")
    training.loc[training.init == "P-T", "value"] += 5
    found = speed.leads(pd.concat([curves, training]), METRICS)
    found = found.set_index(["init", "seed", "split", "over"]).value
    assert found["P-T", 0, "train", "end"] == found["P-T", 0, "test", "end"] + 5


finite = st.floats(-100, 100)
boxes = st.lists(st.tuples(finite, st.floats(0, 50)), min_size=2, max_size=5)


@given(boxes, st.randoms())
def test_the_widest_interval_holds_that_of_any_values_in_the_box(box, random):
    lows, highs = [low for low, _ in box], [low + width for low, width in box]
    widest = intervals.widest(lows, highs)
    inside = [low + width * random.random() for low, width in box]
    _, low, high = student(inside)
    assert widest[0] <= low + 1e-6 and high - 1e-6 <= widest[1]


@given(st.lists(finite, min_size=2, max_size=6))
def test_known_values_have_students_interval(values):
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    found = intervals.widest(values, values)
    if np.ptp(values) > 1e-6:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert student(values)[1:] == pytest.approx(found, abs=1e-6)


def test_one_seed_has_no_interval():
    assert all(map(math.isnan, intervals.widest([1], [2])))
    mean, low, high = student([3.0])
    assert mean == 3 and math.isnan(low) and math.isnan(high)


@given(st.integers(2, 8), st.floats(-2, 2), st.integers(0, 2**31))
def test_fiellers_bounds_are_where_a_paired_t_test_turns(n, ratio, seed):
    """At each bound r, the t statistic of part - r whole is the critical value; in between it is smaller."""
    rng = np.random.default_rng(seed)
    whole = 10 + rng.normal(size=n)
    part = ratio * whole + rng.normal(size=n)
    value, low, high = intervals.share(part, whole)
    if math.isnan(value):
        _, _, bound = student(whole)
        assert student(whole)[1] <= 0 <= bound  # whole itself may be 0
        return
    critical = stats.t.ppf(0.975, n - 1)
    for bound in (low, high):
        assert abs(stats.ttest_1samp(part - bound * whole, 0).statistic) == pytest.approx(critical, rel=1e-4)
    assert low <= value <= high and value == pytest.approx(part.mean() / whole.mean())


def test_a_share_of_nothing_is_no_number():
    assert all(map(math.isnan, intervals.share([1.0, 2, 3], [-1.0, 0, 1])))
    assert all(map(math.isnan, intervals.share([1.0], [2.0])))


def test_speed_summary_by_hand(curves):
    found = summaries.speed_summary(speed.times(curves, METRICS, IMAGES))
    assert list(found.init) == ["P-T", "RI-T", "MeanVar-T"]  # the book's order
    rows = found.set_index("init")
    mean_var = rows.loc["MeanVar-T"]  # between 1 and 4, and at its end, 10
    assert (mean_var.n, mean_var.reached, mean_var.epochs) == (2, 1, 7)
    assert mean_var.images_seen == 700 and mean_var.sooner == pytest.approx(10 / 7)
    assert (mean_var.epochs_low, mean_var.epochs_high) == (0, 10)  # it cannot lie outside of the run
    assert (mean_var.sooner_low, mean_var.sooner_high) == (1, np.inf)


def test_times_that_agree_have_the_interval_of_their_measured_gaps():
    """Three runs that were there at epoch 10 and not at 8: the corners of (8, 10) cubed, in a run of 100."""
    keys = {"role": "real", "init": ["RI-T"] * 3, "rate": "high", "seed": [0, 1, 2]}
    value = {"low": 8.0, "value": 10.0, "last": 100.0, "reached": 1}
    times = pd.concat([pd.DataFrame(keys | {"unit": unit} | value) for unit in ("epochs", "images")])
    found = summaries.speed_summary(times).iloc[0]
    half = stats.t.ppf(0.975, 2) * np.std([8, 8, 10], ddof=1) / np.sqrt(3)
    assert (found.epochs_low, found.epochs_high) == pytest.approx((26 / 3 - half, 28 / 3 + half))
    assert found.sooner_low == pytest.approx(100 / (28 / 3 + half))


def test_a_summary_of_few_images_compares_with_ri_t_on_as_many(curves):
    whole = speed.times(curves, METRICS, IMAGES).assign(images=100)
    fewer = whole.assign(images=50, last=whole["last"] / 2)
    found = summaries.speed_summary(pd.concat([whole, fewer]))
    assert list(zip(found.images, found.init, strict=True))[:4] == [
        (50, "P-T"), (50, "RI-T"), (50, "MeanVar-T"), (100, "P-T"),
    ]  # fmt: skip
    assert list(found[found.init == "P-T"].sooner) == [10.0, 20.0]


def test_lead_summary_gives_shares_of_p_t(curves):
    found = summaries.lead_summary(speed.leads(curves, METRICS)).set_index(["init", "over"])
    ends = found.xs("end", level="over")
    assert ends.loc["P-T", "mean"] == pytest.approx((22 + 13) / 2) and math.isnan(ends.loc["P-T", "share"])
    expected = intervals.share([59 - 58, 59.9 - 62], [22, 13])
    assert ends.loc["MeanVar-T", ["share", "share_low", "share_high"]].tolist() == pytest.approx(
        expected, nan_ok=True
    )
    table = summaries.shares_to_read(speed.leads(curves, METRICS))
    assert set(table.init) == {"MeanVar-T"} and len(table) == 3
    assert summaries.speed_to_read(speed.times(curves, METRICS, IMAGES))["got there"].tolist() == [
        "2 of 2", "1 of 2", "1 of 2",
    ]  # fmt: skip
