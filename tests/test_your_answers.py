"""Tables -> words: what is certain, open or lost, from made-up numbers whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from tlbook.intervals import student
from tlbook.questions.your_network import answers, figures

EPOCHS = (0, 5, 10)


def curves(p, ri, train=(100.0, 100.0), start="P-T"):
    """A table of runs that end at these test accuracies, a seed each, and are half-way there at epoch 5."""
    rows = []
    for name, ends, fit in ((start, p, train[0]), ("RI-T", ri, train[1])):
        for seed, end in enumerate(ends):
            for epoch in EPOCHS:
                value = end * (0.2 if epoch == 0 else 1 if name == start or epoch == 10 else 0.5)
                keys = {"start": name, "seed": seed, "rate": 0.1, "epoch": epoch, "metric": "accuracy"}
                rows += [keys | {"split": "test", "value": value}, keys | {"split": "train", "value": fit}]
    return pd.DataFrame(rows)


def pairs(metric, values):
    """Rows of two seeds of each kind."""
    return [
        {"kind": kind, "seed": 0, "seed_b": 1, "metric": metric, "value": value}
        for kind, value in values.items()
    ]


def rewind(costs, whole=80.0, spread=0.1):
    rows = []
    for seed in range(3):
        noise = spread * (seed - 1)
        keys = {"start": "P-T", "seed": seed, "metric": "accuracy"}
        rows.append(keys | {"together": "alone", "module": "none", "value": whole})
        for module, (alone, together) in costs.items():
            rows.append(keys | {"together": "alone", "module": module, "value": whole - alone + noise})
            rows.append(keys | {"together": "up to", "module": module, "value": whole - together + noise})
    return pd.DataFrame(rows)


def soups(gain):
    rows = []
    for left_out, members in (("-", 3), ("0", 2), ("1", 2), ("2", 2)):
        values = {"members": 70.0, "soup": 70.0 + gain, "best": 71.0, "ensemble": 74.0}
        keys = {
            "start": "P-T",
            "left_out": left_out,
            "members": members,
            "split": "test",
            "metric": "accuracy",
        }
        rows += [keys | {"kind": kind, "value": value} for kind, value in values.items()]
    return pd.DataFrame(rows)


def said(tables, name):
    found = {answer.name: " ".join(answer.sentences) for answer in answers.all_answers(tables)}
    return found[name]


def test_a_certain_lead_is_said_with_its_interval_and_how_much_sooner():
    p, ri = (80.0, 82.0, 81.0), (70.0, 71.0, 72.0)
    value, low, high = student(np.subtract(p, ri))
    words = said({"curves": curves(p, ri)}, "end")
    assert words.startswith(f"Pre-training gave +{value:.1f} points ({low:.1f} to {high:.1f}): fine-tuned")
    assert "81.0 % of the test images, those from scratch at 71.0 %" in words
    assert "are there (71.0 %) by epoch 5 of 10" in words and "too little time" not in words
    assert answers.advice({"curves": curves(p, ri)}) == ["Start from these weights."]


def test_a_lead_that_may_be_none_is_open_and_one_below_zero_is_a_cost():
    table = curves((80.0, 60.0, 70.0), (70.0, 71.0, 69.0))
    assert (
        "is open" in said({"curves": table}, "end") and "do not tell" in answers.advice({"curves": table})[0]
    )
    table = curves((60.0, 61.0, 62.0), (70.0, 71.0, 72.0))
    assert said({"curves": table}, "end").startswith("Pre-training cost +10.0 points (10.0 to 10.0)")
    assert "Start from scratch" in answers.advice({"curves": table})[0]


def test_networks_from_scratch_that_did_not_fit_their_images_are_said_to_lack_time():
    table = curves((80.0, 82.0, 81.0), (70.0, 71.0, 72.0), train=(99.0, 60.0))
    assert "on 60 % of their *training* images, the others on 99 %" in said({"curves": table}, "end")


@pytest.mark.parametrize(
    ("permuted", "words"),
    [
        ((71.0, 71.0, 71.1), "The rest, +10.0 points (10.0 to 10.0), of the lead is what P has learned."),
        ((80.0, 80.0, 80.0), "The rest, +1.0 points"),
        ((95.0, 60.0, 81.0), "Whether the lead is what P has learned is open: "),
    ],
)
def test_what_is_left_without_features(permuted, words):
    main = curves((81.0, 81.0, 81.1), (71.0, 71.0, 71.1))
    left = curves(permuted, (), start="Permuted-T")
    assert words in said({"curves": main, "permuted": left}, "features")


def test_barriers_are_the_drop_below_the_line_between_the_ends():
    line = pd.DataFrame({"alpha": [0, 0.5, 1], "value": [80.0, 60.0, 70.0]})
    table = line.assign(kind="RI-T & RI-T", seed=0, seed_b=1, metric="accuracy", split="test")
    assert answers.barriers(table).value.tolist() == [15.0]
    straight = table.assign(value=[80.0, 76.0, 70.0])
    assert answers.barriers(straight).value.tolist() == [0.0]
    assert "falls by 15.0 points between two from scratch" in said({"lines": table, "ends": ends()}, "basin")


def ends():
    return curves((80.0, 82.0), (70.0, 71.0)).query("epoch == 10").drop(columns="epoch")


def test_layers_that_could_have_stayed_are_those_that_cost_less_than_a_point_for_sure():
    table = rewind({"conv1": (0.2, 0.2), "layer1": (0.6, 0.7), "layer2": (1.0, 2.0), "layer3": (9.0, 30.0)})
    words = said({"rewind": table, "ends": ends()}, "rewind")
    assert (
        "2 of 4 modules cost less than 1 point for sure: conv1, layer1; layer3 costs most, 9.0 points"
        in words
    )
    assert "All up to layer1 set back together still cost less" in words
    (advice,) = [a for a in answers.advice({"rewind": table, "ends": ends()}) if "freez" in a]
    assert "conv1, layer1" in advice and "layer3" not in advice


def test_where_nothing_was_learned_no_layer_is_said_to_be_free():
    table = rewind({"conv1": (0.1, 0.1), "layer1": (0.0, 0.0)}, spread=3.0)
    assert "say nothing of single ones" in said({"rewind": table, "ends": ends()}, "rewind")
    assert not [a for a in answers.advice({"rewind": table, "ends": ends()}) if "freez" in a]


@pytest.mark.parametrize(("gain", "words"), [(3.0, "deploy the average"), (-3.0, "Do not average")])
def test_averaging_is_advised_where_it_helps_for_sure(gain, words):
    found = answers.advice({"soups": soups(gain), "ends": ends()})
    assert any(words in line and f"{gain:+.1f} points" in line for line in found)


def test_of_pairs_the_means_and_the_kinds_are_told_apart():
    kappa = pd.DataFrame(pairs("kappa", {"P-T & P-T": 0.6, "P-T & RI-T": 0.3, "RI-T & RI-T": 0.2}))
    words = said({"mistakes": kappa, "ends": ends()}, "mistakes")
    assert words.index("0.60") < words.index("two fine-tuned") < words.index("0.20") < words.index("two from")


def test_nothing_is_said_of_what_was_not_measured():
    assert [answer.name for answer in answers.all_answers({"ends": ends()})] == ["end"]
    only = ends().query("start == 'P-T'")
    assert answers.all_answers({"ends": only}) == [] and answers.advice({"ends": only}) == []


def test_every_answer_has_a_figure_with_labels_and_a_text(tables_of_all):
    for answer in answers.all_answers(tables_of_all):
        figure = figures.of(answer.name, tables_of_all)
        assert figure.alt
        for ax in figure.axes:
            assert ax.get_xlabel() or ax.get_xticklabels()
            assert ax.get_ylabel() or len(ax.get_yticklabels())


@pytest.fixture
def tables_of_all():
    """One small table of each kind, with a module whose name begins a formula."""
    modules = ["$stem", "layer1", "layer2"]
    kinds = ("P-T & P-T", "P-T & RI-T", "RI-T & RI-T", "P-T & P", "RI-T & P")
    main = curves((81.0, 80.0, 82.0), (71.0, 70.0, 72.0))
    alike = [
        {"kind": kind, "seed": 0, "seed_b": 1, "module": m, "metric": "cka", "value": 0.5}
        for kind in kinds for m in modules
    ]  # fmt: skip
    moved = [
        {"start": start, "seed": s, "module": m, "metric": "l2_relative", "value": 0.1 + s}
        for start in ("P-T", "RI-T") for s in (0, 1) for m in modules
    ]  # fmt: skip
    line = [
        {"kind": kind, "seed": 0, "seed_b": 1, "alpha": a, "split": "test", "metric": "accuracy", "value": 70}
        for kind in kinds[:3] for a in (0, 0.5, 1)
    ]  # fmt: skip
    probe = [
        {"start": s, "module": m, "metric": "accuracy", "value": 50.0} for s in ("P", "RI") for m in modules
    ]
    return {
        "curves": main,
        "ends": ends(),
        "permuted": curves((71.0, 70.0, 72.5), (), start="Permuted-T"),
        "shuffled": curves((51.0, 50.0, 52.0), (49.0, 48.0, 50.0)),
        "mistakes": pd.DataFrame(pairs("kappa", dict.fromkeys(kinds[:3], 0.4))),
        "similarity": pd.DataFrame(alike),
        "moved": pd.DataFrame(moved),
        "lines": pd.DataFrame(line),
        "soups": soups(1.0),
        "rewind": rewind({m: (0.2, 2.0) for m in modules}),
        "probe": pd.DataFrame(probe),
        "partial": curves((60.0,), (), start="first 2"),
    }
