"""Question 1's study and its measures: tables as `tlbook.tables` says, convergence and speed by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from tlbook import data, questions, tables, vocabulary
from tlbook.book import results
from tlbook.evidence.statements import evaluate
from tlbook.questions import grid
from tlbook.questions.feature_reuse import method as measures
from tlbook.questions.feature_reuse import study as feature_reuse
from tlbook.training import runs

TARGETS = ("quickdraw", "xray")


@pytest.fixture(scope="module")
def study(tiny, own_folders):
    """The tiny study, trained once for this module."""
    with own_folders():
        found = results.run(questions.get("feature_reuse"), tiny, TARGETS, (0, 1), workers=1, show=False)
        specs = feature_reuse.runs(tiny, TARGETS, (0, 1))
        histories = {spec.id: runs.ensure(spec).history() for spec in specs}
    return found, histories


def test_tables_are_valid_and_all_there(study):
    found, _ = study
    assert set(found.tables) == set(questions.get("feature_reuse").tables)
    for name, frame in found.tables.items():
        assert len(tables.check(questions.tables()[name], frame))


def test_curves_are_the_histories_of_their_runs(study, tiny):
    found, histories = study
    curves = found.tables["learning_curves"]
    for (role, init, rate, seed), rows in curves.groupby(["role", "init", "rate", "seed"]):
        history = histories[grid.of_init(tiny, init, role, rate, seed).id]
        wanted = history.sort_values(["epoch", "split", "metric"], ignore_index=True)
        pd.testing.assert_frame_equal(rows[history.columns].reset_index(drop=True), wanted)
    runs_of = curves.groupby(["role", "init", "rate"]).seed.nunique()
    assert runs_of["quickdraw"].to_dict() == {
        ("P-T", "low"): 2, ("P-T", "high"): 1, ("RI-T", "low"): 1, ("RI-T", "high"): 2,
    }  # fmt: skip
    assert runs_of["xray"].to_dict() == {("P-T", "low"): 2, ("RI-T", "high"): 2}
    assert set(curves[curves.role == "xray"].metric) == {"auc", "loss"}


def test_block_shuffle_has_final_metrics_and_the_speed(study, tiny):
    found, histories = study
    shuffled = found.tables["block_shuffle"]
    assert set(shuffled.block_size) == {"*", "16", "32"}
    fractions = dict(zip(shuffled.block_size, shuffled.block_fraction, strict=True))
    assert fractions == {"*": 0, "16": 0.5, "32": 1}
    history = histories[grid.p_t(tiny, "quickdraw", "low", 0, block_size="*").id]
    own = shuffled.query("role == 'quickdraw' and init == 'P-T' and block_size == '*'")
    value = own.set_index(["split", "metric"]).value
    training = history.query("split == 'train' and metric == 'accuracy'").set_index("epoch").value
    assert value["train", "mean_accuracy"] == pytest.approx((training[1] + training[2]) / 2)
    assert value["train", "accuracy"] == training[2]
    test = history.query("split == 'test' and metric == 'accuracy' and epoch == 2").value.item()
    assert value["test", "accuracy"] == test


def test_domains_name_the_data(study, tiny):
    frame = study[0].tables["domains"].set_index("role")
    assert list(frame.index) == [*sorted(TARGETS), "source"]  # roles as in the book, the source last
    assert frame.loc["quickdraw", ["train", "dev", "test", "chance"]].tolist() == [40, 20, 40, 10.0]
    assert frame.loc["xray", ["chance", "metric"]].tolist() == [0.5, "auc"]
    assert frame.loc["source", "chance"] == pytest.approx(100 / frame.loc["source", "classes"])


def test_provenance_says_how_it_was_made(study, tiny):
    found, histories = study
    made = found.provenance
    assert made["runs"] == len(histories) == len(made["specs"]) and set(made["specs"]) == set(histories)
    assert (made["scale"], made["question"], made["targets"], made["seeds"]) == (
        "tiny", "feature_reuse", list(TARGETS), [0, 1],
    )  # fmt: skip
    expected = {
        "commit", "clean", "package_digest", "measuring_digest", "protocol", "pretrained",
        "pretrained_sha256", "device", "versions", "training_seconds", "date",
    }  # fmt: skip
    assert expected <= set(made) and len(made["pretrained_sha256"]) == 64
    assert made["runs_by_code"] == {made["training_digest"]: made["runs"]}
    assert made["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_claims_can_be_read_from_the_tables(study):
    assert len(evaluate(questions.get("feature_reuse").claims, study[0].tables, judged=False)) == 14


# Measures, by hand


def curve(init, rate, seed, test, dev=None, role="real", epochs=(0, 1, 5, 10)):
    """One run's measured accuracies; dev is the test's unless given."""
    rows = []
    for split, values in (("test", test), ("dev", test if dev is None else dev)):
        rows += [
            {"role": role, "init": init, "rate": rate, "seed": seed, "epoch": epoch, "split": split,
             "metric": metric, "value": value if metric == "accuracy" else 100.0}
            for epoch, value in zip(epochs, values, strict=True)
            for metric in ("accuracy", "loss")
        ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def curves():
    """RI-T ends at 60 on average at the high rate, and is at 65 on average at its best dev epochs."""
    return pd.concat(
        [
            curve("RI-T", "low", 0, [10, 20, 30, 40]),
            curve("RI-T", "high", 0, [10, 30, 50, 58], dev=[10, 30, 50, 58]),
            curve("RI-T", "high", 1, [10, 30, 72, 62], dev=[10, 30, 70, 70]),
            curve("P-T", "low", 0, [10, 60, 70, 80]),
            curve("P-T", "low", 1, [12, 55, 59.9, 59.9]),
        ]
    )


def test_convergence_by_hand(curves):
    found = measures.convergence(curves, {"real": "accuracy"}, {"real": 100})
    tables.check(questions.tables()["convergence"], found)
    assert set(found.reference_rate) == {"high"}
    table = found.set_index(["init", "rate", "seed", "reference", "metric"])[["value", "reached"]]
    at = table.xs("final", level="reference")
    assert at.loc[("P-T", "low", 0, "epochs")].tolist() == [1, 1]
    assert at.loc[("P-T", "low", 0, "fraction")].tolist() == [0.1, 1]
    assert at.loc[("P-T", "low", 0, "images")].tolist() == [100, 1]
    assert at.loc[("P-T", "low", 1, "epochs")].tolist() == [10, 0]  # never reached 60: its last epoch
    assert at.loc[("RI-T", "high", 1, "epochs")].tolist() == [5, 1]
    assert at.loc[("RI-T", "high", 0, "epochs")].tolist() == [10, 0]
    best = table.xs("best", level="reference")  # 58 at epoch 10, 72 at the earlier of two equal dev epochs
    assert best.loc[("P-T", "low", 0, "epochs")].tolist() == [5, 1]


def test_the_better_rate_is_chosen_by_dev_and_low_on_ties(curves):
    assert vocabulary.better_rate(curves[curves.init == "RI-T"]) == "high"
    fooled = pd.concat([
        curve("RI-T", "low", 0, [0, 0, 0, 50], dev=[0, 0, 0, 80]),
        curve("RI-T", "high", 0, [0, 0, 0, 90], dev=[0, 0, 99, 70]),
    ])  # fmt: skip
    assert vocabulary.better_rate(fooled[fooled.init == "RI-T"]) == "low"
    tie = pd.concat([curve("RI-T", rate, 0, [0, 1, 2, 3]) for rate in ("high", "low")])
    assert vocabulary.better_rate(tie[tie.init == "RI-T"]) == "low"
    assert vocabulary.better_rate(curves[(curves.split == "test") & (curves.init == "P-T")]) == "low"


def test_rates_are_chosen_at_every_block_size():
    def row(size, rate, dev, test):
        keys = {"role": "real", "init": "P-T", "rate": rate, "seed": 0, "block_size": size}
        values = {"dev": dev, "test": test}
        return [keys | {"metric": "accuracy", "split": s, "value": v} for s, v in values.items()]

    pixels = [*row("*", "low", 20, 1), *row("*", "high", 10, 2)]
    whole = [*row("32", "low", 50, 3), *row("32", "high", 60, 4)]
    chosen = vocabulary.at_better_rate(pd.DataFrame([*pixels, *whole])).query("split == 'test'")
    assert dict(zip(chosen.block_size, chosen.rate, strict=True)) == {"*": "low", "32": "high"}


def test_optimisation_speed_by_hand():
    history = pd.DataFrame(
        [(0, "train", "accuracy", 10.0), (1, "train", "accuracy", 40.0), (2, "train", "accuracy", 80.0),
         (1, "train", "loss", 3.0), (2, "train", "loss", np.nan), (2, "test", "accuracy", 0.0)],
        columns=["epoch", "split", "metric", "value"],
    )  # fmt: skip
    assert vocabulary.optimisation_speed(history, "accuracy") == 60.0
    assert np.isnan(vocabulary.optimisation_speed(history, "loss"))  # not the mean of what came before


def test_a_folder_of_ones_own_is_studied_like_any_target(tiny, tmp_path):
    from images import class_folders

    own = tiny.replace(datasets={"real": f"folder:{class_folders(tmp_path / 'mine', count=12)}"}, epochs=1)
    found = feature_reuse.tables(own, ("real",), (0,), workers=1, show=False)
    frame = found["domains"].set_index("role")
    assert frame.loc["real", ["classes", "train", "dev", "test", "chance"]].tolist() == [2, 10, 2, 12, 50.0]
    assert len(data.load(data.request(own, "real")).train) == 10
    for name, table in found.items():
        tables.check(questions.tables()[name], table)
