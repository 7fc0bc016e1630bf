"""What is measured on trained networks: mistakes, features, distances, lines, soups, rewinding, a probe.

The algorithms are those of the five questions; here they meet any network. Weights are compared and moved as
parameters, each once; what a network measures and does not learn is estimated anew wherever they were moved.
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from tlbook import data, metrics
from tlbook.data import Domain, Examples
from tlbook.data.batches import View
from tlbook.data.shuffles import Shuffle
from tlbook.models import Network, skeleton
from tlbook.models.interpolation import check_pair, not_finite
from tlbook.questions.differences.method import features, mistakes, similarity
from tlbook.questions.differences.method.distance import by_module, norms
from tlbook.questions.loss_landscape.method import barrier, soups
from tlbook.questions.loss_landscape.method.evaluation import Evaluator, Resident
from tlbook.questions.your_network.study.networks import drawn
from tlbook.questions.your_network.study.training import Asked, Model
from tlbook.training import runs

SPLITS = ("train", "dev", "test")
ALPHAS = barrier.alphas(11)
PAIRS = 6  # of a kind of pairs, at most
COMPARED = 256  # test images, at most, on which features are compared
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the probe's inverse regularisation, chosen on dev
P = "P"
State = Mapping[str, Tensor]


class Measured:
    """The images of a study on the device, and what any weights of its network do on them.

    ``limit`` is how many test images moved weights are measured on (`lines`, `averaged`, `rewound`), and on
    how many training images their statistics are estimated; None for all.
    """

    def __init__(self, asked: Asked, p: State, limit: int | None = None):
        self.asked, self.device = asked, runs.device()
        self.domain: Domain = data.load(asked.images)
        view = View.of(self.domain, asked.images.side, asked.normalisation, Shuffle.none())
        parts = {name: getattr(self.domain, name) for name in SPLITS}
        self.resident = {name: Resident(part, view, self.device) for name, part in parts.items()}
        self.compared = Resident(spread(self.domain.test, COMPARED), view, self.device)
        moved = {
            name: self.resident[name]
            if limit is None or len(part) <= limit
            else Resident(spread(part, limit), view, self.device)
            for name, part in parts.items()
        }
        self.evaluator = Evaluator(self.network(p), moved)
        self.limited = limit is not None and limit < len(parts["test"])
        self.p = p

    def network(self, state: State) -> Network:
        """The network with the body of a state dict, and its head where that has as many classes as the
        images; a drawn one, always the same, where not. With the statistics of the state dict."""
        model = drawn(self.asked.network, len(self.domain.classes))
        own, head = model.state_dict(), f"{model.head}."
        fits = {n: v for n, v in state.items() if n in own and v.shape == own[n].shape}
        whole = all(n in fits for n in own if n.startswith(head))
        kept = {n: v for n, v in fits.items() if whole or not n.startswith(head)}
        model.load_state_dict(own | kept)
        return model.to(self.device, memory_format=torch.channels_last).eval()

    def learned(self, state: State) -> dict[str, Tensor]:
        """The parameters of a state dict, each once, on the device."""
        return {name: state[name].to(self.device) for name, _ in self.evaluator.model.named_parameters()}

    def ends(self, models: Sequence[Model]) -> pd.DataFrame:
        """Test and training metrics of networks as they are: start, seed, split, metric, value."""
        rows = []
        for model in models:
            values = {}
            network = self.network(model.state)
            for split in SPLITS:
                found = metrics.measure(*metrics.predict(network, self.resident[split]), "accuracy")
                values |= {(split, metric): value for metric, value in found.items()}
            named = {"start": model.start, "seed": model.seed}
            rows += [named | {"split": s, "metric": m, "value": v} for (s, m), v in values.items()]
        return pd.DataFrame(rows)


def spread(examples: Examples, count: int) -> Examples:
    """At most so many examples, evenly spread over all."""
    places = np.linspace(0, len(examples) - 1, min(count, len(examples))).astype(int)
    return examples.some(places)


def evaluations(network: Network, models: Sequence[Model]) -> int:
    """How many times `lines`, `averaged` and `rewound` run all of their images through a network."""
    on_lines = len(ALPHAS) * len(list(pairs(models)))
    averages = sum(2 * count + 2 for count in Counter(model.start for model in models).values())
    set_back = sum(2 * len(network.members()) for model in models if model.before is not None)
    return on_lines + averages + set_back


def pairs(models: Sequence[Model]) -> Iterator[tuple[Model, Model]]:
    """The first `PAIRS` of each kind: two of one start, or one of each."""
    kinds: Counter[str] = Counter()
    for first, second in itertools.combinations(models, 2):
        kind = named(first, second)["kind"]
        kinds[kind] += 1
        if kinds[kind] <= PAIRS:
            yield first, second


def named(first: Model, second: Model) -> dict[str, str | int]:
    """The columns that name a pair."""
    return {"kind": f"{first.start} & {second.start}", "seed": first.seed, "seed_b": second.seed}


# Mistakes (question 2)


def shared_mistakes(here: Measured, models: Sequence[Model]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """How consistent mistakes are: kind, seed, seed_b, metric (shared, kappa, agreement), value; and what
    each network said on the test images, by its `Model.words`."""
    labels = here.domain.test.labels.numpy()
    said = {}
    for model in models:
        logits, _ = metrics.predict(here.network(model.state), here.resident["test"])
        said[model.words] = mistakes.predicted(logits.numpy(), len(here.domain.classes), False)[0]
    rows = []
    for first, second in pairs(models):
        one, other = said[first.words], said[second.words]
        counts = mistakes.cells(mistakes.right(one, labels), mistakes.right(other, labels)).sum(0)
        values = mistakes.consistency(counts) | {"agreement": np.mean(one == other)}
        rows += [named(first, second) | {"metric": m, "value": float(v)} for m, v in values.items()]
    return pd.DataFrame(rows), said


# Features (question 2)


def alike(here: Measured, models: Sequence[Model]) -> pd.DataFrame:
    """Linear CKA of the outputs of each place between networks, and with P: kind, seed, seed_b, module,
    metric (cka, cka_debiased), value. Of P's head, which knows other classes, nothing."""
    networks = {model.words: here.network(model.state) for model in models} | {P: here.network(here.p)}
    places = comparable(networks[P], here)
    count = min(COMPARED, len(here.domain.test))
    rows = []
    for place in places:  # one at a time: early ones are large
        chunk = similarity.Chunk(networks, count, neighbours=0)
        for name, model in networks.items():
            chunk.put(name, features.outputs(model, here.compared, [place])[place])
        values = similarity.compare([chunk])
        at = {name: number for number, name in enumerate(networks)}
        compared = [(named(a, b), at[a.words], at[b.words]) for a, b in pairs(models)]
        if place != networks[P].head:
            with_p = {"seed_b": 0}
            compared += [
                ({"kind": f"{m.start} & P", "seed": m.seed} | with_p, at[m.words], at[P]) for m in models
            ]
        for keys, i, j in compared:
            for metric in ("cka", "cka_debiased"):
                rows.append(keys | {"module": place, "metric": metric, "value": float(values[metric][i, j])})
    return pd.DataFrame(rows)


@torch.no_grad()
def comparable(model: Network, here: Measured) -> list[str]:
    """The places of a network that put out one tensor with a row an image, whose features can be compared."""
    images = next(iter(here.compared))[0][:2]
    found, handles = {}, []
    for place in model.places():
        handles.append(
            model.get_submodule(place).register_forward_hook(
                lambda _, given, out, place=place: found.setdefault(place, []).append(out)
            )
        )
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return [p for p, outs in found.items() if len(outs) == 1 and _one_row_an_image(outs[0], len(images))]


def _one_row_an_image(output: object, count: int) -> bool:
    return isinstance(output, Tensor) and output.ndim > 1 and len(output) == count


# Distances (question 2)


def moved(here: Measured, models: Sequence[Model]) -> pd.DataFrame:
    """How far each module moved from where it started: start, seed, module, metric (l2; l2_relative, in
    units of the module's length in P), value; of networks whose start is known, without the head."""
    network, p = here.asked.network, here.learned(here.p)
    lengths = norms(network, p)
    rows = []
    for model in models:
        if model.before is None:
            continue
        states = here.learned(model.before), here.learned(model.state)
        for module, (square, _) in by_module(network, *states, head=False).items():
            named_ = {"start": model.start, "seed": model.seed, "module": module}
            rows.append(named_ | {"metric": "l2", "value": square**0.5})
            if lengths.get(module):
                relative = square**0.5 / lengths[module]
                rows.append(named_ | {"metric": "l2_relative", "value": relative})
    return pd.DataFrame(rows)


# Lines and soups (question 3)


def lines(here: Measured, models: Sequence[Model]) -> pd.DataFrame:
    """Test metrics on straight lines between networks: kind, seed, seed_b, alpha, split, metric, value. A
    network that diverged has none."""
    parts = []
    for first, second in pairs(models):
        states = here.learned(first.state), here.learned(second.state)
        if any(not_finite(state) for state in states):
            continue
        check_pair(*states)
        along = barrier.along(here.evaluator, *states, ALPHAS, ("test",))
        parts.append(along.assign(**named(first, second)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def averaged(here: Measured, models: Sequence[Model]) -> pd.DataFrame:
    """What the average of all networks of a start gives, with each seed left out too: start, left_out,
    members, kind (soup, members, best, ensemble), split, metric, value."""
    parts = []
    for start in dict.fromkeys(model.start for model in models):
        of_start = [(m.seed, here.learned(m.state)) for m in models if m.start == start]
        if len(of_start) > 1:
            table = soups.leave_one_out(here.evaluator, of_start, "accuracy")
            parts.append(table.assign(start=start))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


# Rewinding (question 4)


def rewound(here: Measured, models: Sequence[Model]) -> pd.DataFrame:
    """Test metrics with modules set back to where they started: start, seed, together, module, metric, value.

    ``together`` "alone": that module; "up to": it and all before it. Module "none" is the network as it is,
    its statistics estimated like the others'. Of networks whose start is known, the head left as it is.
    """
    members = skeleton(here.asked.network).members()
    body = [(m, names) for m, names in members.items() if m != here.evaluator.model.head]
    variants = {("alone", "none"): (), **{("alone", module): names for module, names in body}}
    for number, (module, _) in enumerate(body[1:], 2):
        variants["up to", module] = tuple(name for _, names in body[:number] for name in names)
    rows = []
    for model in models:
        if model.before is None or not_finite(model.state):
            continue
        before, state = here.learned(model.before), here.learned(model.state)
        for (together, module), names in variants.items():
            values = here.evaluator.measure(state | {name: before[name] for name in names}, ("test",))
            keys = {"start": model.start, "seed": model.seed, "together": together, "module": module}
            rows += [keys | {"metric": metric, "value": value} for (_, metric), value in values.items()]
    return pd.DataFrame(rows)


# A linear probe (Alain & Bengio 2016)


def probed(here: Measured, states: Mapping[str, State]) -> pd.DataFrame:
    """Test accuracy of a linear classifier on each place's outputs, averaged over positions, with nothing
    else trained: start, module, metric, value. Its regularisation is the best on dev, of equals the
    strongest."""
    labels = {split: getattr(here.domain, split).labels.numpy() for split in SPLITS}
    rows = []
    for start, state in states.items():
        model = here.network(state)
        places = [place for place in comparable(model, here) if place != model.head]
        if not places:
            continue
        of_split = {split: _pooled(model, here.resident[split], places) for split in SPLITS}
        for place in places:
            x = {split: outputs[place] for split, outputs in of_split.items()}
            if not all(np.isfinite(values).all() for values in x.values()):
                continue
            fits = [_fit(x["train"], labels["train"], strength) for strength in STRENGTHS]
            best = max(fits, key=lambda fit: fit.score(x["dev"], labels["dev"]))
            value = 100 * best.score(x["test"], labels["test"])
            rows.append({"start": start, "module": place, "metric": "accuracy", "value": value})
    return pd.DataFrame(rows)


def _fit(x: np.ndarray, labels: np.ndarray, strength: float):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # close enough: it is scored as it is
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200)).fit(x, labels)


def _pooled(model: Network, batches: Resident, places: Sequence[str]) -> dict[str, np.ndarray]:
    """Outputs averaged over positions (n, features) of each place, a batch at a time."""
    parts: dict[str, list[Tensor]] = {place: [] for place in places}
    for batch in batches:
        for place, output in features.outputs(model, [batch], places).items():
            parts[place].append(pooled(output).cpu())
    return {place: torch.cat(found).numpy() for place, found in parts.items()}


def pooled(output: Tensor) -> Tensor:
    """(n, c) of (n, c, h, w), (n, h, w, c) with square maps, (n, tokens, c), or (n, c)."""
    if output.ndim == 4:
        last = output.shape[1] == output.shape[2] != output.shape[3]
        return output.mean((1, 2) if last else (2, 3))
    return output.flatten(1, -2).mean(1) if output.ndim > 2 else output
