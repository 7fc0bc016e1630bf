"""Pre-training in two processes of torchrun: what one process trains, also where one of the two is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from images import imagenet

from tlbook import models, scales
from tlbook.questions import grid
from tlbook.training import data_parallel, loop, runs
from tlbook.training.specs import RunSpec

ROOT = Path(__file__).resolve().parent.parent
# 61 images are three batches that two processes share, and one of 13 that both take whole.
SOURCES = {
    "in memory": {"train": 61, "test": 41, "epochs": 4, "batch": 16},
    "in files": {
        **{"dataset": "imagenet", "augmentation": "resized-crop-flip", "normalisation": "imagenet"},
        **{"train": 61, "test": 41, "epochs": 4, "batch": 16},
    },
}
# `tlbook` with a scale of that source, whose processes tell of epochs, keep each, and may kill themselves.
PROGRAM = """
import json, os, signal, sys
from tlbook import cli, scales
from tlbook.training import data_parallel, runs
source, log, killed = json.loads(sys.argv.pop(1)), sys.argv.pop(1), json.loads(sys.argv.pop(1))
scales.SCALES["tiny"] = scales.get("smoke").replace(name="tiny", source=source)
runs.RESUME_SECONDS = -1
life, number, epoch = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), int(os.environ["RANK"]), None
def told(self, rng, epoch=data_parallel.Parallel.epoch):
    with open(log, "a") as file:
        print(life, number, self.state.epoch + 1, file=file)
    for _ in epoch(self, rng):
        if [life, number, self.state.epoch + 1] == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        yield
data_parallel.Parallel.epoch = told
cli.main()
"""


def spec_of(source: dict) -> RunSpec:
    return grid.source(scales.get("smoke").replace(name="tiny", source=source))


def torchrun(folder: Path, source: dict, *words: str, count: int = 2, killed=None):
    """`tlbook train` in so many processes: what was said, and (life, process, epoch) of each epoch begun."""
    program, log = folder / "program.py", folder / "log"
    program.write_text(PROGRAM)
    log.touch()
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--max-restarts", "1")
    tlbook = ("train", *(words or ("source",)), "--scale", "tiny")
    words = (*torchrun, "--nproc-per-node", count, program, json.dumps(source), log, json.dumps(killed))
    done = subprocess.run(
        [sys.executable, *map(str, (*words, *tlbook))], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done, sorted(tuple(map(int, line.split())) for line in log.read_text().splitlines())


@pytest.fixture(params=SOURCES)
def source(request, tmp_path, monkeypatch):
    """Its values, with 61 pictures of many shapes in files where it is read from them."""
    imagenet(tmp_path, train=21, val=14)
    monkeypatch.setenv("TLBOOK_DATA", str(tmp_path))
    return SOURCES[request.param]


def weights(run: runs.Run, epoch: int):
    return models.load(run.checkpoint(epoch))


def apart(one: dict, other: dict) -> float:
    """The largest difference of a weight between two state dicts."""
    return max((one[name] - other[name]).abs().max().item() for name in one)


def hold(run: runs.Run, alone: runs.Run) -> None:
    """The same run but for rounding: weights within a ten-thousandth of how far they move, losses too."""
    assert (run.path / "spec.json").read_bytes() == (alone.path / "spec.json").read_bytes()
    assert run.kept() == alone.kept() and not run.damage
    assert {*run.complete} == {*alone.complete} and "2 processes, cpu" in run.complete["device"]
    start, *epochs = alone.kept()
    assert apart(weights(run, start), weights(alone, start)) == 0
    for epoch in epochs:
        moved = apart(weights(alone, epoch), weights(alone, start))
        assert apart(weights(run, epoch), weights(alone, epoch)) < 1e-4 * moved
    keys = ["epoch", "split", "metric"]
    pd.testing.assert_frame_equal(run.history()[keys], alone.history()[keys])
    losses = [found[found.metric == "loss"].value.tolist() for found in (run.history(), alone.history())]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len({round(loss, 3) for loss in losses[1]}) > 1


def test_two_processes_train_what_one_trains(source, tmp_path, monkeypatch):
    spec = spec_of(source)
    done, epochs = torchrun(tmp_path, source)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == spec.id and done.stdout.count(spec.id) == 2  # the first process says so
    assert epochs == [(0, number, epoch) for number in (0, 1) for epoch in (1, 2, 3, 4)]
    run = runs.find(spec.id)
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "alone"))
    hold(run, runs.ensure(spec))
