"""The command line: every job, and every refusal in one sentence without a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import one_sentence
from images import class_folders

from tlbook import questions, scales
from tlbook.book import records, results
from tlbook.training import runs, weight_files

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tlbook(monkeypatch, command, tiny):
    """Run a command in this process, where there is a scale "tiny"; its exit code, output and errors."""
    monkeypatch.setitem(scales.SCALES, "tiny", tiny)

    return command


def test_plan(tlbook):
    code, out, _ = tlbook("plan", "--scale", "tiny", "--target", "real", "--seed", 1)
    assert code == 0 and "feature_reuse" in out and "image-passes/s" in out
    header, *rows, last = out.strip().splitlines()
    assert header.split() == ["question", "runs", "done", "passes", "gigabytes", "minutes"]
    assert rows[0].split()[:3] == ["feature_reuse", "9", "0"]  # P, two curves, six shuffled
    assert rows[-1].split()[0] == "all"


@pytest.mark.parametrize("scale", ["laptop", "gpu"])
def test_plan_works_where_neither_images_nor_p_are(tlbook, scale, monkeypatch, tmp_path):
    from tlbook.questions import plan as planning

    monkeypatch.setattr(planning, "throughput", lambda scale: 1000.0)
    monkeypatch.setattr(weight_files, "is_shipped", lambda scale: False)
    code, out, err = tlbook("plan", "--scale", scale)
    assert code == 0 and err == "" and "all" in out
    assert ("No P is shipped for scale laptop yet" in out) == (scale == "laptop")
    assert not runs.root().exists()


def test_train_then_list_and_show(tlbook, tiny):
    assert tlbook("runs", "list")[:2] == (0, "")
    code, out, err = tlbook("train", "quickdraw", "--scale", "tiny", "--epochs", 2, "--seed", 3)
    assert code == 0 and f"quickdraw P-T rate {tiny.rates['low']:g} seed 3 (2 epochs)" in out
    run_id, path = out.split()[0], Path(out.split()[-1])
    assert path.name == run_id and (path / "complete.json").exists()
    assert "source P" in err and "epoch" in err
    _, listed, _ = tlbook("runs", "list")
    assert [line.split()[0] for line in listed.splitlines()][0] == run_id and len(listed.splitlines()) == 2
    code, shown, _ = tlbook("runs", "show", run_id[:6])
    assert code == 0 and '"kept": [' in shown and "accuracy" in shown
    code, _, err = tlbook("runs", "show", "zzz")
    assert code == 2 and one_sentence(err.strip()) and "0 finished runs begin with 'zzz'" in err


def test_train_shuffled_from_random_init(tlbook, tiny):
    words = ("train", "real", "--scale", "tiny", "--init", "RI-T", "--rate", "high", "--block-size", "*")
    code, out, _ = tlbook(*words)
    assert code == 0 and f"real RI-T rate {tiny.rates['high']:g} block * seed 0" in out
    assert tlbook(*words)[1] == out and len(runs.every()) == 1


def test_reproduce_records_and_claims(tlbook, tmp_path):
    words = ("reproduce", "--scale", "tiny", "--only", "feature_reuse", "--target", "real", "--seed", 0)
    code, out, _ = tlbook(*words, "--workers", 1, "--record", tmp_path / "records", "--commit", "abc")
    assert code == 0 and "feature_reuse.learning_curves: " in out and "recorded in " in out
    made = records.provenance("tiny", "feature_reuse", tmp_path / "records")
    assert (made["commit"], made["clean"], made["targets"], made["seeds"]) == ("abc", None, ["real"], [0])
    assert set(records.load_all("tiny", "feature_reuse", tmp_path / "records")) == {
        "learning_curves", "block_shuffle", "convergence", "domains",
    }  # fmt: skip
    claims = ("claims", "--scale", "tiny", "--records", tmp_path / "records")
    code, out, _ = tlbook(*claims, "--json", tmp_path / "claims.json")
    assert code == 0 and "none of 41 statements is decided" in out
    assert len(json.loads((tmp_path / "claims.json").read_text())) == 41
    code, few, _ = tlbook(*claims, "--only", "feature_reuse")
    assert code == 0 and len(few.splitlines()) < len(out.splitlines())


def test_a_folder_of_ones_own_stands_for_a_target(tlbook, tmp_path):
    folder = class_folders(tmp_path / "mine", count=12)
    words = ("train", "clipart", "--scale", "tiny", "--init", "RI-T", "--epochs", 1)
    code, _, _ = tlbook(*words, "--data", f"folder:{folder}")
    assert code == 0 and runs.every()[0].spec["beside"]["images"]["dataset"] == f"folder:{folder}"


BAD = {
    "plan --scale big": "no scale 'big'; choose from smoke, laptop, gpu, paper",
    "plan --scale tiny --target sketch": "no role 'sketch'; choose from real",
    "plan --scale tiny --data /nowhere": "no folder /nowhere",
    "plan --scale tiny --pretrained /nowhere.safetensors": "there is no file /nowhere.safetensors",
    "plan --scale tiny --pretrained yes": "yes is no file of weights",
    "train cat --scale tiny": "no role 'cat'; choose from source, real",
    "train real --scale tiny --init P": "--init is one of P-T, RI-T, MeanVar-T, Permuted-T, not 'P'",
    "train real --scale tiny --rate 0.1": "--rate is one of low, high, not '0.1'",
    "train real --scale tiny --init RI-T --block-size 5": "Block size 5 does not divide",
    "train real --scale tiny --init RI-T --block-size all": "Block size 'all' does not divide",
    "train real --scale tiny --pretrained shipped": "No pre-trained weights are shipped for scale 'tiny'",
    "train real --scale laptop --init RI-T": "TLBOOK_DATA",
    "train real --scale paper --init RI-T": "TLBOOK_DATA",
    "plan --scale tiny --block-size 5": "block_sizes: 5 does not divide the side",
    "reproduce --scale tiny --images 8 --record x": "Only a scale as it stands is recorded",
    "train real --scale tiny --data folder:/nowhere": "no folder /nowhere",
    "reproduce --scale tiny --only reuse": "no question 'reuse'; choose from feature_reuse",
    "reproduce --scale tiny --data folder:/usr": "name in targets the one that it stands for",
    "train real --scale tiny --data /tmp": "reads none from /tmp; write folder:/tmp if it holds your own",
    "train source --scale tiny --data folder:/usr": "name in targets the one that it stands for",
    "reproduce --scale tiny --epochs 1 --record x": "Only a scale as it stands is recorded",
    "reproduce --scale laptop --pretrained train --target real --workers 1": "TLBOOK_DATA",
    "claims --scale big": "no scale 'big'",
    "claims --scale tiny": "Scale tiny has no records",
    "claims --scale tiny --only reuse": "no question 'reuse'; choose from",
}


@pytest.mark.parametrize("words", BAD)
def test_refusals_are_one_sentence(tlbook, words):
    code, out, err = tlbook(*words.split())
    said = err.strip().splitlines()[-1]
    assert code == 2 and said.startswith("tlbook: ") and BAD[words] in said
    assert one_sentence(said) and "Traceback" not in err
    assert "recorded in" not in out


USAGE = (
    "",
    "go",
    "plan",
    "plan --scale smoke --x 1",
    "plan --scale smoke --seed -1",
    "train real --scale tiny --epochs -2",
    "train real --scale tiny --seed many",
    "reproduce --scale smoke --workers -1",
)


def test_a_notebook_is_refused_in_one_sentence_before_it_runs_or_by_itself(tlbook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    words = ("notebook", "feature_reuse", tmp_path / "out.ipynb", "--scale", "smoke")
    code, _, err = tlbook(*words, "--seed", "many")
    assert code == 2 and err == "tlbook: seeds: 'many' is not a whole number of at least 0.\n"
    assert not (tmp_path / "out.ipynb").exists()
    code, _, err = tlbook(*words, "--points", 5)  # which this page does not have
    assert code == 2 and err.splitlines()[-1].startswith(
        "tlbook: There is no parameter 'points' here; there are "
    )
    assert "Traceback" not in err and (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize("words", USAGE)
def test_usage_is_checked_before_anything_runs(tlbook, words):
    code, out, err = tlbook(*words.split())
    assert code == 2 and "Traceback" not in err and (err or "Usage" in out)
    assert not runs.root().exists()


def test_what_cannot_be_written_is_said(tlbook, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "file" / "runs"))
    code, _, err = tlbook("train", "real", "--scale", "tiny", "--init", "RI-T")
    assert code == 2 and one_sentence(err.strip()) and "file" in err and "Traceback" not in err


def test_all_questions_that_can_be_run_are_the_default(tlbook, monkeypatch):
    asked = []
    shown = results.Results("q", "tiny", False, {}, {})
    monkeypatch.setattr(results, "run", lambda q, *a, **how: asked.append((q.name, how["workers"])) or shown)
    assert tlbook("reproduce", "--scale", "tiny")[0] == 0
    assert asked == [(question, None) for question in questions.every()]


UNINSTALLED = """
import runpy, sys
BLOCKED = ("pooch", "papermill", "ipywidgets", "jupyter_book", "IPython", "matplotlib", "seaborn")
class Blocked:
    def find_spec(self, name, path=None, target=None):
        name = name.split(".")[0]
        if name in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from tlbook import scales
smoke = scales.SMOKE
few = dict(train=30, test=30, epochs=1)
tiny = smoke.replace(
    source=few, every_target=few | dict(dev=20), shuffles=dict(sizes=("*", 32), epochs=1), seeds=(0,),
    checkpoints=dict(starts=(0, 1), epochs=1, constant_starts=(1,)), constant_epochs=1,
)
scales.SCALES["smoke"] = tiny
for words in sys.argv[1:]:
    sys.argv = ["tlbook", *words.split()]
    try:
        runpy.run_module("tlbook", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
assert not set(BLOCKED) & {name.split(".")[0] for name in sys.modules}
"""


def test_a_gpu_machine_without_the_extras_plans_and_reproduces(tmp_path):
    """`python -m tlbook` from the repository's root, with nothing for notebooks and pages installed."""
    ran = subprocess.run(
        [sys.executable, "-c", UNINSTALLED, "plan --scale smoke",
         f"reproduce --scale smoke --target quickdraw --only feature_reuse --workers 1 --record {tmp_path}/r",
         f"claims --scale smoke --records {tmp_path}/r"],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "image-passes/s" in ran.stdout and "feature_reuse.domains: 2 rows" in ran.stdout
    assert "none of 41 statements is decided" in ran.stdout
