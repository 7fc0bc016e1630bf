"""What a notebook shows, on made-up results: tabs, badges, verdicts, and sentences for what is missing."""

import dataclasses
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import one_sentence
from images import class_folders
from made_up import METRIC, ROLES, SEEDS, block_shuffle, provenance, tables

from tlbook import questions, scales
from tlbook.book import explorer, pages, parameters
from tlbook.book.results import Results
from tlbook.data.layouts import MissingData
from tlbook.errors import TlbookError
from tlbook.evidence import statements
from tlbook.questions.feature_reuse import figures as figures


@pytest.fixture(scope="module")
def made():
    """A result of this build at `smoke`, and one recorded at `laptop`, of all roles."""
    build = Results(questions.get("feature_reuse"), "smoke", False, tables(), provenance())
    recorded = Results(questions.get("feature_reuse"), "laptop", True, tables(), provenance(), recorded=True)
    return {"build": build, "recorded": recorded}


@pytest.fixture(scope="module")
def judged(made):
    """The statements on the recorded result."""
    return statements.evaluate(questions.get("feature_reuse").claims, made["recorded"].tables)


@pytest.fixture
def build(made):
    return made["build"]


@pytest.fixture
def recorded(made):
    return made["recorded"]


def parse(shown) -> BeautifulSoup:
    return BeautifulSoup(shown._repr_html_(), "html.parser")


def tab_names(page) -> list[str]:
    return [label.text for label in page.select_one(".tlb-bar").select("label")]


def count(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"rows": [len(frame)]})


# -- tables -----------------------------------------------------------------------------------------------


def test_table_shows_numbers_to_three_digits_and_dashes_for_none():
    frame = pd.DataFrame({"role": ["real", "<xray>"], "value": [81.2345, np.nan], "n": [3, 1200]})
    page = parse(pages.Table(frame))
    cells = [[cell.text for cell in row.select("td")] for row in page.select("tbody tr")]
    assert cells == [["real", "81.2", "3"], ["<xray>", "–", "1200"]]
    assert [cell.text for cell in page.select("th")] == ["role", "value", "n"]
    assert page.select_one(".tlb-table[tabindex='0'][role=group][aria-label]")


# -- tabs of results --------------------------------------------------------------------------------------


def test_recorded_results_come_first_as_they_are_given(build, recorded):
    page = parse(pages.show({"recorded": recorded, "mine": build}, count, "learning_curves"))
    assert tab_names(page) == ["recorded", "mine"]
    assert len(page.select("table")) == len(page.select("details.tlb-made")) == 2


def test_without_real_images_the_first_tab_says_so(build):
    page = parse(pages.show({"mine": build}, count, "learning_curves"))
    assert tab_names(page) == ["real images", "mine"]
    assert page.select_one(".tlb-text").text == "Not recorded on real images yet."


def test_a_result_without_the_table_says_so(build, recorded):
    """Also where nothing else is shown: never an error, never nothing."""
    partly = dataclasses.replace(recorded, tables={"learning_curves": recorded.tables["learning_curves"]})
    page = parse(pages.show({"recorded": partly}, count, "block_shuffle"))
    assert page.select_one(".tlb-text").text == "The table block_shuffle is not recorded at scale laptop yet."
    page = parse(pages.show({"recorded": partly, "mine": build}, count, "block_shuffle"))
    assert len(page.select("table")) == 1


def test_what_has_several_figures_shows_them_in_tabs(recorded):
    page = parse(pages.show({"a": recorded}, lambda table: {"x": count(table), "y": "z"}, "convergence"))
    assert tab_names(page) == ["x", "y"]


def test_figures_stand_in_tabs_with_their_own_words(recorded):
    few = dataclasses.replace(recorded, tables=tables(("real",)))
    page = parse(pages.show({"recorded": few}, figures.convergence, "convergence"))
    assert "hollow" in page.select_one("img")["alt"]
    assert not plt.get_fignums()


def test_more_is_given_to_what_draws(recorded):
    seen = []
    pages.show({"a": recorded}, lambda *given: seen.append(given) or "text", "convergence", 7)
    assert seen[0][0] is recorded.tables["convergence"] and seen[0][1] == 7


# -- badges -----------------------------------------------------------------------------------------------


def test_only_what_was_recorded_names_its_file(build, recorded):
    assert "`book/records/laptop/feature_reuse/block_shuffle.csv`" in pages.badge(recorded, "block_shuffle")
    assert "book/records" not in pages.badge(build, "block_shuffle")


def test_badge_says_how_a_result_was_made_and_how_to_make_it_again(recorded):
    parts = pages.badge(recorded, "convergence").split(" · ")
    assert parts[0] == "scale laptop"
    assert "seeds 0, 1, 2: 96 runs" in parts and "10 min of training" in parts
    assert "commit `0123456789`" in parts and "cpu (a processor), torch 2" in parts and "2026-11-24" in parts
    command = "tlbook reproduce --scale laptop --only feature_reuse --seed 0 --seed 1 --seed 2"
    assert f"again: `{command}`" in parts


def test_badge_of_the_pilot_says_so_and_where_it_lies(recorded):
    pilot = dataclasses.replace(recorded, root=pages.records.PILOT)
    shown = pages.badge(pilot, "learning_curves")
    assert "scale laptop (the pilot, protocol" in shown and "again, at that commit: `tlbook" in shown
    assert "`book/records/pilot/laptop/feature_reuse/learning_curves.csv`" in shown
    lacking = dataclasses.replace(recorded, tables={}, pilot=pilot)
    page = parse(pages.show({"recorded": lacking}, count, "learning_curves"))
    assert "scale laptop, the pilot, 3 seeds" in page.text


def test_badge_of_smoke_says_that_it_judges_nothing(build):
    assert pages.badge(build, "convergence").startswith("scale smoke (shows that it works, judges nothing)")


@pytest.mark.parametrize(("clean", "words"), [(True, False), (False, True), (None, False)])
def test_badge_warns_of_changes_that_git_saw(recorded, clean, words):
    result = dataclasses.replace(recorded, provenance=provenance(clean=clean))
    assert (" with changes" in pages.badge(result, "convergence")) == words


def test_badge_command_names_roles_and_seeds_of_a_part(recorded):
    part = dataclasses.replace(recorded, provenance=provenance(("real", "quickdraw"), seeds=[0, 4]))
    options = "--target real --target quickdraw --seed 0 --seed 4"
    assert f"--only feature_reuse {options}`" in pages.badge(part, "convergence").split(" · ")[-2]


def test_badge_of_a_changed_scale_does_not_pass_for_the_scale(build):
    changed = dataclasses.replace(build, provenance=provenance(as_it_stands=False, training_seconds=61.4))
    badge = pages.badge(changed, "convergence")
    assert badge.startswith("scale smoke, changed by this page's parameters")
    assert "tlbook reproduce" not in badge and "61 s of training" in badge


# -- verdicts ---------------------------------------------------------------------------------------------


def test_verdicts_list_every_claim_with_its_parts(build, recorded):
    page = parse(pages.verdicts({"recorded": recorded, "mine": build}, "feature_reuse"))
    asked = questions.get("feature_reuse").claims
    for panel in page.select(".tlb-panel"):
        summaries = [summary.text for summary in panel.select("details:not(.tlb-made) > summary")]
        assert len(summaries) == len(asked)
        for claim, summary in zip(asked, summaries, strict=True):
            assert claim.text in summary and claim.where in summary
    laptop, smoke = page.select(".tlb-panel")
    assert "not judged" in smoke.text and "not judged" not in laptop.text
    assert "not tested: 3 of 5 seeds (pilot)" in laptop.text


def test_statement_rows_say_statistic_interval_rule_and_verdict(judged):
    """P-T minus RI-T at the rates that dev chooses is 80 - 60 in every seed."""
    first = pages.statement_rows(judged).iloc[0]
    assert (first.on, first.ours, first.seeds) == ("real, clipart, quickdraw", pytest.approx(20), 3)
    assert (first["95 % interval"], first.asks, first["targets with the sign"]) == (
        "20 to 20",
        "> 0",
        "3 of 3",
    )
    assert first["ours / paper"] == pytest.approx(20 / 11.966667)
    assert first.verdict == "· not tested: 3 of 5 seeds (pilot)"


def test_what_to_know_stands_beside_the_verdict(judged):
    """An RI-T that has not fitted its training images proves nothing, and the page says how far it came."""
    rows = pages.statement_rows(judged)
    assert "RI-T (clipart, low) reached 60 on its training images" in rows["to know"][0]
    open_ = judged.assign(
        verdict="open", needs="about 9 seeds", collapsed="1 of 9 collapsed", note="", paper_targets=2
    )
    assert (
        pages.statement_rows(open_)["to know"][0] == "about 9 seeds; 1 of 9 collapsed; paper: 2 of 3 targets"
    )


def test_a_missing_table_leaves_claims_not_recorded(recorded):
    partly = dataclasses.replace(recorded, tables={"learning_curves": recorded.tables["learning_curves"]})
    page = parse(pages.verdicts({"recorded": partly}, "feature_reuse"))
    assert len(page.select("details:not(.tlb-made)")) == len(questions.get("feature_reuse").claims)
    assert "not recorded" in page.text


def test_a_long_table_is_a_choice_of_targets(build):
    def long(table):
        return pd.DataFrame({"role": np.repeat(["real", "xray"], 13), "value": range(26)})

    page = parse(pages.show({"mine": build}, long, "learning_curves"))
    inner = page.select(".tlb-panel .tlb-panel")
    assert [len(panel.select("tbody tr")) for panel in inner] == [13, 13]
    assert [label.text for label in page.select(".tlb .tlb .tlb-bar label")] == ["real", "xray"]
    short = parse(pages.show({"mine": build}, lambda table: long(table).iloc[3:], "learning_curves"))
    assert len(short.select_one("tbody").select("tr")) == 23 and "role" in short.select_one("thead").text


# -- a reader's own images ---------------------------------------------------------------------------------


@pytest.fixture
def own(build):
    """A result on a reader's own images of one target."""
    domains = build.tables["domains"].replace({"dataset": {"pacs/photo": "folder:/home/me/cats"}})
    changes = {"as_it_stands": False, "own_images": {"real": "/home/me/cats"}}
    made = provenance(("real",), **changes)
    return dataclasses.replace(build, tables=build.tables | {"domains": domains}, provenance=made)


def test_the_papers_numbers_stand_beside_neither_ones_own_nor_drawn_images(own, build, recorded):
    papers = pd.DataFrame({"value": [1.0, 2.0]})
    both = {"mine": own, "build": build, "recorded": recorded}
    page = parse(pages.show(both, lambda table, paper: count(paper), "learning_curves", papers))
    assert [panel.select_one("td").text for panel in page.select(".tlb-panel")] == ["0", "0", "2"]


def test_ones_own_result_comes_first_and_is_named_below(own):
    page = parse(pages.show({"mine": own}, count, "learning_curves"))
    assert not page.select("label")  # no tab that says what is not recorded
    assert "/home/me/cats" in page.text and "judges nothing" not in page.text


def test_claims_are_not_judged_on_ones_own_images(own):
    page = parse(pages.verdicts({"mine": own}, "feature_reuse"))
    assert not page.select("details") and "not judged on yours" in page.text


def test_what_these_runs_do_not_give_is_not_called_unrecorded(own):
    less = dataclasses.replace(own, tables={})
    text = parse(pages.show({"mine": less}, count, "convergence")).text
    assert "These runs do not give the table convergence" in text
    empty = dataclasses.replace(own, tables={"convergence": own.tables["convergence"].iloc[:0]})
    assert parse(pages.show({"mine": empty}, figures.convergence, "convergence")).text == text


# -- explorers and images ---------------------------------------------------------------------------------


def test_explore_offers_results_then_roles_then_a_slider(recorded):
    part = dataclasses.replace(recorded, provenance=provenance(("xray", "real")))
    page = parse(pages.explore({"a": part}, lambda result, role: {"1": role, "2": "x"}, "Block size"))
    names = [[label.text for label in bar.select("label")] for bar in page.select(".tlb-bar")]
    assert names == [["real", "xray"]]
    assert [control.text for control in page.select(".tlb-control label")] == ["Block size"] * 2


def test_samples_go_from_unshuffled_to_single_values(tiny):
    assert list(pages.samples(tiny, "real", 4)) == ["32", "16", "*"]


def test_samples_belong_to_the_result(tiny, build, recorded):
    """A recorded result's images are those of its scale as it stands, this build's those of the page."""
    shown, words = pages.samples_of(build, tiny, "real", 4)
    assert shown["32"].shape == (4, 32, 32, 3) and not words
    smoke = dataclasses.replace(recorded, scale="smoke")
    assert list(pages.samples_of(smoke, tiny, "real", 4)[0]) == ["32", "8", "1", "*"]


def test_generated_images_stand_in_for_those_that_are_not_here(recorded, tiny, monkeypatch):
    monkeypatch.setenv("TLBOOK_DATA", "")
    shown, words = pages.samples_of(recorded, tiny, "real", 4)
    assert list(shown) == [str(size) for size in reversed(scales.get("laptop").shuffles.sizes)]
    assert words.endswith("generated ones stand in for them.")
    plain = pages.samples(scales.get("smoke"), "real", 4)["32"]
    assert shown["32"].shape == plain.shape and len(np.unique(shown["32"])) > 20


def test_domains_come_from_the_records_where_a_page_shows_records(tiny, monkeypatch):
    given = parameters.read({"results": "records", "targets": "xray,real"})
    monkeypatch.setattr(pages.records, "recorded", lambda question, table: ["tiny"])
    monkeypatch.setattr(pages.records, "load", lambda scale, question, table: tables()[table])
    assert list(pages.domains(given, tiny).role) == ["source", "xray", "real"]
    counted = pages.domains(parameters.read({"targets": "real"}), tiny).set_index("role")
    assert counted.train["real"] == 40 and counted.dataset["real"] == "embedded/real"


# -- what is missing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MissingData("The images are in no folder."), "The images are in no folder."),
        (TlbookError("There is no weights file x."), "There is no weights file x."),
        (ModuleNotFoundError("no torch", name="torch"), "needs the package torch, which is not installed"),
    ],
)
def test_what_is_missing_is_one_sentence(error, sentence):
    def draw(role):
        raise error

    text = parse(pages.or_sentence(draw, "real")).select_one(".tlb-text").text
    assert sentence in text and one_sentence(text)


def test_what_is_there_is_shown_and_frames_as_tables():
    drawn = explorer.tabs({"a": "b"})
    assert pages.or_sentence(lambda: drawn) is drawn
    assert isinstance(pages.or_sentence(lambda: pd.DataFrame({"a": [1]})), pages.Table)


def test_an_error_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        pages.or_sentence(lambda: 1 / 0)


def test_begin_says_where_the_images_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TLBOOK_DATA", "")  # so that what `begin` sets is undone
    given, scale = pages.begin({"data": str(tmp_path), "targets": "xray", "scale": "laptop"})
    assert os.environ["TLBOOK_DATA"] == str(tmp_path)
    assert scale is scales.get("laptop") and given.targets == ("xray",)


def test_badge_names_the_code_where_git_knows_no_commit(recorded):
    made = recorded.provenance | {"commit": "unknown", "clean": None, "package_digest": "fedcba98765432"}
    badge = pages.badge(dataclasses.replace(recorded, provenance=made), "convergence")
    assert "code `fedcba9876`" in badge and "unknown" not in badge


def test_begin_says_what_is_not_about_ones_own_images(tmp_path, capsys):
    class_folders(tmp_path, count=1)
    pages.begin({"data": f"folder:{tmp_path}", "targets": "xray"})
    assert "is about other images" in capsys.readouterr().out
    pages.begin({"targets": "xray"})
    assert capsys.readouterr().out == ""


def test_made_up_tables_are_like_recorded_ones():
    """Else every test on them would prove little."""
    from tlbook.tables import check

    for name, frame in tables().items():
        check(questions.tables()[name], frame)
    assert set(block_shuffle().role) == set(ROLES) == set(METRIC) - {"source"} and len(SEEDS) == 3
