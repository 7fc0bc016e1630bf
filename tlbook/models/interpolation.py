"""Arithmetic on state dicts: points on the line between two models, averages, lengths.

Every floating-point entry takes part, the head too. Two models that are not of one kind are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tlbook.errors import TlbookError
from tlbook.models.family import in_head

State = Mapping[str, Tensor]


def check_pair(first: State, second: State) -> None:
    """Refuse, in one sentence, two state dicts with other names or shapes, or with values that are not
    finite numbers: nothing lies between them."""
    if other := sorted(first.keys() ^ second.keys()):
        which = "first" if other[0] in first else "second"
        raise TlbookError(
            f"There is no line between models of different architectures: only the {which} has {other[0]}."
        )
    for name, tensor in first.items():
        shapes = tuple(tensor.shape), tuple(second[name].shape)
        if shapes[0] != shapes[1]:
            reason = "classes" if in_head(name) else "architectures"
            raise TlbookError(
                f"There is no line between models of different {reason}: {name} has the shapes "
                f"{shapes[0]} and {shapes[1]}."
            )
    for which, state in (("first", first), ("second", second)):
        if (name := not_finite(state)) is not None:
            raise TlbookError(f"The {which} model diverged: {name} has values that are no finite numbers.")


def not_finite(state: State) -> str | None:
    """The first entry with a NaN or an infinite value, or None."""
    return next((name for name, tensor in state.items() if not torch.isfinite(tensor).all()), None)


def interpolate(first: State, second: State, alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) first + alpha second; 0 and 1 give the ends bit for bit.

    Entries of whole numbers (the counters of a batch norm) are the first's.
    """
    return {
        name: torch.lerp(tensor, second[name], float(alpha)) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def average(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of several state dicts, in double precision and back (a "soup", Wortsman et al. 2022)."""
    if not states:
        raise TlbookError("An average needs at least one model.")
    for state in states[1:]:
        check_pair(states[0], state)
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }


def norm(state: State) -> float:
    """The l2 norm of all floating-point entries as one vector."""
    squares = (t.double().square().sum() for t in state.values() if t.is_floating_point())
    return float(sum(squares)) ** 0.5


def difference(first: State, second: State) -> dict[str, Tensor]:
    """second - first."""
    return {name: second[name] - tensor for name, tensor in first.items() if tensor.is_floating_point()}


def moved(state: State, step: State, length: float = 1.0) -> dict[str, Tensor]:
    """state + length * step; entries that the step lacks stay."""
    return {name: t + length * step[name] if name in step else t for name, t in state.items()}
