"""What is measured of any network: as the five questions measure ours, and as plain arithmetic has it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tlbook import data, metrics, models, questions
from tlbook.questions import grid
from tlbook.questions.criticality.method import criticality, suffix
from tlbook.questions.your_network.study import Asked, Model, measuring, of_models, training
from tlbook.questions.your_network.study.networks import register
from tlbook.questions.your_network.study.weights import keep
from tlbook.training import loop, runs
from tlbook.training.specs import Init

FILE = Path(__file__).with_name("your_networks.py")
IMAGES = data.Request("embedded/real", 32, 32, 30, 12, 30, True)


def made(name, count=2, classes=10):
    """A network, P, and networks of it that differ from P a little, in all that they learn and measure."""
    network = register(f"{FILE}:{name}")
    torch.manual_seed(0)
    p = models.build(network, classes).state_dict()
    asked = Asked(network, keep(p), IMAGES)
    found = []
    for seed in range(count):
        drawn = torch.Generator().manual_seed(seed)
        state = {
            n: v + 0.1 * torch.rand(v.shape, generator=drawn) if v.is_floating_point() else v
            for n, v in p.items()
        }
        found.append(Model("P-T", seed, state, p))
    return measuring.Measured(asked, p), found


# Our own networks: what the five questions have


@pytest.fixture(scope="module")
def ours(tiny, own_folders):
    """The tables of questions 2 and 3 on real at the tiny scale, and of the same networks given as files."""
    with own_folders():
        how = {"workers": 1, "show": False}
        tables = {}
        for name in ("differences", "loss_landscape"):
            tables |= questions.get(name).study().tables(tiny, ("real",), (0, 1), **how)
        found, given = [], []
        for init, rate in (("P-T", "low"), ("RI-T", "high")):
            for seed in (0, 1):
                run = runs.ensure(grid.of_init(tiny, init, "real", rate, seed))
                given.append(run)
                found.append(Model(init, seed, run.weights("final"), run.weights(0)))
        asked = Asked(tiny.network, grid.pretrained(tiny), data.request(tiny, "real"))
        result = of_models(asked, found, say=lambda line: None)
        rewound = []
        for run in given:
            model = runs.network(tiny.network, run.weights("final"))
            here = measuring.Measured(asked, runs.weights(asked.start))
            images = [images for images, _ in here.resident["test"]]
            labels = here.domain.test.labels
            rewound.append(
                criticality.rewind(suffix.chain(model), images, labels, "accuracy", {0: run.weights(0)})
            )
        yield tables, result.tables, rewound


def at_papers_rates(table):
    """Pairs at the paper's rates, with the kinds that a diagnosis has."""
    low = table.rate == table.init.map({"P-T": "low", "RI-T": "high"})
    low &= table.rate_b == table.init_b.map({"P-T": "low", "RI-T": "high", "P": "-"})
    return table[low].assign(kind=table.init + " & " + table.init_b)


def compared(theirs, mine, keys):
    """The values of both tables where they have the same keys; how many there are."""
    both = theirs.merge(mine, on=keys, suffixes=("_theirs", "_mine"))
    assert len(both) == len(both.drop_duplicates(keys))
    return both.value_theirs.to_numpy(), both.value_mine.to_numpy()


PAIR = ["kind", "seed", "seed_b", "metric"]


@pytest.mark.parametrize(
    ("theirs", "mine", "keys", "least"),
    [
        ("mistakes", "mistakes", PAIR, 12),
        ("similarity", "similarity", [*PAIR, "module"], 60),
        ("interpolation", "lines", [*PAIR, "alpha", "split"], 12),
    ],
)
def test_pairs_of_our_networks_measure_as_in_the_questions(ours, theirs, mine, keys, least):
    tables, found, _ = ours
    table = tables[theirs]
    if theirs == "similarity":
        table = table[table.module == table.module_b]
    if theirs == "interpolation":
        table = (
            table[(table.control == "none") & (table.epoch == table.epoch.max())]
            if "control" in table
            else table
        )
    one, other = compared(at_papers_rates(table), found[mine], keys)
    assert len(one) >= least
    assert np.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_distances_of_our_networks_from_p_are_those_of_question_2(ours):
    tables, found, _ = ours
    table = tables["distance"]
    last = table.epoch == table.groupby(["init", "rate", "seed"]).epoch.transform("max")
    with_p = at_papers_rates(table[last & (table.init_b == "P")]).rename(columns={"init": "start"})
    one, other = compared(
        with_p[with_p.start == "P-T"], found["moved"], ["start", "seed", "module", "metric"]
    )
    assert len(one) >= 20 and np.allclose(one, other, rtol=1e-5)


def test_rewinding_our_networks_costs_what_it_does_in_question_4(ours):
    _, found, rewound = ours
    mine = found["rewind"]
    for (start, seed), theirs in zip(
        [("P-T", 0), ("P-T", 1), ("RI-T", 0), ("RI-T", 1)], rewound, strict=True
    ):
        own = mine[(mine.start == start) & (mine.seed == seed) & (mine.together == "alone")]
        one, other = compared(theirs, own, ["module", "metric"])
        assert len(one) == len(own) and np.allclose(one, other, rtol=1e-4, atol=1e-5)


# Batch norm


def test_averages_of_batch_norm_networks_are_right_with_their_statistics_estimated_anew_and_wrong_without():
    """A convolution three times as large under batch norm is the same function, so their average is too."""
    here, (model, _) = made("small")
    network = here.network(model.state)
    network.re_estimate(here.resident["train"])
    first = {name: value.clone() for name, value in network.state_dict().items()}
    larger = {n: v * 3 if n == "net.1.0.weight" else v.clone() for n, v in first.items()}
    larger["net.1.1.running_mean"] *= 3
    larger["net.1.1.running_var"] *= 9
    logits = lambda: metrics.predict(network, here.resident["test"])[0]  # noqa: E731
    expected = logits()
    network.load_state_dict(larger)
    assert torch.allclose(logits(), expected, atol=1e-3)
    half = {n: (v + larger[n]) / 2 if v.is_floating_point() else v for n, v in first.items()}
    network.load_state_dict(half)
    assert not torch.allclose(logits(), expected, atol=0.05)  # the plain average
    there = here.evaluator.load(here.learned(half))
    assert torch.allclose(metrics.predict(there, here.resident["test"])[0], expected, atol=1e-3)


def test_networks_as_they_are_keep_their_own_statistics():
    here, (model, _) = made("small")
    before = here.network(model.state).state_dict()
    assert all(torch.equal(before[name], value) for name, value in model.state.items())
    assert not here.network(model.state).training


# Any network against plain arithmetic


def plain_loss(here, state):
    """The test loss of the network with these weights, statistics averaged anew one norm after another."""
    network = copy.deepcopy(here.evaluator.model)
    network.load_state_dict(network.state_dict() | state)
    network.eval()
    for norm in [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]:
        seen = []
        hook = norm.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        with torch.no_grad():
            for images, _ in here.resident["train"]:
                network(images)
        hook.remove()
        stacked = torch.cat(seen)
        norm.running_mean.copy_(stacked.mean((0, 2, 3)))
        norm.running_var.copy_(stacked.var((0, 2, 3)))
    with torch.no_grad():
        logits = torch.cat([network(images) for images, _ in here.resident["test"]]).double().numpy()
    labels = here.domain.test.labels.numpy()
    shifted = logits - logits.max(1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - chosen))


@pytest.mark.parametrize("name", ["small", "transformer", "Odd"])
def test_lines_soups_rewinding_and_distances_are_plain_arithmetic(name):
    here, (one, two) = made(name)
    a, b, p = (here.learned(s) for s in (one.state, two.state, one.before))

    lines = measuring.lines(here, [one, two])
    middle = lines[(lines.alpha == 0.5) & (lines.metric == "loss")].value.item()
    half = {n: torch.from_numpy((a[n].numpy() + b[n].numpy()) / 2) for n in a}
    assert middle == pytest.approx(plain_loss(here, half), rel=1e-3)

    soups = measuring.averaged(here, [one, two])
    soup = soups[(soups.kind == "soup") & (soups.metric == "loss") & (soups.left_out == "-")].value.item()
    assert soup == pytest.approx(middle, rel=1e-4)

    rewound = measuring.rewound(here, [one])
    rewound = rewound[rewound.metric == "loss"].set_index(["together", "module"]).value
    members = here.evaluator.model.members()
    modules = [module for module in members if module != here.evaluator.model.head]
    assert rewound["alone", "none"] == pytest.approx(plain_loss(here, a), rel=1e-3)
    for count, module in enumerate(modules, 1):
        alone = a | {n: p[n] for n in members[module]}
        assert rewound["alone", module] == pytest.approx(plain_loss(here, alone), rel=1e-3)
        if count > 1:
            together = a | {n: p[n] for m in modules[:count] for n in members[m]}
            assert rewound["up to", module] == pytest.approx(plain_loss(here, together), rel=1e-3)

    moved = measuring.moved(here, [one]).set_index(["module", "metric"]).value
    for module in modules:
        squares = sum(float(((a[n] - p[n]).double().numpy() ** 2).sum()) for n in members[module])
        assert moved[module, "l2"] == pytest.approx(squares**0.5, rel=1e-5, abs=1e-9)


def test_a_network_that_diverged_has_no_lines_and_stops_nothing():
    here, (one, two) = made("small")
    broken = {n: v * torch.nan if v.is_floating_point() else v for n, v in two.state.items()}
    table = measuring.lines(here, [one, Model("P-T", 1, broken, two.before)])
    assert table.empty
    assert set(measuring.rewound(here, [one, Model("P-T", 1, broken, two.before)]).seed) == {0}


# Features


class Tuples(nn.Module):
    """Its middle puts out two tensors; its last is called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.middle = nn.Conv2d(3, 4, 3, 2, 1), nn.GRU(4, 5, batch_first=True)
        self.twice, self.fc = nn.Linear(5, 5), nn.Linear(5, 7)

    def forward(self, x):
        out, _ = self.middle(self.first(x).flatten(2).transpose(1, 2))
        return self.fc(self.twice(self.twice(out.mean(1))))


def test_places_whose_output_is_not_one_tensor_an_image_are_left_out(tmp_path):
    (tmp_path / "net.py").write_text("from test_your_measuring import Tuples\n")
    network = register(f"{tmp_path / 'net.py'}:Tuples")
    torch.manual_seed(0)
    state = models.build(network, 10).state_dict()
    here = measuring.Measured(Asked(network, keep(state), IMAGES), state)
    assert measuring.comparable(here.network(state), here) == ["net.first", "net.fc"]
    assert not here.network(state).net.first._forward_hooks


def test_features_are_averaged_over_positions_wherever_channels_stand():
    maps = torch.randn(2, 5, 3, 3)
    assert torch.allclose(measuring.pooled(maps), maps.mean((2, 3)))
    assert torch.allclose(measuring.pooled(maps.permute(0, 2, 3, 1)), maps.mean((2, 3)))
    tokens = torch.randn(2, 7, 4)
    assert torch.allclose(measuring.pooled(tokens), tokens.mean(1))
    assert torch.equal(measuring.pooled(tokens[:, 0]), tokens[:, 0])


def test_a_probe_finds_what_is_linear_in_the_features_and_nothing_where_nothing_is():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(200, 6)), rng.integers(0, 3, 200)
    told = x + 9 * np.eye(3, 6)[labels]
    assert measuring._fit(told[:100], labels[:100], 1.0).score(told[100:], labels[100:]) > 0.98
    assert measuring._fit(x[:100], labels[:100], 1.0).score(x[100:], labels[100:]) < 0.55


# Training


def test_a_run_with_dropout_that_was_cut_off_goes_on_to_the_same_weights():
    here, _ = made("small")
    spec = training.spec(here.asked, Init("from", here.asked.start), 0.05, 0, epochs=3)
    start = runs.weights(here.asked.start)
    kept = []

    def keep_second(state):
        if state.epoch == 2:
            kept.append(copy.deepcopy(state))

    whole = loop.train(spec, here.domain, loop.initial(spec, start), keep_second).model.state_dict()
    torch.manual_seed(123)
    again = loop.train(spec, here.domain, kept[0]).model.state_dict()
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    assert any(not torch.equal(value, start[name]) for name, value in whole.items())


def test_what_a_network_freezes_stays_and_a_layer_under_two_names_stays_one():
    here, _ = made("Odd")
    spec = training.spec(here.asked, Init("from", here.asked.start), 0.05, 0, epochs=1)
    start = runs.weights(here.asked.start)
    trained = loop.train(spec, here.domain, loop.initial(spec, start)).model.state_dict()
    assert torch.equal(trained["net.first.weight"], start["net.first.weight"])
    assert not torch.equal(trained["net.second.weight"], start["net.second.weight"])
    assert torch.equal(trained["net.second.weight"], trained["net.again.weight"])


@pytest.mark.parametrize("count", [*range(2, 70, 9), 33, 65, 97])
def test_no_batch_is_a_single_image(count):
    images = data.Request("embedded/real", 32, 32, count, 12, 30, True)
    network = register(f"{FILE}:small")
    batch = training.spec(Asked(network, None, images), Init("random"), 0.1, 0, 1).batch
    assert batch <= 32 and (count % batch != 1 or batch == 1)


def test_partial_transfer_takes_the_first_modules_from_p_and_draws_the_others():
    here, _ = made("small")
    members = here.evaluator.model.members()
    p = runs.weights(here.asked.start)
    for count, file in training.partial_starts(here.asked).items():
        state = runs.weights(file)
        for number, names in enumerate(members.values()):
            same = [torch.equal(state[name], p[name]) for name in names]
            assert all(same) if number < count else True
        conv = "net.1.0.weight"
        assert torch.equal(state[conv], p[conv]) is (count >= 3)


# Within the minutes


def test_moved_weights_are_measured_on_as_many_images_as_fit_and_the_others_on_all():
    here, (one, two) = made("small")
    fewer = measuring.Measured(here.asked, here.p, limit=10)
    assert fewer.limited and not measuring.Measured(here.asked, here.p, limit=30).limited
    counts = {n: sum(len(x) for x, _ in fewer.evaluator.splits[n]) for n in ("train", "dev", "test")}
    assert counts == {"train": 10, "dev": 10, "test": 10}
    assert fewer.ends([one]).equals(here.ends([one]))
    assert len(fewer.domain.test) == 30


def test_how_often_networks_are_run_is_counted_as_it_is():
    here, models_ = made("small", count=3)
    seen = []
    measure = here.evaluator.measure_model
    here.evaluator.measure_model = lambda *a: (seen.append(1), measure(*a))[1]
    predict = here.evaluator.predict
    here.evaluator.predict = lambda *a: (seen.append(0), predict(*a))[1]
    measuring.lines(here, models_)
    measuring.averaged(here, models_)
    measuring.rewound(here, models_)
    count = measuring.evaluations(here.evaluator.model, models_)
    assert len([s for s in seen if s == 0]) == pytest.approx(count, rel=0.25)


def test_of_many_networks_some_pairs_of_each_kind_are_taken():
    many = [Model(start, seed, {}, None) for start in ("P-T", "RI-T") for seed in range(6)]
    kinds = [measuring.named(*pair)["kind"] for pair in measuring.pairs(many)]
    assert [kinds.count(kind) for kind in ("P-T & P-T", "P-T & RI-T", "RI-T & RI-T")] == [6, 6, 6]
