"""Which runs answer the question, how long they take here, and which fit into the minutes asked for."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from joblib import cpu_count
from torch import Tensor

from tlbook import data
from tlbook.data.batches import View, evaluation
from tlbook.data.shuffles import Shuffle
from tlbook.errors import TlbookError
from tlbook.models import skeleton
from tlbook.questions.grid import MOMENTUM, WEIGHT_DECAY
from tlbook.questions.your_network.study import weights
from tlbook.questions.your_network.study.networks import Foreign
from tlbook.scales import LATE_STEPS
from tlbook.training import loop, runs
from tlbook.training.specs import File, Init, RunSpec

ROLE = "yours"
RATES = (0.003, 0.01, 0.03, 0.1)  # tried where none are given
BATCH = 32
BLOCKS = 8  # the shuffled control cuts an image into so many blocks each way
FRACTIONS = (0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)  # of a run, at which dev and test are measured
EPOCHS, FEWEST_EPOCHS = 30, 10
SEEDS, FEWEST_SEEDS = 3, 2
CUTS = (0.25, 0.5, 0.75)  # of the modules: up to which partial transfer takes P's
MEASURING = 0.25  # of the minutes are kept for what is measured on the trained networks


@dataclass(frozen=True)
class Asked:
    """What is studied: a registered network, P's weights as a file that runs can start from, the images.

    Empty ``seeds`` and ``rates``, and 0 epochs, are chosen: see `fitted`. ``minutes`` is what it may take.
    """

    network: str
    start: File
    images: data.Request
    seeds: tuple[int, ...] = ()
    epochs: int = 0
    rates: tuple[float, ...] = ()
    minutes: float = 20.0

    @property
    def normalisation(self) -> str:
        """ImageNet's for networks of others, the training images' own for ours."""
        return "imagenet" if self.network in Foreign.networks else "own"

    @property
    def threads(self) -> int:
        """One for our own small networks, as the book's runs have it; else all that are ours to use."""
        return cpu_count() if self.network in Foreign.networks else 1


@dataclass(frozen=True)
class Model:
    """A trained network: how it started, its seed, its weights in the end and before (None: not known)."""

    start: str  # P-T or RI-T
    seed: int
    state: dict[str, Tensor]
    before: dict[str, Tensor] | None

    @property
    def words(self) -> str:
        """How it is called: "P-T 3"."""
        return f"{self.start} {self.seed}"


def spec(
    asked: Asked, init: Init, rate: float, seed: int, epochs: int, shuffle: Shuffle | None = None
) -> RunSpec:
    """A run as question 1 has them, but for what depends on the network: batches of a size that leaves no
    batch of a single image (batch norm needs two), no mixup, ImageNet's normalisation."""
    found = data.identify(asked.images)
    count, held_out = len(found.train), len(found.dev) + len(found.test)
    batch = next(size for size in range(min(BATCH, count), 0, -1) if count % size != 1 or size == 1)
    return RunSpec(
        role=ROLE,
        dataset=found.dataset,
        digest=found.digest,
        evaluated=found.evaluated,
        examples=count,
        classes=len(found.classes),
        multilabel=found.multilabel,
        side=asked.images.side,
        shuffle=shuffle or Shuffle.none(),
        augmentation="crop-flip",
        normalisation=asked.normalisation,
        mixup=0.0,
        network=asked.network,
        init=init,
        init_seed=None if init.kind == "from" else seed,
        head_seed=seed,
        order_seed=seed,
        batch=batch,
        rate=rate,
        epochs=epochs,
        steps=tuple(round(fraction * epochs) for fraction in LATE_STEPS),
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        precision="fp32",
        threads=asked.threads,
        metric="accuracy",
        held_out=held_out,
        measured=tuple(sorted({math.ceil(fraction * epochs) for fraction in FRACTIONS})),
        train_measured=(0, epochs),
        kept=(0, epochs),
        keep_best=False,
        images=asked.images,
    )


# How long it takes here


@dataclass(frozen=True)
class Speed:
    """Seconds that an image costs forward and backward, and forward only, measured on this machine."""

    step: float
    look: float

    def of(self, specs: Iterable[RunSpec]) -> float:
        """Seconds of runs that are not finished yet."""
        total = 0.0
        for one in specs:
            if runs.find(one.id) is None:
                looked = len(one.measured) * one.held_out + len(one.train_measured) * one.examples
                total += one.epochs * one.examples * self.step + looked * self.look
        return total


def speed(asked: Asked, seconds: float = 2.0) -> Speed:
    """Measured on a few real steps of a run, after one that warms up."""
    run = spec(asked, Init("random"), RATES[0], 0, 1)
    domain = data.load(asked.images)
    view = View.of(domain, run.side, run.normalisation, run.shuffle)
    with runs.threads(asked.threads), torch.random.fork_rng(devices=[]):
        state = loop.initial(run, None, runs.device())
        images, labels = next(evaluation(domain.train.some(torch.arange(run.batch)), view, runs.device()))
        rng = loop.stream("order", 0, 0)
        state.model.train()
        step = _timed(lambda: loop.step(run, state, images, labels, rng), seconds)
        state.model.eval()
        with torch.no_grad():
            look = _timed(lambda: state.model(images).sum().item(), seconds / 4)
    return Speed(step / len(images), look / len(images))


def _timed(work: Callable[[], object], seconds: float) -> float:
    """Seconds that one call takes, after the first, as the mean of as many as fit, at least one."""
    work()
    count, began = 0, time.monotonic()
    while not count or time.monotonic() - began < seconds:
        work()
        count += 1
    return (time.monotonic() - began) / count


# What fits


@dataclass(frozen=True)
class Plan:
    """What is run: seeds, epochs, rates to choose from; and what was left out for lack of time."""

    seeds: tuple[int, ...]
    epochs: int
    rates: tuple[float, ...]

    @property
    def words(self) -> str:
        """In words."""
        rates = ", ".join(f"{rate:g}" for rate in self.rates)
        return f"{len(self.seeds)} seeds, {self.epochs} epochs, rates {rates}"


def plans(asked: Asked) -> Iterator[Plan]:
    """From what one would want to the least that answers anything; what was asked for stays as it is."""
    rates = [asked.rates] if asked.rates else [RATES, RATES[1:], RATES[1::2]]
    seeds = [asked.seeds] if asked.seeds else [tuple(range(SEEDS)), tuple(range(FEWEST_SEEDS))]
    epochs = [asked.epochs] if asked.epochs else [EPOCHS, 20, FEWEST_EPOCHS]
    for one in itertools.product(seeds, epochs, rates):
        yield Plan(*one)


def fitted(asked: Asked, cost: Speed) -> Plan:
    """The first of `plans` that fits into the minutes, some of which are kept for what is measured later.

    Refused, with the minutes that the least needs, where none does.
    """
    budget = 60 * asked.minutes * (1 - MEASURING)
    for plan in plans(asked):
        needed = cost.of(searched(asked, plan)) + _of_the_other_seeds(asked, plan, cost)
        if needed <= budget:
            return plan
    count, least = len(data.identify(asked.images).train), math.ceil(needed / 60 / (1 - MEASURING))
    raise TlbookError(
        f"minutes: {asked.minutes:g} are too few for {asked.network} on {count} training images here; "
        f"the least ({plan.words}) takes about {least}; a smaller side, fewer images or a smaller network "
        "needs less."
    )


def _of_the_other_seeds(asked: Asked, plan: Plan, cost: Speed) -> float:
    every = itertools.product(starts(asked).values(), plan.seeds[1:])
    return cost.of(spec(asked, init, plan.rates[0], seed, plan.epochs) for init, seed in every)


def starts(asked: Asked) -> dict[str, Init]:
    """The two ways to start."""
    return {"P-T": Init("from", asked.start), "RI-T": Init("random")}


def searched(asked: Asked, plan: Plan) -> list[RunSpec]:
    """The first seed at every rate, from both starts alike."""
    return [
        spec(asked, init, rate, plan.seeds[0], plan.epochs)
        for init in starts(asked).values()
        for rate in plan.rates
    ]


def chosen_rates(asked: Asked, plan: Plan) -> dict[str, float]:
    """Start -> the rate with the best dev accuracy at the end of the first seed's run, of equals the one with
    the lower dev loss; a run that diverged loses."""
    chosen = {}
    for name, init in starts(asked).items():
        ends = {}
        for rate in plan.rates:
            history = runs.ensure(spec(asked, init, rate, plan.seeds[0], plan.epochs)).history()
            dev = history[(history.split == "dev") & (history.epoch == plan.epochs)]
            accuracy, loss = (dev[dev.metric == metric].value.item() for metric in ("accuracy", "loss"))
            ends[rate] = (accuracy, -loss) if math.isfinite(loss) else (-math.inf, 0.0)
        chosen[name] = max(ends, key=ends.get)
    return chosen


def main_runs(asked: Asked, plan: Plan, rates: dict[str, float]) -> dict[tuple[str, int], RunSpec]:
    """(start, seed) -> the run, each start at its rate."""
    every = itertools.product(starts(asked).items(), plan.seeds)
    return {(name, s): spec(asked, init, rates[name], s, plan.epochs) for (name, init), s in every}


def controls(asked: Asked, plan: Plan, rates: dict[str, float]) -> dict[str, dict[tuple[str, int], RunSpec]]:
    """Control -> its runs by (start, seed), the most telling first.

    permuted: P with the values of every tensor in another order, which keeps sizes and no feature, at RI-T's
    rate. shuffled: both starts on images whose blocks have changed places. partial: the first modules from P
    and the rest drawn, at `CUTS`.
    """
    permuted = {
        ("Permuted-T", s): spec(asked, Init("permuted", asked.start), rates["RI-T"], s, plan.epochs)
        for s in plan.seeds
    }
    found = {"permuted": permuted}
    side = asked.images.side
    if side % BLOCKS == 0:
        found["shuffled"] = {
            (name, s): spec(asked, init, rates[name], s, plan.epochs, Shuffle.block(side // BLOCKS, 1234 + s))
            for (name, init), s in itertools.product(starts(asked).items(), plan.seeds)
        }
    partial = {}
    for (m, start), s in itertools.product(partial_starts(asked).items(), plan.seeds[:1]):
        partial[f"first {m}", s] = spec(asked, Init("from", start), rates["P-T"], s, plan.epochs)
    return found | ({"partial": partial} if partial else {})


def partial_starts(asked: Asked) -> dict[int, File]:
    """How many modules -> P's first so many, the others drawn (always the same; buffers are P's)."""
    p = runs.weights(asked.start)
    modules = list(skeleton(asked.network).members().items())[:-1]
    drawn = loop.initial(spec(asked, Init("random"), RATES[0], 0, 1), None).model.state_dict()
    found = {}
    for count in sorted({max(1, round(cut * len(modules))) for cut in CUTS} - {len(modules)}):
        later = {name for _, names in modules[count:] for name in names}
        found[count] = weights.keep({n: drawn[n] if n in later else value for n, value in p.items()})
    return found


def histories(found: dict[tuple[str, int], RunSpec]) -> pd.DataFrame:
    """The finished runs' measurements: start, seed, rate, epoch, split, metric, value."""
    parts = []
    for (start, seed), one in found.items():
        parts.append(runs.ensure(one).history().assign(start=start, seed=seed, rate=one.rate))
    return pd.concat(parts, ignore_index=True)


def trained(found: dict[tuple[str, int], RunSpec]) -> list[Model]:
    """The finished runs' networks."""
    models = []
    for (start, seed), one in found.items():
        run = runs.ensure(one)
        models.append(Model(start, seed, run.weights("final"), run.weights(0)))
    return models
