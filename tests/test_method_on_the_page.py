"""The source of functions on pages, and what is computed by hand there."""

import dataclasses
import inspect

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from made_up import provenance

from tlbook import questions, scales
from tlbook.book import pages, source
from tlbook.book.results import Results
from tlbook.errors import TlbookError
from tlbook.questions.feature_reuse import QUESTION, method


def test_the_source_is_the_functions_own():
    found = source.of(QUESTION, "method.py:convergence")
    assert found.text == inspect.getsource(method.convergence).rstrip()
    assert found.line == method.convergence.__code__.co_firstlineno
    assert source.of(QUESTION, "tlbook/training/loop.py:step").path.name == "loop.py"
    decorated = source.of(QUESTION, "tlbook/metrics.py:predict")
    assert decorated.text.startswith("@torch.no_grad()\ndef predict(")
    assert source.of(QUESTION, "tlbook/book/source.py:Code._one").text.startswith("    def _one(")


def test_what_does_not_exist_is_refused(refused):
    refused("no function 'nothing'", source.of, QUESTION, "method.py:nothing")
    refused("no function 'convergence'", source.of, QUESTION, "no_such_file.py:convergence")


def test_every_table_names_a_function_that_exists():
    for question in questions.every().values():
        for table in question.tables.values():
            if table.made_by:
                assert source.of(question, table.made_by).text, table.name


def test_the_source_is_folded_under_an_anchor_for_its_tables(monkeypatch):
    made = {name: "method.py:convergence" for name in ("learning_curves", "convergence")}
    for name, function in made.items():
        monkeypatch.setitem(
            QUESTION.tables, name, dataclasses.replace(QUESTION.tables[name], made_by=function)
        )
    page = BeautifulSoup(pages.code(QUESTION, *made)._repr_html_(), "html.parser")
    (folded,) = page.select("details")  # one function, two tables
    assert "def convergence(" in folded.get_text() and not folded.has_attr("open")
    assert [span["id"] for span in page.select("span[id]")] == ["code-learning_curves", "code-convergence"]
    result = Results(QUESTION, "smoke", False, {}, provenance())
    assert "[its code](#code-convergence)" in pages.badge(result, "convergence")
    assert "its code" not in pages.badge(result, "domains")


@pytest.fixture
def results():
    table = pd.DataFrame(
        {"role": ["real"] * 2 + ["xray"], "module": ["conv1", "fc", "fc"], "value": [1.0, 50.0, 0.5]}
    )
    return {"this build": Results(QUESTION, "smoke", False, {"rewind": table}, provenance())}


def test_by_hand_stands_beside_the_table(results):
    shown = pages.same_as(results, "rewind", lambda: {"fc": 50.0, "conv1": 1.0}, over="module", role="real")
    assert shown.frame.to_dict("list") == {
        "module": ["fc", "conv1"], "by hand": [50.0, 1.0], "in the table": [50.0, 1.0],
    }  # fmt: skip
    assert pages.same_as(results, "rewind", lambda: 0.5, role="xray").frame.shape == (1, 2)


@pytest.mark.parametrize("wrong", [50.01, float("nan")])
def test_what_differs_fails(results, wrong):
    with pytest.raises(TlbookError, match="By hand rewind fc is .* in the table it is 50"):
        pages.same_as(results, "rewind", lambda: {"fc": wrong}, over="module", role="real")
    with pytest.raises(TlbookError, match="name one for each number"):
        pages.same_as(results, "rewind", lambda: {"fc": 50.0}, over="module")
    with pytest.raises(TlbookError, match="has 2 rows where role real"):
        pages.same_as(results, "rewind", lambda: 50.0, role="real")


def test_records_have_no_models(results):
    recorded = {"recorded": dataclasses.replace(results["this build"], recorded=True)}

    def by_hand():
        raise AssertionError("called")

    assert "no models here" in pages.same_as(recorded, "rewind", by_hand, role="real")._repr_html_()


def test_runs_that_a_reader_chose_may_not_give_such_rows(results):
    """One seed has no pairs; the scale as it stands has them, so there a wrong name is no excuse."""

    def by_hand():
        raise AssertionError("called")

    ((label, built),) = results.items()
    some = {label: dataclasses.replace(built, provenance=provenance() | {"as_it_stands": False})}
    assert "do not give the table" in pages.same_as(some, "rewind", by_hand, role="clipart")._repr_html_()
    assert "do not give the table" in pages.same_as(some, "barriers", by_hand, role="real")._repr_html_()
    whole = {"targets": list(scales.TARGETS), "seeds": list(scales.get("smoke").seeds), "as_it_stands": True}
    results = {label: dataclasses.replace(built, provenance=provenance() | whole)}
    with pytest.raises(TlbookError, match="has 0 rows where role clipart"):
        pages.same_as(results, "rewind", lambda: 1.0, role="clipart")
