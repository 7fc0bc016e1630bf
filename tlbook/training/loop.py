"""One training loop: the paper's protocol (section 2, appendix; official code), deterministic on a CPU.

Body, head, order and redrawn weights draw from streams of their own (`stream`), so that equal seeds of two
of them share no numbers. All randomness of an epoch comes from ``(order seed, epoch)``, so a run that was cut
off goes on from the end of any epoch to the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tlbook import metrics
from tlbook.data import Domain, batches
from tlbook.models import Network, build, learned, outside, redrawn, start_from
from tlbook.training.specs import RunSpec

STREAMS = ("body", "head", "order", "redraw")


def stream(name: str, *numbers: int) -> np.random.Generator:
    """The random numbers of one of `STREAMS` for a seed (and an epoch): independent of every other stream."""
    return np.random.default_rng([STREAMS.index(name), *numbers])


def _seed_torch(name: str, seed: int) -> None:
    torch.manual_seed(int(stream(name, seed).integers(2**63)))


@dataclass
class State:
    """A run after ``epoch`` epochs: network and optimiser, all rows measured so far, the best dev epoch."""

    model: Network
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    rows: list[dict] = field(default_factory=list)
    best_epoch: int = -1
    best_value: float = -np.inf


def prepare() -> None:
    """Set what makes training fast and repeatable: no denormals (a network was 100 times slower), no TF32.

    A thread takes its treatment of denormals from the thread that starts it. So this is called when the
    module is imported, before torch has started threads, and again in whichever thread trains.
    """
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


prepare()


def initial(spec: RunSpec, weights: dict[str, Tensor] | None, device: str = "cpu") -> State:
    """The state at epoch 0: body from ``weights``, or drawn from ``init_seed``; head from ``head_seed``.

    Where the spec's init redraws the weights, ``init_seed`` does that too; where only some modules start from
    them, the others are as drawn.
    """
    with torch.random.fork_rng(devices=[]):
        _seed_torch("body", spec.init_seed or 0)
        model = build(spec.network, spec.classes)
        _seed_torch("head", spec.head_seed)
        model.get_submodule(model.head).reset_parameters()
    if weights is not None and spec.init.kind != "from":
        drawn = redrawn(learned(spec.network, weights), spec.init.kind, stream("redraw", spec.init_seed))
        weights = weights | drawn
    if weights is not None:
        start_from(model, weights | (outside(model, spec.init.modules) if spec.init.modules else {}))
    model = model.to(device, memory_format=torch.channels_last)
    groups = model.parameter_groups(spec.rate, spec.weight_decay, spec.momentum)
    optimizer = torch.optim.SGD(groups, fused=True)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return State(model, optimizer)


def rate_factor(epoch: int, steps: tuple[int, ...]) -> float:
    """What the rate is multiplied by in an epoch (counted from 1): a tenth for every step at or before it."""
    return 0.1 ** sum(epoch > step for step in steps)


def mixing(count: int, mixup: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """What mixup draws for a batch: the partners' indices, a permutation, and lambda ~ Beta(mixup, mixup)."""
    share = rng.beta(mixup, mixup)
    return rng.permutation(count), share


def mix(images: Tensor, mixup: float, rng: np.random.Generator) -> tuple[Tensor, Tensor, float]:
    """Mixup (Zhang et al. 2018): mixed images, the partners' indices, and lambda, one per batch (official
    ``mixup_data``)."""
    drawn, share = mixing(len(images), mixup, rng)
    partner = torch.from_numpy(drawn).to(images.device)
    return mixed(images, partner, share), partner, share


def mixed(images: Tensor, partner: Tensor, share: float | Tensor) -> Tensor:
    """Each image mixed with its partner."""
    return share * images + (1 - share) * images[partner]


def weight(count: int, spec: RunSpec) -> float:
    """What the loss of a batch of ``count`` images counts: 1 for a whole batch, and as much less as the last
    batch of an epoch is smaller, so that every image weighs the same. (The official code has the last batch
    count in full, which at its 50,000 images and batches of 32 is one update of 1,563; where images are few,
    a last batch of one image at the full rate throws a run back to chance.)"""
    return count / min(spec.batch, spec.examples)


def step(spec: RunSpec, state: State, images: Tensor, labels: Tensor, rng: np.random.Generator) -> None:
    """One update on one batch, which counts as `weight` says; mixup only where the spec has it."""
    if spec.mixup:
        partner, share = mixing(len(images), spec.mixup, rng)
        update(spec, state, images, labels, torch.from_numpy(partner).to(images.device), share)
    else:
        update(spec, state, images, labels)


def update(
    spec: RunSpec,
    state: State,
    images: Tensor,
    labels: Tensor,
    partner: Tensor | None = None,
    share: float | Tensor = 1.0,
    rows: slice = slice(None),
) -> None:
    """`step` with what mixup has drawn, if it has; ``share`` is a number, on a GPU one that stays there.
    ``rows`` of the batch go through the network, where other processes take the others."""
    with metrics.autocast(images.device.type, spec.precision):
        if partner is None:
            loss = metrics.loss(state.model(images[rows]).float(), labels[rows])
        else:
            logits = state.model(mixed(images, partner, share)[rows]).float()
            own, other = (metrics.loss(logits, each[rows]) for each in (labels, labels[partner]))
            loss = share * own + (1 - share) * other
    state.optimizer.zero_grad()
    (loss * weight(len(images), spec)).backward()
    state.optimizer.step()


class Direct:
    """Where a run's updates and outputs come from: images prepared in turn, each operation called."""

    def __init__(self, spec: RunSpec, domain: Domain, state: State, device: str):
        self.spec, self.domain, self.state, self.device = spec, domain, state, device
        self.view = batches.View.of(domain, spec.side, spec.normalisation, spec.shuffle)

    def epoch(self, rng: np.random.Generator) -> Iterator[None]:
        """The updates of an epoch whose numbers come from ``rng``, a pause after each."""
        how = (self.spec.augmentation, self.spec.batch, rng, self.device)
        for images, labels in batches.training(self.domain.train, self.view, *how):
            step(self.spec, self.state, images, labels, rng)
            yield

    def outputs(self, split: str) -> Generator[None, None, tuple[Tensor, Tensor]]:
        """Logits and labels of a split, on the CPU; with pauses while they are waited for."""
        images = batches.evaluation(getattr(self.domain, split), self.view, self.device)
        return metrics.predict(self.state.model, images, self.spec.precision)
        yield  # never: it makes a generator of this, as `replay.Replayed.outputs` is one


def train(
    spec: RunSpec,
    domain: Domain,
    state: State,
    after_epoch: Callable[[State], None] = lambda state: None,
    device: str = "cpu",
) -> State:
    """Train from ``state`` to the spec's last epoch, calling ``after_epoch`` after each (and after epoch 0).

    Rows are ``epoch, split, metric, value``: the training metric in evaluation mode over the whole training
    set, dev and test at the spec's measured epochs. A diverged run goes on and is recorded as it is.
    """
    for _ in training(spec, domain, state, after_epoch, Direct(spec, domain, state, device)):
        pass
    return state


def training(
    spec: RunSpec, domain: Domain, state: State, after_epoch: Callable[[State], None], engine: Direct
) -> Iterator[None]:
    """`train`, with a pause after every update, in which other runs can go on."""
    if state.epoch == 0 and not state.rows:
        yield from finish_epoch(spec, domain, state, engine)
        after_epoch(state)
    for epoch in range(state.epoch + 1, spec.epochs + 1):
        for group in state.optimizer.param_groups:
            set_rate(group, group["initial_lr"] * rate_factor(epoch, spec.steps))
        state.model.train()
        yield from engine.epoch(stream("order", spec.order_seed_of(epoch), epoch))
        state.epoch = epoch
        yield from finish_epoch(spec, domain, state, engine)
        after_epoch(state)


def set_rate(group: dict, rate: float) -> None:
    """Give a group of an optimiser a rate, in place where it is a tensor, which graphs on a GPU read."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def finish_epoch(spec: RunSpec, domain: Domain, state: State, engine: Direct) -> Iterator[None]:
    """Measure what the spec says for this epoch; note whether it is the best so far (earliest on ties)."""
    state.model.eval()
    wanted = {"train": spec.train_measured, "dev": spec.measured, "test": spec.measured}
    for split in (name for name, epochs in wanted.items() if state.epoch in epochs):
        if not len(getattr(domain, split)):
            continue
        values = metrics.measure(*(yield from engine.outputs(split)), spec.metric)
        state.rows += [
            {"epoch": state.epoch, "split": split, "metric": metric, "value": value}
            for metric, value in values.items()
        ]
        if split == "dev" and values[spec.metric] > state.best_value:
            state.best_epoch, state.best_value = state.epoch, values[spec.metric]
