"""What a family of networks says of itself. All that asks for a head, modules or their order asks here.

A family is a class derived from `Network`, in one file of this folder; a network of it is a line in its
``networks``. Defining the class makes its networks known, so a family can also stand in a file of a user's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tlbook.errors import TlbookError

Step = Callable[[Tensor], Tensor]
Batches = Iterable[tuple[Tensor, Tensor]]  # images and labels
Symmetry = Mapping[str, tuple[str | None, ...]]  # weight -> the group of units along each of its axes
Rescaling = tuple[tuple[str, ...], tuple[str, ...]]  # parameters that grow by a factor, and that shrink by it

FAMILIES: dict[str, type[Network]] = {}  # by full name: a class that is defined again takes its own place


class Network(nn.Module):
    """A network of some family: images (n, 3, side, side) to logits (n, classes).

    One is made by ``family(networks[name], classes)``, which draws its weights from torch's global generator.
    A family must say its `networks` and `steps`; what it does not say otherwise is as here.

    networks: the shapes of the family by name, of whatever type its constructor takes.
    head: the last module, linear, with one output a class; fine-tuning draws it anew.
    re_estimate: sets what is measured and not learned (batch norm's statistics, any buffer of the state dict)
    to what belongs to the network's present weights, from batches of training images, and leaves the network
    in evaluation mode; called wherever weights were moved. None where there is nothing of that kind.
    """

    networks: ClassVar[Mapping[str, Any]]
    head: ClassVar[str] = "fc"
    re_estimate: ClassVar[Callable[[Network, Batches], None] | None] = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "networks" in vars(cls):
            FAMILIES[f"{cls.__module__}.{cls.__qualname__}"] = cls

    def steps(self) -> dict[str, Step]:
        """Module -> what maps what it reads to what the next one reads, from images to logits.

        A module is what is rewound as one piece (the paper's Figures 5 and 6); it is called like a submodule,
        but not "none", "all" or "body", which tables say of the whole. The steps read the network's weights
        as they are at each call.
        """
        raise NotImplementedError

    def members(self) -> dict[str, tuple[str, ...]]:
        """Module -> the names of its parameters in the state dict's order; a parameter may belong to none."""
        return below(self, self.steps())

    def places(self) -> tuple[str, ...]:
        """The submodules whose outputs are compared between networks (Table 1), from input to output."""
        return tuple(self.steps())

    def parameter_groups(self, rate: float, weight_decay: float, momentum: float) -> list[dict]:
        """The groups of `torch.optim.SGD`; a step schedule multiplies the rate of every group."""
        settings = {"lr": rate, "weight_decay": weight_decay, "momentum": momentum}
        return [{"params": list(self.parameters())} | settings]

    def symmetry(self) -> Symmetry | None:
        """Which axis of which weight carries which units (see `tlbook.models.symmetry`); None: not known."""
        return None

    def rescalings(self) -> dict[str, Rescaling]:
        """Block -> what grows and what shrinks by one positive factor without changing the function."""
        return {}


def below(model: nn.Module, modules: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Module -> the names of the parameters that begin with its name."""
    every = [name for name, _ in model.named_parameters()]
    return {module: tuple(name for name in every if name.startswith(f"{module}.")) for module in modules}


def outside(model: Network, modules: Iterable[str]) -> dict[str, Tensor]:
    """The entries of a model's state dict that belong to its other modules, buffers too. A module that it
    does not have is refused; the head, which is always drawn, is none."""
    members = {name: set(parameters) for name, parameters in model.members().items() if name != model.head}
    if unknown := [name for name in modules if name not in members]:
        raise TlbookError(
            f"The network has no module {unknown[0]!r} to transfer; it has {', '.join(members)}."
        )
    others = [name for name in members if name not in modules]
    drawn, below_them = set().union(*(members[o] for o in others)), tuple(f"{name}." for name in others)
    state = model.state_dict()
    return {name: value for name, value in state.items() if name in drawn or name.startswith(below_them)}


def networks() -> dict[str, type[Network]]:
    """Every network's name and its family."""
    return {network: family for family in FAMILIES.values() for network in family.networks}


def build(network: str, classes: int) -> Network:
    """A freshly drawn network with that many outputs, from torch's global generator (`torch.manual_seed`).

    An unknown name, refused with those that exist, or a number of classes below 1.
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise TlbookError(f"The number of classes must be a whole number of at least 1, not {classes!r}.")
    family = _family(network)
    return family(family.networks[network], classes)


def skeleton(network: str) -> Network:
    """A network of one class without weights (on torch's device "meta"): to ask what its family says."""
    return _skeleton(_family(network), network)


@functools.cache
def _skeleton(family: type[Network], network: str) -> Network:
    with torch.device("meta"):
        return family(family.networks[network], 1)


def _family(network: str) -> type[Network]:
    known = networks()
    if network not in known:
        raise TlbookError(f"There is no network {network!r}; choose one of {', '.join(known)}.")
    return known[network]


def learned(network: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without what is measured and not learned: what lengths and distances are about."""
    measured = {name for name, _ in skeleton(network).named_buffers()}
    return {name: value for name, value in state.items() if name not in measured}


def classes(network: str, state: Mapping[str, Tensor]) -> int:
    """How many classes a network with these weights tells apart."""
    return len(state[f"{skeleton(network).head}.weight"])


def in_head(name: str) -> bool:
    """Whether a parameter of this name is the head's in some family."""
    return name.rpartition(".")[0] in {family.head for family in FAMILIES.values()}


def average_batch_norm(model: nn.Module, batches: Batches) -> None:
    """A family's `re_estimate` for batch norm: running statistics become averages over the given images."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [module.momentum for module in norms]
    model.eval()
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a plain average over batches
        module.train()
    with torch.no_grad():
        for images, _ in batches:
            model(images)
    for module, momentum in zip(norms, before, strict=True):
        module.momentum = momentum
    model.eval()
