"""Question 5's study: its runs, its tables, and what it refuses before anything is trained."""

import dataclasses

import numpy as np
import pytest
import torch

from tlbook import models, questions, scales, tables
from tlbook.book import pages, parameters, results
from tlbook.evidence.statements import evaluate
from tlbook.questions import grid, plan
from tlbook.questions.checkpoints import study as checkpoints
from tlbook.questions.feature_reuse import study as feature_reuse
from tlbook.training import runs, weight_files
from tlbook.training.specs import Checkpoint, File
from tlbook.vocabulary import optimisation_speed

TARGETS = ("quickdraw", "xray")


@pytest.fixture(scope="module")
def place(own_folders):
    with own_folders() as folder:
        yield folder


@pytest.fixture(scope="module")
def small(tiny):
    """Three checkpoints, both rates, two seeds, and a second pre-training."""
    return tiny.replace(checkpoints={"rates": scales.RATES, "seeds": 2})


@pytest.fixture(scope="module")
def study(place, small):
    """The study, trained once for this module: its result, and its runs by what names them."""
    found = results.run(questions.get("checkpoints"), small, TARGETS, (0, 1), workers=1, show=False)
    named = {
        (k["role"], k["checkpoint"], k["rate"], k["seed"]): spec
        for k, spec in checkpoints._finetuned(small, TARGETS, (0, 1))
    }
    histories = {key: runs.ensure(spec).history() for key, spec in named.items()}
    source = runs.ensure(grid.source(small)).history()
    constant = runs.ensure(grid.constant_source(small)).history()
    return found, named, histories, source, constant


def test_tables_are_valid_and_all_there(study):
    """All but the fits: two pre-trained checkpoints are too few for them."""
    found = study[0].tables
    assert set(questions.get("checkpoints").tables) - set(found) == {"saturation", "saturation_curve"}
    for name, frame in found.items():
        assert len(tables.check(questions.tables()[name], frame))


def test_finetuned_is_how_its_runs_end(study):
    found, _, histories, _, _ = study
    keys = ["role", "checkpoint", "rate", "seed", "split", "metric"]
    rows = found.tables["finetuned"].set_index(keys).value.sort_index()
    history = histories["quickdraw", 1, "high", 1]
    end = history[history.epoch == 2].set_index(["split", "metric"]).value
    for split in ("train", "dev", "test"):
        assert rows["quickdraw", 1, "high", 1, split, "accuracy"] == end[split, "accuracy"]
    speed = rows["quickdraw", 1, "high", 1, "train", "mean_accuracy"]
    assert speed == optimisation_speed(history, "accuracy")
    assert set(rows["xray", 0].index.get_level_values("metric")) == {"auc", "mean_auc", "loss", "mean_loss"}
    assert len(histories) == 2 * 3 * 2 * 2


def test_tuning_curves_are_the_training_metric_of_every_epoch(study):
    found, _, histories, _, _ = study
    curves = found.tables["tuning_curves"]
    own = curves.query("role == 'xray' and checkpoint == 2 and rate == 'low' and seed == 0")
    own = own.set_index("epoch")
    history = histories["xray", 2, "low", 0].query("split == 'train' and metric == 'auc'").set_index("epoch")
    assert own.value.to_dict() == history.value.to_dict() and len(own) == 3


def test_source_accuracy_has_every_epoch_and_its_rate(study, small):
    found, _, _, source, _ = study
    table = found.tables["source_accuracy"]
    test = source.query("split == 'test' and metric == 'accuracy'").set_index("epoch").value
    own = table[table.metric == "accuracy"].set_index("checkpoint")
    assert own.value.to_dict() == test.to_dict() and list(own.checkpoint_fraction) == [0, 0.5, 1]
    rates = table[table.metric == "rate"].set_index("checkpoint").value
    assert grid.source(small).steps == (1, 1)  # both thirds of two epochs
    assert rates.to_dict() == pytest.approx({0: 0.1, 1: 0.1, 2: 0.001})


def test_the_second_pre_training_stands_beside(study, small):
    found, _, _, _, constant = study
    table = found.tables["constant_rate"]
    own = table[table.role == "source"].set_index("checkpoint").value
    test = constant.query("split == 'test' and metric == 'accuracy'").set_index("epoch").value
    assert own.to_dict() == test.to_dict()
    tuned = table[table.role != "source"]
    assert set(tuned.checkpoint) == {1, 2} and set(tuned.rate) == {"low"} and set(tuned.role) == set(TARGETS)


def test_runs_start_where_they_should(study, small):
    """From the checkpoint, all but the head; checkpoint 0 from a body of its seed's own."""
    _, named, _, _, _ = study
    p = runs.ensure(grid.source(small)).weights(1)
    starts = {}
    for key in (("quickdraw", 1, "low", 0), ("quickdraw", 0, "low", 0), ("quickdraw", 0, "high", 1)):
        spec = dataclasses.replace(named[key], kept=(0, 2))
        starts[key] = runs.ensure(spec, retrain=True).weights(0)
    from_one, first, second = starts.values()
    body = [name for name in p if not name.startswith("fc.")]
    assert all(torch.equal(from_one[name], p[name]) for name in body)
    assert not torch.equal(first["conv1.weight"], second["conv1.weight"])
    assert not torch.equal(first["fc.weight"], second["fc.weight"])
    assert not torch.equal(first["conv1.weight"], p["conv1.weight"])


def test_only_the_end_is_kept_and_measured(study, small):
    _, named, _, _, _ = study
    spec = named["xray", 1, "low", 0]
    assert (spec.kept, spec.measured, spec.keep_best) == ((2,), (2,), False)
    assert spec.train_measured == (0, 1, 2) and spec.augmentation == "affine"


def test_claims_can_be_read_from_the_tables(study):
    judged = evaluate(questions.get("checkpoints").claims, study[0].tables, judged=False)
    assert len(judged) == 4 and set(judged.verdict) <= {"not judged", "not recorded"}


# Shared runs


@pytest.mark.parametrize("name", ["smoke", "laptop", "paper"])
def test_where_it_is_as_long_as_figure_2s_run_it_is_that_run(name):
    """Whoever comes first trains it for both: random weights at `laptop`, and on natural images at `paper`
    from the end of pre-training too."""
    scale = scales.get(name)
    seeds = scale.seeds[: scale.checkpoints.seeds]
    specs = {(k["checkpoint"], k["rate"], k["seed"]): spec
             for k, spec in checkpoints._finetuned(scale, ("real",), scale.seeds)}  # fmt: skip
    figure2 = {spec.id: spec for spec in feature_reuse.runs(scale, ("real",), scale.seeds)}
    last = scale.source.epochs
    shared = {key for key, spec in specs.items() if spec.id in figure2}
    if name == "smoke":
        assert not shared
        return
    whole = {"laptop": [0], "paper": [0, last]}[name]
    assert shared == {(start, rate, seed) for start in whole for rate in scales.RATES for seed in seeds}
    for key in shared:
        own, theirs = specs[key], figure2[specs[key].id]
        assert (own.kept, own.keep_best, own.measured) == (theirs.kept, theirs.keep_best, theirs.measured)
    epochs = scale.checkpoints.epochs
    assert all(spec.kept == (epochs,) for key, spec in specs.items() if key not in shared)


def test_counts_of_every_scale(monkeypatch):
    """By hand: roles x (checkpoints x rates x seeds + constant ones x seeds), and both pre-trainings."""
    monkeypatch.setattr(weight_files, "is_shipped", lambda scale: False)
    found = plan.of_every_scale(questions.get("checkpoints"), ("real", "xray")).set_index("scale")
    for name, scale in scales.SCALES.items():
        seeds = scale.checkpoints.seeds
        per_role = len(scale.checkpoints.starts) * len(scale.checkpoints.rates) * seeds
        constant = len(scale.checkpoints.constant_starts)
        assert found.runs[name] == 2 * (per_role + constant * seeds) + 1 + (constant > 0)
    assert (found.runs == found.shared + found.new).all()
    assert (found.shared >= 1).all() and found.shared["paper"] > 6


# Refused before anything is trained


def files(folder, names=("epoch-001", "epoch-020"), network="fixup_small8"):
    """Checkpoints of one's own, never trained."""
    made = []
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        made.append(folder / f"{name}.safetensors")
        models.save(models.build(network, 7).state_dict(), made[-1])
    return [str(path) for path in made]


def cut(path: str, share: float = 0.5) -> str:
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(content[: int(share * len(content))])
    return path


def attempt(scale, starts=None, **changes):
    if starts is not None:
        changes["checkpoints"] = {"starts": starts}
    results.run(
        questions.get("checkpoints"), scale.replace(**changes), ("real",), (0,), workers=1, show=False
    )


def test_senseless_lists_are_refused(tiny, tmp_path, refused, monkeypatch):
    one, two = files(tmp_path)
    refused("no checkpoint to fine-tune from", attempt, tiny, starts=())
    refused("no epoch 3 of pre-training at scale tiny; it has 0 to 2", attempt, tiny, starts=(0, 3))
    refused("no epoch -1", attempt, tiny, starts=(-1,))
    refused("Two checkpoints stand for epoch 1", attempt, tiny, starts=(1, 1))
    refused("not both: 1 and .*epoch-001", attempt, tiny, starts=(0, 1, one))
    (nameless,) = files(tmp_path, ["mine"])
    refused("does not say after how many epochs", attempt, tiny, starts=(nameless,))
    gone = one.replace("001", "007")
    refused("no checkpoint file .*epoch-007", attempt, tiny, starts=(gone,))
    changes = {"constant_epochs": 1, "checkpoints": {"constant_starts": (1, 2)}}
    refused("no epoch 2 of pre-training at a constant rate; it has 0 to 1", attempt, tiny, **changes)
    monkeypatch.setattr(results, "refuse_missing", lambda *_: None)  # the images of laptop are not here
    refused("Epoch 3 .* is not shipped", attempt, scales.get("laptop"), starts=(3,))
    assert not runs.every()


def test_files_that_no_run_could_start_from_are_refused(tiny, tmp_path, refused):
    one, two = files(tmp_path)
    (other,) = files(tmp_path, ["other-030"], "fixup_small24")
    refused("do not fit the network", attempt, tiny, starts=(one, other))
    broken = (one, cut(two))
    refused("epoch-020.safetensors is not a whole safetensors file", attempt, tiny, starts=broken)
    assert not runs.every()


def test_a_checkpoint_of_ours_that_was_damaged_is_refused(tiny, refused):
    """Pre-training is finished, one of its files is cut short; nothing on a target is trained."""
    run = runs.ensure(grid.source(tiny))
    cut(str(run.checkpoint(1)))
    refused("epoch-001.safetensors is damaged, not what was written", attempt, tiny)
    assert [run.spec["identity"]["role"] for run in runs.every()] == ["source"]


def test_checkpoints_of_ones_own(tiny, tmp_path):
    """No pre-training is needed, nothing is known of the source, and the last file is P."""
    one, two = files(tmp_path)
    given = parameters.read({"checkpoints": f'[0, "{two}", "{one}"]', "targets": "real"})
    scale = given.apply()
    assert (scale.checkpoints.starts, scale.checkpoints.constant_starts) == ((0, one, two), ())
    assert scale.pretrained == two
    own = tiny.replace(checkpoints=scale.checkpoints, pretrained=two).replace(epochs=1)
    found = results.run(questions.get("checkpoints"), own, ("real",), (0,), workers=1, show=False)
    assert set(found.tables) == {"finetuned", "source_accuracy", "tuning_curves", "behind_last"}
    for name, frame in found.tables.items():
        tables.check(questions.tables()[name], frame)
    fractions = found.tables["finetuned"].groupby("checkpoint").checkpoint_fraction.first()
    assert fractions.to_dict() == {0: 0, 1: 1 / 20, 20: 1}
    assert found.tables["source_accuracy"].value.isna().all()
    started = {run.spec["started_from"] for run in runs.every()}
    assert started == {None, models.sha256(one), models.sha256(two)}
    assert not [run for run in runs.every() if run.spec["identity"]["role"] == "source"]


def test_grid_checkpoints(tiny, tmp_path):
    assert grid.checkpoint(tiny, 0).kind == "random"
    assert grid.checkpoint(tiny, 2).weights == Checkpoint(grid.source(tiny).id, 2)
    (one,) = files(tmp_path, ["epoch-001"])
    assert grid.checkpoint(tiny, one).weights == File(models.sha256(one))


# The parameter


@pytest.mark.parametrize("value", [[12, 0, 4], "[0, 4, 12]", "0,4,12", ["0", "4", "12"], (0, 4, 12)])
def test_checkpoints_come_in_every_form(value):
    given = parameters.read({"checkpoints": value})
    assert given.apply().checkpoints.starts == (0, 4, 12) and given.changes == ("checkpoints",)
    assert given.apply().checkpoints.constant_starts == ()


def test_nothing_given_leaves_them_to_the_scale():
    assert parameters.read({"checkpoints": ""}).apply() is scales.get("smoke")


BAD = [
    ([13], "no epoch 13 of pre-training at scale 'smoke'; choose from 0 to 12"),
    ([-1], "-1 is not a whole number of at least 0"),
    (["-1"], "'-1' is not a whole number of at least 0"),
    ([1.5], "1.5 is not a whole number"),
    ([True], "True is not a whole number"),
    ([1, 1], "1 is given twice"),
    ([1, "01"], "1 is given twice"),
    (["weights.pt"], r"weights.pt is no file of weights \(.safetensors\)"),
    (["/no/such.safetensors"], "there is no file /no/such.safetensors"),
    ("[0, 4", "not a JSON list, such as"),
    ({"a": 1}, "give a list"),
]


@pytest.mark.parametrize(("value", "words"), BAD)
def test_bad_checkpoints_are_refused_in_one_sentence(value, words, refused):
    refused(words, parameters.read, {"checkpoints": value})


def test_files_need_an_epoch_in_their_name_and_stand_apart(tmp_path, refused):
    one, two = files(tmp_path)
    (nameless,) = files(tmp_path, ["mine"])
    refused("does not say after how many epochs", parameters.read, {"checkpoints": [nameless]})
    refused("not both", parameters.read, {"checkpoints": [4, one]})
    (tmp_path / "again").mkdir()
    again = files(tmp_path / "again")
    refused("1 is given twice", parameters.read, {"checkpoints": [one, again[0]]})
    refused("checkpoints cannot be given", parameters.read, {"checkpoints": [4], "results": "records"})


def test_epochs_are_read_from_names(refused):
    assert scales.epoch_of(5) == 5 and scales.epoch_of("/run3/epoch-012.safetensors") == 12
    refused("does not say", scales.epoch_of, "/run3/mine.safetensors")


@pytest.mark.parametrize("scale", scales.SCALES.values(), ids=lambda scale: scale.name)
def test_scales_compare_with_what_they_train(scale):
    """Both pre-trainings have the epochs on both sides of P's first step, and the rate to compare at; where
    a scale compares with a second one."""
    step, constant = round(scale.source.steps[0] * scale.source.epochs), scale.checkpoints.constant_starts
    assert {step, step + 1} <= set(scale.checkpoints.starts)
    if constant:
        assert {step, step + 1} <= set(constant)
        assert 0 < min(constant) and max(constant) <= scale.constant_epochs
    assert set(scale.checkpoints.rates) <= set(scales.RATES)
    assert scale.main_rates["P-T"] in scale.checkpoints.rates  # that P's side of the comparison has too
    assert scale.checkpoints.seeds <= len(scale.seeds)


# Pages


def test_a_page_may_show_several_tables_at_once(study):
    found = {"mine": study[0]}
    seen = []
    names = ("finetuned", "source_accuracy")
    pages.show(found, lambda *given: seen.append(given) or "text", names, 7)
    assert all(given is study[0].tables[name] for given, name in zip(seen[0], names, strict=False))
    assert seen[0][2] == 7
    partly = dataclasses.replace(study[0], tables={"finetuned": study[0].tables["finetuned"]})
    html = pages.show({"mine": partly}, lambda *given: "text", names)._repr_html_()
    assert "These runs do not give the table <code>source_accuracy</code>" in html
    assert np.isfinite(study[0].tables["behind_last"].value).all()
