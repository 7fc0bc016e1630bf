"""Accuracy, AUC and losses against scikit-learn and against the official evaluation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tlbook import metrics

with np.load(Path(__file__).parent / "parity" / "mixup_metrics.npz", allow_pickle=False) as file:
    PARITY = {name: file[name] for name in file.files}


def parity(*names):
    return [torch.from_numpy(PARITY[name]) for name in names]


def test_chexpert_evaluation_of_the_official_code():
    scores, targets = parity("auc_scores", "auc_targets")
    assert metrics.auc(scores, targets) == pytest.approx(PARITY["auc"].mean(), rel=1e-6)
    for label in range(5):
        alone = torch.zeros_like(targets)  # labels that do not vary are left out
        alone[:, label] = targets[:, label]
        one = metrics.auc(scores, alone)
        assert one == pytest.approx(PARITY["auc"][label], rel=1e-6)
    assert metrics.loss(scores, targets).item() == pytest.approx(float(PARITY["bce"]), rel=1e-6)


def test_top1_of_the_official_code():
    logits, targets = parity("top1_logits", "top1_targets")
    assert metrics.accuracy(logits, targets) == pytest.approx(float(PARITY["top1_percent"]), rel=1e-6)
    assert metrics.loss(logits, targets).item() == pytest.approx(float(PARITY["ce"]), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 5), st.booleans())
def test_auc_against_sklearn(seed, classes, ties):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(60, classes)).astype(np.float32)
    scores = np.round(scores) if ties else scores
    several = (rng.random((60, classes)) < 0.4).astype(np.float32)
    several[:2] = [[0.0], [1.0]]
    sigmoids = torch.from_numpy(scores).sigmoid().numpy()
    expected = roc_auc_score(several, sigmoids, average="macro")
    assert metrics.auc(torch.from_numpy(scores), torch.from_numpy(several)) == pytest.approx(expected)
    if classes > 2:
        single = np.concatenate([np.arange(classes), rng.integers(0, classes, 60 - classes)])
        chances = torch.from_numpy(scores).double().softmax(1).numpy()
        expected = roc_auc_score(single, chances, multi_class="ovr", average="macro")
        assert metrics.auc(torch.from_numpy(scores), torch.from_numpy(single)) == pytest.approx(expected)


def test_labels_that_do_not_vary_are_left_out():
    scores = torch.tensor([[0.9, 0.1], [0.1, 0.2], [0.5, 0.3]])
    labels = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert metrics.auc(scores, labels) == 1.0
    assert np.isnan(metrics.auc(scores[:, 1:], labels[:, 1:]))
    assert metrics.auc(scores, torch.tensor([0, 0, 1])) == pytest.approx(0.5)
    assert np.isnan(metrics.auc(scores, torch.tensor([1, 1, 1])))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverged_network_is_at_chance(bad):
    labels = torch.arange(10) % 5
    logits = torch.full((10, 5), bad)
    assert metrics.measure(logits, labels, "auc")["auc"] == 0.5
    assert metrics.accuracy(logits, labels) == 20.0
    assert np.isnan(metrics.measure(logits, labels, "accuracy")["loss"])


def test_what_is_measured():
    several, single = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1])
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert set(metrics.measure(logits, single, "accuracy")) == {"loss", "accuracy"}
    assert set(metrics.measure(logits, single, "auc")) == {"loss", "accuracy", "auc"}
    assert set(metrics.measure(logits, several, "auc")) == {"loss", "auc"}
    assert metrics.accuracy(logits, single) == 100.0


def test_predict_gathers_batches_in_order_and_takes_no_gradient():
    model = torch.nn.Linear(3, 2)
    images = torch.randn(7, 3)
    parts = zip(images.split(3), torch.arange(7).split(3), strict=True)
    logits, labels = metrics.predict(model, parts)
    assert torch.allclose(logits, model(images)) and labels.tolist() == list(range(7))
    assert not logits.requires_grad and logits.dtype == torch.float32
    rough, _ = metrics.predict(model, [(images, labels)], "bf16")
    assert rough.dtype == torch.float32 and 0 < (rough - logits).abs().max() < 0.1
