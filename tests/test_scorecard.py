"""The scorecard on made-up records, the forest plot, rules 1's table, and the roles that hold prose to it."""

import json
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import one_sentence
from made_up import provenance, tables
from made_up_evidence import world

from tlbook import questions
from tlbook.book import devices, records, scorecard
from tlbook.build import found as roles
from tlbook.errors import TlbookError
from tlbook.evidence import statements

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Question 1, made up, recorded at gpu and at laptop; at gpu without Figure 3."""
    folder, made = tmp_path_factory.mktemp("records"), tables()
    records.write("laptop", "feature_reuse", made, provenance(), folder)
    curves = {name: made[name] for name in ("learning_curves", "convergence", "domains")}
    records.write("gpu", "feature_reuse", curves, provenance(), folder)
    return folder


@pytest.fixture(scope="module")
def found(root):
    return scorecard.read(root)


@pytest.fixture(scope="module")
def confirmed() -> pd.DataFrame:
    """Ten seeds of the confirmation in which the paper is right, and what Figure 3 shows is not recorded."""
    made = world()
    made.pop("block_shuffle")
    return statements.evaluate(questions.claims(), made)


def parse(shown) -> BeautifulSoup:
    return BeautifulSoup(shown._repr_html_(), "html.parser")


def test_scales_stand_with_the_highest_first(found):
    assert list(found) == ["gpu", "laptop"] and all(len(judged) == 41 for judged in found.values())


def test_counts_add_up(found, confirmed):
    for row in scorecard.counts(found | {"confirmed": confirmed}).to_dict("records"):
        assert row["statements"] == 41 == sum(row[verdict] for verdict in statements.VERDICTS)
        assert row["not recorded"] == (6 if row["scale"] == "confirmed" else 41 - row["not tested"])
    assert row["reproduced"] == row["survive Holm's correction"] == 35


def test_the_glance_shows_every_statement_below_its_claim(confirmed):
    page = parse(scorecard.Glance(confirmed))
    assert page.p.text == "35 of 35 decided statements reproduced, 0 not, 0 open; 6 of 41 not decided."
    assert [row["id"] for row in page.select("tr[id]")] == [scorecard.row_id(n) for n in range(1, 31)]
    rows = [row for row in page.select("tbody tr") if len(row.select("td")) == 8]
    for row, judged in zip(rows, confirmed.itertuples(), strict=True):
        cells = [cell.text for cell in row.select("td")]
        assert cells[0] == f"{judged.claim}{judged.letter}" and judged.verdict in cells[-1]
        assert cells[4] == ("–" if math.isnan(judged.paper) else f"{judged.paper:.3g}")
    assert "✓ reproduced" in rows[0].text and "3 of 3 so" in rows[0].text
    assert "shown, not judged" in page.find(id="claim-29").text


def test_the_pilot_stands_beside_the_confirmation(confirmed):
    """In the glance a column more, in the forest a thin grey line more a statement; without it neither."""
    before = statements.evaluate(questions.claims(), world(seeds=(0, 1, 2), noise=0.01))
    page = parse(scorecard.Glance(confirmed, pilot=before))
    rows = [row for row in page.select("tbody tr") if len(row.select("td")) == 9]
    heads = [head.text for head in page.select("thead th")]
    assert len(rows) == 41 and heads.index("pilot") == heads.index("ours, 95 % interval") + 1
    for row, judged in zip(rows, before.itertuples(), strict=True):
        shown = row.select("td")[heads.index("pilot")].text
        assert shown == f"{judged.value:.3g}{statements.interval(judged)}".replace(" ", "\N{NO-BREAK SPACE}")
    alone, both = scorecard.forest(confirmed), scorecard.forest(confirmed, before)
    grey = [
        [line for ax in one.axes for line in ax.lines if line.get_color() == "0.6"] for one in (alone, both)
    ]
    plt.close("all")
    assert [len(lines) for lines in grey] == [0, 2 * 41]


def test_a_folder_of_records_has_its_pilot_in_a_folder_of_its_own(root, tmp_path):
    assert scorecard.pilot(root) == {}
    for folder in (tmp_path, tmp_path / "pilot"):
        records.write("laptop", "feature_reuse", tables(), provenance(), folder)
    assert list(scorecard.read(tmp_path)) == list(scorecard.pilot(tmp_path)) == ["laptop"]


def test_only_the_first_scale_is_linked_to(found):
    page = parse(scorecard.glance(found))
    assert len(page.select("#claim-1")) == 1 and "3 of 5 seeds (pilot)" in page.text


def test_links_lead_to_a_section_that_is_there(found):
    """Sphinx makes the anchor from the heading: lower case, hyphens for all that is not a letter."""
    for link in parse(scorecard.glance(found)).select("a"):
        page, anchor = re.fullmatch(r"(\w+)\.html#(.+)", link["href"]).groups()
        cells = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text())["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        heads = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9]+", "-", head.lower()).strip("-") for head in heads}


def test_details_hold_a_table_a_question_and_scale(found):
    page = parse(scorecard.details(found))
    assert len(page.select("table")) == 2 * 5
    assert len(page.select("tbody tr")) == 2 * 41 and "of 3 targets" in page.text


def test_the_forest_has_a_panel_a_question_and_the_papers_mark(confirmed):
    figure = scorecard.forest(confirmed)
    plt.close(figure)
    assert [len(ax.get_yticks()) for ax in figure.axes] == [14, 9, 8, 6, 4]
    marks = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "D"]
    at = np.array([line.get_xdata()[0] for line in marks])
    printed = (confirmed.paper.notna()).to_numpy()
    sided = printed & (confirmed.band == 0).to_numpy()
    assert np.isnan(at[~printed]).all() and at[sided] == pytest.approx(1.0)
    assert (abs(at[printed & ~sided]) < 1).all()  # in units of its band


def test_without_records_it_says_how_to_make_them(tmp_path):
    with pytest.raises(TlbookError) as refusal:
        scorecard.read(tmp_path)
    assert one_sentence(refusal) and "tlbook reproduce" in str(refusal.value)
    with pytest.raises(TlbookError, match="There is no folder of records"):
        scorecard.read(tmp_path / "none")


# -- rules 1, and prose -----------------------------------------------------------------------------------


def test_rules_1_stay_as_they_were():
    parts = scorecard.rules1()
    assert len(parts) == 207 and set(parts["commit"]) == {"a0d2517"} and set(parts.scale) == {"laptop"}
    said = [scorecard.verdict_before(number) for number in range(1, 31)]
    assert [said.count(verdict) for verdict in scorecard.BEFORE] == [0, 12, 18]
    for row in parts[parts.verdict.isin(["reproduced", "not reproduced"])].itertuples():
        sign, number = re.fullmatch(r"([<>] )?(\S+)( ± \S+)?", row.asks).group(1, 2)
        if sign:
            beyond = row.low > float(number) if sign == "> " else row.high < float(number)
            assert beyond == (row.verdict == "reproduced"), (row.claim, row.part)


def test_rules_1_are_folded_with_their_parts():
    page = parse(scorecard.Before())
    assert len(page.select("details details")) == 30 and len(page.select("tbody tr")) == 207
    assert "a0d2517" in page.summary.text


def test_prose_must_say_what_was_judged():
    assert roles.said("9 not reproduced").endswith("\N{NO-BREAK SPACE}claim\N{NO-BREAK SPACE}9")
    with pytest.raises(TlbookError, match="calls claim 9 'reproduced'; rules 1 called it 'not reproduced'"):
        roles.said("9 reproduced")
    for wrong in ("1 perhaps", "9 open", "nine reproduced", "9a inconclusive"):
        with pytest.raises(TlbookError, match="not a claim's or statement's number and a verdict"):
            roles.said(wrong)
    with pytest.raises(TlbookError, match="no claim 31; the claims are 1 to 30"):
        roles.said("31 reproduced")


def test_prose_must_say_what_rules_2_judged(monkeypatch, confirmed):
    monkeypatch.setattr(scorecard, "read", lambda: {"laptop": confirmed})
    assert roles.said("1b reproduced") == "✓\N{NO-BREAK SPACE}1b"
    assert roles.said("6a not recorded").startswith("·")
    with pytest.raises(TlbookError, match="prose calls 1b 'open'; rules 2 called it 'reproduced'"):
        roles.said("1b open")
    with pytest.raises(TlbookError, match="There is no statement 1c; statements are 1a, 1b, 2a"):
        roles.said("1c open")


def test_a_statements_value_on_one_target_is_that_of_its_rows(monkeypatch):
    """1a on clipart, from the table itself: the ends at the better rate, P-T minus RI-T, seed by seed."""
    made = world(noise=0.02)
    monkeypatch.setattr(scorecard, "read", lambda: {"laptop": None})
    monkeypatch.setattr(records, "load_scale", lambda scale: made)
    scorecard.on_target.cache_clear()
    scorecard._tables.cache_clear()
    table = made["learning_curves"]
    ends = table[(table.role == "clipart") & (table.metric == "accuracy")]
    ends = (
        ends[ends.epoch == ends.epoch.max()].set_index(["init", "rate", "split", "seed"]).value.sort_index()
    )
    better = {
        init: max("low high".split(), key=lambda r: ends[init, r, "dev"].mean()) for init in ("P-T", "RI-T")
    }
    gain = ends["P-T", better["P-T"], "test"] - ends["RI-T", better["RI-T"], "test"]
    half = 2.262 * gain.std() / 10**0.5
    value, low, high = map(float, re.findall(r"[\d.]+", roles.ours("1a on clipart")))
    assert [value, low, high] == pytest.approx(
        [gain.mean(), gain.mean() - half, gain.mean() + half], rel=0.01
    )
    with pytest.raises(TlbookError, match="1a does not speak of xray alone, but of real, clipart, quickdraw"):
        roles.ours("1a on xray")
    with pytest.raises(TlbookError, match="There is no statement 99a"):
        roles.ours("99a")
    scorecard.on_target.cache_clear()
    scorecard._tables.cache_clear()


def test_two_devices_are_compared_statement_by_statement(tmp_path, monkeypatch):
    """Everything of the second lies by the same share above the first; what it lacks is left out."""
    here = world(noise=0.02)
    there = {name: frame for name, frame in here.items() if name not in ("paths", "rewind")}
    there["learning_curves"] = here["learning_curves"].assign(value=2 * here["learning_curves"].value)
    assert devices.compared(root=tmp_path).empty
    (tmp_path / devices.SECOND / "laptop").mkdir(parents=True)
    monkeypatch.setattr(records, "load_scale", lambda scale, root: here if root == tmp_path else there)
    rows = devices.compared(root=tmp_path).set_index(["", "on"])
    assert not {"22a", "23a", "24a", "3a"} & set(rows.index.get_level_values(0))
    one = rows.loc["1a", "clipart"]
    assert one["value there"] == pytest.approx(2 * one.value) and one["low there"] == pytest.approx(
        2 * one.low
    )
    assert one.apart == pytest.approx(one.value / ((one.high - one.low) / 2))
    same = rows.loc["16a", "real"]
    assert same.apart == 0 and same["high there"] == same.high
    apart = (rows.low > rows["high there"]) | (rows.high < rows["low there"])
    assert devices.in_words(rows.reset_index())[1].startswith(f"{apart.sum()} of {len(rows)} pairs")
    assert devices.in_words(pd.DataFrame()) == ["No other device has trained these seeds."]


def test_our_values_in_prose_come_with_their_interval():
    assert roles.ours("claim 1, part 1") == "10.6 (7.33 to 13.9)"
    with pytest.raises(TlbookError, match="is not a statement, such as"):
        roles.ours("first")
    with pytest.raises(TlbookError, match="Rules 1 have no value of part 99 of claim 1"):
        roles.ours("claim 1, part 99")


def test_roles_become_links_that_read_well_and_stay_as_they_are():
    written = "By {ours}`claim 1, part 1` ({verdict}`9 not reproduced`); see {claims}`claims 7 to 10`."
    page = "06_scorecard.ipynb"
    linked = roles.resolved(written, page)
    assert linked == (
        f'By [10.6 (7.33 to 13.9)]({page}#claim-1 "claim 1, part 1") '
        f'([✗\N{NO-BREAK SPACE}claim\N{NO-BREAK SPACE}9]({page}#claim-9 "9 not reproduced")); '
        f"see claims [7]({page}#claim-7) to [10]({page}#claim-10)."
    )
    assert roles.resolved(linked, "elsewhere") == linked
    assert roles.resolved(linked.replace("10.6 (7.33", "99 (1")) == linked  # a value of before
    with pytest.raises(TlbookError, match="calls claim 9 'reproduced'"):
        roles.resolved(linked.replace("9 not reproduced", "9 reproduced"))
    with pytest.raises(TlbookError, match="no claim 31; the claims are 1 to 30"):
        roles.resolved("{claims}`claims 3 and 31`")
    with pytest.raises(TlbookError, match="names no claim"):
        roles.resolved("{claims}`all of them`")


def test_references_in_prose_are_by_author_and_year():
    cited = roles.resolved("after {cite:t}`neyshabur2020` and {cite:p}`vlaar2022, zhang2018mixup`")
    assert re.sub(r"\]\(\S+ \"[^\"]+\"\)", "]", cited) == (
        "after [Neyshabur et al. (2020)] and ([Vlaar and Frankle, 2022]; [Zhang et al., 2018])"
    )
    assert '"What is being transferred in transfer learning?")' in cited
    moved = re.sub(r"\]\(\S+ ", "](https://elsewhere.org ", cited)
    assert moved != cited == roles.resolved(moved)
    with pytest.raises(TlbookError, match="no reference 'nobody1900'"):
        roles.resolved("{cite:p}`nobody1900`")


@pytest.mark.parametrize("page", roles.sources(roles.REPOSITORY), ids=lambda path: path.stem)
def test_prose_is_up_to_date(page):
    """Else `make prose` makes it so."""
    assert roles.updated(page) == page.read_text()
