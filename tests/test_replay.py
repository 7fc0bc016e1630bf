"""How a GPU trains, with graphs replaced by the calls that they record: steps, slots, time."""

import dataclasses
import time
from math import inf

import pytest
import torch

from tlbook import data, models
from tlbook.questions import grid
from tlbook.training import executors, loop, replay, runs


@pytest.fixture
def recorded(monkeypatch):
    """The calls that were recorded, as many times as they were."""
    calls = []

    def record(call):
        calls.append(call)
        return call

    monkeypatch.setattr(replay, "recorded", record)
    return calls


def trained(spec, engine, device="cpu"):
    state = loop.initial(spec, None, device)
    domain = data.load(spec.images)
    for _ in loop.training(spec, domain, state, lambda state: None, engine(spec, domain, state, device)):
        pass
    return state


def apart(one, other):
    """The largest difference of a weight between two states."""
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return max((a.detach().cpu() - b.detach().cpu()).abs().max().item() for a, b in pairs)


def specs(tiny):
    mixed = grid.ri_t(tiny, "quickdraw", "high", 0)
    return {
        "mixup": mixed,
        "resized crops": dataclasses.replace(mixed, augmentation="resized-crop-flip"),
        "several labels": grid.ri_t(tiny, "xray", "high", 1),
        "shuffled": grid.ri_t(tiny, "real", "high", 1, block_size=16),
        "in chunks": dataclasses.replace(mixed, batch=12),
    }


@pytest.mark.parametrize("name", ["mixup", "resized crops", "several labels", "shuffled", "in chunks"])
def test_a_replayed_run_is_the_plain_one(name, tiny, recorded, monkeypatch):
    """Weights within a thousandth of how far they move in six to twelve updates, losses within 1e-3: lambda
    has 32 bits here, and images are augmented a batch at a time, not a chunk."""
    spec = specs(tiny)[name]
    if name == "in chunks":
        monkeypatch.setattr("tlbook.data.batches.CHUNK", 24)  # 40 images: a whole chunk, and one of 12 + 4
    plain, other = trained(spec, loop.Direct), trained(spec, replay.Replayed)
    assert recorded, "nothing was recorded"
    assert apart(other, plain) < 1e-3 * apart(loop.initial(spec, None), plain)
    rows = [[row[key] for key in ("epoch", "split", "metric")] for row in plain.rows]
    assert [[row[key] for key in ("epoch", "split", "metric")] for row in other.rows] == rows
    losses = [[row["value"] for row in state.rows if row["metric"] == "loss"] for state in (plain, other)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert len({round(value, 3) for value in losses[0]}) > 1  # it has learned something


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ["mixup", "resized crops", "several labels", "shuffled"])
def test_a_graph_on_a_gpu_trains_what_a_cpu_trains(name, tiny):
    """Without TF32: weights within a hundredth of how far they move in six updates, losses within 1 %."""
    spec = specs(tiny)[name]
    plain = trained(spec, loop.Direct)
    with torch.cuda.stream(torch.cuda.Stream()):
        other = trained(spec, replay.Replayed, "cuda")
        assert apart(other, plain) < 1e-2 * apart(loop.initial(spec, None), plain)
    losses = [[row["value"] for row in state.rows if row["metric"] == "loss"] for state in (plain, other)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_each_size_of_batch_and_split_is_recorded_once(tiny, recorded):
    spec = dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 0), epochs=6)
    trained(spec, replay.Replayed)  # 40 images: batches of 32 and of 8
    assert len(recorded) == 5 and len(spec.measured) > replay.WARM


def test_rates_fall_in_place(tiny, recorded):
    spec = dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 0), steps=(1,))
    state = trained(spec, replay.Replayed)
    rates = [group["lr"] for group in state.optimizer.param_groups]
    assert all(isinstance(rate, torch.Tensor) for rate in rates)
    assert rates[-1].item() == pytest.approx(spec.rate / 10)


def digests(spec):
    run = runs.find(spec.id)
    names = (
        "history.csv",
        f"checkpoints/epoch-{spec.epochs:03d}.safetensors",
        "checkpoints/best.safetensors",
    )
    return [models.sha256(run.path / name) for name in names]


@pytest.fixture
def three(tiny):
    return [grid.ri_t(tiny, "quickdraw", "high", seed) for seed in (0, 1, 2)]


def test_runs_in_turn_are_the_same_runs(three, monkeypatch, tmp_path):
    executors.ensure_all(three, workers=1, show=False)
    alone = [digests(spec) for spec in three]
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "others"))
    monkeypatch.setenv("TLBOOK_ENGINE", "eager")
    order, ensuring = [], runs.ensuring

    def watched(spec, *how):
        for _ in ensuring(spec, *how):
            order.append(three.index(spec))
            yield

    monkeypatch.setattr(runs, "ensuring", watched)
    threads = torch.get_num_threads()
    executors.ensure_all(three, workers=2, show=False)
    assert [digests(spec) for spec in three] == alone and torch.get_num_threads() == threads
    first, second, third = (order.index(n) for n in sorted(set(order), key=order.index))
    assert order[:4] == [order[0], order[1]] * 2  # two take turns, and the third waits for a slot
    assert third > min(max(i for i, n in enumerate(order) if n == order[k]) for k in (first, second))


def test_a_run_that_fails_in_turn_fails_alone(three, monkeypatch, refused):
    monkeypatch.setenv("TLBOOK_ENGINE", "eager")
    bad = dataclasses.replace(three[0], digest="0" * 64)
    refused(f"1 of 3 runs failed, .*{bad.id}", executors.ensure_all, [bad, *three[1:]], workers=2, show=False)
    assert all(runs.find(spec.id) for spec in three[1:]) and not runs.find(bad.id)


@pytest.mark.parametrize("engine", ["eager", "processes"])
def test_when_the_time_is_up_runs_stop_and_go_on_another_time(engine, three, monkeypatch, refused, tmp_path):
    executors.ensure_all(three, workers=1, show=False)
    whole = [digests(spec) for spec in three]
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "others"))
    monkeypatch.setenv("TLBOOK_ENGINE", engine)
    epochs, keep = [], runs._Keeper.__call__

    def late(self, state):
        epochs.append(state.epoch)
        if len(epochs) == 3:  # two epochs of the first run, or one of the second
            self.until = 0
        keep(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(runs._Keeper, "__call__", late)
        match = "the time was up, 1 of 3 runs are left to train; asked for again, they go on"
        refused(match, executors.ensure_all, three, workers=1, show=False)
    begun = [path for path in runs.root().glob("*.partial")]
    assert [(path / "resume.safetensors").exists() for path in begun] == [True]
    epochs.clear()
    with monkeypatch.context() as patch:
        patch.setattr(
            runs._Keeper, "__call__", lambda self, state: (epochs.append(state.epoch), keep(self, state))
        )
        executors.ensure_all(three, workers=1, show=False)
    assert epochs == [3] and [digests(spec) for spec in three] == whole


def test_nothing_is_begun_when_the_time_is_up(three, refused):
    match = "3 of 3 runs are left to train"
    refused(match, executors.ensure_all, three, workers=1, show=False, until=time.time())
    assert not list(runs.root().glob("*.partial"))
    executors.ensure_all(three[:1], workers=1, show=False, until=inf)
    executors.ensure_all(three[:1], show=False, until=0)  # all is there


def test_a_switch_that_is_not_there_is_refused(monkeypatch, refused):
    monkeypatch.setenv("TLBOOK_ENGINE", "graphs")
    refused("On cpu, TLBOOK_ENGINE is one of processes, eager, not 'graphs'", runs.engine)
