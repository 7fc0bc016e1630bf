"""Question 5's notebook: executed with checkpoints of one's own, from records without torch, and refused."""

import json
import os
from pathlib import Path

import pandas as pd
import papermill
import pytest
import torch
import without_torch
from conftest import one_sentence
from made_up_checkpoints import tables
from test_notebooks import ROOT, outputs, read, run_cells, source, tables_by_head

from tlbook import models
from tlbook.build import gate
from tlbook.errors import TlbookError
from tlbook.training import runs

PAGE = "05_checkpoints"


def file(path: Path, seed: int = 0, network: str = "fixup_small8") -> str:
    torch.manual_seed(seed)
    models.save(models.build(network, 7).state_dict(), path)
    return str(path)


def test_the_page_shows_what_its_runs_measured(tmp_path, monkeypatch):
    """From the command line, with checkpoints of one's own: two runs, and no pre-training."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    own = [file(tmp_path / f"epoch-{epoch:03d}.safetensors", epoch) for epoch in (3, 9)]
    given = {"checkpoints": json.dumps(own), "targets": "real", "seeds": "0", "epochs": 1, "images": 40,
             "workers": 1}  # fmt: skip
    papermill.execute_notebook(str(source(PAGE)), str(tmp_path / "out.ipynb"), given, progress_bar=False)
    notebook = read(tmp_path / "out.ipynb")
    assert gate.problems(notebook) == []
    by_start = {run.spec["started_from"]: run.history() for run in runs.every()}
    assert set(by_start) == {models.sha256(path) for path in own}
    head = "role checkpoint of pre-training rate n test lowest highest paper speed paper's speed source (%)"
    heads = tables_by_head(notebook)
    assert {"by hand in the table", "checkpoint by hand in the table"} <= set(heads)
    shown = {row[1]: row for row in heads[head]}
    for epoch, path in zip(("3", "9"), own, strict=True):
        history = by_start[models.sha256(path)]
        test = history.query("split == 'test' and metric == 'accuracy' and epoch == 1").value.item()
        assert shown[epoch][5] == f"{test:.3g}" and shown[epoch][2] == f"{int(epoch) / 9:.3g}"
    sliders = [page for page in outputs(notebook) if page.select("input[type=range]")]
    frames = [frame["data-label"] for frame in sliders[-1].select(".tlb-panel .tlb-frame")]
    assert frames[-2:] == ["3", "9"]


BAD = {
    "beyond": ({"checkpoints": [0, 99]}, "no epoch 99 of pre-training at scale 'smoke'; choose from 0 to 12"),
    "no file": ({"checkpoints": "{tmp}/epoch-001.safetensors"}, "there is no file .*epoch-001"),
    "no epoch": ({"checkpoints": "{tmp}/mine.safetensors"}, "does not say after how many epochs"),
    "cut": ({"checkpoints": "{tmp}/cut-2.safetensors"}, "cut-2.safetensors is not a whole safetensors file"),
    "other": ({"checkpoints": "{tmp}/other-2.safetensors"}, "do not fit the network"),
    "records": ({"checkpoints": [0, 4], "results": "records"}, "checkpoints cannot be given"),
    "not here": ({"block_sizes": [1], "checkpoints": [0]}, "no parameter 'block_sizes' here"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_checkpoints_stop_before_anything_is_trained(what, tmp_path):
    file(tmp_path / "mine.safetensors")
    file(tmp_path / "other-2.safetensors", network="fixup_small24")
    whole = Path(file(tmp_path / "cut-2.safetensors"))
    whole.write_bytes(whole.read_bytes()[:-100])
    given, sentence = BAD[what]
    given = {name: v.format(tmp=tmp_path) if isinstance(v, str) else v for name, v in given.items()}
    with pytest.raises(TlbookError, match=sentence) as refusal:
        run_cells(source(PAGE), given)
    assert one_sentence(refusal)
    assert not list((tmp_path / "runs").glob("*/history.csv"))


def test_records_need_neither_torch_nor_images(tmp_path):
    """In a process that cannot import torch every cell shows something: figures, tables, or a sentence."""
    roles = ("real", "xray")
    (pages,) = without_torch.drawn(tmp_path, "checkpoints", tables(roles), roles, "05_checkpoints")
    folded = [page.summary.code.text for page in pages if page.select(".tlb-code")]
    assert folded == ["at_end", "behind_last", "least_squares"]
    assert sum("no models here" in page.text for page in pages) == 3
    pages = [page for page in pages if not page.select(".tlb-code, li")]
    assert all(page.select("img, table, .tlb-text") for page in pages)
    assert sum(len(page.select("img")) > 0 for page in pages) == 6
    texts = {text.text for page in pages for text in page.select(".tlb-text")}
    assert texts == {"This needs the package torch, which is not installed here."}
    assert "book/records/laptop/checkpoints/finetuned.csv" in pages[0].text
    first = pd.DataFrame([[cell.text for cell in row.select("td")] for row in pages[4].select("tbody tr")])
    assert list(first[0]) == ["real", "xray"]
