"""Variants of a network that differ in one module: only what lies behind that module is computed again.

A network is taken as a chain of modules. What a module reads does not depend on its own weights, so it is
computed once for all variants of that module (Zhang, Bengio & Singer 2019 rewind one module at a time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

    def after(self, module: str) -> list[Step]:
        """The steps behind a module. A module that does not exist is refused, naming those that do."""
        return list(self.steps.values())[self.place(module) + 1 :]

    def place(self, module: str) -> int:
        """A module's place in the chain, from 0. One that does not exist is refused, naming those that do."""
        if module not in self.steps:
            raise TlbookError(f"The network has no module {module!r}; it has {', '.join(self.modules)}.")
        return self.modules.index(module)


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


@dataclass(frozen=True)
class Suffix:
    """A module and everything behind it, with what the module reads for all images.

    ``inputs`` are batches: the images themselves for the first module, else activations. They are kept as
    long as this object is: `bytes` says how much memory that takes.
    """

    chain: Chain
    module: str
    inputs: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        """Memory of the activations kept."""
        return sum(batch.numel() * batch.element_size() for batch in self.inputs)

    def logits(self, variants: Sequence[Weights], together: int | None = None) -> Tensor:
        """Logits float32 (variants, n, k) on the CPU, of the network with each variant's weights.

        Variants may change any parameter of the module or of what lies behind it. Where all change the
        module only and nothing is re-estimated, ``together`` of them pass what lies behind it as one batch
        (default: as many as `TOGETHER` images allow), which pays where batches are small.
        """
        rest = self.chain.after(self.module)
        within = all(variant.keys() <= self.chain.members[self.module] for variant in variants)
        alone = not within or self.chain.re_estimate is not None
        parts = []
        for batch in self.inputs:
            at_once = 1 if alone else together or max(1, TOGETHER // max(len(batch), 1))
            groups = [variants[i : i + at_once] for i in range(0, len(variants), at_once)]
            parts.append(torch.cat([self._group(batch, group, rest) for group in groups]))
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def _group(self, batch: Tensor, group: Sequence[Weights], rest: Sequence[Step]) -> Tensor:
        """Logits (variants, n, k) of one batch."""
        step = self.chain.steps[self.module]
        with metrics.autocast(batch.device.type, self.chain.precision):
            if len(group) == 1:
                with replaced(self.chain, group[0]):
                    out = _through([step, *rest], batch)
            else:
                outputs = []
                for variant in group:
                    with replaced(self.chain, variant):
                        outputs.append(step(batch))
                out = _through(rest, torch.cat(outputs))
        return out.float().cpu().unflatten(0, (len(group), len(batch)))

    @torch.no_grad()
    def advance(self) -> Suffix | None:
        """The next module's suffix, under the network's own weights; None behind the last module."""
        place = self.chain.place(self.module) + 1
        if place == len(self.chain.modules):
            return None
        with metrics.autocast(self.inputs[0].device.type, self.chain.precision):
            outputs = tuple(self.chain.steps[self.module](batch) for batch in self.inputs)
        return Suffix(self.chain, self.chain.modules[place], outputs)


def _through(steps: Iterable[Callable], x: Tensor) -> Tensor:
    for step in steps:
        x = step(x)
    return x


def walk(chain: Chain, images: Iterable[Tensor]) -> Iterator[Suffix]:
    """Each module's suffix from the first to the last: one pass of the network in all.

    Only the activations of one boundary between modules are kept, for all ``images`` (batches of
    (n, c, side, side)).
    """
    suffix: Suffix | None = Suffix(chain, chain.modules[0], tuple(images))
    while suffix is not None:
        yield suffix
        suffix = suffix.advance()


def evaluate(
    chain: Chain, images: Iterable[Tensor], variants: Mapping[str, Sequence[Weights]]
) -> dict[str, Tensor]:
    """Logits (variants, n, k) by the first module that the variants change, of any number of images.

    One batch after another, so that memory is that of one batch's activations. Modules in front of the last
    one with variants cost their share of one pass; a module that does not exist is refused, naming those that
    do.
    """
    found: dict[str, list[Tensor]] = {module: [] for module, those in variants.items() if those}
    places = {module: chain.place(module) for module in variants}  # refuses
    last = max((places[module] for module in found), default=-1)
    for batch in images:
        for suffix in islice(walk(chain, [batch]), last + 1):
            if suffix.module in found:
                found[suffix.module].append(suffix.logits(variants[suffix.module]))
    return {module: torch.cat(parts, dim=1) for module, parts in found.items()}
