"""What checkpoints are worth: better rates, noise, fits, by hand and against other packages."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_checkpoints import CHECKPOINTS, constant_rate, finetuned, source_accuracy, upstream
from scipy import optimize, stats

from tlbook import questions, tables, vocabulary
from tlbook.evidence import paper
from tlbook.questions.checkpoints import method, summaries

SOURCE = np.array([5.0, 8, 12, 15, 18, 24, 28, 33])


def one(values, role="real"):
    """finetuned of one role at one rate: a row of test (and dev) accuracies a checkpoint, a column a seed."""
    rows = [
        {"role": role, "checkpoint": epoch, "checkpoint_fraction": epoch / 30, "rate": "low", "seed": seed,
         "split": split, "metric": "accuracy", "value": value}
        for epoch, of_seed in values.items()
        for seed, value in enumerate(of_seed)
        for split in ("test", "dev")
    ]  # fmt: skip
    return pd.DataFrame(rows)


# The better rate


def test_the_better_rate_is_chosen_by_dev_at_every_checkpoint():
    chosen = vocabulary.at_better_rate(finetuned(("real", "xray")))
    rates = chosen.groupby(["role", "checkpoint"]).rate.agg(set)
    assert rates["real"].to_dict() == {e: {"high"} if e == 1 else {"low"} for e in CHECKPOINTS}
    assert rates["xray"].to_dict() == rates["real"].to_dict()


def test_a_rate_with_a_run_that_has_no_metric_loses_and_low_wins_ties():
    table = finetuned(("real",))
    lost = (table.rate == "low") & (table.seed == 1) & (table.checkpoint == 5) & (table.split == "dev")
    table.loc[lost, "value"] = np.nan
    assert vocabulary.better_rate(table[table.checkpoint == 5]) == "high"
    assert vocabulary.better_rate(table[table.checkpoint == 10].assign(value=1.0)) == "low"


def test_metrics_count_in_points():
    auc, accuracy = (method.by_seed(finetuned((role,))) for role in ("xray", "real"))
    pd.testing.assert_frame_equal(auc, accuracy)
    assert list(auc.columns) == list(CHECKPOINTS) and list(auc.index) == [0, 1, 2]


# Noise, and how early is good enough


def test_noise_is_the_residual_of_a_two_way_analysis_of_variance():
    """The same from statsmodels, which fits checkpoints and seeds as categories."""
    from statsmodels.formula.api import ols

    rng = np.random.default_rng(1)
    values = pd.DataFrame(rng.normal(size=(3, 5)) + np.arange(5) * 7, columns=[0, 1, 2, 5, 9])
    long = values.drop(columns=0).stack().rename("value").rename_axis(["seed", "checkpoint"]).reset_index()
    model = ols("value ~ C(seed) + C(checkpoint)", long).fit()
    noise, freedom = method.pooled_noise(values)
    assert freedom == model.df_resid == 6 and noise == pytest.approx(np.sqrt(model.mse_resid))


def test_a_shift_of_a_seed_or_a_checkpoint_is_no_noise():
    assert method.pooled_noise(method.by_seed(finetuned(("real",))))[0] == pytest.approx(0, abs=1e-9)
    noise, freedom = method.pooled_noise(method.by_seed(finetuned(("real",), seeds=(0,))))
    assert np.isnan(noise) and freedom == 0


def test_behind_last_by_hand():
    """Two seeds and three checkpoints, so (2 - 1) (3 - 1) = 2 degrees of freedom; gaps of 4 and 6."""
    table = one({1: [50.0, 54], 2: [60, 60], 3: [54, 60]})
    found = method.behind_last(table).set_index("checkpoint")
    tables.check(questions.tables()["behind_last"], method.behind_last(table))
    assert found.value.to_dict() == {1: 5.0, 2: -3.0, 3: 0.0}
    residuals = np.array([[50, 60, 54], [54, 60, 60]]) - np.array([[52, 60, 57.0]])
    residuals -= residuals.mean(1, keepdims=True)
    half = stats.t.ppf(0.975, 2) * np.sqrt((residuals**2).sum() / 2) * np.sqrt(2 / 2)
    assert found.high[1] - found.value[1] == pytest.approx(half)
    assert (found.low[3], found.high[3]) == (0, 0)


def test_the_interval_covers_as_often_as_it_says():
    """400 made-up studies of 3 seeds and 6 equal checkpoints: 95 % of intervals hold the true 0."""
    rng = np.random.default_rng(0)
    held = []
    for values in rng.normal(size=(400, 3, 6)):
        frame = pd.DataFrame(values, columns=range(1, 7))
        half = method.interval(*method.pooled_noise(frame), 3)
        held.append(abs((frame[6] - frame[1]).mean()) <= half)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


@pytest.fixture
def rising():
    """Noise of about 0.1; checkpoint 5 is as good as the last by luck, 10 is not, from 20 on all are."""
    levels = {0: 20, 1: 40, 5: 79.9, 10: 75, 20: 79.95, 30: 80}
    shifts = np.array([[0.1, -0.1, 0], [0, 0.1, -0.1], [-0.1, 0, 0.1]])
    return one({epoch: level + shifts[i % 3] for i, (epoch, level) in enumerate(levels.items())})


def test_good_enough_is_the_first_that_the_last_does_not_beat(rising):
    behind = method.behind_last(rising)
    row = summaries.good_enough(behind, source_accuracy()).iloc[0]
    assert (row.checkpoint, row.lasting) == ("5", "20")
    assert row["cost (%)"] == pytest.approx(100 / 6) and row.behind == pytest.approx(0.1, abs=0.1)
    assert row["source (%)"] == pytest.approx(upstream(5))
    assert row["gain after"] == pytest.approx(upstream(8) - upstream(5))  # a tenth of 30 epochs on
    assert row["plateau's end"] == "no"


@pytest.mark.parametrize(("epoch", "end"), [(10, "yes"), (11, "no"), (20, "yes"), (30, "yes")])
def test_a_plateau_ends_where_the_rate_drops_or_training_ends(epoch, end):
    levels = {each: [80.0, 80.1] if each >= epoch else [10.0, 10.05] for each in (5, 10, 11, 20, 30)}
    row = summaries.good_enough(method.behind_last(one(levels)), source_accuracy()).iloc[0]
    assert (row.checkpoint, row["plateau's end"]) == (str(epoch), end)


def test_one_seed_cannot_say_what_is_good_enough():
    table = finetuned(("real", "xray"), seeds=(0,))
    tables.check(questions.tables()["behind_last"], method.behind_last(table))
    rows = summaries.good_enough(method.behind_last(table), source_accuracy())
    assert list(rows.checkpoint) == ["–", "–"] and rows.noise.isna().all()
    assert set(summaries.best_on_dev(table)["beyond noise"]) <= {"one seed cannot say", "the last is best"}


def test_the_best_is_chosen_on_dev_and_judged_on_test():
    table = one({5: [70.0, 71], 10: [80, 80.2], 30: [76, 76.1]})
    row = summaries.best_on_dev(table).iloc[0]
    assert (row["best on dev"], row["beyond noise"]) == (10, "yes, better")
    assert row.ahead == pytest.approx(4.05) and row.low > 0
    fooled = table.copy()  # dev prefers what is worst on test
    fooled.loc[(fooled.split == "dev") & (fooled.checkpoint == 5), "value"] = 99
    assert summaries.best_on_dev(fooled).iloc[0]["beyond noise"] == "no, worse"


def test_drops_are_the_last_epochs_before_the_rate_falls():
    assert summaries.drops(source_accuracy()) == [10, 20]
    known = source_accuracy()
    assert summaries.drops(known[known.metric == "accuracy"]) == []


# Fits


def power(source, ceiling=80.0, scale=30.0, exponent=12.0):
    return ceiling - scale * (1 - source / 100) ** exponent


def test_a_power_law_is_found_as_scipy_finds_it():
    rng = np.random.default_rng(2)
    target = power(SOURCE) + 0.3 * rng.normal(size=len(SOURCE))
    found = method.fit("power law", SOURCE, target)
    theirs, _ = optimize.curve_fit(power, SOURCE, target, p0=[80, 30, 10])
    assert (found.ceiling, found.scale, found.exponent) == pytest.approx(tuple(theirs), rel=0.02)
    squares = ((target - power(SOURCE, *theirs)) ** 2).sum()
    assert squares <= (found.residuals**2).sum() <= 1.001 * squares


def test_a_line_and_a_constant_are_found_as_numpy_finds_them():
    target = np.array([50.0, 53, 52, 58, 60, 66, 65, 73])
    line = method.fit("line", SOURCE, target)
    slope, start = np.polyfit(SOURCE, target, 1)
    assert line.slope(5) == line.slope(33) == pytest.approx(slope)
    np.testing.assert_allclose(line.at(SOURCE), start + slope * SOURCE)
    constant = method.fit("constant", SOURCE, target)
    assert constant.at(SOURCE) == pytest.approx(np.full(8, target.mean())) and constant.slope(5) == 0


def test_what_falls_or_speeds_up_is_no_saturating_law():
    falling = method.fit("power law", SOURCE, 90 - SOURCE)
    assert falling.scale == 0 and falling.ceiling == pytest.approx(90 - SOURCE.mean())
    assert method.fit("line", SOURCE, 90 - SOURCE).slope(5) == pytest.approx(-1)
    assert method.fit("power law", SOURCE, 50 + 0.02 * SOURCE**2).exponent == 1


def test_aicc_is_that_of_statsmodels():
    """Of a straight line: -2 log L + 2k + 2k(k+1)/(n-k-1) with k = 3, up to a constant of n."""
    import statsmodels.api as sm
    from statsmodels.tools.eval_measures import aicc

    rng = np.random.default_rng(3)
    target = 40 + SOURCE + rng.normal(size=len(SOURCE))
    model = sm.OLS(target, sm.add_constant(SOURCE)).fit()
    n = len(SOURCE)
    theirs = aicc(model.llf, n, 3) - n * (np.log(2 * np.pi) + 1)
    assert method.fit("line", SOURCE, target).aicc == pytest.approx(theirs)


def test_too_few_points_have_no_criterion():
    few = method.fit("power law", SOURCE[:5], power(SOURCE[:5]))
    assert np.isnan(few.aicc)
    weights = method.akaike_weights([1.0, 3.0, float("nan")])
    assert weights == pytest.approx([1 / (1 + np.exp(-1)), 1 - 1 / (1 + np.exp(-1)), 0])
    assert np.isnan(method.akaike_weights([float("nan")] * 3)).all()


@settings(max_examples=40, deadline=None)
@given(st.floats(20, 95), st.floats(5, 60), st.floats(2, 60), st.floats(0.01, 3))
def test_paying_stops_where_the_slope_is_what_it_may_be(ceiling, scale, exponent, pays):
    """The slope, from differences of the curve, is `pays` there; before it is larger, after it smaller."""
    law = method.Fit("power law", ceiling, scale, exponent, np.zeros(8))
    stops = law.stops_paying(5.0, pays)
    step = 1e-4

    def slope(x):
        return float(law.at(x + step) - law.at(x - step)) / (2 * step)

    assert 5 <= stops < 100
    if stops == 5:
        assert slope(5.0) <= pays * (1 + 1e-6)
    else:
        assert slope(stops) == pytest.approx(pays, rel=1e-3)
        assert slope(5.0) > pays > slope(min(stops + 1, 99.9)) * (1 - 1e-6)


def test_a_line_never_stops_paying_or_never_paid():
    line = method.Fit("line", 80.0, 50.0, 1.0, np.zeros(5))
    assert line.stops_paying(5.0, 0.1) == 100 and line.stops_paying(5.0, 0.6) == 5


def test_intervals_hold_the_truth():
    """60 made-up curves: nearly all intervals of exponent and stopping point hold the true ones."""
    rng = np.random.default_rng(4)
    truth = method.Fit("power law", 80.0, 30.0, 12.0, np.zeros(8))
    held = []
    for _ in range(60):
        found = method.fit("power law", SOURCE, power(SOURCE) + 0.5 * rng.normal(size=len(SOURCE)))
        again = method.replicates(found, SOURCE, 200)
        exponents = np.quantile([each.exponent for each in again], [0.025, 0.975])
        stops = np.quantile([each.stops_paying(5.0) for each in again], [0.025, 0.975])
        held.append((exponents[0] <= 12 <= exponents[1], stops[0] <= truth.stops_paying(5.0) <= stops[1]))
    assert (np.mean(held, axis=0) >= 0.85).all()


MADE = {
    "power law": lambda x: power(x, exponent=30),
    "line": lambda x: 40 + x,
    "constant": lambda x: 60 + 0 * x,
}


@pytest.mark.parametrize("model", MADE)
def test_the_criterion_prefers_the_law_that_made_the_points(model):
    source = source_accuracy()
    known = method.source_at(source)
    table = finetuned(("real",), noise=0.0).query("rate == 'low'").copy()
    rng = np.random.default_rng(5)
    level = MADE[model](known.reindex(table.checkpoint).to_numpy())
    table["value"] = level + 0.3 * rng.normal(size=len(table))
    fits, curves = method.saturation(table, source, count=100)
    tables.check(questions.tables()["saturation"], fits)
    tables.check(questions.tables()["saturation_curve"], curves)
    weights = fits[fits.metric == "weight"].set_index("model").value
    assert weights.idxmax() == model and weights.sum() == pytest.approx(1)
    assert set(fits[fits.metric == "points"].value) == {len(CHECKPOINTS) - 1}  # without random weights


def test_curves_are_in_the_roles_unit_and_repeat():
    source = source_accuracy()
    fits, curves = method.saturation(finetuned(("real", "xray"), noise=0.3), source, count=50)
    again, _ = method.saturation(finetuned(("real", "xray"), noise=0.3), source, count=50)
    pd.testing.assert_frame_equal(fits, again)
    assert curves[curves.role == "xray"].value.max() < 1 < curves[curves.role == "real"].value.max()
    ends = curves.source.min(), curves.source.max()
    assert ends == pytest.approx((upstream(1), upstream(30)))


def test_unknown_sources_leave_nothing_to_fit():
    source = source_accuracy()
    source.loc[source.metric == "accuracy", "value"] = np.nan
    fits, curves = method.saturation(finetuned(("real",)), source)
    assert fits.empty and curves.empty


# For pages


def test_our_checkpoints_stand_with_the_papers_at_the_same_share():
    rows = summaries.compared(finetuned(("real", "xray")), source_accuracy(), paper.figure7())
    rows = rows.set_index(["role", "checkpoint"])
    at = rows.loc["real", 10]
    assert at.paper == paper.value("figure7", role="real", checkpoint=30, metric="accuracy")
    assert at["paper's speed"] == paper.value("figure7", role="real", checkpoint=30, metric="mean_accuracy")
    assert np.isnan(rows.loc[("real", 5), "paper"])  # 1/6 of pre-training: the paper has none near
    assert rows.loc["xray"].paper.isna().all()
    assert (at.highest - at.lowest, at.n, at.speed) == (pytest.approx(2), 3, pytest.approx(90))


def test_without_steps_compares_what_has_no_more_training():
    roles = ("real", "xray")
    rows = summaries.without_steps(finetuned(roles), source_accuracy(), constant_rate(roles))
    rows = rows[rows.role == "xray"].set_index("constant")
    assert rows.P.to_dict() == {10: 10, 11: 11, 15: 11}
    assert rows.loc[10, ["P ahead", "low", "high"]].tolist() == pytest.approx([0, 0, 0], abs=1e-9)
    assert rows.loc[11, "source: P"] - rows.loc[11, "source: constant"] == pytest.approx(28.11 - upstream(10))
    assert 0 < rows.loc[15, "target: P"] < 1 and rows.loc[15, "P ahead"] > 0


def test_reading_has_a_row_a_role_and_model():
    fits, _ = method.saturation(finetuned(("real", "xray"), noise=0.5), source_accuracy(), count=50)
    rows = summaries.reading(fits)
    assert len(rows) == 6 and set(rows.model) == set(method.MODELS)
    power_law = rows[rows.model == "power law"].iloc[0]
    assert " to " in power_law.exponent and rows[rows.model == "constant"].exponent.eq("–").all()
