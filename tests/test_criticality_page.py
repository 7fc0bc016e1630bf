"""The page of question 4: from records where torch is missing, and executed with next to nothing to train."""

from pathlib import Path

import pytest
import without_torch
from bs4 import BeautifulSoup
from made_up_criticality import every_table
from test_notebooks import run_cells, source

from tlbook.questions.criticality import QUESTION

PAGE = "04_criticality"
ROOT = Path(__file__).parents[1]


def test_records_need_neither_torch_nor_images(tmp_path):
    """Every cell shows something: figures and tables from the records, a sentence for the twin."""
    roles = ("xray",)
    (pages,) = without_torch.drawn(tmp_path, "criticality", every_table(roles), roles, PAGE)
    folded = [page.summary.code.text for page in pages if page.select(".tlb-code")]
    assert folded == ["rewind", "initial", "probe", "noise_map", "criticality", "network_criticality"]
    by_hand = [page for page in pages if page.li]
    assert len(by_hand) == 6 and all("no models here" in page.li.text for page in by_hand)
    pages = [page for page in pages if not page.select(".tlb-code, li")]
    assert all(page.select(".tlb-panel") and page.select("img, table, .tlb-text") for page in pages)
    silent = [page for page in pages if not page.select("img, table")]
    assert [page.select_one(".tlb-text").text for page in silent] == [
        *["Not recorded on real images yet."] * 3,  # partial transfer
        "This needs the package torch, which is not installed here.",
    ]
    explorer = next(page for page in pages if page.select("input[type=range]"))
    frames = [frame["data-label"] for frame in explorer.select(".tlb-frame")]
    assert frames[:2] == ["conv1", "layer1.0"] and len(frames) == 6 * len(roles)
    assert "book/records/laptop/criticality/rewind.csv" in pages[0].text


@pytest.fixture(scope="module")
def shown(own_folders):
    """What the cells show for one target, two seeds of one epoch, from a P that was never trained."""
    from tlbook import models, scales

    with own_folders() as folder:
        models.save(models.build(scales.get("smoke").network, 16).state_dict(), folder / "P.safetensors")
        given = {"targets": ["real"], "seeds": [0, 1], "epochs": 2, "images": 40, "workers": 1}
        given["pretrained"] = str(folder / "P.safetensors")
        return [BeautifulSoup(html, "html.parser") for html in run_cells(source(PAGE), given)]


def test_the_page_shows_what_it_measured(shown):
    silent = [page for page in shown if not page.select("img, table, .tlb-code")]
    assert len(silent) == 4 and all("do not give the table" in page.text for page in silent)  # see scales
    tables = [table for page in shown for table in page.select("table")]
    heads = {" ".join(th.text for th in table.select("th")): table for table in tables}
    losses = heads["role init rate module n lost lowest highest redrawn paper"]
    rows = [[td.text for td in row.select("td")] for row in losses.select("tbody tr")]
    assert [row[:5] for row in rows[:2]] == [["real", "P-T", "low", m, "2"] for m in ("conv1", "layer1.0")]
    assert len(rows) == 2 * 6 and all(row[-1] == "–" for row in rows)
    twin = heads["network logits_differ raw relative"]
    by_hand = [table for head, table in heads.items() if head.endswith("by hand in the table")]
    assert len(by_hand) == 2  # rewinding, and what has one number
    names = [row.td.text for row in twin.select("tbody tr")]
    assert names == ["as trained", "rescaled"]


def test_nothing_is_judged_at_smoke(shown):
    text = shown[-1].text
    assert "judges nothing" in text and "✓" not in text and "✗" not in text
    assert all(claim.text in text for claim in QUESTION.claims)
