"""A new question is a folder and a notebook: one is added from outside, and everything finds it."""

import json
import sys

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from tlbook import questions, scales
from tlbook.book import pages, records, results

ROOM = {
    "__init__.py": '''
"""How far does the first epoch move the weights?"""

from pathlib import Path

from tlbook.question import Question


def _study():
    import tlbook.questions.first_epoch.study as study

    return study


QUESTION = Question("first_epoch", "7", "First epoch", "07_first_epoch", Path(__file__).parent, _study)
''',
    "tables.toml": """
[first_step]
meaning = "How far the weights have moved after the first epoch."
row = "role init rate seed module value"
made_by = "method.py:moved"
columns.value = { kind = "number", unit = "l2", meaning = "distance from the start", low = 0 }
""",
    "method.py": '''
from tlbook import models


def moved(start, end):
    """Module -> l2 distance between two state dicts."""
    names = {name for name in start if name.startswith("conv1.")}
    return {"conv1": sum(float((end[name] - start[name]).square().sum()) for name in names) ** 0.5}
''',
    "study.py": """
import pandas as pd

from tlbook.questions import grid
from tlbook.questions.first_epoch.method import moved
from tlbook.training.executors import ensure_all
from tlbook.training.runs import ensure
from tlbook.training.specs import unique


def runs(scale, targets, seeds):
    return unique([*grid.pretraining(scale), *(spec for _, spec in grid.unshuffled(scale, targets, seeds))])


def tables(scale, targets, seeds, **how):
    ensure_all(runs(scale, targets, seeds), **how)
    rows = []
    for keys, spec in grid.unshuffled(scale, targets, seeds):
        run = ensure(spec)
        for module, value in moved(run.weights(0), run.weights(1)).items():
            rows.append(keys | {"module": module, "value": value})
    return {"first_step": pd.DataFrame(rows)}
""",
    "figures.py": """
from tlbook.evidence import style


def steps(table):
    figure, panels = style.by_role(table)
    for role, rows, ax in panels:
        ax.plot(rows.init, rows.value, "o")
    return style.described(figure, "How far the first epoch goes")
""",
}


@pytest.fixture
def first_epoch(tmp_path, monkeypatch):
    """The room in a folder of its own, which the questions' package is told of."""
    folder = tmp_path / "rooms" / "first_epoch"
    folder.mkdir(parents=True)
    for name, text in ROOM.items():
        (folder / name).write_text(text.lstrip())
    monkeypatch.setattr(questions, "__path__", [*questions.__path__, str(folder.parent)])
    yield questions.get("first_epoch")
    for name in [name for name in sys.modules if name.startswith("tlbook.questions.first_epoch")]:
        del sys.modules[name]


def test_a_question_is_a_folder(first_epoch, tiny, tmp_path, monkeypatch, command):
    assert list(questions.every())[-1] == "first_epoch" and "first_step" in questions.tables()
    monkeypatch.setitem(scales.SCALES, "tiny", tiny)
    few = ("--scale", "tiny", "--only", "first_epoch", "--target", "real", "--seed", 0, "--workers", 1)
    code, out, err = command("reproduce", *few, "--record", tmp_path / "records")
    assert code == 0 and "first_epoch.first_step: 2 rows" in out, err
    table = records.load("tiny", "first_epoch", "first_step", tmp_path / "records")
    assert set(table.init) == {"P-T", "RI-T"} and (table.value > 0).all()
    assert json.loads((tmp_path / "records/tiny/first_epoch/provenance.json").read_text())["runs"] == 3
    code, out, _ = command("plan", "--scale", "tiny", "--target", "real")
    assert code == 0 and "first_epoch" in out


def test_its_page_shows_figure_code_and_what_is_computed_by_hand(first_epoch, tiny):
    shown = {"this build": results.run(first_epoch, tiny, ("real",), (0,), workers=1, show=False)}
    from tlbook.questions.first_epoch import figures

    page = BeautifulSoup(pages.show(shown, figures.steps, "first_step")._repr_html_(), "html.parser")
    assert page.select_one("img")["alt"].startswith("How far the first epoch goes")
    assert page.select_one("a[href='#code-first_step']")
    assert (
        "def moved(start, end)"
        in BeautifulSoup(pages.code(first_epoch, "first_step")._repr_html_(), "html.parser").get_text()
    )
    table = shown["this build"].tables["first_step"]
    row = table[table.init == "P-T"].iloc[0]
    by_hand = pages.same_as(shown, "first_step", lambda: row.value, init="P-T", rate=row.rate)
    assert isinstance(by_hand.frame, pd.DataFrame)
