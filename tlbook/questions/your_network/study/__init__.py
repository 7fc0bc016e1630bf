"""The study of one network on one set of images: train what fits into the minutes, measure, return tables."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from tlbook import data
from tlbook.errors import TlbookError
from tlbook.models import skeleton
from tlbook.questions.your_network.study import measuring, training
from tlbook.questions.your_network.study.measuring import Measured
from tlbook.questions.your_network.study.training import Asked, Model, Plan
from tlbook.training import runs
from tlbook.training.executors import ensure_all

LEAST_TEST = 4  # images: CKA needs them
LEAST_SEEN = 64  # images that moved weights are measured on, if there are as many
OTHER_ORDER = 20.0  # points of accuracy that another order of the classes may gain


@dataclass
class Found:
    """What a study found: its tables by name, what each network said on the test images (by start and
    seed), how it was run, what was left out, with the reason; the networks, and the images they were measured
    on."""

    asked: Asked
    tables: dict[str, pd.DataFrame]
    said: dict[str, np.ndarray]
    plan: Plan | None
    rates: dict[str, float]
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    models: Sequence[Model] = ()
    here: Measured | None = None


def study(asked: Asked, show: bool = True, say: Callable[[str], None] = print) -> Found:
    """Train from P and from scratch, and measure; within ``asked.minutes`` as measured on this machine."""
    began = time.monotonic()
    _refuse_few(asked)
    cost = training.speed(asked)
    plan = training.fitted(asked, cost)
    say(f"{asked.network}: {1 / cost.step:.0f} images a second, so {plan.words}.")
    ensure_all(training.searched(asked, plan), workers=1, show=show)
    rates = training.chosen_rates(asked, plan)
    main = training.main_runs(asked, plan, rates)
    ensure_all(main.values(), workers=1, show=show)
    models = training.trained(main)
    found = Found(asked, {"search": _search(asked, plan)}, {}, plan, rates)
    found.tables["curves"] = training.histories(main)
    _measure(found, models, say, limit=_limit(asked, cost, models))
    for name, specs in training.controls(asked, plan, rates).items():
        left = 60 * asked.minutes - (time.monotonic() - began)
        needed = cost.of(specs.values())
        if needed > left:
            found.left_out.append(
                f"{CONTROLS[name]}: needs about {_minutes(needed)}, and {_minutes(left)} are left"
            )
            continue
        ensure_all(specs.values(), workers=1, show=show)
        found.tables[name] = training.histories(specs)
    found.seconds = time.monotonic() - began
    return found


CONTROLS = {
    "permuted": "P with its values permuted",
    "shuffled": "images with their blocks shuffled",
    "partial": "partial transfer",
}


def _limit(asked: Asked, cost: training.Speed, models: Sequence[Model]) -> int | None:
    """On how many images moved weights can be measured in their share of the minutes; at least `LEAST_SEEN`,
    the same number of training images where statistics are estimated on them. None: on all."""
    if math.isinf(asked.minutes):
        return None
    network = skeleton(asked.network)
    each = (2 if network.re_estimate else 1) * cost.look * measuring.evaluations(network, models)
    return max(LEAST_SEEN, int(60 * asked.minutes * training.MEASURING / max(each, 1e-9)))


def _minutes(seconds: float) -> str:
    return f"{max(seconds, 0) / 60:.1f} minutes"


def of_models(asked: Asked, models: Sequence[Model], say: Callable[[str], None] = print) -> Found:
    """The same for networks that were trained before: nothing is trained.

    Refused: one that has other classes than the images, or seems to have them in another order.
    """
    began = time.monotonic()
    _refuse_few(asked)
    found = Found(asked, {}, {}, None, {})
    limit = _limit(asked, training.speed(asked), models)
    _measure(found, models, say, limit, _refuse_other_order)
    found.left_out.append(
        "how much sooner, P permuted, shuffled blocks, partial transfer: nothing is trained"
    )
    if any(model.before is None for model in models):
        found.left_out.append(
            "how far networks from scratch moved, and rewinding them: their start is not known"
        )
    found.seconds = time.monotonic() - began
    return found


def _measure(
    found: Found,
    models: Sequence[Model],
    say: Callable[[str], None],
    limit: int | None,
    look: Callable[[Found, Sequence[Model]], None] = lambda found, models: None,
) -> None:
    """Fill in what is measured of networks; ``look`` may refuse them, once it is known what they say."""
    here = found.here = Measured(found.asked, runs.weights(found.asked.start), limit)
    if here.limited:
        found.left_out.append(
            f"lines, averages and rewinding are measured on {limit} of {len(here.domain.test)} test images"
        )
    found.models = models
    mistakes, found.said = measuring.shared_mistakes(here, models)
    look(found, models)
    steps = {
        "ends": lambda: here.ends(models),
        "mistakes": lambda: mistakes,
        "similarity": lambda: measuring.alike(here, models),
        "moved": lambda: measuring.moved(here, models),
        "lines": lambda: measuring.lines(here, models),
        "soups": lambda: measuring.averaged(here, models),
        "rewind": lambda: measuring.rewound(here, models),
        "probe": lambda: measuring.probed(here, {"P": here.p} | _untrained(models)),
    }
    for name, measure in steps.items():
        say(f"Measuring {name} ...")
        table = measure()
        if len(table):
            found.tables[name] = _plain(table)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """A table with modules under the names that their network gives them."""
    if "module" not in table:
        return table
    return table.assign(module=table.module.str.removeprefix("net."))


def _untrained(models: Sequence[Model]) -> dict[str, dict]:
    """The first network from scratch as it was before training."""
    before = [model.before for model in models if model.start == "RI-T" and model.before is not None]
    return {"RI": before[0]} if before else {}


def _search(asked: Asked, plan: Plan) -> pd.DataFrame:
    """The dev and test metrics of every rate that was tried: start, rate, split, metric, value."""
    rows = []
    for spec in training.searched(asked, plan):
        history = runs.ensure(spec).history()
        start = "P-T" if spec.init.kind == "from" else "RI-T"
        rows.append(history[history.epoch == spec.epochs].assign(start=start, rate=spec.rate))
    return pd.concat(rows, ignore_index=True)


def _refuse_few(asked: Asked) -> None:
    found = data.identify(asked.images)
    if found.multilabel:
        raise TlbookError("data: images with several labels each are not studied here.")
    for name, count in {"test": LEAST_TEST, "dev": 1, "train": 2}.items():
        if (there := len(getattr(found, name))) < count:
            raise TlbookError(f"data: {found.dataset} has {there} {name} images, fewer than {count}.")


def _refuse_other_order(found: Found, models: Sequence[Model]) -> None:
    """Refuse networks whose answers fit the classes far better in another order."""
    domain = data.load(found.asked.images)
    labels, count = domain.test.labels.numpy(), len(domain.classes)
    for model in models:
        table = np.zeros((count, count))
        np.add.at(table, (labels, found.said[model.words]), 1)
        rows, columns = linear_sum_assignment(-table)
        here, best = 100 * np.trace(table) / len(labels), 100 * table[rows, columns].sum() / len(labels)
        if best - here > OTHER_ORDER and here < 2 * 100 / count:
            order = ", ".join(domain.classes[:6]) + (" …" if count > 6 else "")
            raise TlbookError(
                f"finetuned, scratch: the network {model.words} is right on {here:.0f} % of the test images, "
                f"and would be on {best:.0f} % with its classes in another order; here they are {order}, "
                "sorted by folder."
            )


__all__ = ["Asked", "Found", "Model", "of_models", "study"]
