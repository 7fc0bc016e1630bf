"""The training loop against the official numbers, hand-made formulas, and itself."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tlbook import data, metrics, scales
from tlbook.data import batches
from tlbook.questions import grid
from tlbook.training import loop as train
from tlbook.training import runs

PARITY = Path(__file__).parent / "parity"


def trained(spec, weights=None, **how):
    state = train.initial(spec, weights)
    return train.train(spec, data.load(spec.images), state, **how)


def same(one, other, names=None):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[name], other[name]) for name in names or one)


def body(model):
    return [name for name in model.state_dict() if not name.startswith("fc.")]


@pytest.fixture(scope="module")
def spec(tiny):
    return grid.ri_t(tiny, "quickdraw", "high", 0)


# Mixup


class Drawn:
    """A generator that draws what it is told."""

    def __init__(self, share, partner):
        self.share, self.partner = share, partner

    def beta(self, a, b):
        assert a == b == 0.7
        return self.share

    def permutation(self, n):
        assert n == len(self.partner)
        return self.partner


@pytest.fixture(scope="module")
def official():
    with np.load(PARITY / "mixup_metrics.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_mixup_is_the_official_one(official):
    drawn = Drawn(float(official["lam"][0]), official["index"])
    mixed, partner, share = train.mix(torch.from_numpy(official["x"]), 0.7, drawn)
    assert np.allclose(mixed, official["mixed"], rtol=1e-6)
    labels = torch.from_numpy(official["y"])
    assert np.array_equal(labels, official["y_a"]) and np.array_equal(labels[partner], official["y_b"])
    logits = torch.from_numpy(official["pred"])
    loss = share * metrics.loss(logits, labels) + (1 - share) * metrics.loss(logits, labels[partner])
    assert loss.item() == pytest.approx(float(official["loss"]), rel=1e-6)


class Fixed(torch.nn.Module):
    """Logits that do not depend on the images, which it keeps."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(logits.clone())

    def forward(self, images):
        self.seen = images
        return self.logits


@pytest.mark.parametrize("mixup", [0.0, 0.7])
def test_a_step_descends_the_mixed_loss(official, spec, mixup):
    """By hand: the gradient of cross-entropy by the logits is softmax minus the (mixed) targets, over n."""
    share, partner = float(official["lam"][0]), torch.from_numpy(official["index"])
    images, labels = torch.from_numpy(official["x"]), torch.from_numpy(official["y"])
    logits = torch.from_numpy(official["pred"]).float()
    model = Fixed(logits)
    state = train.State(model, torch.optim.SGD(model.parameters(), lr=2.0))
    whole = dataclasses.replace(spec, mixup=mixup, batch=len(images))
    train.step(whole, state, images, labels, Drawn(share, official["index"]))
    own = torch.eye(5)[labels]
    wanted = share * own + (1 - share) * own[partner] if mixup else own
    moved = -2.0 * (logits.softmax(1) - wanted) / 6
    assert torch.allclose(model.logits, logits + moved, atol=1e-6)
    assert np.allclose(model.seen, official["mixed"] if mixup else official["x"], rtol=1e-6)


def test_lambda_is_drawn_once_a_batch_from_beta():
    rng = np.random.default_rng(0)
    images = torch.eye(8).view(8, 1, 8, 1)
    shares = []
    for _ in range(400):
        mixed, partner, share = train.mix(images, 0.7, rng)
        assert sorted(partner.tolist()) == list(range(8))
        assert torch.allclose(mixed, share * images + (1 - share) * images[partner])
        shares.append(share)
    variance = 0.25 / (2 * 0.7 + 1)  # of Beta(a, a)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(variance, rel=0.15)


# Schedule


def test_rates_of_every_epoch_are_the_official_ones():
    name = "multistep_lr_of_epoch_index_0_to_99_base_0.02_over_8"
    with np.load(PARITY / "sgd_steps.npz", allow_pickle=False) as file:
        official = file[name]
    ours = [0.02 / 8 * train.rate_factor(epoch, (30, 60, 90)) for epoch in range(1, 101)]
    assert np.allclose(ours, official, rtol=1e-12)


def test_the_schedule_scales_every_group(spec):
    spec = dataclasses.replace(spec, epochs=3, steps=(1, 2), rate=0.04)
    seen = []
    trained(spec, after_epoch=lambda s: seen.append([g["lr"] for g in s.optimizer.param_groups]))
    for epoch, factor in ((1, 1), (2, 0.1), (3, 0.01)):
        assert seen[epoch] == pytest.approx([0.004 * factor, 0.004 * factor, 0.04 * factor])


# Seeds


def test_the_same_seeds_give_the_same_bits(spec):
    torch.manual_seed(1)
    first = trained(spec)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = trained(spec)
    assert same(first.model, second.model) and first.rows == second.rows
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's draws are moved


def test_a_run_goes_on_from_any_epoch(spec):
    """Cut at epoch 1 by a shorter spec, it reaches the same weights."""
    whole = trained(spec)
    cut = train.train(dataclasses.replace(spec, epochs=1), data.load(spec.images), train.initial(spec, None))
    rest = train.train(spec, data.load(spec.images), cut)
    assert same(whole.model, rest.model)
    assert [row for row in rest.rows if row["epoch"] == 3] == [row for row in whole.rows if row["epoch"] == 3]


def test_each_seed_does_what_it_says(spec):
    def start(**seeds):
        return train.initial(dataclasses.replace(spec, **seeds), None).model

    base = start()
    names = [name for name in body(base) if name.endswith("conv1.weight")]
    assert same(base, start(order_seed=9))
    assert same(base, start(head_seed=9), body(base)) and not same(base, start(head_seed=9), ["fc.weight"])
    assert same(base, start(init_seed=9), ["fc.weight", "fc.bias"])
    assert not any(same(base, start(init_seed=9), [name]) for name in names)
    other_order = trained(dataclasses.replace(spec, order_seed=9))
    assert not same(trained(spec).model, other_order.model, ["conv1.weight"])


def test_p_t_starts_as_p_under_a_head_of_its_own(tiny):
    p = runs.ensure(grid.source(tiny)).weights("final")
    first, second = (grid.p_t(tiny, "quickdraw", "low", seed) for seed in (0, 1))
    kept = [runs.ensure(spec).weights(0) for spec in (first, second)]
    for weights in kept:
        assert set(weights) == set(p)
        assert all(torch.equal(weights[name], p[name]) for name in p if not name.startswith("fc."))
    assert not torch.equal(kept[0]["fc.weight"], kept[1]["fc.weight"])
    assert kept[0]["fc.weight"].shape[0] == 10 != p["fc.weight"].shape[0]
    own_head = train.initial(dataclasses.replace(second, head_seed=0), p).model
    assert torch.equal(own_head.fc.weight, kept[0]["fc.weight"])


def test_another_start_than_random_or_weights_is_refused(refused):
    from tlbook.training.specs import File, Init

    refused("'random', or 'from', 'mean_var' or 'permuted' with weights; not 'half'", Init, "half", File("0"))
    refused("not 'permuted' and None", Init, "permuted")
    refused("not 'from' and None", Init, "from")
    refused("not 'random' and File", Init, "random", File("0"))


# Measurements


@pytest.mark.parametrize("role", ["quickdraw", "xray"])
def test_rows_are_of_the_plain_images_in_evaluation(tiny, role):
    """Recomputed from the final network: no augmentation, no mixup, the run's shuffle."""
    spec = grid.ri_t(tiny, role, "high", 0, block_size=16)
    spec = dataclasses.replace(spec, augmentation="crop-flip", measured=(0, 2))
    domain, state = data.load(spec.images), trained(spec)
    for split in ("train", "dev", "test"):
        view = batches.View.of(domain, 32, "own", spec.shuffle)
        examples = getattr(domain, split)
        images = torch.cat([images for images, _ in batches.evaluation(examples, view)])
        with torch.no_grad():
            expected = metrics.measure(state.model(images), examples.labels, spec.metric)
        rows = {r["metric"]: r["value"] for r in state.rows if r["split"] == split and r["epoch"] == 2}
        assert rows == pytest.approx(expected, rel=1e-4)
    measured = {(row["split"], row["epoch"]) for row in state.rows}
    held_out = {(split, epoch) for split in ("dev", "test") for epoch in (0, 2)}
    assert measured == {("train", 0), ("train", 1), ("train", 2)} | held_out


def test_best_is_the_earliest_highest_dev_epoch(spec):
    spec = dataclasses.replace(spec, measured=(0, 1, 2, 3))
    state = trained(spec)
    dev = [r["value"] for r in state.rows if r["split"] == "dev" and r["metric"] == "accuracy"]
    assert (state.best_epoch, state.best_value) == (int(np.argmax(dev)), max(dev))


def test_measuring_and_keeping_do_not_change_the_weights(spec):
    watched = dataclasses.replace(spec, measured=(0, 1, 2, 3), train_measured=(), kept=(0, 1, 2, 3))
    assert same(trained(spec).model, trained(watched).model)


@pytest.mark.parametrize("role", ["quickdraw", "xray"])
def test_a_diverged_run_ends_and_is_recorded(tiny, role):
    spec = dataclasses.replace(grid.ri_t(tiny, role, "high", 0), rate=1e6)
    run = runs.ensure(spec)
    history = run.history()
    final = history[history.epoch == 3].set_index(["split", "metric"]).value
    assert np.isnan(final["test", "loss"]) and np.isnan(final["train", "loss"])
    if role == "xray":
        assert final["test", "auc"] == 0.5
    else:
        assert final["test", "accuracy"] == pytest.approx(10.0)  # ten classes, equally often
    assert run.kept() == [0, 1, 2, 3] and run.complete["best_epoch"] >= 0


def test_training_learns():
    """Seconds of the embedded family, without mixup: well above the chance of 10 %, on the test set too."""
    spec = grid.ri_t(scales.get("smoke").replace(epochs=24), "real", "high", 0)
    plain = {"mixup": 0.0, "augmentation": "none", "batch": 16, "rate": 0.05}
    spec = dataclasses.replace(spec, train_measured=(24,), measured=(24,), **plain)
    final = {(r["split"], r["metric"]): r["value"] for r in trained(spec).rows}
    assert final["train", "accuracy"] > 60 and final["test", "accuracy"] > 30
    assert final["train", "loss"] < 0.7 * np.log(10)


def test_denormals_are_flushed_in_every_thread():
    """In a process of its own: what a thread does is settled when it starts."""
    code = (
        "import torch, tlbook.training.loop; torch.set_num_threads(2); "
        "assert (torch.full((400_000,), 1e-30) * 1e-10 == 0).all()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# Every image weighs the same


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 17])
def test_an_epoch_moves_along_the_sum_of_all_images_gradients(spec, count):
    """At a small rate and without momentum an epoch moves the weights by -rate / batch times the sum over
    images, however many are left for the last batch."""
    batch, rate = 8, 1e-3
    domain = data.load(spec.images)
    few = dataclasses.replace(domain, train=domain.train.some(range(count)))
    plain = dataclasses.replace(
        spec, augmentation="none", mixup=0.0, momentum=0.0, weight_decay=0.0, rate=rate, batch=batch,
        epochs=1, steps=(), examples=count,
    )  # fmt: skip
    state = train.initial(plain, None)
    view = batches.View.of(few, plain.side, plain.normalisation, plain.shuffle)
    (images, labels), *_ = batches.evaluation(few.train, view, "cpu")
    total = torch.nn.functional.cross_entropy(state.model(images), labels, reduction="sum")
    gradient = torch.autograd.grad(total, state.model.fc.weight)[0]
    before = state.model.fc.weight.detach().clone()
    train.train(plain, few, state)
    moved = state.model.fc.weight.detach() - before
    expected = -rate / min(batch, count) * gradient
    assert float((moved - expected).norm() / expected.norm()) < 0.05


def test_streams_of_one_seed_share_no_numbers(spec):
    draws = [tuple(train.stream(name, 3).random(4)) for name in train.STREAMS]
    assert len(set(draws)) == len(draws) and draws[0] == tuple(train.stream("body", 3).random(4))
    assert train.stream("order", 3, 1).random() != train.stream("order", 3, 2).random()
    model = train.initial(dataclasses.replace(spec, init_seed=5, head_seed=5), None).model
    drawn = [p.detach().flatten() for p in (model.conv1.weight, model.fc.weight)]
    scaled = [p / p.abs().max() for p in drawn]
    shorter = min(map(len, scaled))
    assert not torch.allclose(scaled[0][:shorter], scaled[1][:shorter], atol=0.1)


def test_how_many_threads_a_machine_has_does_not_move_p(tiny, monkeypatch):
    """P's id says how many threads add up its sums, and training takes as many."""
    source = dataclasses.replace(grid.source(tiny), epochs=1, measured=(), train_measured=(), kept=(1,))
    assert source.threads == 2 and grid.ri_t(tiny, "real", "low", 0).threads == 1
    weights = []
    for threads in (1, 2):
        with runs.threads(threads):
            weights.append(runs.ensure(source, retrain=True).weights(1))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert dataclasses.replace(source, threads=1).id != source.id
