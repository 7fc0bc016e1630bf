"""Memory and open files do not grow: over the epochs of a run, and over many runs."""

import dataclasses
import gc
import os
from pathlib import Path

import pytest
from conftest import DEEP

from tlbook.questions import grid
from tlbook.training import runs

EPOCHS, RUNS = (200, 100) if DEEP else (15, 6)
SPARE = 8 << 20  # bytes that an allocator may keep; a leak of one model each epoch or run is far more
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")


def held():
    """Bytes of memory and open files of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))


def steady(seen):
    """Is what is held at the end what was held after a third?"""
    (memory, files), (last_memory, last_files) = seen[len(seen) // 3], seen[-1]
    assert last_files == files and last_memory - memory < SPARE, seen


@linux
def test_memory_and_files_are_flat_over_the_epochs_of_a_run(tiny, monkeypatch, record_property):
    spec = dataclasses.replace(
        grid.ri_t(tiny, "quickdraw", "high", 0), epochs=EPOCHS, kept=(EPOCHS,), steps=()
    )
    seen, after_epoch = [], runs._Keeper.__call__

    def call(self, state):
        after_epoch(self, state)
        seen.append(held())

    monkeypatch.setattr(runs._Keeper, "__call__", call)
    runs.ensure(spec)
    steady(seen)
    record_property("epochs watched", len(seen))


@linux
def test_memory_and_files_are_flat_over_many_runs(tiny, record_property):
    spec = dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 0), epochs=1, kept=(1,), steps=())
    spec = dataclasses.replace(spec, measured=(1,), train_measured=(0, 1), keep_best=False)
    seen = []
    for seed in range(RUNS):
        runs.ensure(dataclasses.replace(spec, order_seed=seed)).weights("final")
        seen.append(held())
    steady(seen)
    record_property("runs watched", len(seen))
