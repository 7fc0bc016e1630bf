"""Two recordings of a question, held against each other."""

import numpy as np
import pandas as pd
import pytest

from tlbook.book.agreement import agreement

KEYS = {"init": "P-T", "rate": "low", "split": "test", "metric": "accuracy"}


def curves(**values):
    """Learning curves with one value for each role, seed and epoch: ``real_0_2=50.0``."""
    rows = []
    for name, value in values.items():
        role, seed, epoch = name.split("_")
        rows.append({"role": role, "seed": int(seed), "epoch": int(epoch), "value": value} | KEYS)
    columns = ["role", "init", "rate", "seed", "epoch", "split", "metric", "value"]
    return {"learning_curves": pd.DataFrame(rows)[columns]}


def told(ours, theirs):
    found = agreement("feature_reuse", ours, theirs)
    return {row.metric: row for row in found.itertuples()}["accuracy"]


def test_equal_numbers_and_two_nans_are_the_same():
    both = curves(real_0_2=50.0, real_0_4=np.nan, real_1_2=np.inf)
    row = told(both, both)
    assert (row.numbers, row.one_only, row.same, row.largest, row.where) == (3, 0, 1.0, 0.0, "")


def test_differences_are_told_with_where_the_largest_is():
    ours = curves(real_0_2=50.0, real_0_4=60.0, real_1_2=70.0, real_1_4=80.0)
    theirs = curves(real_0_2=50.0, real_0_4=61.0, real_1_2=67.0, real_1_4=80.5)
    row = told(ours, theirs)
    assert (row.same, row.median, row.largest) == (0.25, 1.0, 3.0)
    assert row.where == "real P-T low 1 2 test"
    assert told(theirs, ours).largest == 3.0


def test_a_number_against_a_missing_one_is_infinitely_far():
    row = told(curves(real_0_2=50.0, real_0_4=1.0), curves(real_0_2=np.nan, real_0_4=1.0))
    assert (row.same, row.largest, row.where) == (0.5, np.inf, "real P-T low 0 2 test")


def test_rows_of_one_side_only_are_counted_but_not_those_of_targets_of_one_side():
    ours = curves(real_0_2=50.0, real_0_4=60.0, quickdraw_0_2=1.0)
    theirs = curves(real_0_2=50.0, real_1_2=60.0, xray_0_2=2.0)
    row = told(ours, theirs)
    assert (row.numbers, row.one_only, row.same) == (1, 2, 1.0)


def test_a_table_of_one_side_only_is_told():
    ours = curves(real_0_2=50.0)
    curve = ours["learning_curves"].iloc[0]
    shuffled = {"block_size": "4", "block_fraction": 0.125, "value": 9.0}
    keys = ["role", "init", "rate", "seed", "block_size", "block_fraction", "split", "metric", "value"]
    blocks = pd.DataFrame([curve.to_dict() | shuffled])[keys]
    found = agreement("feature_reuse", ours | {"block_shuffle": blocks}, ours).set_index("table")
    assert found.one_only.to_dict() == {"learning_curves": 0, "block_shuffle": 1}
    assert np.isnan(found.same["block_shuffle"])


def test_texts_that_differ_are_infinitely_far():
    row = dict.fromkeys(["classes", "train", "dev", "test"], 7) | {"chance": 20.0, "metric": "accuracy"}
    ours, theirs = (
        {"domains": pd.DataFrame([{"role": "real", "dataset": name} | row])}
        for name in ("pacs/photo", "mine")
    )
    found = agreement("feature_reuse", ours, theirs).set_index("column")
    assert found.largest["dataset"] == np.inf and found["where"]["dataset"] == "real"
    assert found.same.drop("dataset").eq(1.0).all()


def test_nothing_in_common_is_refused(refused):
    refused(
        "the two hold real and xray", agreement, "feature_reuse", curves(real_0_2=1.0), curves(xray_0_2=1.0)
    )


@pytest.mark.parametrize("within, code", [("0", 1), ("0.99", 1), ("1", 0)])
def test_the_command_fails_beyond_what_is_borne(tmp_path, command, within, code):
    from tlbook.book import records

    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder, value in zip(folders, (50.0, 51.0), strict=True):
        records.write("laptop", "feature_reuse", curves(real_0_2=value, real_0_4=7.0), {"seeds": [0]}, folder)
    ours, theirs = folders
    asked = ("--scale", "laptop", "--records", ours, "--within", within)
    ended, out, err = command("compare", theirs, *asked)
    assert (ended, err) == (code, "")
    assert "feature_reuse: 1 of 2 numbers are the same" in out
    assert ("real P-T low 0 2 test" in out) == bool(code)
    ended, out, err = command("compare", theirs, "--scale", "gpu")
    assert ended == 2 and "There are no records of scale gpu in" in err
