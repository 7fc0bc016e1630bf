"""Runs: named by what determines their weights, trained once, whole or not at all, resumed to the bit."""

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch
from images import class_folders, picture
from processes import is_running

from tlbook import data, models
from tlbook.data import Request
from tlbook.data.shuffles import Shuffle
from tlbook.errors import TlbookError
from tlbook.questions import grid
from tlbook.training import executors, runs, weight_files
from tlbook.training.specs import Checkpoint, File, Init, RunSpec, unique

ROOT = Path(__file__).resolve().parent.parent
LITERAL = RunSpec(
    role="real", dataset="pacs/photo", digest="d" * 64, evaluated="e" * 64, examples=800, classes=7,
    multilabel=False, side=32,
    shuffle=Shuffle.block(8, 1234), augmentation="none", normalisation="own", mixup=0.7,
    network="fixup_small24", init=Init("from", File("a" * 64)), init_seed=None, head_seed=0, order_seed=1,
    batch=32, rate=0.02, epochs=40, steps=(24, 32, 38), momentum=0.9, weight_decay=1e-4, precision="fp32",
    metric="accuracy", held_out=1600, measured=(40,), train_measured=tuple(range(41)), kept=(40,),
    keep_best=False, images=Request("pacs/photo", 32, 37, 800, 0, 1600, True),
)  # fmt: skip
FIELDS = {field.name: field for field in dataclasses.fields(RunSpec)}


@pytest.fixture
def spec(tiny):
    return grid.ri_t(tiny, "quickdraw", "high", 0)


def files(run_id):
    """Every file of a run with its content."""
    folder = runs.root() / run_id
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def forbid_training(monkeypatch):
    monkeypatch.setattr(runs, "training", lambda *a: pytest.fail("trained again"))


# Identity


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"fp32": "bf16", "none": "affine", "own": "imagenet", "accuracy": "auc"}.get(
            value, value + "x"
        )
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return (*value, 99)
    by_type = {
        Shuffle: Shuffle.block(8, 1235),
        Init: Init("from", Checkpoint("abc", 3)),
        Request: Request("elsewhere", 64, 73, 1, 2, 3, False),
        type(None): 7,
    }
    return by_type[type(value)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_of_the_identity_changes_the_id_and_no_other_does(name):
    value = (3, 7) if name == "parted" else other(getattr(LITERAL, name))
    changed = dataclasses.replace(LITERAL, **{name: value})
    beside = {"metric", "held_out", "measured", "train_measured", "kept", "keep_best", "images"}
    assert (changed.id == LITERAL.id) == (name in beside)
    assert (changed == LITERAL) == (name in beside)


def test_every_start_is_another_run():
    a, b = File("a" * 64), File("b" * 64)
    starts = [Init("random"), Init("from", b), Init("from", Checkpoint("a" * 64, "best"))]
    starts += [Init(kind, weights) for kind in ("mean_var", "permuted") for weights in (a, b)]
    assert len({dataclasses.replace(LITERAL, init=init).id for init in starts} | {LITERAL.id}) == 8


FILE = File("a" * 64)


@pytest.mark.parametrize("given", [("random", FILE), ("mean_var", None), ("meanvar", FILE)])
def test_an_init_needs_what_it_starts_from(given, refused):
    refused("'random', or 'from', 'mean_var' or 'permuted' with weights; not", Init, *given)


def test_ids_are_stable():
    """Records name runs: this id may change with PROTOCOL, or where the identity gains a field."""
    assert (LITERAL.protocol, LITERAL.id) == (3, "2ec86a30a7fe")
    assert len(LITERAL.id) == 12


def test_a_folder_is_named_by_its_images_not_by_its_place():
    here, there = (dataclasses.replace(LITERAL, dataset=f"folder:/{name}/x") for name in "ab")
    assert here.id == there.id != LITERAL.id


def test_runs_on_two_folders_are_told_apart_by_their_labels():
    cats, dogs = (dataclasses.replace(LITERAL, dataset=f"folder:/mine/{name}/") for name in ("cats", "dogs"))
    assert f"{LITERAL.role} (cats) P-T rate" in cats.label and "(dogs)" in dogs.label
    assert cats.label.replace(" (cats)", "") == LITERAL.label
    assert cats.id == dogs.id  # the label is no part of it: the same images are the same run


def test_specs_of_one_run_are_joined():
    more = dataclasses.replace(LITERAL, kept=(0, 40), measured=(0, 20), keep_best=True)
    third = dataclasses.replace(LITERAL, rate=0.1)
    joined, last = unique([LITERAL, third, more])
    assert last is third
    assert (joined.kept, joined.measured, joined.keep_best) == ((0, 40), (0, 20, 40), True)
    assert joined.train_measured == LITERAL.train_measured and joined.id == LITERAL.id


def test_passes_count_a_third_for_an_evaluated_image():
    assert LITERAL.passes == pytest.approx(40 * 800 + 41 * 800 / 3 + 1600 / 3)


# Training once, keeping what was asked


def test_a_run_is_trained_once(spec, monkeypatch):
    first = runs.ensure(spec)
    before = files(spec.id)
    forbid_training(monkeypatch)
    assert runs.ensure(spec).id == first.id == spec.id
    executors.ensure_all([spec, spec], show=False)
    assert files(spec.id) == before
    assert [run.id for run in runs.every()] == [spec.id]
    assert sorted(p.name for p in runs.root().iterdir()) == [spec.id, f"{spec.id}.lock"]


def test_what_a_run_holds(spec):
    run = runs.ensure(spec)
    assert run.kept() == [0, 1, 2, 3] == list(spec.kept)
    names = {f"checkpoints/epoch-{epoch:03d}.safetensors" for epoch in spec.kept}
    whole = names | {"checkpoints/best.safetensors", "spec.json", "history.csv", "complete.json"}
    assert set(files(spec.id)) == whole
    assert run.spec["identity"] == json.loads(json.dumps(spec.identity)) and run.spec["started_from"] is None
    assert {"seconds", "best_epoch", "device", "threads", "torch", "python"} <= set(run.complete)
    history = run.history()
    assert list(history.columns) == ["epoch", "split", "metric", "value"]
    assert set(history[history.split == "train"].epoch) == {0, 1, 2, 3}
    assert set(history[history.split == "test"].epoch) == set(spec.measured)
    final, best = run.weights("final"), run.weights("best")
    assert all(torch.equal(final[n], run.weights(3)[n]) for n in final)
    assert all(torch.equal(best[n], run.weights(run.complete["best_epoch"])[n]) for n in best)


def test_a_shuffled_run_keeps_its_end_only(tiny, refused):
    run = runs.ensure(grid.ri_t(tiny, "quickdraw", "high", 0, block_size="*"))
    assert run.kept() == [2] and not (run.path / "checkpoints" / "best.safetensors").exists()
    refused("keeps no weights of epoch 1, only of 2", run.weights, 1)
    refused("keeps no weights of epoch best", run.weights, "best")
    refused("keeps no weights of epoch last", run.weights, "last")


def test_a_finished_run_that_lacks_what_is_asked_is_trained_anew_to_the_same_weights(spec):
    """It then has what both asked for, and is not trained a third time."""
    ending = dataclasses.replace(spec, kept=(3,), measured=(3,), keep_best=False)
    middle = dataclasses.replace(ending, kept=(1,), measured=(1, 2))
    before = runs.ensure(ending).checkpoint(3).read_bytes()
    assert runs.is_done(ending) and not runs.is_done(middle)
    executors.ensure_all([middle], show=False)
    run = runs.find(spec.id)
    assert run.kept() == [1, 3] and run.checkpoint(3).read_bytes() == before
    assert runs.is_done(ending) and runs.is_done(middle) and not runs.is_done(spec)
    assert set(run.history().query("split == 'test'").epoch) == {1, 2, 3}
    assert runs.ensure(spec).kept() == [0, 1, 2, 3]
    when = run.path.stat().st_mtime_ns
    assert runs.ensure(ending).path.stat().st_mtime_ns == when  # more than asked is fine


def test_retraining_replaces_the_whole_run(spec):
    runs.ensure(spec)
    before = files(spec.id)
    (runs.root() / spec.id / "checkpoints" / "epoch-077.safetensors").write_bytes(b"of another life")
    partial = runs.root() / f"{spec.id}.partial" / "checkpoints"
    partial.mkdir(parents=True)
    (partial / "epoch-078.safetensors").write_bytes(b"of a life that was cut off")
    runs.ensure(spec, retrain=True)
    after = files(spec.id)
    assert set(after) == set(before)
    assert all(after[name] == before[name] for name in before if name != "complete.json")
    assert sorted(p.name for p in runs.root().iterdir()) == [spec.id, f"{spec.id}.lock"]


def test_p_t_whose_p_was_trained_anew_to_other_weights_is_refused(tiny, refused):
    source, spec = grid.source(tiny), grid.p_t(tiny, "quickdraw", "low", 0)
    executors.ensure_all([spec, source], workers=1, show=False)
    p = runs.find(source.id).checkpoint("final")
    assert runs.find(spec.id).spec["started_from"] == models.sha256(p)
    runs.ensure(source, retrain=True)  # to the same bits
    runs.ensure(spec)
    models.save({name: value + 1 for name, value in models.load(p).items()}, p)
    refused("started from other weights than are there now", runs.ensure, spec)
    shutil.rmtree(runs.root() / source.id)  # a P-T without its P is as good as ever
    runs.ensure(spec)


# Refusals


def test_p_must_be_there(tiny, refused):
    spec = grid.p_t(tiny, "quickdraw", "low", 0)
    refused(f"Run {grid.source(tiny).id}, whose weights are wanted, is not trained", runs.ensure, spec)
    refused("no weights file with SHA-256 aaaaaaaaaaaa", runs.weights, File("a" * 64))
    refused("No pre-trained weights are shipped for scale 'tiny'", weight_files.shipped, "tiny")
    assert runs.every() == []


def test_a_truncated_checkpoint_is_refused_by_name(tiny, refused):
    source = runs.ensure(grid.source(tiny))
    path = source.checkpoint("final")
    path.write_bytes(path.read_bytes()[:1000])
    refused("epoch-002.safetensors is damaged, not what", source.weights, "final")
    refused("epoch-002.safetensors is damaged", runs.ensure, grid.p_t(tiny, "quickdraw", "low", 0))


def test_images_that_changed_are_refused(tiny, tmp_path, refused):
    own = tiny.replace(datasets={"real": f"folder:{class_folders(tmp_path / 'mine', count=12)}"})
    spec = grid.ri_t(own, "real", "high", 0)
    loaded = data.load(spec.images)
    picture(tmp_path / "mine" / loaded.test.paths[0], seed=9)
    data._load.cache_clear()
    refused("The dev and test images of folder:.* are not those that run", runs.ensure, spec)
    picture(tmp_path / "mine" / loaded.train.paths[0], seed=9)
    data._load.cache_clear()
    refused("The training and dev and test images of folder:.* are not those that run", runs.ensure, spec)
    assert runs.find(spec.id) is None and not (runs.root() / f"{spec.id}.partial").exists()


def test_a_users_file_is_registered_under_its_digest(tiny, tmp_path, refused):
    source = runs.ensure(grid.source(tiny))
    path = tmp_path / "mine.safetensors"
    shutil.copyfile(source.checkpoint("final"), path)
    file = weight_files.register(path, runs.own_files())
    assert file == File(models.sha256(path)) == weight_files.register(path, runs.own_files())
    path.unlink()
    assert all(torch.equal(value, source.weights("final")[n]) for n, value in runs.weights(file).items())
    copy = runs.weights_path(file)
    copy.write_bytes(copy.read_bytes()[:-1] + b"\x01")
    refused("is damaged: its SHA-256", runs.weights, file)
    again = (weight_files.register, path, runs.own_files())
    refused("no file .*mine.safetensors; pretrained is 'train', 'shipped'", *again)
    path.write_bytes(b"PK\x03\x04 a pickle")
    refused("mine.safetensors is not a whole safetensors file", *again)


def test_a_shipped_p_is_found_by_its_card(tiny, tmp_path, monkeypatch):
    weights = runs.ensure(grid.source(tiny)).checkpoint("final")
    monkeypatch.setattr(weight_files, "SHIPPED", tmp_path / "pretrained")
    (tmp_path / "pretrained").mkdir()
    shutil.copyfile(weights, tmp_path / "pretrained" / "tiny.safetensors")
    entry = {"name": "tiny.safetensors", "sha256": models.sha256(weights), "dtype": "torch.float32"}
    card = {"final": 2, "files": {"2": entry}}
    (tmp_path / "pretrained" / "tiny.json").write_text(json.dumps(card))
    assert weight_files.is_shipped("tiny") and not weight_files.is_shipped("laptop")
    shipped = weight_files.shipped("tiny")
    assert grid.pretrained(tiny.replace(pretrained="shipped")) == shipped == File(entry["sha256"])
    assert runs.weights_path(shipped).parent == tmp_path / "pretrained"


# Damage


def damage(run, name, content):
    """Write something else into a file of a finished run; what it was."""
    before = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content(before) if callable(content) else content)
    return before


@pytest.mark.parametrize("name", ["spec.json", "complete.json", "history.csv"])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", lambda was: was[: len(was) // 2]])
def test_a_run_with_a_damaged_note_is_named_and_trained_anew(spec, name, content):
    run, other = runs.ensure(spec), runs.ensure(dataclasses.replace(spec, order_seed=9))
    before = files(spec.id)
    damage(run, name, content)
    assert runs.find(spec.id) is None and [found.id for found in runs.every()] == [other.id]
    assert [(found.id, bool(found.damage)) for found in runs.damaged()] == [(spec.id, True)]
    assert not runs.is_done(spec)
    runs.ensure(spec)
    after = files(spec.id)
    assert all(after[name] == before[name] for name in before if name != "complete.json")


def test_half_a_history_without_digests_is_damage_too(spec):
    """A run from before there were any is read as it is, but not with numbers missing."""
    run = runs.ensure(spec)
    noted = {name: value for name, value in run.complete.items() if name != "digests"}
    damage(run, "complete.json", json.dumps(noted).encode())
    assert runs.find(spec.id) is not None
    whole = damage(run, "history.csv", b"")
    for length in range(len(whole)):
        (run.path / "history.csv").write_bytes(whole[:length])
        lost = runs.find(spec.id) is None
        assert lost or (
            whole[:length].endswith(b"\n") and not runs.Run(run.path).history().isna().any().any()
        )


def test_a_flipped_byte_in_a_checkpoint_is_refused(spec, refused):
    run = runs.ensure(spec)
    damage(run, "checkpoints/epoch-001.safetensors", lambda was: was[:-1] + bytes([was[-1] ^ 1]))
    refused("epoch-001.safetensors is damaged, not what was written", run.weights, 1)
    refused("epoch-001.safetensors is damaged", runs.weights, Checkpoint(spec.id, 1))
    assert run.weights(2)
    runs.ensure(spec, retrain=True)
    assert runs.ensure(spec).weights(1)


def test_a_finished_run_is_found_in_a_store_that_can_only_be_read(spec, monkeypatch):
    runs.ensure(spec)

    def refuse(*how):
        raise OSError(30, "Read-only file system", "lock")

    monkeypatch.setattr(runs, "FileLock", refuse)
    assert runs.ensure(spec).weights("final")
    with pytest.raises(OSError):
        runs.ensure(spec, retrain=True)
    with pytest.raises(TlbookError, match="lock: it can only be read, not written"):
        executors.ensure_all([dataclasses.replace(spec, order_seed=9)], show=False)


def test_what_kills_leave_in_and_beside_a_finished_run_is_cleaned(spec):
    before = files(runs.ensure(spec).id)
    left = runs.root() / spec.id / "checkpoints" / ".best.safetensors.1.part"
    partial = runs.root() / f"{spec.id}.partial"
    left.write_bytes(b"half")
    partial.mkdir()
    (partial / "complete.json").write_bytes(b"")  # cut off by a power cut: no reason to lose the finished one
    runs.ensure(spec)
    assert files(spec.id) == before and not partial.exists()


# Many runs


def test_failures_are_named_and_the_others_kept(tiny, refused, capsys):
    good = grid.ri_t(tiny, "quickdraw", "high", 0)
    bad = dataclasses.replace(good, digest="0" * 64)
    source = dataclasses.replace(grid.source(tiny), digest="1" * 64)
    lost = dataclasses.replace(good, init=Init("from", Checkpoint(source.id, "final")), init_seed=None)
    match = f"3 of 4 runs failed, .*kept: {source.id} .*{lost.id} .*starts from, failed.*{bad.id}"
    refused(match, executors.ensure_all, [lost, bad, source, good], workers=1, show=False)
    assert [run.id for run in runs.every()] == [good.id]
    assert capsys.readouterr().out == ""


def test_of_many_failures_a_few_are_named_and_the_reason_once(tiny, refused):
    no_p = {"init": Init("from", File("a" * 64)), "init_seed": None}
    bad = [dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", s), **no_p) for s in range(5)]
    match = f"5 of 5 runs failed, .*{bad[2].id} .*epochs\\)\\) and 2 more: There is no weights file"
    refused(match, executors.ensure_all, bad, workers=1, show=False)


def test_a_run_waits_for_the_run_that_it_starts_from(spec):
    """From a target's checkpoint as well as from a source."""
    later = dataclasses.replace(
        spec, init=Init("from", Checkpoint(spec.id, 1)), init_seed=None, epochs=9, kept=(0, 9)
    )
    executors.ensure_all([later, spec], workers=1, show=False)
    start, parent = runs.find(later.id).weights(0), runs.find(spec.id).weights(1)
    assert all(torch.equal(start[n], parent[n]) for n in start if not n.startswith("fc."))


def test_worker_processes_give_the_same_bits(tiny):
    specs = [grid.ri_t(tiny, "quickdraw", "high", seed) for seed in (0, 1)]
    executors.ensure_all(specs, workers=2, show=False)
    there = [files(spec.id) for spec in specs]
    for spec, before in zip(specs, there, strict=True):
        runs.ensure(spec, retrain=True)
        after = files(spec.id)
        assert all(after[name] == before[name] for name in before if name != "complete.json")


class DyingPool:
    """A pool whose first workers are killed: nothing of them is trained."""

    opened = 0

    def __init__(self, workers):
        DyingPool.opened += 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, call, spec, *how):
        future = Future()
        if DyingPool.opened == 1 or spec.order_seed == 0:
            future.set_exception(BrokenProcessPool("killed"))
        else:
            future.set_result(call(spec, *how))
        return future


def test_a_worker_that_is_killed_takes_no_other_run_along(tiny, monkeypatch, refused):
    monkeypatch.setattr(executors, "worker_pool", DyingPool)
    monkeypatch.setattr(DyingPool, "opened", 0)
    specs = [grid.ri_t(tiny, "quickdraw", "high", seed) for seed in (0, 1, 2)]
    match = f"1 of 3 runs failed.*{specs[0].id}.*worker process was killed"
    refused(match, executors.ensure_all, specs, workers=2, show=False)
    assert {run.id for run in runs.every()} == {specs[1].id, specs[2].id}


def test_progress_is_one_line_on_stderr(tiny, capsys):
    executors.ensure_all([grid.source(tiny), grid.ri_t(tiny, "quickdraw", "high", 0)], workers=1)
    out, err = capsys.readouterr()
    assert out == "" and "2/2" in err and "epoch" in err and "1/1 runs" in err
    assert err.count("\n") == 2  # a line for P with its epochs, one for all targets


def test_default_workers(monkeypatch):
    assert executors.default_workers() >= 1
    monkeypatch.setattr(runs, "device", lambda: "cuda")
    assert executors.default_workers() == executors.SLOTS and runs.engine() == "graphs"


@pytest.mark.parametrize("named", ["gpu", "cuda:99", "CPU", "cpu:0"])
def test_a_device_that_is_not_here_is_refused_before_anything(spec, named, monkeypatch, refused):
    monkeypatch.setenv("TLBOOK_DEVICE", named)
    for ask, wanted in ((runs.ensure, spec), (executors.ensure_all, [spec])):
        refused(f"TLBOOK_DEVICE is '{named}', which is not here; choose from cpu", ask, wanted)
    assert not runs.root().exists()


# Killed

SCRIPT = """
import os, pickle, signal, sys
from tlbook.training import runs
runs.RESUME_SECONDS = -1
spec, kill_at = pickle.load(open(sys.argv[1], "rb")), int(sys.argv[2])
after_epoch, begin = runs._Keeper.__call__, runs._begin
def call(self, state):
    after_epoch(self, state)
    if state.epoch == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
def begun(*how):
    state, seconds = begin(*how)
    print("trains from epoch", state.epoch, flush=True)
    return state, seconds
runs._Keeper.__call__, runs._begin = call, begun
runs.ensure(spec)
"""


def start(spec_file, kill_at=-1):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(spec_file), str(kill_at)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_bits_in_one_of_two_processes(spec, tmp_path, monkeypatch):
    spec = dataclasses.replace(spec, epochs=6, kept=(0, 1, 2, 4, 6), measured=(0, 2, 5, 6), steps=(4,))
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    killed = start(tmp_path / "spec", kill_at=3)
    assert killed.communicate()[0] == "trains from epoch 0\n" and killed.returncode == -9
    assert runs.find(spec.id) is None and (runs.root() / f"{spec.id}.partial" / "resume.safetensors").exists()

    both = [start(tmp_path / "spec") for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(out for out, _ in said) == ["", "trains from epoch 3\n"]
    resumed = files(spec.id)

    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "uninterrupted"))
    runs.ensure(spec)
    whole = files(spec.id)
    assert set(resumed) == set(whole)
    for name in set(whole) - {"complete.json"}:
        assert resumed[name] == whole[name], name


@pytest.fixture
def cut_off(spec, monkeypatch):
    """A run whose process was killed after epoch 2, as the kill of a process leaves it."""

    class Killed(BaseException):
        pass

    after_epoch = runs._Keeper.__call__

    def call(self, state):
        after_epoch(self, state)
        if state.epoch == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "RESUME_SECONDS", -1)
        patch.setattr(runs._Keeper, "__call__", call)
        with pytest.raises(Killed):
            runs.ensure(spec)
    return runs.root() / f"{spec.id}.partial"


@pytest.mark.parametrize("name", ["resume.safetensors", "history.csv"])
@pytest.mark.parametrize("left", [None, 0, 30])
def test_a_resume_that_cannot_be_read_starts_anew(spec, cut_off, name, left):
    if left is None:
        (cut_off / name).unlink()
    else:
        (cut_off / name).write_bytes((cut_off / name).read_bytes()[:left])
    (cut_off / "checkpoints" / "epoch-077.safetensors").write_bytes(b"of another life")
    run = runs.ensure(spec)
    assert run.kept() == [0, 1, 2, 3]
    assert list(run.history().query("split == 'train' and metric == 'loss'").epoch) == [0, 1, 2, 3]


def test_the_best_weights_are_those_of_the_life_that_goes_on(spec, cut_off):
    """A life cut off after a better epoch than its last resume leaves that epoch's weights as the best."""
    best = cut_off / "checkpoints" / "best.safetensors"
    wanted = best.read_bytes()
    models.save({name: value + 1 for name, value in models.load(best).items()}, best)
    state = runs.initial(spec, None)
    runs.read_resume(state, cut_off)
    assert best.read_bytes() == wanted and state.epoch == 2


def test_asking_for_a_retraining_drops_what_was_cut_off(spec, cut_off, monkeypatch):
    begun = []
    begin = runs._begin
    monkeypatch.setattr(runs, "_begin", lambda *how: begun.append(begin(*how)[0].epoch) or begin(*how))
    runs.ensure(spec, retrain=True)
    assert begun == [0]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_kill_while_a_finished_run_is_put_in_place_loses_nothing(spec, moment, monkeypatch):
    """Before anything is moved, with the old run aside, and with the old run still to be removed."""
    runs.ensure(spec)
    final = runs.root() / spec.id
    old, partial = final.with_name(f"{spec.id}.old"), final.with_name(f"{spec.id}.partial")
    shutil.copytree(final, partial)
    (partial / "resume.safetensors").write_bytes(b"left over")
    (partial / "mark").write_text("of the new life")
    if moment != "before":
        final.rename(old)
    if moment == "after":
        partial.rename(final)
        (final / "resume.safetensors").unlink()
    assert [run.id for run in runs.every()] == ([] if moment == "between" else [spec.id])
    forbid_training(monkeypatch)
    run = runs.ensure(spec)
    assert (run.path / "mark").exists() and not (run.path / "resume.safetensors").exists()
    assert sorted(p.name for p in runs.root().iterdir()) == [spec.id, f"{spec.id}.lock"]


def test_a_failed_training_is_no_run(spec, monkeypatch):
    def fail(*how):
        raise MemoryError

    monkeypatch.setattr(runs, "training", fail)
    with pytest.raises(MemoryError):
        runs.ensure(spec)
    assert runs.find(spec.id) is None and runs.every() == []
    with pytest.raises(TlbookError, match="MemoryError"):
        executors.ensure_all([spec], show=False)


def test_a_worker_ends_with_the_process_that_it_works_for(tmp_path):
    """Also where that one was killed and could say nothing to it."""
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, signal, time\n"
        "from tlbook.training import executors\n"
        "if __name__ == '__main__':\n"
        "    pool = executors.worker_pool(1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, env=found)
    worker = int(said.stdout)
    for _ in range(100):
        if not is_running(worker):
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker goes on")
