"""Question 3: barriers and basins of the loss landscape (paper, section 3.3, Figures 4 and 16)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import data, models
from tlbook.data import batches
from tlbook.data.shuffles import Shuffle
from tlbook.models.interpolation import norm, not_finite
from tlbook.questions import grid
from tlbook.questions.loss_landscape import QUESTION
from tlbook.questions.loss_landscape.method import alignment, barrier, basin, evaluation, predictions, soups
from tlbook.questions.loss_landscape.method import flatness as flat
from tlbook.questions.loss_landscape.method.evaluation import Evaluator, Resident
from tlbook.questions.loss_landscape.study import pairs
from tlbook.questions.loss_landscape.study.pairs import Kind, Line, Model
from tlbook.scales import Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import device, ensure
from tlbook.training.specs import RunSpec

TWIN = 4.0  # factor of the rescaled twin
AROUND_DIRECTIONS = 4
REPAIR_IMAGES, REPAIR_BATCHES = 1000, 2  # at most so many training images set the repaired statistics
SPLITS = ("train", "dev", "test")


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: sources, question 1's unshuffled runs, and the controls."""
    return pairs.specs(scale, targets, seeds)


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`) that have rows; trains what is missing.

    ``how`` goes to `ensure_all`. With one seed there are no pairs of a kind, and so no such rows.
    """
    grid.refuse_few(scale, targets)
    ensure_all(runs(scale, targets, seeds), **how)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in QUESTION.tables}
    for role in targets:
        for name, rows in Landscape(scale, role, seeds).parts():
            if len(rows):
                parts[name].append(rows[QUESTION.table(name).names])
    return {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items() if frames}


def evaluator(scale: Scale, role: str) -> Evaluator:
    """What measures any weights of a role's network on its resident images, as its runs do."""
    domain = data.load(data.request(scale, role))
    task = scale.task(role)
    view = batches.View.of(domain, scale.side, task.normalisation, Shuffle.none())
    splits = {name: getattr(domain, name) for name in SPLITS}
    resident = {name: Resident(part, view, device()) for name, part in splits.items() if len(part)}
    network = models.build(scale.network, len(domain.classes))
    network = network.to(device(), memory_format=torch.channels_last)
    return Evaluator(network, resident, task.metric, scale.precision)


class Landscape:
    """One target: its images on the device, its models' weights, and what was measured of them."""

    def __init__(self, scale: Scale, role: str, seeds: Sequence[int]):
        self.scale, self.role, self.seeds = scale, role, seeds
        self.lines = pairs.lines(scale, role, seeds)
        self.evaluator = evaluator(scale, role)
        self.state = functools.cache(self._state)
        self.own = functools.cache(lambda model: self.evaluator.measure(self.state(model)))

    def parts(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """(table, some of its rows) until every table has all of this role."""
        for line, measured in self.measured.items():
            yield "interpolation", line.named(measured)
            yield "barriers", line.named(barrier.barriers(measured))
        for line in self.detailed():
            for delta in self.scale.landscape.basin_deltas:
                yield "basins", line.named(self._basin(line, delta)).assign(delta=float(delta))
        for line in self.detailed(pairs.TWO_P_T, pairs.TWO_RI_T):
            yield "around", line.named(self._around(line))
        for line in self.detailed(pairs.TWO_RI_T) if self.evaluator.model.symmetry() else ():
            yield "alignment", line.named(self._aligned(line))
        for model in pairs.single_models(self.scale, self.role, self.seeds):
            yield from self._flatness(model)
        for keys, group in pairs.soups(self.scale, self.role, self.seeds):
            members = [(model.seed, self.state(model)) for model in group]
            averaged = soups.leave_one_out(self.evaluator, members, self.scale.metric[self.role])
            yield "soups", averaged.assign(role=self.role, **keys)
        for kind in (pairs.TWO_P_T, pairs.TWO_RI_T, pairs.ONE_OF_EACH):
            for line in self.detailed(kind)[:1]:
                yield "predictions", line.named(self._said(line))

    def _state(self, model: Model) -> dict[str, Tensor]:
        """A model's weights on the device."""
        weights = models.learned(self.scale.network, ensure(model.spec).weights(model.at))
        return {name: tensor.to(device()) for name, tensor in weights.items()}

    def _states(self, line: Line) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self.state(line.first), self.state(line.second)

    def _diverged(self, line: Line) -> bool:
        return any(not_finite(state) is not None for state in self._states(line))

    def detailed(self, *kinds: Kind) -> list[Line]:
        """The first few lines of some kinds of pairs (default: all) of final models; none that diverged."""
        of_kind: dict[Kind, list[Line]] = {}
        for line in self.lines:
            if line.kind.final and (not kinds or line.kind in kinds) and not self._diverged(line):
                of_kind.setdefault(line.kind, []).append(line)
        return [line for lines in of_kind.values() for line in lines[: self.scale.landscape.detailed_pairs]]

    @functools.cached_property
    def measured(self) -> dict[Line, pd.DataFrame]:
        """Along every line the test metrics and losses, and the training loss; NaN where an end diverged."""
        beyond = self.detailed(pairs.TWO_P_T, pairs.TWO_RI_T)
        measured = {}
        for line in self.lines:
            places = self._places(line.kind.papers, self.scale.landscape.outside if line in beyond else 0)
            ends = self.own(line.first), self.own(line.second)
            if self._diverged(line):
                nothing = evaluation.unmeasured(ends[0])
                rows = evaluation.tabulated("alpha", ((alpha, nothing) for alpha in places))
            else:
                rows = barrier.along(self.evaluator, *self._states(line), places, ends=ends)
            measured[line] = rows[
                (rows.split == "test") | ((rows.split == "train") & (rows.metric == "loss"))
            ]
        return measured

    def _places(self, all_of_them: bool, outside: int = 0) -> np.ndarray:
        """Places on a line: as many as the scale says, or every other one of them."""
        points = self.scale.landscape.points[self.role]
        return barrier.alphas(points if all_of_them else (points + 1) // 2, outside)

    def _basin(self, line: Line, delta: float) -> pd.DataFrame:
        """The paper's definition, with noise of ``delta`` relative to the mean norm of the two."""
        first, second = self._states(line)
        rows = self.measured[line]
        on_line = rows[(rows.split == "train") & rows.alpha.between(0, 1)].value.tolist()
        length = delta * (norm(first) + norm(second)) / 2
        quantities = basin.basin(self._training_loss, first, second, length, on_line)
        return pd.DataFrame(quantities.items(), columns=["quantity", "value"])

    def _training_loss(self, state: dict[str, Tensor]) -> float:
        return self.evaluator.measure(state, ("train",))["train", "loss"]

    def _around(self, line: Line) -> pd.DataFrame:
        fractions = np.linspace(0, barrier.REACH, self.scale.landscape.outside + 1).round(barrier.PLACES)
        steps = flat.around(self.evaluator, *self._states(line), fractions, AROUND_DIRECTIONS, ("train",))
        return steps[steps.metric == "loss"]

    def _flatness(self, model: Model) -> Iterator[tuple[str, pd.DataFrame]]:
        """Random steps from a model in training metrics; for the first seed, from its rescaled twin too
        (at the paper's rates)."""
        landscape = self.scale.landscape
        how = {"distances": landscape.flat_distances, "directions": landscape.flat_directions}
        steps = model.named(self.role, flat.flatness(self.evaluator, self.state(model), **how))
        yield "flatness", steps
        if model.seed == self.seeds[0] and model.rate == self.scale.main_rates[model.init]:
            twin = flat.rescaled_twin(self.state(model), self.scale.network, TWIN)
            its_steps = model.named(self.role, flat.flatness(self.evaluator, twin, **how))
            yield "twins", steps.assign(factor=1.0)
            yield "twins", its_steps.assign(factor=TWIN)

    def _aligned(self, line: Line) -> pd.DataFrame:
        """Two RI-T raw, aligned and repaired, on every other place of their line."""
        some = itertools.islice(self.evaluator.splits["train"], REPAIR_BATCHES)
        images = torch.cat([images for images, _ in some])[:REPAIR_IMAGES]
        images = images.contiguous(memory_format=torch.channels_last)
        symmetry = self.evaluator.model.symmetry()
        return alignment.up_to_permutation(
            self.evaluator, *self._states(line), symmetry, self._places(all_of_them=False), images
        )

    def _said(self, line: Line) -> pd.DataFrame:
        """What models on a line say to a few images."""
        domain = data.load(data.request(self.scale, self.role))
        return predictions.said_on_the_way(
            self.evaluator, domain, *self._states(line), self._places(all_of_them=True)
        )
