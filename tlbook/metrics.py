"""Accuracy, AUC and loss of a network on a set of examples, as the official evaluation defines them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional as F


def predict(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """Logits float32 (n, k) and labels of all batches, on the CPU; the model is left in its mode."""
    logits, labels = outputs(model, batches, precision)
    return logits.cpu(), labels.cpu()


@torch.no_grad()
def outputs(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], precision: str
) -> tuple[Tensor, Tensor]:
    """`predict`, on the images' device."""
    logits, labels = [], []
    for images, answers in batches:
        with autocast(images.device.type, precision):
            logits.append(model(images).float())
        labels.append(answers)
    return torch.cat(logits), torch.cat(labels)


def autocast(device: str, precision: str) -> torch.autocast:
    """The precision of a run: "fp32", or "bf16" (autocast), which is never chosen automatically."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy (labels int64 (n,)); binary cross-entropy, over labels too, if they are (n, k)."""
    if labels.ndim == 2:
        return F.binary_cross_entropy_with_logits(logits, labels)
    return F.cross_entropy(logits, labels)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy in percent; logits (n, k), labels int64 (n,). NaN logits count as class 0."""
    return 100 * (logits.argmax(1) == labels).double().mean().item()


def auc(logits: Tensor, labels: Tensor) -> float:
    """Mean area under the ROC curve: labels (float (n, k)), or each class against the rest (int64 (n,)).

    0 to 1; ties count half. Labels that are all 0 or all 1 are left out. Probabilities are ranked: sigmoids
    in float32, as in the official evaluation (what rounds to one number ties), or softmax. Scores that are
    not finite (a diverged network) rank nothing: 0.5. No label left: NaN.
    """
    if not torch.isfinite(logits).all():
        return 0.5
    single = labels.ndim == 1
    scores = (logits.double().softmax(1) if single else logits.float().sigmoid()).numpy()
    truth = F.one_hot(labels, logits.shape[1]).numpy() if single else labels.numpy()
    positive = truth.sum(0)
    negative = len(truth) - positive
    mixed = (positive > 0) & (negative > 0)
    if not mixed.any():
        return float("nan")
    ranks = rankdata(scores[:, mixed], axis=0)
    wins = (ranks * truth[:, mixed]).sum(0) - positive[mixed] * (positive[mixed] + 1) / 2
    return float(np.mean(wins / (positive[mixed] * negative[mixed])))


def measure(logits: Tensor, labels: Tensor, metric: str) -> dict[str, float]:
    """Loss; accuracy where images have one label; AUC where it is the ``metric`` or labels are several."""
    values = {"loss": loss(logits, labels).item()}
    if labels.ndim == 1:
        values["accuracy"] = accuracy(logits, labels)
    if labels.ndim == 2 or metric == "auc":
        values["auc"] = auc(logits, labels)
    return values
