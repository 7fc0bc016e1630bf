"""The page of question 3: from records without torch, and run from the command line with its parameters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import made_up_landscape
import pytest
import without_torch
from test_notebooks import ROOT, outputs, read, run_cells, source, tables_by_head

from tlbook import models, questions, scales
from tlbook.build import gate
from tlbook.errors import TlbookError

NAME = "03_loss_landscape"


def test_one_target_from_the_command_line(tmp_path, monkeypatch):
    """Two seeds, three points, next to nothing to train: every cell shows something, none an error."""
    models.save(models.build(scales.get("smoke").network, 16).state_dict(), tmp_path / "P.safetensors")
    given = {
        "targets": '["xray"]', "seeds": "[0, 1]", "points": 3, "epochs": 1, "images": 40, "workers": 1,
        "pretrained": tmp_path / "P.safetensors",
    }  # fmt: skip
    options = [word for name, value in given.items() for word in ("-p", name, str(value))]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    call = [sys.executable, "-m", "papermill", str(source(NAME)), "out.ipynb", *options]
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    notebook = read(tmp_path / "out.ipynb")
    assert gate.problems(notebook) == []
    shown = tables_by_head(notebook)
    by_hand = shown["alpha by hand in the table"]  # the last of them: two RI-T, aligned
    assert [row[0] for row in by_hand] == ["0", "1"] and all(row[1] == row[2] for row in by_hand)
    sentences = [page.text for page in outputs(notebook) if "do not give the table" in page.text]
    assert len(sentences) == 1 + 3  # xray has no two RI-T of one init, and no runs that part
    (numbers,) = (rows for head, rows in shown.items() if "paper's lowest" in head)
    assert {row[1] for row in numbers} >= {"P-T & P-T", "RI-T & RI-T", "P-T & P-T, same run, best & final"}
    sliders = [page for page in outputs(notebook) if page.select("input[type=range]")]
    frames = [frame["data-label"] for frame in sliders[-1].select(".tlb-frame")]
    assert frames[-3:] == ["0.00", "0.50", "1.00"]
    specs = [json.loads(path.read_text())["identity"] for path in Path(tmp_path, "runs").glob("*/spec.json")]
    assert len(specs) == 4 and {spec["role"] for spec in specs} == {"xray"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"points": 1}, "points: 1 is not a whole number of at least 3"),
        ({"points": 2.5}, "points: 2.5 is not a whole number"),
        ({"point": 5}, "no parameter 'point' here.*points"),
        ({"results": "records", "points": 5}, "points cannot be given"),
    ],
)
def test_bad_parameters_stop_before_anything_is_trained(given, sentence, tmp_path):
    with pytest.raises(TlbookError, match=sentence):
        run_cells(source(NAME), given)
    assert not list((tmp_path / "runs").glob("*/history.csv"))


def test_records_need_neither_torch_nor_images(tmp_path):
    roles = ("real", "xray")
    made = {
        name: frame[questions.tables()[name].names] for name, frame in made_up_landscape.tables(roles).items()
    }
    (pages,) = without_torch.drawn(tmp_path, "loss_landscape", made, roles, NAME)
    texts = [text.text for page in pages for text in page.select(".tlb-text")]
    assert texts == ["Not recorded on real images yet."] * 2  # the runs that part
    by_hand = [page for page in pages if "there are no models here" in page.text]
    sources = [page for page in pages if page.select("details.tlb-code")]
    assert len(by_hand) == 9 and len(sources) == 8
    assert all(page.select(".tlb-panel") for page in pages if page not in by_hand + sources)
    assert sum(len(page.select("img")) for page in pages) >= 7
    assert len(pages[-1].select("details details:not(.tlb-made)")) == 5
