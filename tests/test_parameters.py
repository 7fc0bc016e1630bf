"""Parameters: what is accepted, in which forms, and that each refusal is one sentence that helps."""

from __future__ import annotations

import dataclasses

import pytest
from images import class_folders

from tlbook import scales
from tlbook.book import parameters
from tlbook.errors import TlbookError


def notebook(*cells: str) -> dict:
    """The globals of a notebook that has run these cells."""
    scope: dict = {"In": ["", *cells], "Out": {}, "get_ipython": print, "_i": "x"}
    for cell in cells:
        exec(cell, scope)
    return scope


def test_nothing_given_is_what_the_scale_says():
    given = parameters.read({})
    assert given.apply() is scales.get("smoke")
    assert (given.targets, given.seeds) == (scales.TARGETS, scales.get("smoke").seeds)
    texts, lists = ("data", "pretrained"), ("targets", "seeds", "block_sizes", "rates")
    counts = ("epochs", "images", "workers")
    empty = dict.fromkeys(texts, "") | dict.fromkeys(lists, []) | dict.fromkeys(counts, 0)
    assert parameters.read({"scale": "laptop", **empty}).apply() is scales.get("laptop")


FORMS = [["real", "xray"], ("real", "xray"), '["real", "xray"]', "real,xray", " real , xray "]


@pytest.mark.parametrize("value", FORMS)
def test_lists_come_in_every_form(value):
    assert parameters.read({"targets": value}).targets == ("real", "xray")


@pytest.mark.parametrize("value", [[3, 5], "[3, 5]", "3,5", ["3", "5"]])
def test_numbers_in_lists_may_be_text(value):
    assert parameters.read({"seeds": value}).seeds == (3, 5)


def test_single_values_stand_for_lists():
    assert parameters.read({"seeds": 0, "targets": "xray"}).seeds == (0,)


def test_overrides_make_another_scale_value():
    given = parameters.read(
        {"scale": "laptop", "epochs": "3", "block_sizes": '["*", 8]', "rates": "1e-3,0.1", "images": 50}
    )
    scale = given.apply()
    assert scale.shuffles.sizes == ("*", 8, 32)  # the unshuffled run is always there
    assert scale.rates == {"low": 0.001, "high": 0.1}
    assert {(task.epochs, task.train) for task in scale.tasks.values()} == {(3, 50)}
    assert scale.shuffles.epochs == 3
    assert set(given.changes) == {"epochs", "block_sizes", "rates", "images"}
    assert scale != scales.get("laptop")


def test_pretraining_cut_short_keeps_the_checkpoints_that_it_has():
    scale = parameters.read({"scale": "gpu", "source_epochs": "20", "test_images": 9}).apply()
    assert (scale.source.epochs, scale.source.test, scale.constant_epochs) == (20, 9, 20)
    assert scale.checkpoints.starts == (0, 1, 2, 5, 10, 19, 20)
    assert scale.checkpoints.constant_starts == (20,)
    assert {(task.epochs, task.test) for task in scale.tasks.values()} == {(200, 9)}


def test_data_is_a_root_or_one_targets_images(tmp_path):
    root = parameters.read({"data": str(tmp_path), "scale": "laptop"})
    assert root.root == tmp_path and root.apply() is scales.get("laptop")
    with pytest.raises(TlbookError, match=f"reads none from {tmp_path}; write folder:{tmp_path} if it holds"):
        parameters.read({"data": str(tmp_path)})  # smoke draws its images
    class_folders(tmp_path, count=1)
    own = parameters.read({"data": f"folder:{tmp_path}", "targets": "clipart"})
    assert own.root is None
    assert own.apply().datasets["clipart"] == f"folder:{tmp_path}"
    assert own.apply().datasets["real"] == scales.get("smoke").datasets["real"]


def test_weights_of_ones_own(tmp_path):
    path = tmp_path / "p.safetensors"
    path.write_bytes(b"x")
    assert parameters.read({"pretrained": str(path)}).apply().pretrained == str(path)
    assert parameters.read({"pretrained": "train"}).apply().pretrained == "train"


REFUSALS = [
    ({"scale": "huge"}, "smoke, laptop, gpu, paper"),
    ({"scale": 3}, "3 is not text"),
    ({"results": "maybe"}, "'run'"),
    ({"tragets": ["real"]}, "Did you mean targets?"),
    ({"targets": ["photo"]}, "real, clipart, quickdraw, xray"),
    ({"targets": '["real"'}, "not a JSON list"),
    ({"targets": {"real": 1}}, "give a list"),
    ({"targets": ["real", "real"]}, "given twice"),
    ({"seeds": [0, 0]}, "given twice"),
    ({"seeds": [-1]}, "at least 0"),
    ({"seeds": [2**32]}, "at most 4294967295"),
    ({"seeds": [1.5]}, "1.5 is not a whole number"),
    ({"seeds": [True]}, "True is not a whole number"),
    ({"block_sizes": [5]}, "choose from *, 1, 2, 4, 8, 16, 32"),
    ({"scale": "paper", "block_sizes": [5]}, "7, 8, 14"),
    ({"block_sizes": ["x"]}, "'x' is not a whole number"),
    ({"epochs": -1}, "at least 1"),
    ({"epochs": "false"}, "'false' is not a whole number"),
    ({"epochs": True}, "True is not a whole number"),
    ({"epochs": False}, "False is not a whole number"),
    ({"epochs": 2.5}, "2.5 is not a whole number"),
    ({"rates": [0.1, 0.02]}, "the low rate first"),
    ({"rates": [0.1]}, "two positive numbers"),
    ({"rates": ["a", "b"]}, "'a' is not a number"),
    ({"rates": ["nan", 1]}, "not a number"),
    ({"data": "/no/such/folder"}, "there is no folder /no/such/folder"),
    ({"data": "folder:/no/such/folder", "targets": "real"}, "there is no folder /no/such/folder"),
    ({"records": "/no/such/folder"}, "/no/such/folder holds none"),
    ({"pretrained": "weights.zip"}, "weights.zip is no file of weights (.safetensors, .pth.tar, .pth, .pt)"),
    ({"pretrained": "/no/such.safetensors"}, "there is no file /no/such.safetensors"),
    ({"pretrained": "/no/such.pth.tar"}, "there is no file /no/such.pth.tar"),
    ({"checkpoints": ["/no/epoch-3.safetensors"]}, "there is no file /no/epoch-3.safetensors"),
    ({"results": "records", "epochs": 3}, "epochs cannot be given"),
    ({"results": "records", "pretrained": "train", "images": 9}, "pretrained, images cannot be given"),
]


@pytest.mark.parametrize(("given", "part"), REFUSALS)
def test_refusals_are_one_sentence(given, part):
    with pytest.raises(TlbookError) as refusal:
        parameters.read(given)
    message = str(refusal.value)
    assert part in message
    assert "\n" not in message


def test_a_folder_stands_for_exactly_one_target(tmp_path):
    with pytest.raises(TlbookError, match="at least 2 are needed, one per class"):
        parameters.read({"data": f"folder:{tmp_path}", "targets": "real"})
    class_folders(tmp_path, count=1)
    for targets in ([], ["real", "xray"]):
        with pytest.raises(TlbookError, match="one target's images"):
            parameters.read({"data": f"folder:{tmp_path}", "targets": targets})
    with pytest.raises(TlbookError, match="data cannot be given"):
        parameters.read({"data": f"folder:{tmp_path}", "targets": "real", "results": "records"})


def test_a_folder_one_level_too_high_is_refused_by_the_one_to_give(tmp_path, refused):
    folder = class_folders(tmp_path / "all" / "pets", count=1)
    given = {"data": f"folder:{tmp_path / 'all'}", "targets": "real"}
    refused(f"{tmp_path / 'all'} is one level too high; give {folder}", parameters.read, given)
    (folder / "cat" / "notes.txt").write_text("no image")  # then it is none to give
    refused("at least 2 are needed", parameters.read, given)


def test_records_may_be_narrowed():
    given = parameters.read({"scale": "laptop", "results": "records", "targets": "xray", "seeds": "0"})
    assert given.apply() is scales.get("laptop")


DECLARED = 'scale: str = "smoke"\ntargets: list = []\nepochs: int = 0'
START = "n = 3"


def test_a_notebook_hands_over_its_globals():
    scope = notebook(DECLARED, "# Parameters\ntargets = '[\"xray\"]'\nepochs = 4\n", START)
    given = parameters.read(scope)
    assert (given.targets, given.epochs) == (("xray",), 4)


def test_a_notebook_that_runs_again_with_names_of_its_own_is_fine():
    assert parameters.read(notebook(DECLARED, START, "results_of_mine = 3")).epochs is None


def test_what_papermill_injects_must_be_declared():
    """Papermill warns and runs on; `rates` exists, but this notebook would not use it."""
    for line, part in (("rates = [0.1, 0.2]", "'rates' here; there are scale, targets, epochs"),
                       ("epoch = 3", "Did you mean epochs?")):  # fmt: skip
        with pytest.raises(TlbookError) as refusal:
            parameters.read(notebook(DECLARED, f"# Parameters\n{line}\n"))
        assert part in str(refusal.value)


def test_a_notebook_without_parameters_refuses_them():
    with pytest.raises(TlbookError, match="there are none"):
        parameters.read(notebook('# Parameters\nscale = "smoke"\n', START))


def test_parameters_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parameters.read({}).scale = "laptop"


@pytest.mark.parametrize(
    "name", ["epochs = 1; import os; x", "x.y", "print(1); x", "epochs = f(); x", "a, b"]
)
def test_a_parameter_name_that_is_code_is_refused(name, refused):
    scope = {"In": ["", DECLARED, f"# Parameters\n{name} = 1\n"], "get_ipython": print, "epochs": 1}
    refused("There is no parameter .* here; there are scale, targets, epochs", parameters.read, scope)


@pytest.mark.parametrize("line", ["seed = [5]", "seed: list = [5]"])
def test_a_misspelt_name_in_the_parameters_cell_is_refused(line):
    """Edited by hand; and it counts as it was run last, also where it runs again."""
    edited = f"{DECLARED}\n{line}"
    with pytest.raises(TlbookError, match="There is no parameter 'seed' here; .*Did you mean seeds"):
        parameters.read(notebook(DECLARED, START, edited))
    mended = f"{DECLARED}\nseeds: list = [5]"
    assert parameters.read(notebook(DECLARED, edited, mended)).seeds == (5,)


def test_a_page_that_begins_again_finds_its_scale(tmp_path):
    """`given, scale = pages.begin(globals())` gives the name another value."""
    scope = notebook(DECLARED, START) | {"scale": scales.get("laptop").replace(epochs=3)}
    assert parameters.read(scope).scale == "laptop"
