"""Pre-training in two processes of torchrun: what one process trains, also where one of the two is killed."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import one_sentence
from images import imagenet

from tlbook import models, scales
from tlbook.questions import grid
from tlbook.training import data_parallel, runs
from tlbook.training.specs import RunSpec

ROOT = Path(__file__).resolve().parent.parent
# 61 images are three batches that two processes share, and one of 13 that both take whole.
IN_MEMORY = {"train": 61, "test": 41, "epochs": 4, "batch": 16}
OF_PAPER = {"dataset": "imagenet", "augmentation": "resized-crop-flip", "normalisation": "imagenet"}
IN_FILES = IN_MEMORY | OF_PAPER
# `tlbook` with a scale of that source, whose processes tell of epochs, keep each, and may kill themselves.
PROGRAM = """
import json, os, signal, sys
from tlbook import cli, scales
from tlbook.training import data_parallel, runs
source, log, killed = json.loads(sys.argv.pop(1)), sys.argv.pop(1), json.loads(sys.argv.pop(1))
scales.SCALES["tiny"] = scales.get("smoke").replace(name="tiny", source=source)
runs.RESUME_SECONDS = -1
life, number = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), int(os.environ["RANK"])
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


def torchrun(folder: Path, source: dict, killed: list[int] | None = None):
    """`tlbook train source` in two processes: what was said, and (life, process, epoch) of epochs begun."""
    program, log = folder / "program.py", folder / "log"
    program.write_text(PROGRAM)
    log.touch()
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--max-restarts", "1")
    given = ("--nproc-per-node", "2", program, json.dumps(source), log, json.dumps(killed))
    words = (sys.executable, *torchrun, *given, "train", "source", "--scale", "tiny")
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=900,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", data_parallel.FRESH: "1"},
    )  # fmt: skip
    return done, sorted(tuple(map(int, line.split())) for line in log.read_text().splitlines())


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


def test_two_processes_train_what_one_trains(tmp_path, monkeypatch):
    imagenet(tmp_path, train=21, val=14)  # of many shapes
    monkeypatch.setenv("TLBOOK_DATA", str(tmp_path))
    spec = spec_of(IN_FILES)
    done, epochs = torchrun(tmp_path, IN_FILES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == spec.id and done.stdout.count(spec.id) == 2  # the first process says so
    assert epochs == [(0, number, epoch) for number in (0, 1) for epoch in (1, 2, 3, 4)]
    run = runs.find(spec.id)
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "alone"))
    hold(run, runs.ensure(spec))


def test_a_lost_process_is_started_again_and_all_go_on_from_the_last_resume_point(tmp_path, monkeypatch):
    done, epochs = torchrun(tmp_path, IN_MEMORY, killed=[0, 1, 3])
    assert done.returncode == 0, done.stderr
    before, after = ([told for told in epochs if told[0] == life] for life in (0, 1))
    assert before == [(0, number, epoch) for number in (0, 1) for epoch in (1, 2, 3)]
    assert after == [(1, number, epoch) for number in (0, 1) for epoch in (3, 4)]
    run = runs.find(spec_of(IN_MEMORY).id)
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "alone"))
    hold(run, runs.ensure(spec_of(IN_MEMORY)))


@pytest.fixture
def process(monkeypatch):
    """Let this process be one of so many that torchrun has started."""

    def begin(count):
        for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": count}.items():
            monkeypatch.setenv(name, str(value))

    return begin


def test_processes_that_cannot_share_a_batch_are_refused_in_one_sentence(process, refused):
    spec = spec_of(IN_MEMORY)
    process(6)
    match = "6 processes cannot share a batch of 16 images equally; use 1, 2, 4, 8 or 16 processes"
    refused(match, data_parallel.ensure, spec)
    refused("--retrain would begin anew", data_parallel.ensure, dataclasses.replace(spec, batch=18), True)


def test_restarts_that_could_not_find_each_other_are_refused_in_one_sentence(process, refused, monkeypatch):
    process(2)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    refused("needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1", data_parallel.ensure, spec_of(IN_MEMORY))


def test_another_role_is_refused_in_one_sentence(process, command):
    process(2)
    code, _, said = command("train", "quickdraw", "--scale", "smoke")
    assert code == 2 and one_sentence(said.strip()) and "not a run on quickdraw" in said


def test_a_process_that_does_not_see_the_runs_folder_says_so(refused):
    spec = spec_of(IN_MEMORY)
    match = "the first process is at epoch 3: TLBOOK_RUNS must be one folder"
    refused(match, data_parallel._follow, spec, 3, 9)
