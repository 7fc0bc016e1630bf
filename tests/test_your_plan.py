"""What fits into the minutes: from what one would want to the least; measured, and refused with a number."""

from pathlib import Path

import pytest

from tlbook import data, models
from tlbook.questions.your_network.study import Asked, training
from tlbook.questions.your_network.study.networks import register
from tlbook.questions.your_network.study.training import Plan, Speed, fitted, plans
from tlbook.questions.your_network.study.weights import keep

FILE = Path(__file__).with_name("your_networks.py")
IMAGES = data.Request("embedded/real", 32, 32, 60, 20, 40, True)


@pytest.fixture
def asked():
    network = register(f"{FILE}:small")
    return Asked(network, keep(models.build(network, 10).state_dict()), IMAGES)


def with_(asked, **changes):
    return type(asked)(**{**vars(asked), **changes})


def test_seconds_are_those_of_every_image_seen(asked):
    cost = Speed(step=0.01, look=0.002)
    spec = training.spec(asked, training.starts(asked)["RI-T"], 0.1, 0, epochs=4)
    looked = len(spec.measured) * (20 + 40) + 2 * 60
    assert cost.of([spec, spec]) == pytest.approx(2 * (4 * 60 * 0.01 + looked * 0.002))


def test_more_minutes_never_give_less_and_what_is_given_fits(asked):
    cost, order = Speed(step=0.004, look=0.001), list(plans(asked))
    before = len(order)
    for minutes in (3, 5, 8, 12, 20, 60):
        plan = fitted(with_(asked, minutes=minutes), cost)
        place = order.index(plan)
        assert place <= before
        before = place
        runs = len(plan.rates) * 2 + (len(plan.seeds) - 1) * 2
        assert runs * plan.epochs * 60 * cost.step <= 60 * minutes * (1 - training.MEASURING)
    assert before == 0


def test_too_few_minutes_are_refused_with_how_many_it_takes(asked, refused):
    refused(r"minutes: 0.1 are too few for .* the least \(2 seeds, 10 epochs, .*\) takes about \d+",
            fitted, with_(asked, minutes=0.1), Speed(0.01, 0.003))  # fmt: skip


def test_what_was_asked_for_stays(asked):
    given = with_(asked, seeds=(4, 5, 6, 7), epochs=12, rates=(0.05,))
    assert list(plans(given)) == [Plan((4, 5, 6, 7), 12, (0.05,))]


def test_both_starts_are_searched_alike_and_the_first_seed_is_not_trained_twice(asked):
    plan = Plan((0, 1), 10, (0.01, 0.1))
    searched = training.searched(asked, plan)
    assert [(s.init.kind, s.rate) for s in searched] == [
        ("from", 0.01), ("from", 0.1), ("random", 0.01), ("random", 0.1)]  # fmt: skip
    main = training.main_runs(asked, plan, {"P-T": 0.01, "RI-T": 0.1})
    assert main["P-T", 0].id == searched[0].id and main["RI-T", 0].id == searched[3].id
    assert len({spec.id for spec in main.values()} - {spec.id for spec in searched}) == 2


def test_the_controls_differ_from_the_runs_in_one_thing_each(asked):
    plan, rates = Plan((0, 1), 10, (0.01, 0.1)), {"P-T": 0.01, "RI-T": 0.1}
    main = training.main_runs(asked, plan, rates)
    found = training.controls(asked, plan, rates)
    assert list(found) == ["permuted", "shuffled", "partial"]
    for (start, seed), spec in found["permuted"].items():
        own = main["RI-T", seed]
        assert start == "Permuted-T" and spec.init.weights == asked.start
        assert (spec.rate, spec.epochs, spec.head_seed, spec.shuffle) == (
            own.rate, own.epochs, own.head_seed, own.shuffle)  # fmt: skip
    for key, spec in found["shuffled"].items():
        own = {n: v for n, v in spec.identity.items() if main[key].identity[n] != v}
        assert set(own) == {"shuffle"} and spec.shuffle.size == 4
    assert [start for start, _ in found["partial"]] == ["first 1", "first 2", "first 3"]
    assert {spec.rate for spec in found["partial"].values()} == {0.01}


def test_without_a_limit_everything_is_run(asked):
    assert fitted(with_(asked, minutes=float("inf")), Speed(100.0, 100.0)) == next(plans(asked))
