"""Two models in the same order of units: weight matching (Ainsworth et al. 2023), and REPAIR for networks
without batch norm (Jordan et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tlbook.models.interpolation import check_pair, interpolate
from tlbook.models.symmetry import Table, group_sizes, permuted
from tlbook.questions.loss_landscape.method.barrier import along
from tlbook.questions.loss_landscape.method.evaluation import Evaluator, Measured, tabulated

ROUNDS = 100  # at most so many passes over the groups; a handful is usual
METHODS = ("raw", "raw_repaired", "aligned", "repaired")
FLAT = 1e-6  # a unit whose standard deviation is below has nothing to renormalise


def matching(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], table: Table, seed: int = 0
) -> dict[str, Tensor]:
    """The order of the second model's units that brings its weights nearest to the first's.

    Coordinate descent over the groups of ``table`` in random order: each is a linear assignment with all
    others fixed, which maximises the inner product of the weights. It ends in a local optimum, when a pass
    over all groups gains nothing. `tlbook.models.symmetry.permuted` applies the result.
    """
    check_pair(first, second)
    sizes = group_sizes(first, table)
    order = {group: torch.arange(size) for group, size in sizes.items()}
    generator = torch.Generator().manual_seed(seed)
    first = {name: first[name].detach().double().cpu() for name in table}
    second = {name: second[name].detach().double().cpu() for name in table}
    for _ in range(ROUNDS):
        gained = False
        for k in torch.randperm(len(sizes), generator=generator).tolist():
            group = list(sizes)[k]
            gain = _agreement(first, second, table, order, group)
            _, best = linear_sum_assignment(gain.numpy(), maximize=True)
            best = torch.from_numpy(best)
            rows = torch.arange(len(best))
            before, after = gain[rows, order[group]].sum(), gain[rows, best].sum()
            if after > before + 1e-9 * max(1.0, float(before.abs())):
                order[group], gained = best, True
        if not gained:
            break
    return order


def _agreement(first, second, table: Table, order, group: str) -> Tensor:
    """(n, n): inner product of the first's unit i with the second's unit j over all weights that they touch,
    the other axis of the second in its present order."""
    total = 0.0
    for name, groups in table.items():
        for axis in (axis for axis, units in enumerate(groups) if units == group):
            other = {g: order[g] for g in groups if g is not None and g != group}
            there = permuted({name: second[name]}, {name: groups}, other)[name]
            one, two = (t.movedim(axis, 0).flatten(1) for t in (first[name], there))
            total = total + one @ two.T
    return total


# REPAIR


class _Convolutions(TorchFunctionMode):
    """Hands the output of each convolution, biases included, to ``after(number, output)`` while it is on.

    The convolutions inside a Fixup block are never called as modules, so hooks would not see them.
    """

    def __init__(self, after):
        super().__init__()
        self.after, self.number = after, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func is F.conv2d:
            self.number += 1
            return self.after(self.number - 1, output)
        return output


def statistics(model: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of each channel of each convolution's output over images (n, 3, s, s)."""
    moments: list[tuple[Tensor, Tensor]] = []

    def note(_, output: Tensor) -> Tensor:
        moments.append(_moments(output))
        return output

    with torch.no_grad(), _Convolutions(note):
        model(images)
    return moments


class Repaired(nn.Module):
    """A network between two others whose channels have the statistics that lie between theirs.

    REPAIR resets, after each convolution, every channel's mean and standard deviation to the interpolation
    of those at the two ends; half-way between two models the deviations collapse, layer after layer. Jordan
    et al. do it with batch norm layers that they put in, fold back, or reset. Ours has none, and one bias for
    all channels, so the correction (a factor and a shift per channel) is applied to the convolution's output,
    before the ReLU or the sum with the shortcut. Factors are found layer by layer over ``images``, each with
    the layers before it corrected already. The head is left as it is. The factors are of these weights:
    those of ``model`` must not be overwritten while this is in use.
    """

    def __init__(self, model: nn.Module, images: Tensor, wanted: Sequence[tuple[Tensor, Tensor]]):
        super().__init__()
        self.model, self.corrections = model, []

        def correct(number: int, output: Tensor) -> Tensor:
            mean, deviation = _moments(output)
            target_mean, target_deviation = wanted[number]
            factor = torch.where(deviation > FLAT, target_deviation / deviation.clamp_min(FLAT), 1.0)
            self.corrections.append((factor, target_mean - factor * mean))
            return self._apply_to(number, output)

        with torch.no_grad(), _Convolutions(correct):
            model(images)

    def _apply_to(self, number: int, output: Tensor) -> Tensor:
        factor, shift = (t.to(output.dtype).view(1, -1, 1, 1) for t in self.corrections[number])
        return output * factor + shift

    def forward(self, images: Tensor) -> Tensor:
        """Images to logits, as the network's own."""
        with _Convolutions(self._apply_to):
            return self.model(images)


def _moments(output: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel, over images and places; in single precision at least."""
    values = output.detach().float() if output.dtype in (torch.bfloat16, torch.float16) else output.detach()
    deviation, mean = torch.std_mean(values, (0, 2, 3), correction=0)
    return mean, deviation


def between(one: Sequence, other: Sequence, alpha: float) -> list[tuple[Tensor, Tensor]]:
    """Statistics interpolated: (1 - alpha) one + alpha other, means and deviations alike."""
    return [
        tuple(torch.lerp(a, b, float(alpha)) for a, b in zip(*pair, strict=True))
        for pair in zip(one, other, strict=True)
    ]


def up_to_permutation(
    evaluator: Evaluator,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    table: Table,
    places: Sequence[float],
    images: Tensor,
    splits: Sequence[str] = ("test",),
    methods: Sequence[str] = METHODS,
) -> pd.DataFrame:
    """Lines between two models by method: columns method, alpha, split, metric, value.

    raw: as they are; aligned: the second model's units in the order of `matching`; raw_repaired, repaired:
    the same two lines with the statistics of `Repaired`, measured on ``images`` (training images, one batch).
    """
    aligned = permuted(second, table, matching(first, second, table))
    tables = []
    for method in methods:
        other = second if method.startswith("raw") else aligned
        if method.endswith("repaired"):
            line = tabulated("alpha", _repaired(evaluator, first, other, places, images, splits))
        else:
            line = along(evaluator, first, other, places, splits)
        tables.append(line.assign(method=method))
    return pd.concat(tables, ignore_index=True)


def _repaired(evaluator, first, second, places, images, splits) -> Iterator[tuple[float, Measured]]:
    """Places on a line, and what a `Repaired` network measures there; the ends are left as they are."""
    ends = [statistics(evaluator.load(state), images) for state in (first, second)]
    for alpha in map(float, places):
        model = evaluator.load(interpolate(first, second, alpha))
        if alpha not in (0, 1):
            model = Repaired(model, images, between(*ends, alpha))
        yield alpha, evaluator.measure_model(model, splits)
