"""Records: round trips, whole or not at all, and readable without torch."""

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlbook import code_state, questions, scales
from tlbook.book import records, results

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "feature_reuse"
KEYS = {"role": "real", "init": "P-T", "rate": "low", "seed": 0}


@pytest.fixture
def found():
    """Two tables of question 1, unsorted, with a diverged run and numbers of many digits."""
    curves = [
        KEYS | {"epoch": epoch, "split": "test", "metric": metric, "value": value}
        for epoch, metric, value in [
            (10, "accuracy", 200 / 3), (2, "accuracy", 1 / 3), (2, "loss", np.nan), (10, "loss", np.inf),
        ]
    ]  # fmt: skip
    shuffled = [
        KEYS | {"block_size": size, "block_fraction": fraction}
        for size, fraction in [("8", 0.25), ("*", 0.0), ("16", 0.5), ("4", 0.125)]
    ]
    blocks = pd.DataFrame(shuffled).assign(split="test", metric="accuracy", value=9.0)
    return {"learning_curves": pd.DataFrame(curves), "block_shuffle": blocks}


def write(found, root, made=None, scale="laptop"):
    return records.write(scale, QUESTION, found, made or {"seeds": [0]}, root)


def test_round_trip_sorted_in_six_digits(found, tmp_path):
    folder = write(found, tmp_path)
    assert folder == tmp_path / "laptop" / QUESTION
    assert (folder / "learning_curves.csv").read_text() == (
        "role,init,rate,seed,epoch,split,metric,value\n"
        "real,P-T,low,0,2,test,accuracy,0.333333\n"
        "real,P-T,low,0,2,test,loss,nan\n"
        "real,P-T,low,0,10,test,accuracy,66.6667\n"
        "real,P-T,low,0,10,test,loss,inf\n"
    )
    back = records.load("laptop", QUESTION, "learning_curves", tmp_path)
    expected = found["learning_curves"].sort_values(["epoch", "metric"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(back, expected, rtol=1e-5, check_dtype=False)
    shuffled = records.load("laptop", QUESTION, "block_shuffle", tmp_path)
    assert shuffled.block_size.tolist() == ["*", "16", "4", "8"]  # text, also where it looks like a number
    assert set(records.load_all("laptop", QUESTION, tmp_path)) == set(found)
    made = records.provenance("laptop", QUESTION, tmp_path)
    assert made.pop("tables").keys() == found.keys() and made == {"seeds": [0]}


def part(found, role, **made):
    """The tables of one target and their provenance, as a part of a question's records."""
    specs = {
        role: {"label": role, "seconds": 10.5, "passes": 100},
        "P": {"label": "P", "seconds": 1.0, "passes": 7, "code": "a"},
    }
    said = {
        "targets": [role], "seeds": [0], "measuring_digest": "a", "clean": True, "device": [role],
        "specs": specs, "images": {role: "i"},
    }  # fmt: skip
    pivoted = {name: frame.assign(role=role).rename_axis(columns="metric") for name, frame in found.items()}
    return pivoted, said | made


def test_targets_recorded_apart_stand_side_by_side(found, tmp_path):
    for role in ("xray", "real"):
        records.add("laptop", QUESTION, *part(found, role), tmp_path)
    both = records.load("laptop", QUESTION, "learning_curves", tmp_path)
    assert both.groupby("role").size().to_dict() == {"real": 4, "xray": 4}
    made = records.provenance("laptop", QUESTION, tmp_path)
    assert made["targets"] == ["real", "xray"] == made["device"] and set(made["images"]) == {"real", "xray"}
    assert (made["runs"], made["training_seconds"], made["image_passes"]) == (3, 22.0, 207)  # P counts once
    assert made["runs_by_code"] == {"not noted": 2, "a": 1}
    changed = {"learning_curves": found["learning_curves"].assign(value=1.0)}
    records.add("laptop", QUESTION, *part(changed, "real", clean=None), tmp_path)
    again = records.load("laptop", QUESTION, "learning_curves", tmp_path)
    assert set(again[again.role == "real"].value) == {1.0} and (again.role == "xray").sum() == 4
    assert records.provenance("laptop", QUESTION, tmp_path)["clean"] is None


@pytest.mark.parametrize("other", [{"measuring_digest": "b"}, {"seeds": [0, 1]}, {"protocol": 3}])
def test_targets_of_other_code_or_seeds_are_neither_mixed_nor_lost(found, tmp_path, other, refused):
    records.add("laptop", QUESTION, *part(found, "xray"), tmp_path)
    tables_of_real, made = part(found, "real", **other)
    match = f"hold xray too, with another {next(iter(other))}: name these targets as well"
    refused(match, records.add, "laptop", QUESTION, tables_of_real, made, tmp_path)
    refused(match, records.refuse_loss, "laptop", QUESTION, {"targets": ("real",), **other}, tmp_path)
    assert records.refuse_loss("laptop", QUESTION, {"targets": ("real", "xray"), **other}, tmp_path) == []
    assert records.refuse_loss("gpu", QUESTION, {"targets": ("real",)}, tmp_path) == []
    both = {name: pd.concat([frame, frame.assign(role="xray")]) for name, frame in tables_of_real.items()}
    records.add("laptop", QUESTION, both, made | {"targets": ["real", "xray"]}, tmp_path)
    assert records.provenance("laptop", QUESTION, tmp_path)["targets"] == ["real", "xray"]


def test_rows_of_no_target_must_be_the_same_in_both_parts(found, tmp_path, refused):
    columns = {
        "dataset": "d",
        "classes": 7,
        "train": 1,
        "dev": 1,
        "test": 1,
        "chance": 14.0,
        "metric": "accuracy",
    }

    def domains(role, count):
        return {"domains": pd.DataFrame([{"role": r} | columns for r in (role, "source")]).assign(test=count)}

    def made(role):
        return part(found, role)[1]

    records.add("laptop", QUESTION, domains("xray", 5), made("xray"), tmp_path)
    match = "rows of table domains that belong to no target.*so xray cannot stay"
    refused(match, records.add, "laptop", QUESTION, domains("real", 6), made("real"), tmp_path)
    records.add("laptop", QUESTION, domains("real", 5), made("real"), tmp_path)
    there = records.load("laptop", QUESTION, "domains", tmp_path)
    assert sorted(there.role) == ["real", "source", "xray"]


def test_the_order_of_rows_does_not_matter(found, tmp_path):
    write(found, tmp_path / "a")
    write({name: frame.iloc[::-1] for name, frame in found.items()}, tmp_path / "b")
    for name in found:
        files = [tmp_path / side / "laptop" / QUESTION / f"{name}.csv" for side in "ab"]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_question_is_replaced_whole(found, tmp_path):
    folder = write(found, tmp_path)
    write({"learning_curves": found["learning_curves"]}, tmp_path, {"seeds": [1]})
    assert sorted(p.name for p in folder.iterdir()) == ["learning_curves.csv", "provenance.json"]
    assert sorted(p.name for p in folder.parent.iterdir()) == [QUESTION]


@pytest.mark.parametrize("broken", ["table", "foreign", "provenance", "disk"])
def test_a_write_that_fails_leaves_the_old_records(found, tmp_path, broken, monkeypatch):
    folder = write(found, tmp_path)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    worse, made = dict(found), {"seeds": [1]}
    if broken == "table":
        worse["block_shuffle"] = found["block_shuffle"].assign(value=101.0)
    elif broken == "foreign":
        worse["rewind"] = found["block_shuffle"]
    elif broken == "provenance":
        made = {"seeds": object()}
    else:
        monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *a, **k: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises((ValueError, TypeError, OSError)):
        write(worse, tmp_path, made)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert sorted(p.name for p in folder.parent.iterdir()) == [QUESTION]


def test_what_is_not_recorded_is_said(found, tmp_path, refused):
    def load(table):
        return records.load("gpu", QUESTION, table, tmp_path)

    refused("learning_curves .* not recorded at scale gpu yet", load, "learning_curves")
    refused("has no table 'curves'; it has learning_curves", load, "curves")
    refused("not recorded at scale gpu yet", records.load_all, "gpu", QUESTION, tmp_path)
    refused("not recorded at scale gpu yet", records.provenance, "gpu", QUESTION, tmp_path)
    refused("has no table 'rewind'", write, {"rewind": found["block_shuffle"]}, tmp_path)


def test_a_damaged_record_is_refused_by_name(found, tmp_path, refused):
    path = write(found, tmp_path) / "learning_curves.csv"
    lines = path.read_text().splitlines(keepends=True)
    for damaged in ("".join(lines[:-1]), path.read_text().replace("66.6667", "66.6668"), ""):
        path.write_text(damaged)
        refused("learning_curves.csv is not what was", records.load, "laptop", QUESTION, path.stem, tmp_path)
    path.write_text("".join(lines).replace("\n", "\r\n"))  # another system's ends of lines are no damage
    assert len(records.load("laptop", QUESTION, path.stem, tmp_path)) == len(lines) - 1


def test_a_record_without_digests_is_checked_as_a_table(found, tmp_path, refused):
    path = write(found, tmp_path) / "learning_curves.csv"
    (path.parent / "provenance.json").write_text('{"seeds": [0]}')
    for damaged in (path.read_text().replace("66.6667", "much"), ""):
        path.write_text(damaged)
        refused("learning_curves.csv is not the table", records.load, "laptop", QUESTION, path.stem, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', '{"seeds": 3}', '{"runs": true}', '{"date": 7}', '{"tables": []}', "\x00"]
)
def test_a_damaged_provenance_is_refused_by_name(found, tmp_path, refused, text):
    path = write(found, tmp_path) / "provenance.json"
    path.write_text(text)
    for read in (records.provenance, records.load_all):
        refused("provenance.json is damaged", read, "laptop", QUESTION, tmp_path)


@pytest.mark.parametrize("moment", range(40))
def test_a_write_killed_at_any_moment_leaves_the_old_or_the_new(found, tmp_path, moment, monkeypatch):
    """Each call that touches the disk is the last of a process in turn; the next process reads and writes."""
    write(found, tmp_path, {"seeds": [0]})
    left = iter(range(moment))

    class Killed(BaseException):
        pass

    def until_killed(original):
        def call(*args, **how):
            if next(left, None) is None:
                raise Killed
            return original(*args, **how)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(records.shutil, "rmtree", until_killed(records.shutil.rmtree))
        patch.setattr(records.os, "fsync", until_killed(records.os.fsync))
        for name in ("rename", "mkdir", "write_text"):
            patch.setattr(Path, name, until_killed(getattr(Path, name)))
        patch.setattr(pd.DataFrame, "to_csv", until_killed(pd.DataFrame.to_csv))
        try:
            write({"learning_curves": found["learning_curves"]}, tmp_path, {"seeds": [1]})
            ended = True
        except Killed:
            ended = False
    seeds = records.provenance("laptop", QUESTION, tmp_path)["seeds"]
    assert seeds == [1] if ended else seeds in ([0], [1])
    there = records.load_all("laptop", QUESTION, tmp_path)
    assert there.keys() == (found.keys() if seeds == [0] else {"learning_curves"})
    folder = write(found, tmp_path, {"seeds": [2]})
    assert records.provenance("laptop", QUESTION, tmp_path)["seeds"] == [2]
    assert [p.name for p in folder.parent.iterdir()] == [QUESTION]


def test_targets_are_added_after_a_write_that_was_cut_off(found, tmp_path):
    """Whoever adds holds the lock, and must not wait for itself where it reads what is to be put right."""
    records.add("laptop", QUESTION, *part(found, "real"), tmp_path)
    for name in ("new", "old"):
        (tmp_path / "laptop" / f".{QUESTION}.{name}").mkdir()
    folder = records.add("laptop", QUESTION, *part(found, "xray"), tmp_path)
    assert records.provenance("laptop", QUESTION, tmp_path)["targets"] == ["real", "xray"]
    assert [path.name for path in folder.parent.iterdir()] == [QUESTION]


ADD = """
import pickle, sys, time
from pathlib import Path
from tlbook.book import records
root, role, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(max(0, start - time.time()))
records.add("laptop", "feature_reuse", *pickle.loads((root / f"{role}.pkl").read_bytes()), root / "records")
"""


def test_processes_that_add_at_once_lose_nothing(found, tmp_path):
    roles = ["real", "clipart", "quickdraw", "xray"]
    start = time.time() + 6
    running = []
    for role in roles:
        (tmp_path / f"{role}.pkl").write_bytes(pickle.dumps(part(found, role)))
        call = [sys.executable, "-c", ADD, str(tmp_path), role, str(start)]
        running.append(subprocess.Popen(call, env=os.environ | {"PYTHONPATH": str(ROOT)}))
    assert [one.wait() for one in running] == [0] * 4
    made = records.provenance("laptop", QUESTION, tmp_path / "records")
    assert made["targets"] == roles
    table = records.load("laptop", QUESTION, "learning_curves", tmp_path / "records")
    assert set(table.role) == set(roles)


def test_records_are_read_where_nothing_can_be_written(found, tmp_path, monkeypatch):
    folder = write(found, tmp_path)
    (folder.parent / f".{QUESTION}.new").mkdir()  # a write was cut off here
    monkeypatch.setattr(
        records, "FileLock", lambda *a, **k: (_ for _ in ()).throw(PermissionError("read-only"))
    )
    assert records.load_all("laptop", QUESTION, tmp_path).keys() == found.keys()


def test_recorded_scales_come_highest_first(found, tmp_path):
    assert records.recorded(QUESTION, root=tmp_path) == []
    for scale in ("smoke", "gpu", "laptop"):
        write(found, tmp_path, scale=scale)
    assert records.recorded(QUESTION, root=tmp_path) == ["gpu", "laptop", "smoke"]
    assert records.recorded(QUESTION, "domains", tmp_path) == []
    assert records.recorded("criticality", root=tmp_path) == []


def test_digest_sees_names_and_contents(tmp_path):
    def digest():
        return code_state.digest(code_state.sources(tmp_path / "p"), tmp_path)

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.py").write_text("1")
    first = digest()
    (tmp_path / "p" / "notes.txt").write_text("no source")
    assert digest() == first
    (tmp_path / "p" / "a.py").rename(tmp_path / "p" / "b.py")
    second = digest()
    (tmp_path / "p" / "b.py").write_text("2")
    assert len({first, second, digest()}) == 3


def test_code_state_from_git_as_given_or_unknown(tmp_path, monkeypatch):
    given = code_state.current("abc123")
    assert (given["commit"], given["clean"]) == ("abc123", None) and len(given["package_digest"]) == 64

    def git(*words):
        return subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y", *words],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    package = tmp_path / "tlbook"
    package.mkdir()
    (package / "code_state.py").write_text("")
    monkeypatch.setattr(code_state, "REPOSITORY", tmp_path)
    assert code_state.current()["commit"] == "unknown"
    git("init", "-q")
    (tmp_path / "other.py").write_text("")
    git("add", "other.py")
    git("commit", "-qm", "another project around us")
    assert code_state.current()["commit"] == "unknown"
    git("add", "tlbook")
    git("commit", "-qm", "ours")
    state = code_state.current()
    assert state["commit"] == git("rev-parse", "HEAD") and state["clean"] is True
    (tmp_path / "README.md").write_text("may differ")
    assert code_state.current()["clean"] is True
    (package / "code_state.py").write_text("changed")
    assert code_state.current()["clean"] is False


def test_questions_that_do_not_belong_together_are_refused(found, tmp_path, refused):
    """Claims of one question read the learning curves of another."""
    write(found, tmp_path, {"seeds": [0], "protocol": 2, "pretrained_sha256": "a"})
    records.write("laptop", "criticality", {}, {"seeds": [0], "protocol": 2}, tmp_path)
    records.refuse_mixture("laptop", tmp_path)
    records.write("laptop", "controls", {}, {"protocol": 2, "pretrained_sha256": "b"}, tmp_path)
    match = "feature_reuse and controls differ in their pretrained_sha256"
    refused(match, records.load_scale, "laptop", tmp_path)


def test_the_books_records_belong_together():
    """One protocol, one P, and one state of all code that measures, at every recorded scale."""
    scales_here = {scale for question in questions.every() for scale in records.recorded(question)}
    assert "laptop" in scales_here
    for scale in scales_here:
        made = [records.provenance(scale, q) for q in questions.every() if scale in records.recorded(q)]
        for name in ("protocol", "pretrained_sha256", "measuring_digest", "as_it_stands"):
            assert len({one[name] for one in made}) == 1, f"{scale}: {name}"
        assert all(one["clean"] for one in made)


# Results


def test_results_from_records_need_no_torch(found, tmp_path):
    write(found, tmp_path, {"seeds": [0], "targets": ["real"]})
    script = f"""
import sys
import time
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "safetensors"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from tlbook import questions, scales, tables
from tlbook.book import records, results
from tlbook.evidence import paper, statements
records.FOLDER = Path({str(tmp_path)!r})
page = results.for_page(questions.get("feature_reuse"), "records", scales.get("laptop"))
((label, shown),) = page.items()
print(label, len(shown.tables["learning_curves"]), shown.judged)
statements.evaluate(questions.get("feature_reuse").claims, shown.tables, shown.judged)
assert "torch" not in sys.modules
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "recorded at scale laptop 4 True\n"), ran.stderr


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Records of the book that lie elsewhere."""
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "PILOT", tmp_path / "pilot")
    return tmp_path


def test_pages_show_the_highest_record_then_their_own_run(found, in_tmp, monkeypatch):
    monkeypatch.setattr(
        results, "run", lambda question, scale, *a, **k: f"ran {question.name} at {scale.name}"
    )
    smoke = scales.get("smoke")
    assert results.for_page(questions.get(QUESTION), "run", smoke) == {
        "this build, scale smoke": f"ran {QUESTION} at smoke"
    }
    assert results.for_page(questions.get(QUESTION), "records", smoke) == {}
    for scale in ("laptop", "gpu"):
        write(found, in_tmp, scale=scale)
    first, second, third = results.for_page(questions.get(QUESTION), "run", smoke).items()
    assert first[0] == "recorded at scale gpu" and first[1].judged
    assert second[0] == "recorded at scale laptop" and third[0] == "this build, scale smoke"
    assert list(results.for_page(questions.get(QUESTION), "records", scales.get("laptop"))) == [
        "recorded at scale laptop"
    ]


def test_records_without_the_targets_of_a_page_are_passed_over(found, in_tmp, monkeypatch, refused):
    """A reader who runs one target meets no error because other targets are recorded."""
    monkeypatch.setattr(results, "run", lambda *a, **k: "ran")
    write(found, in_tmp, {"seeds": [0], "targets": ["real"]})
    page = questions.get(QUESTION), "run", scales.get("laptop")
    assert list(results.for_page(*page, ["xray"])) == ["this build, scale laptop"]
    assert len(results.for_page(*page, ["real", "xray"])) == 2
    refused("not recorded for xray, only real", results.for_page, page[0], "records", page[2], ["xray"])


def test_the_pilot_stands_in_for_what_the_records_lack(found, in_tmp):
    """A table that only the pilot has comes with the pilot's provenance; no other table of it is read."""
    few = {"learning_curves": found["learning_curves"]}
    write(few, in_tmp, {"seeds": [3], "targets": ["real", "xray"]})
    write(found, in_tmp / "pilot", {"seeds": [0], "targets": ["real"]})
    shown = results.recorded(questions.get(QUESTION), "laptop")
    assert set(shown.tables) == set(few) and shown.having(few) is shown
    older = shown.having(["block_shuffle"])
    assert older.root == records.PILOT and older.provenance["seeds"] == [0]
    assert shown.having(["no_such_table"]) is shown
    assert results.only(shown, ["real"]).having(["block_shuffle"]).roles == ["real"]
    assert results.only(shown, ["xray"]).pilot is None
    assert records.in_book(QUESTION) == ["laptop"] and records.home("laptop", QUESTION) == in_tmp


def test_what_only_the_pilot_recorded_is_shown_from_it(found, in_tmp):
    write(found, in_tmp / "pilot", {"seeds": [0], "targets": ["real"]})
    assert records.in_book(QUESTION) == ["laptop"] and records.recorded(QUESTION, root=in_tmp) == []
    ((_, shown),) = results.for_page(questions.get(QUESTION), "records", scales.get("laptop")).items()
    assert shown.root == records.PILOT and shown.pilot is None


def test_a_result_is_cut_to_the_roles_that_a_page_asks_for(refused):
    table = pd.DataFrame({"role": ["real", "quickdraw", "source"], "value": [1, 2, 3]})
    whole = results.Results(
        questions.get(QUESTION), "laptop", True, {"domains": table}, {"targets": ["real", "quickdraw"]}
    )
    cut = results.only(whole, ["clipart", "quickdraw"])
    assert cut.roles == ["quickdraw"] and list(cut.tables["domains"].value) == [2, 3]
    assert results.only(whole, ()) is whole
    refused("not recorded for xray, only real, quickdraw at scale laptop", results.only, whole, ["xray"])


def test_a_question_that_does_not_exist_is_refused(refused):
    refused("no question 'reuse'; choose from feature_reuse", questions.get, "reuse")


def test_a_run_is_recorded_and_read_back(tiny, tmp_path):
    made = results.run(
        questions.get(QUESTION), tiny, ("quickdraw",), (0,), commit="abc", workers=1, show=False
    )
    assert made.provenance["commit"] == "abc" and made.provenance["targets"] == ["quickdraw"]
    folder = records.write("tiny", QUESTION, made.tables, made.provenance, tmp_path)
    noted = json.loads((folder / "provenance.json").read_text())
    assert noted.pop("tables").keys() == made.tables.keys()
    assert noted == json.loads(json.dumps(made.provenance))
    back = records.load_all("tiny", QUESTION, tmp_path)
    for name, frame in made.tables.items():
        keys = questions.tables()[name].keys
        expected = frame.sort_values(keys).reset_index(drop=True)
        pd.testing.assert_frame_equal(back[name], expected, rtol=1e-5, check_dtype=False)
