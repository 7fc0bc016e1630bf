"""Changes of weights that leave the function as it is: relabelled units, and rescaled blocks.

The permutation symmetry of a network is a table: which axis of which weight carries which units. Relabelling
the units of a layer, and the inputs of the layers that read them, changes the weights and not the function.
Fixup's biases and scales are one number for all units, so only weights take part.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models.fixup import NETWORKS, Architecture, architecture

Table = Mapping[str, tuple[str | None, ...]]


def symmetry(network: str | Architecture) -> dict[str, tuple[str | None, str | None]]:
    """Weight -> (group of its outputs, group of its inputs); None is no group of ours: pixels and classes.

    A group is named after the units that it relabels: "stream1" and so on for the residual stream (the stages
    share one as long as no downsampling convolution stands between them), "layer1.0.inner1" inside a block.
    """
    shape = architecture(network) if isinstance(network, str) else network
    bottleneck = shape.block == "bottleneck"
    stream, table = "stream0", {"conv1.weight": ("stream0", None)}
    for stage, blocks in enumerate(shape.blocks, 1):
        for number in range(blocks):
            block = f"layer{stage}.{number}"
            before = stream
            if number == 0 and (stage > 1 or bottleneck):
                stream = f"stream{stage}"
                table[f"{block}.downsample.weight"] = (stream, before)
            inner = [f"{block}.inner{k + 1}" for k in range(2 if bottleneck else 1)]
            units = [before, *inner, stream]
            for k, (read, written) in enumerate(zip(units[:-1], units[1:], strict=True), 1):
                table[f"{block}.conv{k}.weight"] = (written, read)
    return table | {"fc.weight": (None, stream)}


SYMMETRIES = {name: symmetry(shape) for name, shape in NETWORKS.items()}


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


def rescaled(state: Mapping[str, Tensor], block: str, factor: float) -> dict[str, Tensor]:
    """A state dict with one block rescaled, which computes the same function (Dinh et al. 2017).

    The block's first convolution and the biases up to the second one grow by ``factor`` > 0, the second
    convolution shrinks by it; ReLU lets positive factors through.
    """
    if factor <= 0:
        raise TlbookError(f"A rescaling needs a positive factor, not {factor}.")
    up = {f"{block}.{name}" for name in ("conv1.weight", "bias1b", "bias2a")}
    down = f"{block}.conv2.weight"
    if down not in state:
        blocks = sorted({name.rsplit(".", 2)[0] for name in state if name.endswith(".conv2.weight")})
        raise TlbookError(f"The network has no block {block!r}; it has {', '.join(blocks)}.")
    return {
        name: value * factor if name in up else value / factor if name == down else value
        for name, value in state.items()
    }
