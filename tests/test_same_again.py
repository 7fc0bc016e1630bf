"""The same numbers wherever a run is trained, and after its folder went away under it."""

import dataclasses
import os
import pickle
import shutil
import subprocess
import sys

import pytest
from processes import ROOT

from tlbook import models
from tlbook.errors import TlbookError
from tlbook.questions import grid
from tlbook.training import executors, runs

TRAIN = (
    "import pickle, sys; from tlbook.training import runs; runs.ensure(pickle.load(open(sys.argv[1], 'rb')))"
)


@pytest.fixture
def spec(tiny):
    return dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 0), kept=(0, 3))


def digests(run):
    names = ("history.csv", "checkpoints/epoch-003.safetensors", "checkpoints/best.safetensors")
    return [models.sha256(run.path / name) for name in names]


def test_neither_hash_seed_nor_locale_time_zone_threads_or_place_changes_a_bit(spec, tmp_path, monkeypatch):
    here = digests(runs.ensure(spec))
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    place = tmp_path / "elsewhere é"
    place.mkdir()
    other = {
        "PYTHONHASHSEED": "7", "LC_ALL": "POSIX", "TZ": "Asia/Kolkata", "OMP_NUM_THREADS": "2",
        "PYTHONUTF8": "0", "TLBOOK_RUNS": str(place / "runs"), "TLBOOK_CACHE": str(place / "cache"),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    call = [sys.executable, "-c", TRAIN, str(tmp_path / "spec")]
    subprocess.run(call, env=os.environ | other, cwd=place, check=True)
    monkeypatch.setenv("TLBOOK_RUNS", other["TLBOOK_RUNS"])
    assert digests(runs.find(spec.id)) == here


def test_a_folder_that_vanishes_is_a_sentence_and_the_run_can_be_trained_again(spec, monkeypatch):
    here = digests(runs.ensure(spec))
    after_epoch = runs._Keeper.__call__

    def vanish(self, state):
        after_epoch(self, state)
        if state.epoch == 2:
            shutil.rmtree(runs.root())

    with monkeypatch.context() as patch:
        patch.setattr(runs._Keeper, "__call__", vanish)
        with pytest.raises(TlbookError, match="1 of 1 runs failed.*There is no file"):
            executors.ensure_all([spec], retrain=True, show=False)
    assert runs.find(spec.id) is None and digests(runs.ensure(spec)) == here
