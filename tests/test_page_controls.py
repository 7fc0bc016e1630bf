"""The page of the controls, its cells run here on made-up records."""

import pytest
from bs4 import BeautifulSoup
from made_up import controls, provenance
from test_notebooks import run_cells, source

from tlbook import questions
from tlbook.book import records

GIVEN = {"scale": "laptop", "results": "records"}
PAGE = source("01b_controls")


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Made-up records at laptop, of two roles."""
    roles = ("real", "xray")
    found = {name: frame[questions.tables()[name].names] for name, frame in controls(roles).items()}
    root = tmp_path / "book" / "records"
    records.write("laptop", "controls", found, provenance(roles), root)
    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    monkeypatch.setattr(records, "folder", lambda scale, question, _=None: root / scale / question)
    return found


def test_every_cell_shows_a_figure_or_a_table(recorded):
    pages = [BeautifulSoup(html, "html.parser") for html in run_cells(PAGE, GIVEN)]
    code = [page for page in pages if page.select("details.tlb-code")]
    by_hand = [page for page in pages if "there are no models here" in page.text]
    awaited = [page for page in pages if "Not recorded on real images yet" in page.text]  # of other rooms
    others = [page for page in pages if page not in (*code, *by_hand, *awaited)]
    assert (len(code), len(by_hand), len(awaited), len(others)) == (7, 3, 8, 14)
    for page in others:
        assert page.select("img, table, .tlb-text") and "Not recorded" not in page.text
    anchors = {span["id"] for page in code for span in page.select("span[id]")}
    shown = (*recorded, "from_shuffled", "shuffled_sources")
    assert anchors == {f"code-{name}" for name in shown}  # every badge's link leads somewhere
    assert sum(bool(page.select("img")) for page in pages) >= 8
    assert "book/records/laptop/controls/gain.csv" in " ".join(page.text for page in pages)
    shares = next(page for page in pages if "share of P-T's" in page.text)
    cells = [[cell.text for cell in row.select("td")] for row in shares.select("tbody tr")]
    assert ["real", "MeanVar-T", "test", "end"] in [row[:4] for row in cells]


def test_what_is_not_recorded_is_said(recorded, tmp_path):
    (tmp_path / "book/records/laptop/controls/few_images.csv").unlink()
    texts = " ".join(run_cells(PAGE, GIVEN))
    assert "<code>few_images</code> is not recorded at scale laptop yet" in texts
