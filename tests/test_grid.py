"""The runs that studies are made of, and what `smoke` may cost."""

import dataclasses
import hashlib

import pytest
import torch

from tlbook import questions, scales
from tlbook.data.shuffles import Shuffle
from tlbook.models import build, save
from tlbook.questions import grid, plan
from tlbook.training import runs
from tlbook.training.specs import ABSENT, Checkpoint, File, Init

SMOKE = scales.get("smoke")
MILLION = 1_000_000


@pytest.fixture(scope="module")
def counted():
    """What every question that can be run costs at `smoke`."""
    return plan.plan(SMOKE, scales.TARGETS, SMOKE.seeds).set_index("question")


def test_smoke_stays_within_the_passes_of_the_design(counted):
    """At most 1.8 million for all: question 1, with P and its controls, 1.0; the others 0.2 each."""
    first = ["feature_reuse", "controls"]
    assert 0.3 * MILLION < counted.passes[first].sum() <= 1.0 * MILLION
    assert counted.passes["controls"] > 0
    assert (counted.passes.drop(["all", *first]) <= 0.2 * MILLION).all()
    assert counted.passes["all"] <= 1.8 * MILLION


def test_the_second_question_trains_nothing_new(counted):
    """It compares the runs of Figure 2, which question 1 counts."""
    assert counted.passes["differences"] == 0 and counted.runs["differences"] == 0


def test_a_shared_run_is_counted_once(counted):
    assert counted.runs["all"] == counted.drop("all").runs.sum()
    assert counted.passes["all"] == pytest.approx(counted.drop("all").passes.sum(), abs=5)


def test_plan_counts_by_hand(tiny):
    """P, and per role 2 inits x (2 seeds + 3 block sizes); quickdraw's second rates add one seed each."""
    found = plan.plan(tiny, ("real", "quickdraw"), (0, 1)).set_index("question").loc["feature_reuse"]
    assert found.runs == 1 + 2 * 2 * (2 + 3) + 2 and found.done == 0
    p = 2 * 60 + 60 / 3 + 3 * 40 / 3
    curve = 3 * 40 + (4 * 40 + 4 * 60) / 3  # measured at epochs 0, 1, 2, 3 of 3
    shuffled = 2 * 40 + (3 * 40 + 60) / 3
    assert found.passes == pytest.approx(p + 10 * curve + 12 * shuffled, abs=1)
    runs.ensure(grid.ri_t(tiny, "real", "high", 0))
    assert plan.plan(tiny, ("real", "quickdraw"), (0, 1)).set_index("question").done["all"] == 1


def test_hours_by_hand(tiny):
    """P and the runs that start from it wait for each other, so that more workers help only so far."""
    counted = plan.plan(tiny, ("real",), (0, 1))
    first = counted.set_index("question").loc["feature_reuse"]
    p, p_t = grid.source(tiny), grid.p_t(tiny, "real", "low", 0)
    assert p_t.parent == p.id and p.parent is None
    assert first.longest == pytest.approx(p.passes + p_t.passes, abs=1)
    found = plan.durations(counted, first.passes / 60, (1, 10**6)).set_index("question")
    assert list(found.columns[-2:]) == ["minutes on 1", "minutes on 1000000"]
    assert found.loc["feature_reuse", "minutes on 1"] == 1
    last = found.loc["feature_reuse", "minutes on 1000000"]
    assert last == pytest.approx(first.longest / first.passes, abs=0.01)
    assert "hours" in plan.durations(counted, counted.passes.max() / 3600, (3,))


def test_throughput_is_measured(tiny):
    assert plan.throughput(tiny, seconds=0.05) > 50


def test_the_source_keeps_every_epoch():
    spec = grid.source(SMOKE)
    epochs = SMOKE.source.epochs
    assert spec.kept == tuple(range(epochs + 1)) == spec.measured
    assert set(SMOKE.checkpoints.starts) <= set(spec.kept)
    assert (spec.mixup, spec.held_out) == (0.7, SMOKE.source.test)
    assert spec.steps == (round(epochs / 3), round(2 * epochs / 3))
    assert grid.pretraining(SMOKE) == [spec] and grid.pretrained(SMOKE) == Checkpoint(spec.id, epochs)
    assert grid.pretraining(SMOKE.replace(pretrained="shipped")) == []


@pytest.mark.parametrize(("epochs", "kept"), [(1, [0, 1]), (8, [0, 1, 2, 4, 8]), (10, [0, 1, 2, 4, 8, 10])])
def test_kept_epochs_are_powers_of_two_and_the_last(epochs, kept):
    assert list(grid.powers_of_two(epochs)) == kept


@pytest.mark.parametrize("init", scales.INITS)
def test_unshuffled_runs(init):
    spec = grid.of_init(SMOKE, init, "quickdraw", "low", 2)
    assert spec.kept == grid.powers_of_two(spec.epochs) and spec.keep_best
    assert spec.measured == SMOKE.measured_epochs(spec.role, spec.epochs)
    assert spec.train_measured == tuple(range(spec.epochs + 1))
    assert (spec.augmentation, spec.shuffle) == ("crop-flip", Shuffle.none())
    assert (spec.head_seed, spec.order_seed, spec.init_seed) == (2, 2, 2 if init == "RI-T" else None)
    assert spec.steps == tuple(round(f * spec.epochs) for f in SMOKE.tasks["quickdraw"].steps)
    assert init in spec.label


@pytest.mark.parametrize("size", SMOKE.shuffles.sizes)
def test_shuffled_runs_are_not_augmented_and_seed_i_shuffles_with_1234_plus_i(size):
    spec = grid.ri_t(SMOKE, "quickdraw", "high", 2, block_size=size)
    assert spec.augmentation == "none" and spec.kept == (SMOKE.shuffles.epochs,) and not spec.keep_best
    shuffle = {"*": Shuffle.pixel(1236), 32: Shuffle.none()}.get(size) or Shuffle.block(size, 1236)
    assert spec.shuffle == shuffle
    assert spec.mixup == 0.7  # shuffled runs keep it


def test_the_unshuffled_point_of_figure_3_is_not_a_run_of_figure_2():
    alone = grid.ri_t(SMOKE.replace(epochs=30), "quickdraw", "high", 0, block_size=32)
    assert alone.id != grid.ri_t(SMOKE.replace(epochs=30), "quickdraw", "high", 0).id
    assert alone.epochs == 30


def test_a_block_size_that_does_not_fit_is_refused(refused):
    match = "Block size 5 does not divide .*valid: '\\*', 1, 2"
    refused(match, grid.ri_t, SMOKE, "real", "low", 0, block_size=5)


def test_chest_x_rays_of_the_paper_train_twice_as_long_from_random_init():
    paper = scales.get("paper").replace(pretrained="train")
    p_t, ri_t = grid.p_t(paper, "xray", "low", 0), grid.ri_t(paper, "xray", "low", 0)
    assert (p_t.epochs, ri_t.epochs, p_t.batch, p_t.mixup, p_t.steps) == (200, 400, 256, 0.0, ())
    assert p_t.rate == pytest.approx(0.02)
    assert grid.p_t(paper, "real", "low", 0).rate == pytest.approx(0.0025)


@pytest.mark.parametrize("name", ["laptop", "gpu", "paper"])
def test_a_plan_needs_no_images(name):
    scale = scales.get(name).replace(pretrained="train")
    spec = grid.ri_t(scale, "real", "low", 0)
    assert (spec.digest, spec.examples) == (ABSENT, scale.tasks["real"].train)
    assert plan.plan(scale, ("real",), (0,)).passes.iloc[-1] > 0


def test_ids_of_runs_do_not_change():
    """Runs and records are found by them: those of smoke, at numbers of epochs that are written here."""
    scale = SMOKE.replace(every_target={"epochs": 100}, shuffles={"sizes": ("*", 1, 4, 8, 32), "epochs": 30})
    specs = questions.get("feature_reuse").study().runs(scale, scales.TARGETS, scale.seeds)
    ids = sorted(spec.id for spec in specs if spec.init == Init("random"))
    digest = hashlib.sha256(" ".join(ids).encode()).hexdigest()
    assert (len(ids), digest[:16]) == (34, "fb570821cca9b4a0")
    assert grid.ri_t(scale, "real", "high", 1).id == "302b6a1db177"
    weights = Checkpoint("6b30655401da", 12)
    p_t = dataclasses.replace(grid.p_t(scale, "real", "low", 0), init=Init("from", weights))
    assert p_t.id == "de39559e778a"


@pytest.mark.parametrize(("init", "kind"), [("MeanVar-T", "mean_var"), ("Permuted-T", "permuted")])
def test_redrawn_inits_start_from_p_by_a_seed(init, kind):
    spec = grid.of_init(SMOKE, init, "real", "high", 2)
    assert (spec.init.kind, spec.init.weights) == (kind, grid.pretrained(SMOKE))
    assert (spec.init_seed, spec.head_seed, spec.order_seed) == (2, 2, 2) and init in spec.label
    like = grid.ri_t(SMOKE, "real", "high", 2)
    assert dataclasses.replace(spec, init=like.init) == like  # in all else an RI-T
    apart = grid.of_init(SMOKE, init, "real", "high", 2, init_seed=5)
    assert (apart.init_seed, apart.head_seed) == (5, 2) and apart.id != spec.id
    paper = scales.get("paper").replace(pretrained="train")
    assert grid.of_init(paper, init, "xray", "high", 0).epochs == 400


def test_a_users_file_is_p(tiny, tmp_path):
    weights = runs.ensure(grid.source(tiny)).checkpoint("final")
    own = tiny.replace(pretrained=str(weights))
    spec = grid.p_t(own, "quickdraw", "low", 0)
    assert isinstance(spec.init.weights, File) and grid.pretraining(own) == []
    start = runs.ensure(spec).weights(0)
    trained = runs.ensure(grid.p_t(own, "quickdraw", "low", 0, block_size=32))
    assert trained.spec["started_from"] == spec.init.weights.sha256
    p = runs.weights(spec.init.weights)
    assert all((start[name] == p[name]).all() for name in p if not name.startswith("fc."))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"precision": "fp16"}, "precision must be one of fp32, bf16, not 'fp16'"),
        ({"rate": float("nan")}, "rate must be a positive number, not nan"),
        ({"rate": 0.0}, "rate must be a positive number"),
        ({"rate": float("inf")}, "rate must be a positive number"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"order_seed": 2**32}, "order_seed must be .* at most 4294967295"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"batch": True}, "batch must be a whole number"),
        ({"mixup": float("nan")}, "mixup must be 0 or a positive number"),
        ({"momentum": -0.9}, "momentum must be"),
        ({"kept": (-1,)}, "kept must be"),
        ({"init_seed": -1}, "init_seed must be .* at most 4294967295, or None, not -1"),
    ],
)
def test_a_run_that_could_not_be_trained_is_refused_where_it_is_made(change, said, refused):
    refused(said, dataclasses.replace, grid.ri_t(SMOKE, "real", "low", 0), **change)


@pytest.mark.parametrize("name", list(questions.every()))
def test_what_a_question_measures_on_is_asked_before_training(name, tiny, refused):
    study = questions.get(name).study()
    none = tiny.replace(every_target={"test": 0})
    refused("has no test images, and this question", study.tables, none, ("real",), (0,))
    if name in ("controls", "differences"):
        two = tiny.replace(every_target={"test": 2})
        refused("embedded/real has 2 test images, and", study.tables, two, ("real",), (0,))
    if name == "controls":
        few = tiny.replace(source={"test": 5})
        refused("embedded/source has 5 test images, and", study.tables, few, ("real",), (0,))
    assert not runs.every()


def weights_of_p(tiny, tmp_path, change):
    torch.manual_seed(0)
    state = change(build(tiny.network, 10).state_dict())
    save(state, tmp_path / "p.safetensors")
    return tiny.replace(pretrained=str(tmp_path / "p.safetensors")), state


def test_p_without_a_head_that_fits_has_a_drawn_one_and_its_own_features(tiny, tmp_path):
    changes = {
        "whole": lambda state: state,
        "headless": lambda state: {n: v for n, v in state.items() if not n.startswith("fc.")},
        "half a head": lambda state: {n: v for n, v in state.items() if n != "fc.bias"},
        "another's": lambda state: state | {"fc.weight": torch.zeros(10, 7)},
        "no numbers": lambda state: state | {"fc.weight": torch.zeros(()), "fc.bias": torch.zeros(())},
    }
    for name, change in changes.items():
        scale, state = weights_of_p(tiny, tmp_path, change)
        model, whole = grid.network_of_p(scale)
        assert whole == (name == "whole"), name
        own = model.state_dict()
        assert all(torch.equal(own[n], state[n]) for n in own if whole or not n.startswith("fc."))


def test_questions_share_runs():
    """The same call gives the same run, whatever seeds and sizes stand beside it."""
    study = questions.get("feature_reuse").study()
    few = {spec.id for spec in study.runs(SMOKE, ("real",), (0,))}
    assert few < {spec.id for spec in study.runs(SMOKE, scales.TARGETS, SMOKE.seeds)}
    wider = SMOKE.replace(shuffles={"sizes": ("*", 32)})
    assert {spec.id for spec in study.runs(wider, ("real",), (0,))} < few
