"""SIGKILL at random moments: of training, of saving weights, of recording. Nothing that was whole is lost.

A build is killed in test_two_builds.py, and the places where a kill would hurt most one by one in
test_runs.py and test_records.py.
"""

import dataclasses
import multiprocessing
import os
import pickle
import random
import signal
import time

import pandas as pd
import torch
from conftest import DEEP

from tlbook import models
from tlbook.book import records
from tlbook.questions import grid
from tlbook.training import runs

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tlbook.training.runs", "tlbook.book.records", "test_kills"])
SHARE = 1 if DEEP else 10  # of the kills, one in so many


def killed(call, *args, after):
    """Run something in a process of its own and kill that after some seconds; whether it was still at it."""
    process = FORK.Process(target=begun, args=(dict(os.environ), call, args))
    process.start()
    process.join(after)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return alive


def begun(environment, call, args):
    os.environ.update(environment)
    torch.set_num_threads(1)
    call(*args)


def train(file):
    runs.RESUME_SECONDS = -1  # after each epoch
    runs.ensure(pickle.loads(file))


def save_for_ever(path):
    for value in range(10**6):
        models.save({"a": torch.full((300, 300), float(value)), "b": torch.full((9,), float(value))}, path)


def record_for_ever(root):
    for value in range(10**6):
        records.write("laptop", "feature_reuse", {"learning_curves": curves(value)}, {"seeds": [value]}, root)


def curves(value):
    return pd.DataFrame(
        {
            "role": "real", "init": "P-T", "rate": "low", "seed": 0, "epoch": range(50), "split": "test",
            "metric": "loss", "value": float(value),
        }
    )  # fmt: skip


def test_a_run_killed_again_and_again_ends_with_the_same_bits(tiny, tmp_path, monkeypatch, record_property):
    spec = dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 0), epochs=5, kept=(0, 3, 5), steps=(4,))
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "whole"))
    began = time.monotonic()
    whole = runs.ensure(spec)
    seconds = time.monotonic() - began
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "killed"))
    moments, kills = random.Random(1), 0
    while kills < 30 // SHARE:
        kills += killed(train, pickle.dumps(spec), after=moments.uniform(0.1, 1) * seconds)
        if (run := runs.find(spec.id)) is not None:
            same(run, whole)
            monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / f"killed {kills}"))
    same(runs.ensure(spec), whole)
    record_property("kills of training", kills)


def same(run, whole):
    """Are all weights the same to the bit, and all measurements?"""
    pd.testing.assert_frame_equal(run.history(), whole.history(), check_exact=True)
    for epoch in (*whole.kept(), "best"):
        assert models.sha256(run.checkpoint(epoch)) == models.sha256(whole.checkpoint(epoch))


def test_weights_are_the_old_or_the_new_whenever_saving_is_killed(tmp_path, record_property):
    path, moments, kills = tmp_path / "a.safetensors", random.Random(2), 0
    models.save({"a": torch.zeros(300, 300), "b": torch.zeros(9)}, path)
    while kills < 12 // SHARE:
        kills += killed(save_for_ever, path, after=moments.uniform(0.05, 1))
        found = models.load(path)
        assert len({*found["a"].unique().tolist(), *found["b"].unique().tolist()}) == 1
    record_property("kills of saving", kills)


def test_records_are_the_old_or_the_new_whenever_recording_is_killed(tmp_path, record_property):
    records.write("laptop", "feature_reuse", {"learning_curves": curves(0)}, {"seeds": [0]}, tmp_path)
    moments, kills = random.Random(3), 0
    while kills < 12 // SHARE:
        kills += killed(record_for_ever, tmp_path, after=moments.uniform(0.05, 1))
        table = records.load_all("laptop", "feature_reuse", tmp_path)["learning_curves"]
        (seed,) = records.provenance("laptop", "feature_reuse", tmp_path)["seeds"]
        assert set(table.value) == {float(seed)} and len(table) == 50
    folder = records.write(
        "laptop", "feature_reuse", {"learning_curves": curves(7)}, {"seeds": [7]}, tmp_path
    )
    assert [path.name for path in folder.parent.iterdir()] == ["feature_reuse"]
    record_property("kills of recording", kills)
