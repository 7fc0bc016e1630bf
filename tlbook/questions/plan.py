"""What a scale costs, counted from the studies before anything is trained."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Sequence

import pandas as pd
import torch

from tlbook import metrics, questions, scales
from tlbook.models import build
from tlbook.question import Question
from tlbook.scales import Scale
from tlbook.training import loop, runs, weight_files
from tlbook.training.specs import RunSpec

BYTES = 4  # of a weight


def plan(
    scale: Scale, targets: Sequence[str], seeds: Sequence[int], asked: Sequence[Question] = ()
) -> pd.DataFrame:
    """Runs, image-passes and disk of each question, and of all together (shared runs counted once).

    A run that an earlier row has already is not counted again. Columns: question, runs, done (already
    trained), passes (one image forward and backward counts 1, an evaluated one a third), longest (passes of
    the longest chain of runs of which each starts from the one before), gigabytes of kept weights.
    """
    seen: dict[str, RunSpec] = {}
    rows = []
    for question in asked or questions.every().values():
        specs = {spec.id: spec for spec in question.study().runs(scale, targets, seeds)}
        new = [spec for run_id, spec in specs.items() if run_id not in seen]
        seen |= specs
        rows.append({"question": question.name} | _count(new))
    return pd.DataFrame([*rows, {"question": "all"} | _count(list(seen.values()))])


def of_every_scale(question: Question, targets: Sequence[str]) -> pd.DataFrame:
    """What a question needs at each scale as it stands, counted as declared, without a look at real images.

    Columns: scale; runs, all that it reads; shared, those that earlier questions train anyway; new; and the
    image-passes of the new ones in millions.
    """
    rows = []
    for name, scale in scales.SCALES.items():
        scale = with_p(scale.replace(declared=True))
        there = [role for role in targets if role in scale.targets]
        needed = question.study().runs(scale, there, scale.seeds)
        earlier = itertools.takewhile(lambda one: one is not question, questions.every().values())
        trained = {spec.id for one in earlier for spec in one.study().runs(scale, there, scale.seeds)}
        new = [spec for spec in needed if spec.id not in trained]
        counts = {"runs": len(needed), "shared": len(needed) - len(new), "new": len(new)}
        rows.append(
            {"scale": name} | counts | {"million image-passes": sum(spec.passes for spec in new) / 1e6}
        )
    return pd.DataFrame(rows)


def durations(counted: pd.DataFrame, speed: float, workers: Sequence[int]) -> pd.DataFrame:
    """A `plan` with its hours on so many workers of ``speed`` passes a second each, instead of ``longest``:
    no shorter than the longest chain of runs takes on one. In minutes where no question takes an hour."""
    found = counted.drop(columns="longest")
    unit, seconds = ("hours", 3600) if counted.passes.max() / speed >= 3600 else ("minutes", 60)
    for count in workers:
        name = unit if len(workers) == 1 else f"{unit} on {count}"
        found[name] = ((counted.passes / count).clip(lower=counted.longest) / speed / seconds).round(2)
    return found


def with_p(scale: Scale) -> Scale:
    """The scale, with a P that is trained where one would be shipped and is not yet."""
    there = scale.pretrained != "shipped" or weight_files.is_shipped(scale.name)
    return scale if there else scale.replace(pretrained="train")


def throughput(scale: Scale, seconds: float = 2.0) -> float:
    """Image-passes per second of one worker (one thread) on this machine, measured on made-up images."""
    where = runs.device()
    batch = scale.task(scale.targets[0]).batch
    loop.prepare()
    with runs.threads(1):
        model = build(scale.network, 10).to(where, memory_format=torch.channels_last)
        images = torch.randn(batch, 3, scale.side, scale.side, device=where)
        images = images.contiguous(memory_format=torch.channels_last)
        count, started = -batch, time.monotonic()  # the first batch warms up
        while count <= 0 or time.monotonic() - started < seconds:
            if count == 0:
                started = time.monotonic()
            with metrics.autocast(images.device.type, scale.precision):
                loss = model(images).square().mean()
            loss.backward()
            loss.item()  # waits for the device
            count += batch
    return count / (time.monotonic() - started)


def _count(specs: list[RunSpec]) -> dict:
    kept = sum((len(s.kept) + s.keep_best) * _parameters(s.network) for s in specs)
    chains: dict[str, float] = {}
    for spec in sorted(specs, key=lambda spec: spec.parent is not None):
        chains[spec.id] = spec.passes + chains.get(spec.parent, 0)
    return {
        "runs": len(specs),
        "done": sum(runs.find(spec.id) is not None for spec in specs),
        "passes": round(sum(spec.passes for spec in specs)),
        "longest": round(max(chains.values(), default=0)),
        "gigabytes": round(kept * BYTES / 1e9, 3),
    }


@functools.cache
def _parameters(network: str) -> int:
    return sum(parameter.numel() for parameter in build(network, 10).parameters())
