"""A family of networks is one file, a network one line: each is added from outside, and the questions run."""

import numpy as np
import pytest
import torch
import toy_family
from torch import nn

from tlbook import metrics, models, questions
from tlbook.data import batches
from tlbook.models.fixup import NETWORKS, Architecture
from tlbook.questions import grid
from tlbook.questions.criticality import study as criticality
from tlbook.questions.loss_landscape import study as landscape
from tlbook.questions.loss_landscape.method.barrier import along
from tlbook.training import runs

MODULES = ["stem", "middle", "classifier"]


ASKED = ("feature_reuse", "differences", "loss_landscape", "criticality")


@pytest.fixture(scope="module")
def studied(tiny, own_folders):
    """The tiny scale with the toy network, the tables of questions 1 to 4 at it, and where its runs are."""
    scale, tables = tiny.replace(network="toy"), {}
    with own_folders() as folder:
        for name in ASKED:
            tables |= questions.get(name).study().tables(scale, ("real",), (0, 1), workers=1, show=False)
        yield scale, tables, folder


@pytest.fixture
def toy(studied, monkeypatch):
    """Scale and tables, with the runs at hand."""
    scale, tables, folder = studied
    monkeypatch.setenv("TLBOOK_RUNS", str(folder / "runs"))
    return scale, tables


def opened(scale, init="P-T", seed=0):
    """A finished run, and its training and test images as they are shown to it."""
    run = criticality.open_run(grid.of_init(scale, init, "real", scale.main_rates[init], seed))
    shown = (list(batches.evaluation(split, run.view)) for split in (run.domain.train, run.domain.test))
    return run, *shown


def plain(state, training):
    """The toy network with these weights, its batch norm's statistics averaged anew by hand."""
    model = toy_family.Toy((8, 16), len(state["classifier.bias"]))
    model.load_state_dict(state)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:  # from the input on: what comes in depends on the statistics before
            seen = []
            hook = norm.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
            model.eval()
            for images, _ in training:
                model(images)
            hook.remove()
            norm.running_mean.copy_(torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
            norm.running_var.copy_(torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    return model


def measured(model, images):
    return metrics.measure(*metrics.predict(model, images), "accuracy")


def test_a_run_trains_its_statistics_too(toy):
    run, _, _ = opened(toy[0])
    before, after = run.checkpoints[0], run.final
    for name in ("stem.0.weight", "stem.1.running_mean", "classifier.weight"):
        assert not torch.equal(before[name], after[name])
    curves = toy[1]["learning_curves"]
    assert np.isfinite(curves.value).all() and set(curves.init) == {"P-T", "RI-T"}


def test_a_p_t_has_a_head_of_its_own_and_the_rest_of_p(toy):
    p = runs.weights(grid.pretrained(toy[0]))
    start = opened(toy[0])[0].checkpoints[0]
    assert {name for name in p if not torch.equal(p[name], start[name])} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_rewinding_is_that_of_a_network_whose_statistics_are_averaged_anew(toy):
    scale, tables = toy
    run, training, test = opened(scale)
    rows = tables["rewind"].query("init == 'P-T' and seed == 0 and split == 'test' and method == 'rewind'")
    rows = rows[(rows.to_epoch == 0) & (rows.rate == scale.main_rates["P-T"]) & (rows.metric == "loss")]
    rows = rows.set_index("module").value
    assert list(rows.index) == ["none", *MODULES]
    for module in rows.index:
        back = {
            n: t for n, t in run.checkpoints[0].items() if n.startswith(f"{module}.") and "running" not in n
        }
        wanted = measured(plain(run.final | back, training), test)["loss"]
        assert rows[module] == pytest.approx(wanted, rel=1e-5), module


def test_a_line_ends_at_the_checkpoints(toy):
    scale, tables = toy
    evaluator = landscape.evaluator(scale, "real")
    (first, training, test), (second, _, _) = opened(scale), opened(scale, seed=1)
    line = along(evaluator, first.final, second.final, [0, 0.5, 1], splits=["test"])
    losses = line[line.metric == "loss"].set_index("alpha").value
    half = {name: (tensor + second.final[name]) / 2 for name, tensor in first.final.items()}
    half = {name: tensor.to(first.final[name].dtype) for name, tensor in half.items()}
    for alpha, state in ((0, first.final), (0.5, half), (1, second.final)):
        assert losses[alpha] == pytest.approx(measured(plain(state, training), test)["loss"], rel=1e-5)
    assert "barriers" in tables and "alignment" not in tables  # the toy's symmetry is not known


def test_distances_and_similarity_are_by_the_familys_modules(toy):
    scale, tables = toy
    assert list(dict.fromkeys(tables["similarity"].module)) == MODULES
    distance = tables["distance"]
    assert list(dict.fromkeys(distance.module)) == [*MODULES, "all", "body"]
    (first, _, _), (second, _, _) = opened(scale), opened(scale, seed=1)
    rows = distance.query("init == 'P-T' and init_b == 'P-T' and metric == 'l2'")
    rows = rows[rows.epoch == rows.epoch.max()]
    names = [name for name, _ in models.skeleton("toy").named_parameters()]
    moved = torch.cat([(first.final[name] - second.final[name]).double().flatten() for name in names])
    assert rows[rows.module == "all"].value.tolist() == pytest.approx([moved.norm().item()])


def test_a_second_network_is_a_line(tiny, monkeypatch):
    monkeypatch.setitem(NETWORKS, "fixup_two_stages", Architecture("basic", (8, 16), (1, 2), "small"))
    scale = tiny.replace(network="fixup_two_stages")
    tables = questions.get("differences").study().tables(scale, ("real",), (0, 1), workers=1, show=False)
    assert list(dict.fromkeys(tables["similarity"].module)) == ["conv1", "layer1", "layer2.0", "layer2", "fc"]


def test_an_unknown_network_is_refused_with_those_of_every_family(refused):
    refused("no network 'toy_deep'; choose one of .*fixup_small8.*toy_wide", models.build, "toy_deep", 3)
    refused("no network 'toy_deep'", models.skeleton, "toy_deep")
