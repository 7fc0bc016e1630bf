"""Variants of a network that differ in one module: only what lies behind that module is computed again.

A network is taken as a chain of modules. What a module reads does not depend on its own weights, so it is
computed once for all variants of that module (Zhang, Bengio & Singer 2019 rewind one module at a time).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor, nn

from tlbook import metrics
from tlbook.errors import TlbookError
from tlbook.models.family import Network, Step, below

Weights = Mapping[str, Tensor]  # some of a network's parameters, by their names in the state dict
TOGETHER = 256  # images; small batches of several variants are joined behind their module up to this many


@dataclass(frozen=True)
class Chain:
    """A network as a chain: ``steps[module]`` maps what a module reads to what the next one reads.

    ``steps`` are in order from images to logits and read the weights of ``model`` as they are at each call.
    ``precision`` as in `tlbook.metrics.autocast`. ``re_estimate`` is called whenever weights were replaced.
    """

    model: nn.Module
    steps: Mapping[str, Step]
    precision: str = "fp32"
    re_estimate: Callable[[], None] | None = None

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """The modules' names from input to output."""
        return tuple(self.steps)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The model's parameters by name."""
        return dict(self.model.named_parameters())

    @cached_property
    def members(self) -> dict[str, frozenset[str]]:
        """The names of each module's parameters."""
        of_family = isinstance(self.model, Network)
        members = self.model.members() if of_family else below(self.model, self.modules)
        return {module: frozenset(names) for module, names in members.items()}

    def first_changed(self, weights: Weights) -> str:
        """The first module that other weights change: the last one if they change nothing, the very first if
        they hold a parameter that belongs to no module."""
        places = {name: at for at, module in enumerate(self.modules) for name in self.members[module]}
        return self.modules[min((places.get(name, 0) for name in weights), default=-1)]


def chain(model: Network, precision: str = "fp32", training: Iterable[tuple[Tensor, Tensor]] = ()) -> Chain:
    """A network as the chain of its family's modules.

    What its family says must be re-estimated is, on the batches ``training``: now, so that what modules read
    is measured in the same way, and wherever weights are replaced.
    """
    if not model.re_estimate:
        return Chain(model, model.steps(), precision)
    training = list(training)
    model.re_estimate(training)
    return Chain(model, model.steps(), precision, lambda: model.re_estimate(training))


@contextmanager
def replaced(chain: Chain, weights: Weights) -> Iterator[None]:
    """Give a network other values of some parameters for a while; unknown names and shapes are refused."""
    own = chain.parameters
    for name, value in weights.items():
        if name not in own or own[name].shape != value.shape:
            raise TlbookError(f"The network has no parameter {name!r} of shape {tuple(value.shape)}.")
    measured = dict(chain.model.named_buffers()) if chain.re_estimate else {}
    kept = {name: (own | measured)[name].detach().clone() for name in (*weights, *measured)}
    try:
        _copy(own, weights)
        if chain.re_estimate:
            chain.re_estimate()
        yield
    finally:
        _copy(own | measured, kept)


@torch.no_grad()
def _copy(into: Weights, values: Weights) -> None:
    for name, value in values.items():
        into[name].copy_(value)


@torch.no_grad()
def plainly(chain: Chain, images: Iterable[Tensor], weights: Weights) -> Tensor:
    """Logits (n, k) of a network with other values of some parameters, without any of what follows: a whole
    state dict is loaded, and the whole network is run. `evaluate` must give the same."""
    before = {name: value.clone() for name, value in chain.model.state_dict().items()}
    chain.model.load_state_dict(before | dict(weights))
    try:
        if chain.re_estimate:
            chain.re_estimate()
        with metrics.autocast(next(iter(before.values())).device.type, chain.precision):
            return torch.cat([chain.model(batch).float() for batch in images]).cpu()
    finally:
        chain.model.load_state_dict(before)


@dataclass(frozen=True)
class Suffix:
    """A module and everything behind it, with what the module reads for all images.

    ``inputs`` are batches: the images themselves for the first module, else activations. They are kept as
    long as this object is.
    """

    chain: Chain
    module: str
    inputs: tuple[Tensor, ...]

    def logits(self, variants: Sequence[Weights], together: int | None = None) -> Tensor:
        """Logits float32 (variants, n, k) on the CPU, of the network with each variant's weights.

        Variants may change any parameter of the module or of what lies behind it. Where all change the
        module only and nothing is re-estimated, ``together`` of them pass what lies behind it as one batch
        (default: as many as `TOGETHER` images allow), which pays where batches are small.
        """
        within = all(variant.keys() <= self.chain.members[self.module] for variant in variants)
        alone = not within or self.chain.re_estimate is not None
        parts = []
        for batch in self.inputs:
            at_once = 1 if alone else together or max(1, TOGETHER // max(len(batch), 1))
            groups = [variants[i : i + at_once] for i in range(0, len(variants), at_once)]
            parts.append(torch.cat([self._group(batch, group) for group in groups]))
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def _group(self, batch: Tensor, group: Sequence[Weights]) -> Tensor:
        """Logits (variants, n, k) of one batch. What lies behind the module has the first variant's weights:
        the others, if any, change the module only."""
        steps = list(self.chain.steps.values())
        place = self.chain.modules.index(self.module)
        outputs = []
        with metrics.autocast(batch.device.type, self.chain.precision):
            for variant in group[1:]:
                with replaced(self.chain, variant):
                    outputs.append(steps[place](batch))
            with replaced(self.chain, group[0]):
                out = torch.cat([steps[place](batch), *outputs])
                for step in steps[place + 1 :]:
                    out = step(out)
        return out.float().cpu().unflatten(0, (len(group), len(batch)))


@torch.no_grad()
def walk(chain: Chain, images: Iterable[Tensor]) -> Iterator[Suffix]:
    """Each module's suffix from the first to the last: one pass of the network in all.

    Only the activations of one boundary between modules are kept, for all ``images`` (batches of
    (n, c, side, side)).
    """
    inputs = tuple(images)
    for module, step in chain.steps.items():
        yield Suffix(chain, module, inputs)
        with metrics.autocast(inputs[0].device.type, chain.precision):
            inputs = tuple(step(batch) for batch in inputs)


def evaluate(
    chain: Chain, images: Iterable[Tensor], variants: Mapping[Hashable, Weights]
) -> dict[Hashable, Tensor]:
    """Logits (n, k) by name of the network with each variant's weights, of any number of images.

    One batch after another, so that memory is that of one batch's activations. What lies in front of the
    first module that a variant changes is computed once for all.
    """
    first: dict[str, list[Hashable]] = {}
    for name, weights in variants.items():
        first.setdefault(chain.first_changed(weights), []).append(name)
    last = max(map(chain.modules.index, first), default=-1)
    found: dict[Hashable, list[Tensor]] = {name: [] for name in variants}
    for batch in images:
        for suffix in islice(walk(chain, [batch]), last + 1):
            names = first.get(suffix.module, [])
            logits = suffix.logits([variants[name] for name in names]) if names else []
            for name, of_batch in zip(names, logits, strict=True):
                found[name].append(of_batch)
    return {name: torch.cat(parts) for name, parts in found.items()}
