"""Measuring many weights of one network: the same numbers as a run's own, and calibration by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tlbook import metrics
from tlbook.questions import grid
from tlbook.questions.loss_landscape.method import evaluation
from tlbook.questions.loss_landscape.method.barrier import along
from tlbook.questions.loss_landscape.method.evaluation import (
    Evaluator,
    Resident,
    calibrated_loss,
    temperature,
)
from tlbook.questions.loss_landscape.study import evaluator
from tlbook.training.runs import ensure


@pytest.mark.parametrize("role", ["quickdraw", "xray"])
def test_the_ends_of_a_line_have_their_runs_own_metrics(tiny, role):
    """Exactly: the same images in the same batches, the same memory format."""
    found = [ensure(grid.ri_t(tiny, role, "high", seed)) for seed in (0, 1)]
    line = along(evaluator(tiny, role), *(run.weights("final") for run in found), [0, 0.5, 1])
    for alpha, run in zip((0, 1), found, strict=True):
        history = run.history()
        final = history[history.epoch == history.epoch.max()].set_index(["split", "metric"]).value
        own = line[line.alpha == alpha].set_index(["split", "metric"]).value.drop(("test", "calibrated_loss"))
        assert own.to_dict() == final.to_dict()


def test_sets_too_large_to_keep_are_prepared_anew(tiny, monkeypatch):
    kept = evaluator(tiny, "real")
    monkeypatch.setattr(evaluation, "RESIDENT_BYTES", 0)
    anew = evaluator(tiny, "real")
    assert kept.splits["test"]._kept and anew.splits["test"]._kept is None
    state = kept.model.state_dict()
    assert kept.measure(state) == anew.measure(state) == anew.measure(state)


def test_an_empty_set_has_no_batches(tiny):
    from tlbook import data
    from tlbook.data.batches import View
    from tlbook.data.shuffles import Shuffle

    domain = data.load(data.request(tiny, "real"))
    view = View.of(domain, 32, "own", Shuffle.none())
    empty = data.Examples(domain.dev.labels[:0], (), (), domain.dev.images[:0])
    assert sum(len(images) for images, _ in Resident(empty, view)) == 0


def test_temperature_is_the_best_of_a_grid():
    """Logits drawn from their own softmax, then multiplied by 5: the temperature takes the 5 away."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 1.5
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = torch.tensor([rng.choice(5, p=row) for row in chances])
    sharp = torch.tensor(5 * logits)
    found = temperature(sharp, labels)
    assert found == pytest.approx(5, rel=0.1)
    losses = {t: F.cross_entropy(sharp / t, labels).item() for t in np.geomspace(1, 25, 401)}
    assert found == pytest.approx(min(losses, key=losses.get), rel=0.01)
    assert calibrated_loss(sharp, labels, sharp, labels) == pytest.approx(min(losses.values()), rel=1e-5)


def test_temperature_of_several_labels_is_that_of_sigmoids():
    torch.manual_seed(0)
    logits = torch.randn(3000, 4).double()
    labels = (torch.rand(3000, 4) < logits.sigmoid()).float()
    assert temperature(3 * logits, labels) == pytest.approx(3, rel=0.15)


def test_calibration_leaves_the_order_and_takes_false_confidence_away():
    torch.manual_seed(0)
    labels = torch.randint(3, (200,))
    logits = 20 * (F.one_hot(labels, 3) + torch.randn(200, 3))
    calibrated = calibrated_loss(logits[:100], labels[:100], logits[100:], labels[100:])
    assert calibrated < metrics.loss(logits[100:], labels[100:]).item() / 2


def test_a_diverged_network_has_no_temperature():
    logits = torch.full((4, 2), float("nan"))
    labels = torch.tensor([0, 1, 0, 1])
    assert np.isnan(temperature(logits, labels)) and np.isnan(calibrated_loss(logits, labels, logits, labels))
    assert np.isnan(temperature(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)))


def test_an_evaluator_leaves_the_weights_it_is_given_alone(tiny):
    own = evaluator(tiny, "real")
    state = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    other = {name: tensor + 1 for name, tensor in state.items()}
    own.measure(other, ("test",))
    assert all(torch.equal(other[name], state[name] + 1) for name in state)
    assert isinstance(own, Evaluator)
