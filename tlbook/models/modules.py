"""Names of a network's modules, and the module that a parameter belongs to.

A module is what the paper rewinds as one piece (Figures 5 and 6): the stem's `conv1`, each residual block
`layerX.Y`, and `fc`. The two scalars `bias1` and `bias2` stand between modules and belong to none.
"""

from __future__ import annotations

import re

from torch import nn

from tlbook.errors import TlbookError
from tlbook.models.fixup import FixupResNet, architecture

BETWEEN = ("bias1", "bias2")

_MODULE = re.compile(r"(conv1|fc|layer\d+\.\d+)\..+")


def names(network: str | FixupResNet) -> tuple[str, ...]:
    """("conv1", "layer1.0", …, "fc") of a network, given by name or as a model, from input to output."""
    shape = architecture(network) if isinstance(network, str) else network.architecture
    blocks = (f"layer{stage}.{i}" for stage, count in enumerate(shape.blocks, 1) for i in range(count))
    return ("conv1", *blocks, "fc")


def module_of(parameter: str) -> str | None:
    """The module of a parameter (official name), None for `bias1` and `bias2`; other names are refused."""
    if parameter in BETWEEN:
        return None
    match = _MODULE.fullmatch(parameter)
    if match is None:
        raise TlbookError(f"{parameter!r} is no parameter of a Fixup ResNet (one is 'layer1.0.scale').")
    return match[1]


def parameters_of(model: nn.Module, module: str) -> tuple[str, ...]:
    """The names of a module's parameters, in the order of the state dict; an unknown module is refused."""
    found = tuple(name for name in model.state_dict() if module_of(name) == module)
    if not found:
        raise TlbookError(f"The network has no module {module!r}; it has {', '.join(names(model))}.")
    return found
