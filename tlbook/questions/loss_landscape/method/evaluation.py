"""Measure many sets of weights of one network fast: images stay on the device, weights are copied in place.

Loading a state dict and iterating over files for every point of a line costs many times as much as the
forward pass (`benchmarks/interpolation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from tlbook import metrics
from tlbook.data import Examples, batches
from tlbook.errors import TlbookError
from tlbook.models import Network

RESIDENT_BYTES = 2 * 1024**3  # prepared images that may stay in memory; more are prepared anew each time

Batches = Iterable[tuple[Tensor, Tensor]]
State = Mapping[str, Tensor]
Measured = Mapping[tuple[str, str], float]  # (split, metric) -> value


class Resident:
    """The batches of a set of examples, prepared once if they fit, and iterated many times."""

    def __init__(self, examples: Examples, view: batches.View, device: str = "cpu", batch: int = 512):
        self._make = lambda: batches.evaluation(examples, view, device, batch)
        size = len(examples) * examples.images[0].numel() * 4 if len(examples) else 0
        self._kept = list(self._make()) if size <= RESIDENT_BYTES else None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self._kept) if self._kept is not None else self._make()


class Evaluator:
    """Metrics of any weights of one network on fixed images.

    ``model`` is a network whose weights will be overwritten; ``splits`` maps train, dev, test (some of them)
    to batches (images, labels) that can be iterated more than once. ``metric`` and ``precision`` as of a run.
    What the network's family says must be re-estimated where weights are moved, such as batch norm's
    statistics, is, on the images of ``train`` at every point, the ends included; it needs that split.
    """

    def __init__(
        self,
        model: Network,
        splits: Mapping[str, Batches],
        metric: str = "accuracy",
        precision: str = "fp32",
    ):
        if model.re_estimate and "train" not in splits:
            raise TlbookError("The network's statistics are re-estimated on the split train: it is missing.")
        self.model, self.splits = model.eval(), dict(splits)
        self.metric, self.precision = metric, precision

    def load(self, state: State) -> Network:
        """The model with these parameters; what is measured and not learned is re-estimated, not taken."""
        own, measured = (dict(of()) for of in (self.model.named_parameters, self.model.named_buffers))
        state = {name: value for name, value in state.items() if name not in measured}
        if own.keys() != state.keys():
            some = sorted(own.keys() ^ state.keys())[0]
            raise TlbookError(f"The weights are not of the evaluated network: {some} is in one of them only.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])
        if self.model.re_estimate:
            self.model.re_estimate(self.splits["train"])
        return self.model

    def predict(self, model: nn.Module, split: str) -> tuple[Tensor, Tensor]:
        """Logits float32 (n, k) and labels of a split, on the CPU; of any model that reads the same images."""
        return metrics.predict(model, self.splits[split], self.precision)

    def measure(self, state: State, splits: Iterable[str] = ()) -> Measured:
        """(split, metric) -> value on the named splits (all, if none are named).

        With both dev and test among them, ``calibrated_loss`` on test too: see `calibrated_loss`.
        """
        return self.measure_model(self.load(state), splits)

    def measure_model(self, model: nn.Module, splits: Iterable[str] = ()) -> Measured:
        """As `measure`, of any model that reads the same images."""
        predicted, values = {}, {}
        for split in splits or self.splits:
            logits, labels = predicted[split] = self.predict(model, split)
            values |= {(split, m): v for m, v in metrics.measure(logits, labels, self.metric).items()}
        if {"dev", "test"} <= set(predicted):
            values["test", "calibrated_loss"] = calibrated_loss(*predicted["dev"], *predicted["test"])
        return values


def tabulated(column: str, measured: Iterable[tuple[object, Measured]]) -> pd.DataFrame:
    """What was measured at some places as a table: the place under ``column``, then split, metric, value."""
    rows = [
        (place, split, metric, value)
        for place, values in measured
        for (split, metric), value in values.items()
    ]
    return pd.DataFrame(rows, columns=[column, "split", "metric", "value"])


def mean(measured: Sequence[Measured]) -> Measured:
    """The means of the same metrics, measured several times; NaN where one is."""
    return pd.DataFrame(measured).mean(skipna=False).to_dict()


def unmeasured(measured: Measured) -> Measured:
    """The same metrics, all NaN: what is recorded of a model that diverged."""
    return dict.fromkeys(measured, float("nan"))


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T in 0.01 … 100 at which softmax (or sigmoids) of logits / T has the lowest loss (Guo et al. 2017);
    NaN for logits that are not finite, or none."""
    if not len(logits) or not torch.isfinite(logits).all():
        return float("nan")
    bounds = np.log(0.01), np.log(100)
    best = minimize_scalar(lambda t: _loss_at(np.exp(t), logits, labels), bounds=bounds, method="bounded")
    return float(np.exp(best.x))


def calibrated_loss(dev_logits: Tensor, dev_labels: Tensor, logits: Tensor, labels: Tensor) -> float:
    """The loss of logits / T with the temperature T of the dev images.

    A network that is sure of its mistakes has a high loss where its accuracy is fine; one number, fitted on
    other images, takes that away.
    """
    return _loss_at(temperature(dev_logits, dev_labels), logits, labels)


def _loss_at(temperature: float, logits: Tensor, labels: Tensor) -> float:
    """The loss of logits / temperature, in double precision."""
    answers = labels.double() if labels.ndim == 2 else labels
    return metrics.loss(logits.double() / temperature, answers).item()
