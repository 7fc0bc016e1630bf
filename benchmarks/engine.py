"""Many runs at once on one GPU against the plain way, and how near that is to what the card can do.

    python benchmarks/engine.py [--scale laptop|gpu] [--runs N] [--epochs N] [--slots N …] [--quick]

Every way trains the same runs from their beginning to their folder, recording of graphs and saving included;
they take turns in this one run. Plain: one run, image files through PIL and a DataLoader, each operation
called from Python. Ours: `TLBOOK_ENGINE` "graphs" (or "eager", "processes"), so many runs side by side.

Two floors are beside it: a step's operations at the rate that this device multiplies large matrices, and its
kernels at the rate at which this device starts empty ones from a graph. Images are drawn.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import torch
from input import PlainFiles
from pairs import RATIOS, drawn, faster, in_turns
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from tlbook import data, metrics, models, scales
from tlbook.questions import grid
from tlbook.training import executors, loop, replay, runs
from tlbook.training.specs import RunSpec

ROLE = "real"
PRODUCT = 8192  # side of the matrices that are multiplied, on a GPU
STARTED = 1000  # empty kernels of a graph


def specs_of(folder: Path, name: str, count: int, images: int, epochs: int) -> list[RunSpec]:
    """So many RI-T of a scale on that folder, which are measured and kept at their ends only."""
    scale = scales.get(name)
    task = {"dataset": f"folder:{folder}", "train": images, "test": images}
    scale = scale.replace(tasks={ROLE: scale.tasks[ROLE]}, every_target=task, epochs=epochs)
    last = {"measured": (epochs,), "train_measured": (epochs,)}
    every = (grid.ri_t(scale, ROLE, "low", seed, final_only=True) for seed in range(count))
    return [dataclasses.replace(spec, **last) for spec in every]


def ours(specs: list[RunSpec], engine: str, slots: int) -> None:
    """All runs, into a folder of their own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, TLBOOK_RUNS=folder, TLBOOK_ENGINE=engine),
    ):
        executors.ensure_all(specs, workers=slots, show=False)


def plain(spec: RunSpec) -> None:
    """The epochs of one run, without anything special."""
    domain, where = data.load(spec.images), runs.device()
    files = PlainFiles(domain, spec.side, shuffled=False)
    workers = {"num_workers": 8, "persistent_workers": True} if runs.on_gpu() else {}
    source = DataLoader(files, spec.batch, shuffle=True, pin_memory=runs.on_gpu(), **workers)
    model = models.build(spec.network, spec.classes).to(where)
    optimizer = torch.optim.SGD(model.parameter_groups(spec.rate, spec.weight_decay, spec.momentum))
    for _ in range(spec.epochs):
        for images, labels in source:
            with metrics.autocast(torch.device(where).type, spec.precision):
                loss = metrics.loss(model(images.to(where)).float(), labels.to(where))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    wait()


def wait() -> None:
    """Until the device has done all that it was given."""
    if runs.on_gpu():
        torch.cuda.synchronize()


# Floors


def seconds_of(call, times: int = 10) -> float:
    """Seconds of a call on the device, after three that warm up."""
    for _ in range(3):
        call()
    wait()
    began = time.perf_counter()
    for _ in range(times):
        call()
    wait()
    return (time.perf_counter() - began) / times


def floors(spec: RunSpec) -> dict[str, float]:
    """Images a second that neither the products nor the starts of kernels allow to pass."""
    where = runs.device()
    state, domain = loop.initial(spec, None, where), data.load(spec.images)
    made = replay.Replayed(spec, domain, state, where)
    steps = made.epoch(loop.stream("order", 0, 1))
    for _ in range(replay.WARM):
        next(steps)
    made.begun.zero_()
    with FlopCounterMode(display=False) as operations:
        made._step(spec.batch)
    kind = torch.bfloat16 if spec.precision == "bf16" else torch.float32
    side = PRODUCT if runs.on_gpu() else PRODUCT // 16
    left, right = (torch.randn(side, side, device=where, dtype=kind) for _ in range(2))
    rate = 2 * side**3 / seconds_of(lambda: left @ right)
    found = {"operations": spec.batch * rate / operations.get_total_flops()}
    if runs.on_gpu():
        with profile(activities=[ProfilerActivity.CUDA]) as watched:
            made._step(spec.batch)
            wait()
        kernels = sum(event.device_type == DeviceType.CUDA for event in watched.events())
        number = torch.zeros(1, device=where)
        with torch.cuda.stream(torch.cuda.Stream()):
            empty = replay.recorded(lambda: [number.add_(1) for _ in range(STARTED)][-1])
            started = STARTED / seconds_of(empty)
        print(f"a step is {kernels} kernels, and {started:.0f} empty ones are started a second in one stream")
        found["starts, one stream"] = spec.batch * started / kernels
    print(f"products of {side} x {side} {kind}: {rate / 1e12:.2f} TFLOP/s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", default="laptop", choices=("smoke", "laptop", "gpu"))
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2 runs, 40 images, 1 round: does it work?")
    given = parser.parse_args()
    images = scales.get(given.scale).tasks["real"].train
    if given.quick:
        given.runs, given.epochs, given.slots, given.rounds, images = 2, 1, [2], 1, 40
    with tempfile.TemporaryDirectory() as made:
        side = 2 * scales.get(given.scale).side
        specs = specs_of(
            drawn(Path(made) / "drawn", 3 * images, side), given.scale, given.runs, images, given.epochs
        )
        data.load(specs[0].images)
        engines = ["graphs"] if runs.on_gpu() else []
        engines += ["eager"] if given.quick else ["eager", "processes"]
        ways = {
            f"{engine}, {slots} side by side": lambda engine=engine, slots=slots: ours(specs, engine, slots)
            for engine in engines
            for slots in given.slots
        }
        seconds = in_turns({"plain": lambda: plain(specs[0])} | ways, given.rounds)
        alone = [given.runs * once for once in seconds.pop("plain")]
        passes = given.runs * given.epochs * specs[0].examples
        print(f"torch {torch.__version__}, {runs.environment(runs.device())['device']}, {specs[0].network}")
        print(f"{'images/s, medians':30} {'ours':>9} {'plain':>9}   faster: {RATIOS}")
        for name, once in seconds.items():
            speeds = [passes / statistics.median(each) for each in (once, alone)]
            print(f"{name:30} {speeds[0]:9.0f} {speeds[1]:9.0f}   {faster(once, alone)}", flush=True)
        for name, speed in floors(specs[0]).items():
            print(f"{'floor: ' + name:30} {speed:9.0f}")


if __name__ == "__main__":
    main()
