"""Shared mistakes, error consistency and difficulty: by hand, and against other ways to compute them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from sklearn.metrics import cohen_kappa_score

from tlbook.evidence import style
from tlbook.questions.differences import figures
from tlbook.questions.differences.method import mistakes

FIRST, SECOND = ("P-T", "low", 0), ("RI-T", "high", 0)
THIRD = ("RI-T", "high", 1)


def measured(counts):
    return {name: float(value) for name, value in mistakes.consistency(np.array(counts, dtype=float)).items()}


def by_hand(labels, first, second, draws=200):
    found = mistakes.shared_mistakes({FIRST: first, SECOND: second}, labels, [(FIRST, SECOND)], draws)
    return found.set_index("metric").value


# A pair


def test_ten_examples_by_hand():
    """Right: 1111100000 and 1111011000. Both 4, only the second 2, only the first 1, neither 3."""
    labels = np.zeros(10, dtype=int)
    first = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    second = np.array([0, 0, 0, 0, 1, 0, 0, 1, 2, 1])
    found = by_hand(labels, first, second)
    sets = dict(both_right=0.4, only_first_wrong=0.2, only_second_wrong=0.1, both_wrong=0.3)
    assert found[list(sets)].to_dict() == pytest.approx(sets)
    assert found["shared"] == pytest.approx(3 / 6)
    assert found["kappa"] == pytest.approx((0.7 - 0.5) / 0.5)  # accuracies 0.5 and 0.6: e = 0.3 + 0.2
    assert found["shared_expected"] == pytest.approx(0.2 / 0.7)
    assert found["agreement"] == pytest.approx(0.6)
    assert found["same_wrong"] == pytest.approx(2 / 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_kappa_is_cohens_on_being_right(rights):
    first, second = np.array(rights).T
    wanted = cohen_kappa_score(first, second, labels=[False, True])
    found = measured(mistakes.cells(first, second).sum(0))["kappa"]
    assert found == pytest.approx(wanted, nan_ok=True) or (np.isnan(wanted) and np.isnan(found))


@given(st.tuples(*[st.integers(0, 1000)] * 4))
@example((196, 0, 0, 3))  # 3/199 divided by 1 - 196/199 is above 1
def test_no_rounding_leaves_the_range(counts):
    found = mistakes.consistency(np.array(counts))
    assert not found["shared"] > 1 and not found["shared"] < 0
    assert not found["kappa"] > 1 and not found["kappa"] < -1


def test_independent_errors_share_what_is_expected():
    rng = np.random.default_rng(0)
    first, second = rng.random(400_000) < 0.7, rng.random(400_000) < 0.8
    found = measured(mistakes.cells(first, second).sum(0))
    assert found["kappa"] == pytest.approx(0, abs=0.01)
    assert found["shared"] == pytest.approx(found["shared_expected"], abs=0.01)


@pytest.mark.parametrize(
    ("counts", "shared", "kappa"),
    [
        ([10, 0, 0, 0], np.nan, np.nan),  # neither errs: nothing can be seen
        ([0, 0, 0, 10], 1, np.nan),  # both always err
        ([7, 3, 0, 0], 0, 0),  # one never errs
        ([0, 0, 6, 4], 0.4, 0),  # one always errs
        ([6, 0, 0, 4], 1, 1),  # the same errors
        ([0, 5, 5, 0], 0, -1),  # opposite ones
    ],
)
def test_degenerate_cases_are_defined(counts, shared, kappa):
    found = measured(counts)
    assert (found["shared"], found["kappa"]) == pytest.approx((shared, kappa), nan_ok=True)


def test_intervals_hold_what_they_promise():
    """About 95 of 100 samples of 300 have the truth of the population inside."""
    rng = np.random.default_rng(1)
    shares = np.array([0.6, 0.1, 0.15, 0.15])
    truth = measured(shares * 10**6)
    inside = {"shared": 0, "kappa": 0}
    for _ in range(100):
        kinds = rng.choice(4, size=300, p=shares)
        first, second = np.isin(kinds, [0, 2]), np.isin(kinds, [0, 1])
        found = by_hand(np.zeros(300, dtype=int), (~first).astype(int), (~second).astype(int), 300)
        for name in inside:
            inside[name] += found[f"{name}_low"] <= truth[name] <= found[f"{name}_high"]
    assert all(88 <= count <= 100 for count in inside.values())


def test_an_interval_resamples_examples_with_all_their_labels():
    """Ten copies of a decision are no more evidence than one."""
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 200)) < 0.7).astype(int)
    labels = np.ones(200, dtype=int)
    single = by_hand(labels, first, second)
    several = by_hand(*(np.repeat(x[:, None], 10, axis=1) for x in (labels, first, second)))
    for name in ("kappa", "kappa_low", "kappa_high", "shared_low"):
        assert several[name] == pytest.approx(single[name])


def test_bootstrap_draws_examples_with_replacement():
    counts = np.eye(5)[None]  # five examples, each in a column of its own
    drawn = mistakes.bootstrapped(counts, draws=4000)[:, 0]
    assert (drawn.sum(1) == 5).all() and drawn.max() >= 4
    assert drawn.mean(0) == pytest.approx(np.ones(5), abs=0.06)
    assert drawn.var(0) == pytest.approx(np.full(5, 0.8), abs=0.08)  # binomial: 5 · 1/5 · 4/5


# Predictions


def test_predictions_and_confidence():
    said, sure = mistakes.predicted(np.log([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]]), 3, multilabel=False)
    assert said.tolist() == [1, 0] and sure == pytest.approx([0.7, 0.5])
    said, sure = mistakes.predicted(np.array([[2.0, -1.0]]), 2, multilabel=True)
    assert said.tolist() == [[1, 0]]
    assert sure[0] == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))])
    said, sure = mistakes.predicted(np.array([[500.0, -900.0]]), 2, multilabel=False)
    assert sure[0] == pytest.approx(1)


def test_a_diverged_model_says_the_first_class():
    said, sure = mistakes.predicted(np.full((2, 3), np.nan), 3, multilabel=False)
    assert said.tolist() == [0, 0] and np.isnan(sure).all()
    assert mistakes.predicted(np.full((1, 2), np.nan), 2, multilabel=True)[0].tolist() == [[0, 0]]


def test_bad_input_is_refused(refused):
    refused("5 classes apart where the data has 7", mistakes.predicted, np.zeros((2, 5)), 7, False)
    refused("no test examples", mistakes.right, np.zeros(0, int), np.zeros(0, int))
    refused("the classes or examples differ", mistakes.right, np.zeros((3, 2), int), np.zeros(3, int))


# By class


def test_by_class_looks_at_the_examples_of_a_class():
    labels = np.array([0, 0, 0, 1, 1])
    said = {FIRST: np.array([0, 1, 1, 1, 1]), SECOND: np.array([1, 1, 0, 1, 0])}
    found = mistakes.by_class(said, labels, [(FIRST, SECOND)], ["cat", "dog", "never seen"])
    value = found.set_index(["label", "metric"]).value
    assert set(found.label) == {"cat", "dog"}
    assert value["cat", "shared"] == pytest.approx(1 / 3) and value["dog", "shared"] == 0
    assert value["cat", "wrong"] == pytest.approx(2 / 3) and value["dog", "wrong"] == 0
    assert value["dog", "wrong_b"] == pytest.approx(1 / 2)


def test_by_label_looks_at_the_decisions_on_it():
    labels = np.array([[0, 1], [1, 1]])
    said = {FIRST: np.array([[1, 1], [0, 0]]), SECOND: np.array([[1, 1], [1, 1]])}
    value = (
        mistakes.by_class(said, labels, [(FIRST, SECOND)], ["a", "b"]).set_index(["label", "metric"]).value
    )
    assert value["a", "shared"] == pytest.approx(1 / 2) and value["b", "shared"] == 0
    assert value["a", "wrong"] == 1 and value["b", "wrong_b"] == 0


# Difficulty


def test_difficulty_is_the_share_of_outside_models_that_err():
    hits = {FIRST: np.array([True, True, False]), SECOND: np.array([True, False, False])}
    hits[THIRD] = np.array([False, False, False])
    assert mistakes.difficulty(hits, [FIRST, SECOND]).tolist() == [0, 0.5, 1]
    assert np.isnan(mistakes.difficulty(hits, [])).all()
    sets = mistakes.sets(hits[FIRST], hits[SECOND])
    found = mistakes.mean_difficulty(np.array([0.1, 0.2, 0.3]), sets).set_index("examples")
    assert found["count"].to_dict() == dict(
        both_right=1, only_first_wrong=0, only_second_wrong=1, both_wrong=1
    )
    assert found.value["only_second_wrong"] == 0.2 and np.isnan(found.value["only_first_wrong"])


def test_harder_by_hand():
    """First set 1, 1, 0.5; second 0, 0.5: of six comparisons 5 are harder and one ties: delta 5/6."""
    hardness = np.array([1, 1, 0.5, 0, 0.5])
    first = np.array([True, True, True, False, False])
    found = mistakes.harder(hardness, first, ~first)
    assert found["difference"] == pytest.approx(2.5 / 3 - 0.25)
    assert found["cliffs_delta"] == pytest.approx(5 / 6)
    assert found["difference_low"] <= found["difference"] <= found["difference_high"]


def test_harder_finds_what_is_there_and_not_what_is_not():
    rng = np.random.default_rng(3)
    hardness = rng.integers(0, 7, 600) / 6
    first = np.arange(600) < 80
    none = mistakes.harder(hardness, first, ~first)
    assert none["difference_low"] < 0 < none["difference_high"] and none["p_value"] > 0.01
    some = mistakes.harder(hardness + 0.3 * first, first, ~first)
    assert some["difference_low"] > 0.15 and some["p_value"] < 1e-4 and some["cliffs_delta"] > 0.3
    assert all(np.isnan(value) for value in mistakes.harder(hardness, first, first & ~first).values())


NAMES = ["$5_off_$10", "a_b^c", "\\$x$", "$$", "\udcff", "x"]


@pytest.mark.parametrize("name", NAMES)
def test_class_names_are_drawn_as_they_are(name):
    keys = {"role": "real", "init": "P-T", "rate": "low", "seed": 0}
    keys |= {"init_b": "RI-T", "rate_b": "high", "seed_b": 0}
    example = keys | {"examples": "both_right", "place": 0, "path": "a", "digest": "b", "difficulty": 0.5}
    example |= {"answer": name, "prediction": name, "prediction_b": name}
    shown = pd.DataFrame([example | {"confidence": 0.9, "confidence_b": 0.9}])
    figure = figures.gallery(shown, {})
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if "off" in text.get_text()]
    assert all(not text._preprocess_math(text.get_text())[1] for text in texts)
    plt.close(figure)
    assert Text()._preprocess_math(style.literal(name)) == (name.replace("\udcff", "?"), False)


def test_models_without_mistakes_have_no_interval_and_stop_nothing():
    labels, models = np.arange(8) % 2, [("P-T", "low", seed) for seed in (0, 1)]
    found = mistakes.shared_mistakes(dict.fromkeys(models, labels), labels, [tuple(models)], draws=20)
    values = found.set_index("metric").value
    undefined = ["shared", "kappa", "shared_low", "shared_high", "kappa_low", "kappa_high", "same_wrong"]
    assert values[undefined].isna().all() and values["both_right"] == values["agreement"] == 1
