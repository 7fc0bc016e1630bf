"""Builds of one scale: several at once, interrupted, killed at any moment."""

import os
import random
import shutil
import signal
import time

import pytest
from conftest import DEEP
from made_up_book import repository
from processes import interrupted, is_running, start, until

from tlbook import errors

KILLS = 12 if DEEP else 1
# What a notebook and a Sphinx extension do to say who they are, and not to end.
STAY = "import os, pathlib, time; pathlib.Path({!r}).write_text(f'{{os.getpid()}}.'); time.sleep(600)"


def build(tree):
    return start("-m", "tlbook.build", "--root", tree)


def pages(tree):
    """Every page with its content."""
    folder = tree / "_build" / "smoke" / "_build" / "html"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.html")}


def left_over(tree):
    """What lies beside the pages."""
    return {p.name for p in (tree / "_build" / "smoke" / "_build").iterdir()} - {"html"}


@pytest.fixture
def tree(tmp_path):
    return repository(tmp_path / "tree")


@pytest.fixture
def slow(tmp_path):
    """Make a repository whose build stays in its notebook or in Sphinx, and find who is at work there."""

    def slow(where):
        pid = tmp_path / "pid"
        stay = STAY.format(str(pid))
        tree = repository(tmp_path / "slow", *([stay] if where == "notebook" else []))
        if where == "Sphinx":
            (tree / "slow.py").write_text(f"def setup(app):\n    {stay}\n")
            with (tree / "_config.yml").open("a") as config:
                config.write(f"sphinx: {{local_extensions: {{slow: {tree}}}}}\n")

        def at_work():
            text = pid.read_text() if pid.exists() else ""
            return int(text[:-1]) if text.endswith(".") else None

        return tree, at_work

    return slow


def test_several_builds_of_one_scale_make_one_book(tree):
    """Each waits for the one before; the first executes, the others find it done."""
    both = [build(tree) for _ in range(3)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    assert sorted("executed in" in text for text in said) == [False, False, True]
    assert sum("Another build of scale smoke is at work" in text for text in said) >= 1
    together = pages(tree)
    (tree / "_build").rename(tree / "before")
    assert build(tree).wait() == 0 and pages(tree) == together and left_over(tree) == set()


def test_a_build_that_fails_keeps_the_pages_that_were_there(tree):
    assert build(tree).wait() == 0
    before = pages(tree)
    (tree / "book" / "intro.md").write_text("# Other\n\n[broken](nowhere.md)\n")
    failed = build(tree)
    assert "nowhere.md" in failed.communicate()[1] and failed.returncode == 1
    assert before and pages(tree) == before and left_over(tree) == set()


@pytest.mark.parametrize("where", ["notebook", "Sphinx"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_build_started_ends_with_it(slow, where, how):
    tree, at_work = slow(where)
    process = build(tree)
    until(at_work, process)
    os.kill(process.pid, how)
    assert process.wait() == -how
    until(lambda: not is_running(at_work()), seconds=10, what=f"{where} goes on")


@pytest.mark.parametrize("where", ["notebook", "Sphinx"])
def test_ctrl_c_ends_a_build_where_it_executes_and_where_it_renders(slow, where):
    tree, at_work = slow(where)
    code, said, seconds = interrupted(["tlbook.build", "--root", tree], tree, at_work)
    assert code == 130 and said.count(errors.INTERRUPTED) == 1 and "Traceback" not in said
    assert seconds < 2
    until(lambda: not is_running(at_work()), seconds=10, what=f"{where} goes on")
    if where == "Sphinx":  # the notebook ended well before
        (tree / "_config.yml").write_text((tree / "_config.yml").read_text().partition("sphinx:")[0])
        again = build(tree)
        assert "reused (unchanged" in again.communicate()[0] and again.returncode == 0


def test_a_build_killed_at_any_moment_is_ended_by_the_next(tree, record_property):
    """Pages are those that were there or the new ones; the next build makes what an undisturbed one does."""
    whole = repository(tree.with_name("whole"))
    began = time.monotonic()
    assert build(whole).wait() == 0
    seconds, expected = time.monotonic() - began, pages(whole)
    moments = random.Random(0)
    for _ in range(KILLS):
        process = build(tree)
        time.sleep(moments.uniform(0.1, 1) * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert pages(tree) in ({}, expected)
        if moments.random() < 0.5:
            last = build(tree)
            assert last.communicate()[1].count("Traceback") == 0 and last.returncode == 0
            assert pages(tree) == expected and left_over(tree) == set()
            shutil.rmtree(tree / "_build" / "smoke" / ".executed")  # to be executed again
    assert build(tree).wait() == 0 and pages(tree) == expected
    record_property("kills of a build", KILLS)
