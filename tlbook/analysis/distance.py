"""How far apart two models' weights are: l2 by module and in total (paper, Table 2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models import module_of

ALL, BODY, HEAD = "all", "body", "fc"  # all shared weights; without the head; the head
Weights = Mapping[str, Tensor]


def by_module(first: Weights, second: Weights, head: bool = True) -> dict[str, tuple[float, int]]:
    """Squared l2 distance and number of weights of each module, in the network's order.

    `bias1` and `bias2`, which belong to no module, stand under their own names. Without ``head``, `fc` is
    left out: P's is another. Refused: weights of two networks.
    """
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())
        raise TlbookError(f"The two models are not of one network: only one of them has {odd[0]}.")
    found: dict[str, tuple[float, int]] = {}
    for name, one in first.items():
        module, other = module_of(name) or name, second[name]
        if module == HEAD and not head:
            continue
        if one.shape != other.shape:
            shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
            raise TlbookError(f"The two models are not of one network: {name} has the shapes {shapes}.")
        square, count = found.get(module, (0.0, 0))
        moved = (one.double() - other.double()).square().sum().item()
        found[module] = (square + moved, count + one.numel())
    return found


def distances(first: Weights, second: Weights, p: Weights, head: bool = True) -> list[dict]:
    """Distances as rows module, metric, value.

    Per module: l2, l2_relative (to the norm of P's module; not of fc, where P's is another), l2_per_root (l2
    over the root of the number of weights, so that modules of different sizes compare). Of "all" that both
    have, and of the "body" (without fc): l2, the root of the summed squares; l2_sum, the sum of the modules'
    l2 (what the paper's sizes suggest; bias1 and bias2 count as modules of one weight); l2_relative of the
    body; l2_per_root of both.
    """
    moved = by_module(first, second, head)
    norms = by_module(p, {name: value * 0 for name, value in p.items()}, head=False)
    rows = []
    for module, (square, count) in moved.items():
        if module in first:  # bias1, bias2
            continue
        rows += _rows(module, square**0.5, norms.get(module, (0.0, 0))[0] ** 0.5, count)
    for whole, parts in ((ALL, moved), (BODY, {m: v for m, v in moved.items() if m != HEAD})):
        square, count = (sum(column) for column in zip(*parts.values(), strict=True))
        norm = sum(own for own, _ in norms.values()) ** 0.5 if whole == BODY else 0.0
        rows += _rows(whole, square**0.5, norm, count)
        total = sum(part**0.5 for part, _ in parts.values())
        rows.append({"module": whole, "metric": "l2_sum", "value": total})
    return rows


def _rows(module: str, l2: float, norm: float, count: int) -> list[dict]:
    values = {"l2": l2, "l2_per_root": l2 / count**0.5}
    if norm:
        values["l2_relative"] = l2 / norm
    return [{"module": module, "metric": metric, "value": value} for metric, value in values.items()]
