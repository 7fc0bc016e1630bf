"""Question 3: barriers and basins of the loss landscape (paper, section 3.3, Figures 4 and 16)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tlbook import data, models
from tlbook.data import batches
from tlbook.data.shuffles import Shuffle
from tlbook.errors import TlbookError
from tlbook.models.interpolation import difference, norm, not_finite
from tlbook.questions.loss_landscape import QUESTION
from tlbook.questions.loss_landscape.method import alignment, barrier, basin, soups
from tlbook.questions.loss_landscape.method import flatness as flat
from tlbook.questions.loss_landscape.method.evaluation import Evaluator, Resident
from tlbook.questions.loss_landscape.study import pairs as pairs
from tlbook.questions.loss_landscape.study.images import said_on_the_way
from tlbook.questions.loss_landscape.study.pairs import Line, Model
from tlbook.scales import Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import device, ensure, find
from tlbook.training.specs import RunSpec

TWIN = 4.0  # factor of the rescaled twin
AROUND_DIRECTIONS = 4
REPAIR_IMAGES = 1000  # at most so many training images set the repaired statistics
SPLITS = ("train", "dev", "test")


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: sources, question 1's unshuffled runs, and the controls."""
    return pairs.specs(scale, targets, seeds)


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`) that have rows; trains what is missing.

    ``how`` goes to `ensure_all`. With one seed there are no pairs of a kind, and so no such rows.
    """
    ensure_all(runs(scale, targets, seeds), **how)
    made = [Landscape(scale, role, seeds).tables() for role in targets]
    found = {}
    for name, table in QUESTION.tables.items():
        frames = [of_role[name] for of_role in made if len(of_role[name])]
        if frames:
            found[name] = pd.concat(frames, ignore_index=True)[table.names]
    return found


def two_models(
    scale: Scale, role: str, init: str, seeds: Sequence[int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The final weights of the first two runs of an init at its rate in the paper, to look at by hand.

    Refused, in one sentence, where there is one seed only or a run is not finished on this machine.
    """
    if len(seeds) < 2:
        raise TlbookError("A line needs two models, and so two seeds.")
    found = [pairs.model(scale, role, init, scale.main_rates[init], seed).spec for seed in seeds[:2]]
    for spec in found:
        if find(spec.id) is None:
            raise TlbookError(f"The run {spec.label} is not on this machine.")
    first, second = (find(spec.id).weights("final") for spec in found)
    return first, second


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
        self.models = pairs.main_models(scale, role, seeds)
        self.domain = data.load(data.request(scale, role))
        self.evaluator = evaluator(scale, role)
        self._weights: dict[tuple[str, str], dict[str, Tensor]] = {}
        self._own: dict[tuple[str, str], dict] = {}

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table's rows of this role, by name; a frame may be empty."""
        return {
            "interpolation": self.interpolation,
            "barriers": barrier.barriers(self.interpolation),
            "basins": self.basins(),
            "around": self.around(),
            "flatness": self.flatness,
            "twins": self.twins(),
            "alignment": self.alignment(),
            "soups": self.soups(),
            "predictions": self.predictions(),
        }

    def state(self, model: Model) -> dict[str, Tensor]:
        """A model's weights on the device, read once."""
        key = model.spec.id, model.at
        if key not in self._weights:
            found = ensure(model.spec).weights(model.at)
            weights = models.learned(self.scale.network, found)
            self._weights[key] = {name: tensor.to(device()) for name, tensor in weights.items()}
        return self._weights[key]

    def states(self, line: Line) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The weights of a line's two ends."""
        return self.state(line.first), self.state(line.second)

    def own(self, model: Model) -> dict:
        """A model's own metrics, measured once."""
        key = model.spec.id, model.at
        if key not in self._own:
            self._own[key] = self.evaluator.measure(self.state(model))
        return self._own[key]

    def diverged(self, *some: Model) -> bool:
        """Whether one of the models holds values that are no finite numbers."""
        return any(not_finite(self.state(model)) is not None for model in some)

    @functools.cached_property
    def interpolation(self) -> pd.DataFrame:
        """Metrics along every line; NaN all along where an end diverged."""
        frames = [line.named(self._along(line)) for line in self.lines]
        return pd.concat(frames, ignore_index=True) if frames else _joined("interpolation", [])

    def _along(self, line: Line) -> pd.DataFrame:
        """Test metrics and losses, and the training loss."""
        if line.papers:
            outside = self.scale.landscape.outside if line in self._papers(line.first.init) else 0
            places = barrier.alphas(self.scale.landscape.points[self.role], outside)
        else:
            places = self._every_other()
        if self.diverged(line.first, line.second):
            found = _nothing("alpha", places, self.own(line.first))
        else:
            ends = self.own(line.first), self.own(line.second)
            found = barrier.along(self.evaluator, *self.states(line), places, ends=ends)
        return found[(found.split == "test") | ((found.split == "train") & (found.metric == "loss"))]

    def _every_other(self) -> np.ndarray:
        return barrier.alphas((self.scale.landscape.points[self.role] + 1) // 2)

    @functools.cached_property
    def _detailed(self) -> list[Line]:
        """The first few lines of each kind between final models, none of which diverged."""
        found: dict[tuple, list[Line]] = {}
        for line in self.lines:
            if line.final and not self.diverged(line.first, line.second):
                found.setdefault((line.pairing, line.kind), []).append(line)
        return [line for kind in found.values() for line in kind[: self.scale.landscape.detailed_pairs]]

    def _papers(self, init: str) -> list[Line]:
        """Those of them that lie between two independent models of an init, at its rate in the paper."""
        wanted = "independent", init, init
        return [
            line
            for line in self._detailed
            if line.papers and (line.pairing, line.first.init, line.second.init) == wanted
        ]

    def _training_loss(self, state: dict[str, Tensor]) -> float:
        return self.evaluator.measure(state, ("train",))["train", "loss"]

    def basins(self) -> pd.DataFrame:
        """The paper's definition on the detailed lines, for each delta."""
        frames = []
        for line in self._detailed:
            first, second = self.states(line)
            mean_norm = (norm(first) + norm(second)) / 2
            for delta in self.scale.landscape.basin_deltas:
                found = basin.basin(
                    self._training_loss, first, second, delta * mean_norm, self._losses_between(line)
                )
                found["distance"] = norm(difference(first, second))
                rows = pd.DataFrame(found.items(), columns=["quantity", "value"])
                frames.append(line.named(rows).assign(delta=float(delta)))
        return _joined("basins", frames)

    def _losses_between(self, line: Line) -> list[float]:
        """Training losses at the evenly spaced places of a line, in order."""
        rows = self._training_losses(line)
        return rows[rows.alpha.between(0, 1)].sort_values("alpha").value.tolist()

    def _training_losses(self, line: Line) -> pd.DataFrame:
        """The rows of the table interpolation with a final line's training loss."""
        rows = self.interpolation
        own = (rows.pairing == line.pairing) & (rows.checkpoint == "final") & (rows.checkpoint_b == "final")
        for name, value in line.keys.items():
            own &= rows[name] == value
        return rows[own & (rows.split == "train")]

    def around(self) -> pd.DataFrame:
        """Random steps from the ends of the paper's lines, as long as parts of the line."""
        fractions = np.linspace(0, barrier.REACH, self.scale.landscape.outside + 1).round(barrier.PLACES)
        frames = []
        for line in (*self._papers("P-T"), *self._papers("RI-T")):
            found = flat.around(self.evaluator, *self.states(line), fractions, AROUND_DIRECTIONS, ("train",))
            found = found[found.metric == "loss"].assign(direction="random")
            frames.append(line.named(pd.concat([found, self._past_the_ends(line)])))
        return _joined("around", frames)

    def _past_the_ends(self, line: Line) -> pd.DataFrame:
        """The same lengths along the line itself, from the table interpolation."""
        rows = self._training_losses(line)
        before, after = rows[rows.alpha <= 0], rows[rows.alpha >= 1]
        parts = [before.assign(end="first", fraction=before.alpha.abs())]
        parts.append(after.assign(end="second", fraction=(after.alpha - 1).round(barrier.PLACES)))
        return pd.concat(parts).assign(direction="line")

    @functools.cached_property
    def flatness(self) -> pd.DataFrame:
        """Random steps from every model at the paper's rates, in training metrics."""
        return _joined("flatness", [model.named(self.role, self._flatness(model)) for model in self.models])

    def _flatness(self, model: Model, twin: float = 1.0) -> pd.DataFrame:
        distances = self.scale.landscape.flat_distances
        state = self.state(model)
        if twin != 1:
            state = flat.rescaled_twin(state, self.scale.network, twin)
        if not_finite(state) is not None:
            own = self.evaluator.measure(state, ("train",))
            found = [_nothing("distance", (0.0, *distances), own)] * 2
            return pd.concat(
                [f.assign(normalisation=name) for f, name in zip(found, flat.NORMALISATIONS, strict=True)]
            )
        return flat.flatness(self.evaluator, state, distances, self.scale.landscape.flat_directions)

    def twins(self) -> pd.DataFrame:
        """Flatness of the first model of each init and of its twin."""
        frames = []
        for model in (one for one in self.models if one.seed == self.seeds[0]):
            own = self.flatness
            own = own[(own.init == model.init) & (own.rate == model.rate) & (own.seed == model.seed)]
            frames.append(own.assign(factor=1.0))
            frames.append(model.named(self.role, self._flatness(model, TWIN)).assign(factor=TWIN))
        return _joined("twins", frames)

    def alignment(self) -> pd.DataFrame:
        """Two RI-T raw, aligned and repaired, on every other place of their line; none where the network's
        symmetry is not known."""
        places, images = self._every_other(), self._images_for_repair()
        table = self.evaluator.model.symmetry()
        frames = []
        for line in self._papers("RI-T") if table else ():
            found = alignment.up_to_permutation(self.evaluator, *self.states(line), table, places, images)
            frames.append(line.named(found))
        return _joined("alignment", frames)

    def _images_for_repair(self) -> Tensor:
        parts, count = [], 0
        for images, _ in self.evaluator.splits["train"]:
            parts.append(images[: REPAIR_IMAGES - count])
            count += len(parts[-1])
            if count >= REPAIR_IMAGES:
                break
        return torch.cat(parts).contiguous(memory_format=torch.channels_last)

    def soups(self) -> pd.DataFrame:
        """Averages of the models of each group, of all and with each seed left out."""
        known = functools.cache(lambda model: soups.predicted(self.evaluator, self.state(model)))
        frames = []
        for keys, group in pairs.groups(self.scale, self.role, self.seeds):
            seeds = sorted({model.seed for model in group})
            for left_out in (None, *seeds):
                members = [model for model in group if model.seed != left_out]
                if len(members) < 2 or self.diverged(*members):
                    continue
                states = [self.state(model) for model in members]
                metric = self.scale.metric[self.role]
                found = soups.soup(self.evaluator, states, metric, [known(model) for model in members])
                out = "-" if left_out is None else str(left_out)
                frames.append(found.assign(role=self.role, left_out=out, members=len(members), **keys))
        return _joined("soups", frames)

    def predictions(self) -> pd.DataFrame:
        """What the first line of each kind of the paper says to a few images on the way."""
        chosen: dict[tuple, Line] = {}
        for line in self._detailed:
            if line.papers and line.pairing == "independent":
                chosen.setdefault(line.kind, line)
        return _joined("predictions", [line.named(self._said(line)) for line in chosen.values()])

    def _said(self, line: Line) -> pd.DataFrame:
        places = barrier.alphas(self.scale.landscape.points[self.role])
        return said_on_the_way(self.evaluator, self.domain, *self.states(line), places)


def _nothing(place: str, places: Sequence[float], values: dict) -> pd.DataFrame:
    """NaN at every place in the metrics of ``values``: what is recorded of a model that diverged."""
    rows = [(float(at), split, metric, np.nan) for at in places for split, metric in values]
    return pd.DataFrame(rows, columns=[place, "split", "metric", "value"])


def _joined(name: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames under each other as a table, its columns in order; an empty table if there are none."""
    names = QUESTION.table(name).names
    return pd.concat(frames, ignore_index=True)[names] if frames else pd.DataFrame(columns=names)
