"""Runs on a Dask cluster: a real scheduler and two workers on this machine, of which one is killed."""

import json
import os
import signal
import threading
from collections import Counter

import pytest
from processes import start, until
from test_replay import digests

from tlbook import settings
from tlbook.questions import grid
from tlbook.training import cluster, executors, runs

# What a worker does besides: after each epoch it keeps a resume point, tells of it, and takes its time.
PRELOAD = """
import os, time
from tlbook.training import runs
def told(self, state, keep=runs._Keeper.__call__):
    keep(self, state)
    with open({log!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{self.spec.id}} {{state.epoch}}\\n")
    time.sleep(0.3)
if runs.RESUME_SECONDS > 0:  # Dask loads this twice
    runs.RESUME_SECONDS = -1
    runs._Keeper.__call__ = told
"""


@pytest.fixture
def dask(tmp_path):
    """The address of a scheduler with two workers, and the file in which they tell of epochs."""
    log, preload, noted = tmp_path / "log", tmp_path / "preload.py", tmp_path / "scheduler.json"
    log.touch()
    preload.write_text(PRELOAD.format(log=str(log)))
    here = ("--scheduler-file", noted)
    started = [start("-m", "distributed.cli.dask_scheduler", "--port", 0, "--no-dashboard", *here)]
    single = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--preload", preload, *here)
    try:
        until(noted.exists, started[0])
        started += [start("-m", "distributed.cli.dask_worker", *single, folder=tmp_path) for _ in range(2)]
        yield json.loads(noted.read_text())["address"], log
    finally:
        for process in started:
            process.kill()
            process.communicate()


def told(log):
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(int(pid), run, int(epoch)) for pid, run, epoch in lines]


def test_a_killed_workers_run_goes_on_elsewhere(dask, tiny, monkeypatch, tmp_path):
    address, log = dask
    scale = tiny.replace(epochs=6)
    specs = [grid.ri_t(scale, "quickdraw", "high", seed) for seed in (0, 1, 2)]
    executors.ensure_all(specs, workers=1, show=False)
    alone = [digests(spec) for spec in specs]
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "shared"))
    killed = []

    def kill_one():
        until(lambda: any(epoch == 2 for _, _, epoch in told(log)), seconds=300)
        killed.append(next((pid, run) for pid, run, epoch in told(log) if epoch == 2))
        os.kill(killed[0][0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    executors.ensure_all(specs, cluster=address, show=False)
    killer.join()
    assert [digests(spec) for spec in specs] == alone
    (pid, cut_off), epochs = killed[0], told(log)
    lives = [(who, epoch) for who, run, epoch in epochs if run == cut_off]
    before = [epoch for who, epoch in lives if who == pid]
    after = [epoch for who, epoch in lives if who != pid]
    assert before and after == list(range(after[0], scale.tasks["quickdraw"].epochs + 1))
    assert after[0] in (before[-1] + 1, before[-1] + 2)  # killed before it told of an epoch that it had kept
    assert max(Counter((run, epoch) for _, run, epoch in epochs).values()) == 1  # nothing was trained twice


def test_a_scheduler_that_is_not_there_is_a_sentence(tiny, monkeypatch, refused):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    specs = [grid.ri_t(tiny, "quickdraw", "high", 0)]
    for address in ("tcp://127.0.0.1:9", "nonsense://there"):
        refused(f"No Dask scheduler answers at {address}", executors.ensure_all, specs, cluster=address)
    assert not runs.find(specs[0].id) and settings.folder("TLBOOK_RUNS")


def test_a_worker_of_other_code_trains_nothing():
    said = cluster._there({}, "0" * 64, lambda: pytest.fail("it was called"))
    assert "trains otherwise than the code here" in said
