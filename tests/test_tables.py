"""The table definitions, and that `check` refuses what does not fit them in one sentence."""

import io

import pandas as pd
import pytest

from tlbook import questions, tables
from tlbook.errors import TlbookError


def shuffled(**changes):
    """A valid block_shuffle table of two rows."""
    frame = pd.DataFrame(
        {
            "role": "real",
            "init": ["P-T", "RI-T"],
            "rate": "low",
            "seed": 0,
            "block_size": ["*", "4"],
            "block_fraction": [0.0, 0.125],
            "split": "test",
            "metric": "accuracy",
            "value": [12.5, 80.0],
        }
    )
    return frame.assign(**changes)


def test_the_tables_of_the_first_question():
    """As agreed for those who write them: names and column order."""
    columns = {name: table.names for name, table in questions.get("feature_reuse").tables.items()}
    assert columns == {
        "learning_curves": ["role", "init", "rate", "seed", "epoch", "split", "metric", "value"],
        "block_shuffle": [
            "role",
            "init",
            "rate",
            "seed",
            "block_size",
            "block_fraction",
            "split",
            "metric",
            "value",
        ],
        "convergence": [
            "role",
            "init",
            "rate",
            "seed",
            "reference",
            "reference_rate",
            "metric",
            "value",
            "reached",
        ],
        "domains": ["role", "dataset", "classes", "train", "dev", "test", "chance", "metric"],
    }


def test_every_question_has_tables_and_every_column_is_explained():
    assert all(question.tables for question in questions.every().values())
    assert len(questions.tables()) == sum(len(question.tables) for question in questions.every().values())
    for name, table in questions.tables().items():
        assert table.name == name and len(table.meaning) > 20
        assert len(set(table.names)) == len(table.names) and set(table.measured) < set(table.names)
        for column in table.columns:
            assert column.unit and len(column.meaning) >= 5 and column.kind in ("text", "integer", "number")


def test_a_valid_table_comes_back_unchanged():
    frame = shuffled()
    assert tables.check(questions.tables()["block_shuffle"], frame) is frame


def test_a_diverged_run_may_have_a_missing_loss():
    tables.check(
        questions.tables()["block_shuffle"], shuffled(metric="loss", value=[float("nan"), float("inf")])
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"role": "photo"},
            "column role of table block_shuffle holds 'photo'; valid are real, clipart, quickdraw, xray",
        ),
        ({"rate": "0.1"}, "holds '0.1'; valid are low, high"),
        ({"split": "val"}, "holds 'val'; valid are train, dev, test"),
        ({"seed": 0.5}, "column seed of table block_shuffle needs whole numbers"),
        ({"seed": -1}, "holds -1; it must lie in 0 to inf"),
        ({"seed": "a"}, "it needs numbers"),
        ({"block_size": [1, 4]}, "holds 1; it needs text"),
        ({"block_fraction": 1.5}, "holds 1.5; it must lie in 0 to 1"),
        ({"value": 101.0}, "holds accuracy 101; accuracy lies in 0 to 100"),
        ({"metric": "auc", "value": 55.0}, "holds auc 55; auc lies in 0 to 1"),
        ({"metric": "mean_accuracy", "value": -1.0}, "mean_accuracy lies in 0 to 100"),
        ({"metric": "loss", "value": -0.1}, "loss lies in 0 to inf"),
        ({"init": [None, "RI-T"]}, "column init of table block_shuffle has a missing value"),
        ({"init": "P-T", "block_size": "4", "block_fraction": 0.125}, "two rows for role=real, init=P-T"),
        ({"extra": 1}, "has the columns role, init"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    with pytest.raises(TlbookError) as refusal:
        tables.check(questions.tables()["block_shuffle"], shuffled(**changes))
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_column_is_refused():
    with pytest.raises(TlbookError, match="it needs role, init, rate, seed, block_size"):
        tables.check(questions.tables()["block_shuffle"], shuffled().drop(columns="rate"))


def test_unknown_names_list_the_known():
    with pytest.raises(TlbookError, match="no table 'curves'; it has learning_curves"):
        questions.get("feature_reuse").table("curves")
    with pytest.raises(TlbookError, match="no question 'one'; choose from feature_reuse"):
        questions.get("one")


def test_dtypes_bring_a_table_back_from_csv():
    """Without them a table of numeric block sizes would come back as numbers."""
    frame = shuffled(block_size=["1", "4"])
    text = frame.to_csv(index=False)
    back = pd.read_csv(io.StringIO(text), dtype=questions.tables()["block_shuffle"].dtypes)
    tables.check(questions.tables()["block_shuffle"], back)
    assert list(back["block_size"]) == ["1", "4"]


def test_a_pair_with_p_fits():
    row = {
        "role": "xray",
        "init": "P-T",
        "rate": "low",
        "seed": 1,
        "init_b": "P",
        "rate_b": "-",
        "seed_b": 0,
        "module": "layer4",
        "module_b": "layer4",
        "metric": "cka",
        "value": 0.1,
    }
    back = pd.read_csv(
        io.StringIO(pd.DataFrame([row]).to_csv(index=False)), dtype=questions.tables()["similarity"].dtypes
    )
    tables.check(questions.tables()["similarity"], back)
