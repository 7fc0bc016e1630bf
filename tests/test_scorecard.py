"""The scorecard on made-up records, and the roles that hold prose to it."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import one_sentence
from made_up import provenance, tables

from tlbook.book import records, scorecard
from tlbook.book.build import found as roles
from tlbook.errors import TlbookError
from tlbook.evidence import claims

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


def parse(shown) -> BeautifulSoup:
    return BeautifulSoup(shown._repr_html_(), "html.parser")


def test_scales_stand_with_the_highest_first(found):
    assert list(found) == ["gpu", "laptop"]


def test_a_verdict_is_of_the_highest_scale_that_has_records_of_it(found):
    at = {number: scorecard.verdict(number, found)[1] for number in (1, 6)}
    assert at == {1: "gpu", 6: "laptop"}
    assert scorecard.verdict(16, found)[0] == "not recorded"
    with pytest.raises(TlbookError, match="no claim 31; the claims are 1 to 30"):
        scorecard.verdict(31, found)


def test_a_part_is_counted_from_one(found):
    own = found["gpu"].query("claim == 1")
    assert scorecard.part(1, 2, found).statistic == own.iloc[1].statistic
    with pytest.raises(TlbookError, match="Part 99 of claim 1 is not recorded"):
        scorecard.part(1, 99, found)


def test_counts_add_up(found, root):
    for row in scorecard.counts(found).to_dict("records"):
        assert row["claims"] == 30 == sum(row[verdict] for verdict in claims.VERDICTS)
        said = claims.verdicts(records.load_scale(row["scale"], root)).verdict
        assert row["reproduced"] == (said == "reproduced").sum()
        assert row["tested"] == said.isin(claims.VERDICTS[:3]).sum()
        parts = claims.evaluate(records.load_scale(row["scale"], root)).verdict
        assert row["parts tested"] == parts.isin(claims.VERDICTS[:3]).sum()
        assert row["parts reproduced"] == (parts == "reproduced").sum()


def test_the_glance_shows_every_claim_at_every_scale(found):
    page = parse(scorecard.Glance(found))
    assert [head.text for head in page.select("thead th")] == ["claim", "of the paper", "gpu", "laptop"]
    rows = [row for row in page.select("tbody tr") if row.select("td")]
    assert [row.td.text for row in rows] == [str(claim.number) for claim in claims.CLAIMS]
    assert [row["id"] for row in rows] == [scorecard.row_id(claim.number) for claim in claims.CLAIMS]
    for row in rows:
        for cell, (scale, parts) in zip(row.select("td")[2:], found.items(), strict=True):
            verdict = claims.on_claims(parts, None).set_index("claim").verdict[int(row.td.text)]
            assert f" {verdict}" in cell.text, scale


def test_links_lead_to_a_section_that_is_there(found):
    """Sphinx makes the anchor from the heading: lower case, hyphens for all that is not a letter."""
    for link in parse(scorecard.Glance(found)).select("a"):
        page, anchor = re.fullmatch(r"(\w+)\.html#(.+)", link["href"]).groups()
        cells = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text())["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        heads = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9]+", "-", head.lower().replace("'", "")) for head in heads}


def test_details_open_to_the_parts_of_every_scale(found):
    page = parse(scorecard.details(found))
    assert len(page.select("details")) == 30
    first = page.select_one("details")
    assert "1." in first.summary.text and "(gpu)" in first.summary.text
    heads = [head.text for head in first.select("th")]
    assert heads[0] == "scale" and "would be settled by" in heads and "paper" in heads
    assert len(first.select("tbody tr")) == 2 * len(claims.CLAIMS[0].parts)


def test_without_records_it_says_how_to_make_them(tmp_path):
    with pytest.raises(TlbookError) as refusal:
        scorecard.read(tmp_path)
    assert one_sentence(refusal) and "tlbook reproduce" in str(refusal.value)
    with pytest.raises(TlbookError, match="There is no folder of records"):
        scorecard.read(tmp_path / "none")


# -- prose ------------------------------------------------------------------------------------------------


@pytest.fixture
def prose(monkeypatch, found):
    monkeypatch.setattr(scorecard, "read", lambda: found)


def test_prose_must_say_what_the_records_say(prose, found):
    verdict, _ = scorecard.verdict(1, found)
    assert roles.said(f"1 {verdict}").endswith("\N{NO-BREAK SPACE}claim\N{NO-BREAK SPACE}1")
    other = next(v for v in claims.VERDICTS if v != verdict)
    with pytest.raises(TlbookError, match=f"calls claim 1 '{other}'; at scale gpu it is '{verdict}'"):
        roles.said(f"1 {other}")
    with pytest.raises(TlbookError, match="not a claim's number and a verdict"):
        roles.said("1 perhaps")


def test_our_values_in_prose_come_with_their_interval(prose, found):
    row = found["gpu"].query("claim == 1 and part == 1").iloc[0]
    assert roles.ours("claim 1, part 1") == f"{row.value:.3g} ({row.low:.3g} to {row.high:.3g})"
    with pytest.raises(TlbookError, match="not a claim's part"):
        roles.ours("first")


def test_claims_in_prose_are_linked_one_by_one():
    found = roles.pieces("claims 7 to 10")
    assert found == [("claims ", None), ("7", 7), (" to ", None), ("10", 10)]
    with pytest.raises(TlbookError, match="no claim 31; the claims are 1 to 30"):
        roles.pieces("claims 3 and 31")
    with pytest.raises(TlbookError, match="names no claim"):
        roles.pieces("all of them")
