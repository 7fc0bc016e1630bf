"""What the page of question 3 needs to compute something by hand: weights of this build's runs, and a network
of their kind on the role's images, in plain torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tlbook import metrics, models
from tlbook.errors import TlbookError
from tlbook.models.interpolation import not_finite
from tlbook.questions import grid
from tlbook.questions.loss_landscape.study import evaluator
from tlbook.scales import Scale
from tlbook.training import runs

Weights = Mapping[str, Tensor]


class Opened:
    """A role of a scale: its final models by name, and what any weights score on its images."""

    def __init__(self, scale: Scale, role: str):
        self.scale, self.role = scale, role
        made = evaluator(scale, role)
        self.network, self.images = made.model, made.splits

    def weights(self, init: str, seed: int, **shared: int) -> dict[str, Tensor]:
        """The final weights of P-T or RI-T at its rate in the paper, on the CPU.

        ``shared`` are seeds that are not the run's own (init_seed, head_seed, order_seed). A run that is not
        finished on this machine is refused.
        """
        spec = grid.of_init(self.scale, init, self.role, self.scale.main_rates[init], seed, **shared)
        run = runs.find(spec.id)
        if run is None:
            raise TlbookError(f"The run {spec.label} is not on this machine.")
        return models.learned(self.scale.network, run.weights("final"))

    @torch.no_grad()
    def logits(self, weights: Weights, split: str = "test") -> tuple[Tensor, Tensor]:
        """What a network with these weights answers: logits (n, k), and labels, of a split."""
        self.network.load_state_dict(
            weights, strict=False
        )  # what is measured and not learned is measured anew
        if self.network.re_estimate:
            self.network.re_estimate(self.images["train"])
        with metrics.autocast(runs.device(), self.scale.precision):
            answers = [
                (self.network(images).float().cpu(), labels.cpu()) for images, labels in self.images[split]
            ]
        logits, labels = zip(*answers, strict=True)
        return torch.cat(logits), torch.cat(labels)

    def metric(self, weights: Weights) -> float:
        """The role's test metric: accuracy (percent) or AUC (0 to 1); NaN for weights that diverged."""
        measure = metrics.auc if self.scale.metric[self.role] == "auc" else metrics.accuracy
        return float("nan") if not_finite(weights) else measure(*self.logits(weights))

    def loss(self, weights: Weights, split: str = "test") -> float:
        """The mean loss on a split, in nats; NaN for weights that diverged."""
        return float("nan") if not_finite(weights) else metrics.loss(*self.logits(weights, split)).item()
