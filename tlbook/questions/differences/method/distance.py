"""How far apart two models' weights are: l2 by module and in total (paper, Table 2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models import skeleton

ALL, BODY = "all", "body"  # all shared weights; without the head
Weights = Mapping[str, Tensor]


def by_module(
    network: str, first: Weights, second: Weights, head: bool = True
) -> dict[str, tuple[float, int]]:
    """Squared l2 distance and number of weights of each module of a network, in its order.

    Parameters that belong to no module stand under their own names; what is not learned does not count.
    Without ``head``, the head is left out: P's is another. Refused: weights of two networks.
    """
    asked = skeleton(network)
    left_out = () if head else asked.members()[asked.head]  # which P may lack
    if odd := sorted((first.keys() ^ second.keys()) - set(left_out)):
        raise TlbookError(f"The two models are not of one network: only one of them has {odd[0]}.")
    module_of = {name: module for module, names in asked.members().items() for name in names}
    found: dict[str, tuple[float, int]] = {}
    for name, _ in asked.named_parameters():
        if name in left_out:
            continue
        module, one, other = module_of.get(name, name), first[name], second[name]
        if one.shape != other.shape:
            shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
            raise TlbookError(f"The two models are not of one network: {name} has the shapes {shapes}.")
        square, count = found.get(module, (0.0, 0))
        moved = (one.double() - other.double()).square().sum().item()
        found[module] = (square + moved, count + one.numel())
    return found


def norms(network: str, p: Weights) -> dict[str, float]:
    """The l2 norm of each of P's modules, and of its whole "body"; not of the head, which is the source's."""
    squares = by_module(network, p, {name: value * 0 for name, value in p.items()}, head=False)
    body = sum(square for square, _ in squares.values())
    return {name: square**0.5 for name, (square, _) in squares.items()} | {BODY: body**0.5}


def distances(
    network: str, first: Weights, second: Weights, of_p: Mapping[str, float], head: bool = True
) -> list[dict]:
    """Distances as rows module, metric, value; ``of_p`` holds the `norms` that l2_relative is relative to.

    Per module: l2, l2_per_root (l2 over the root of the number of weights, so that modules of different sizes
    compare), l2_relative (not of the head, where P's is another). Of "all" that both have, and of the "body"
    (without the head): l2, the root of the summed squares, and l2_sum, the sum of the modules' l2 (what the
    paper's sizes suggest; a parameter between modules counts as one).
    """
    moved, asked = by_module(network, first, second, head), skeleton(network)
    body = {module: found for module, found in moved.items() if module != asked.head}
    modules = {module: [found] for module, found in moved.items() if module in asked.members()}
    rows = []
    for name, parts in (modules | {ALL: list(moved.values()), BODY: list(body.values())}).items():
        square, count = (sum(column) for column in zip(*parts, strict=True))
        values = {"l2": square**0.5, "l2_per_root": (square / count) ** 0.5}
        if of_p.get(name):
            values["l2_relative"] = square**0.5 / of_p[name]
        if name in (ALL, BODY):
            values["l2_sum"] = sum(part**0.5 for part, _ in parts)
        rows += [{"module": name, "metric": metric, "value": value} for metric, value in values.items()]
    return rows
