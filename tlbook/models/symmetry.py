"""Changes of weights that leave the function as it is: relabelled units, and rescaled blocks.

The permutation symmetry of a network is a table that its family gives (`Network.symmetry`): which axis of
which weight carries which units, as names of groups; None is no group: pixels and classes. Relabelling the
units of a layer, and the inputs of the layers that read them, changes the weights and not the function.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models.family import Rescaling
from tlbook.models.family import Symmetry as Table


def group_sizes(state: Mapping[str, Tensor], table: Table) -> dict[str, int]:
    """Group -> number of its units; a weight that is missing, or sizes that disagree, are refused."""
    sizes: dict[str, int] = {}
    for name, groups in table.items():
        if name not in state:
            raise TlbookError(f"The weights do not fit this symmetry: they lack {name}.")
        for axis, group in enumerate(groups):
            width = state[name].shape[axis]
            if group is not None and sizes.setdefault(group, width) != width:
                raise TlbookError(f"The weights do not fit this symmetry: {name} has another width.")
    return sizes


def permuted(state: Mapping[str, Tensor], table: Table, order: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same function with its units relabelled: unit k of a group is the old unit ``order[group][k]``.

    Groups that ``order`` lacks stay. An order that is no permutation of its units is refused.
    """
    for group, size in group_sizes(state, table).items():
        if group in order and sorted(order[group].tolist()) != list(range(size)):
            raise TlbookError(f"The order of {group} is no permutation of its {size} units.")
    moved = dict(state)
    for name, groups in table.items():
        for axis, group in enumerate(groups):
            if group in order:
                moved[name] = moved[name].index_select(axis, order[group].to(moved[name].device))
    return moved


def random_order(state: Mapping[str, Tensor], table: Table, generator: torch.Generator) -> dict[str, Tensor]:
    """A random permutation of every group."""
    sizes = group_sizes(state, table)
    return {group: torch.randperm(size, generator=generator) for group, size in sizes.items()}


def rescaled(
    state: Mapping[str, Tensor], rescalings: Mapping[str, Rescaling], block: str, factor: float
) -> dict[str, Tensor]:
    """A state dict with one block rescaled by ``factor`` > 0, which computes the same (Dinh et al. 2017).

    ``rescalings`` are the network's (`Network.rescalings`); another block is refused, naming those.
    """
    if factor <= 0:
        raise TlbookError(f"A rescaling needs a positive factor, not {factor}.")
    if block not in rescalings:
        raise TlbookError(f"The network has no block {block!r}; it has {', '.join(rescalings)}.")
    up, down = rescalings[block]
    return {
        name: value * factor if name in up else value / factor if name in down else value
        for name, value in state.items()
    }
