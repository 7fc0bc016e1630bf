"""The notebooks: clean sources, executed as readers execute them, and what they refuse.

Two are executed by Papermill, with next to nothing to train. Where a kernel adds nothing, their cells run
here, with what Papermill injects.
"""

import ast
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import made_up
import nbformat
import papermill
import pytest
import without_torch
from bs4 import BeautifulSoup
from conftest import one_sentence
from images import class_folders
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from tlbook import scales
from tlbook.book import diagnosis, records
from tlbook.book.parameters import NAMES
from tlbook.build import gate
from tlbook.errors import TlbookError

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
SETUP, REUSE, DIFFERENCES, SCORECARD = "00_setup", "01_feature_reuse", "02_differences", "06_scorecard"
DECLARED = re.compile(r"(\w+): (str|list|int|float|bool) = (.+?)  # \S.{9,}")
YOURS = "07_your_network"  # see test_diagnose.py
USUAL, FIRST = ["scale", "results"], {SCORECARD: ["records"], YOURS: ["results", "network"]}
of_every_notebook = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def source(name: str) -> Path:
    return ROOT / "notebooks" / f"{name}.ipynb"


def code_of(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def parameters_cell(notebook) -> str:
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    return cell.source


def runs_in(folder: Path) -> dict:
    """Histories of finished runs, by init, shuffle and augmentation."""
    import pandas as pd

    found = {}
    for mark in folder.glob("*/complete.json"):
        spec = json.loads((mark.parent / "spec.json").read_text())["identity"]
        init = {"from": "P-T", "random": "RI-T"}[spec["init"]["kind"]]
        kind = (init, spec["shuffle"]["kind"], spec["augmentation"])
        found[kind] = pd.read_csv(mark.parent / "history.csv")
    return found


# -- sources ----------------------------------------------------------------------------------------------


def test_the_notebooks_are_here():
    assert {SETUP, REUSE, DIFFERENCES} <= {path.stem for path in SOURCES}


@of_every_notebook
def test_sources_are_clean(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            assert len(cell.source.splitlines()) <= 15, "a long cell belongs into the package"


@of_every_notebook
def test_parameters_are_typed_commented_and_known(path):
    """Each on a line of its own, so that `papermill --help-notebook` reads well."""
    lines = parameters_cell(read(path)).splitlines()
    declared = [DECLARED.fullmatch(line) for line in lines]
    assert all(declared), [line for line, match in zip(lines, declared, strict=True) if not match]
    names = [match[1] for match in declared]
    assert set(names) <= {*NAMES, *diagnosis.NAMES}
    assert names[: len(FIRST.get(path.stem, USUAL))] == FIRST.get(path.stem, USUAL)
    shown = papermill.inspect_notebook(str(path))
    assert list(shown) == names
    for match in declared:
        about = shown[match[1]]
        assert about["inferred_type_name"] == match[2] and len(about["help"]) > 9
        assert type(ast.literal_eval(about["default"])).__name__ == match[2]


@of_every_notebook
def test_local_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


# -- executed ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder outside the tree, with runs, caches and a P that was never trained (fast)."""
    from tlbook import models

    folder = tmp_path_factory.mktemp("elsewhere")
    models.save(models.build(scales.get("smoke").network, 16).state_dict(), folder / "P.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLBOOK_RUNS", str(folder / "runs"))
        patch.setenv("TLBOOK_CACHE", str(folder / "cache"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        patch.setenv("TLBOOK_DEVICE", "cpu")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.delenv("TLBOOK_DATA", raising=False)
        yield folder


@pytest.fixture(scope="module")
def reused(place):
    """The first question for one target from a terminal: the notebook, histories, what it showed."""
    given = {
        "targets": '["real"]', "seeds": "[0]", "block_sizes": '["*"]', "epochs": 1, "images": 40,
        "workers": 1, "pretrained": place / "P.safetensors",
    }  # fmt: skip
    options = [word for name, value in given.items() for word in ("-p", name, str(value))]
    call = [sys.executable, "-m", "papermill", str(source(REUSE)), "out.ipynb", *options]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen(call, cwd=place, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        terminal = b""
        with contextlib.suppress(OSError):  # that it was closed at the other end
            while some := os.read(ours, 4096):
                terminal += some
    os.close(ours)
    assert process.returncode == 0, terminal[-2000:].decode()
    return read(place / "out.ipynb"), runs_in(place / "runs"), terminal.decode()


def test_the_terminal_shows_what_a_cell_is_at_and_the_time_left(reused):
    """Papermill itself shows how many cells are done."""
    assert re.search(r"[1-5]/6 runs: +\d+%.*<\d\d:\d\d", reused[2])


def test_first_question_shows_what_its_runs_measured(reused):
    """The accuracies in the page's table are those at the end of the runs' own histories."""
    notebook, histories, _ = reused
    assert gate.problems(notebook) == []
    shown = tables_by_head(notebook)["role init rate n test lowest highest training paper"]
    ends = {}
    for init in ("P-T", "RI-T"):
        history = histories[init, "none", "crop-flip"]
        end = history[(history.epoch == 1) & (history.metric == "accuracy")].set_index("split").value
        ends[init] = [f"{end[split]:.3g}" for split in ("test", "train")]
    assert {row[1]: [row[4], row[7]] for row in shown} == ends
    assert [row[:4] for row in shown] == [["real", "P-T", "low", "1"], ["real", "RI-T", "high", "1"]]


def test_first_question_trains_what_was_asked_and_nothing_else(place, reused):
    """P-T and RI-T, unshuffled and augmented, '*', and unshuffled: not P, and no other block size."""
    _, histories, _ = reused
    kinds = (("none", "crop-flip"), ("none", "none"), ("pixel", "none"))
    assert set(histories) == {(init, *kind) for init in ("P-T", "RI-T") for kind in kinds}
    assert len(list((place / "runs").glob("*/complete.json"))) == 6
    assert all(history.epoch.max() == 1 for history in histories.values())


def test_first_question_warns_that_this_is_not_the_scale(reused):
    notebook, *_ = reused
    captions = {c.text.split(" · ")[0] for page in outputs(notebook) for c in page.select(".tlb-how")}
    own = {caption for caption in captions if caption.startswith("scale smoke")}
    assert len(own) == 1 and "scale smoke, changed by this page's parameters" in own.pop()
    recorded = [f"scale {name}" for name in records.recorded("feature_reuse")]
    assert {caption for caption in captions if not caption.startswith("scale smoke")} == set(recorded[:1])
    sliders = [page for page in outputs(notebook) if page.select("input[type=range]")]
    sizes = [frame["data-label"] for frame in sliders[-1].select(".tlb-frame")]
    assert sizes[-2:] == ["32", "*"]


def outputs(notebook) -> list[BeautifulSoup]:
    """What the cells show, as pages; one output each, as nothing else can stand in a tab."""
    shown = [[o for o in cell.outputs if "data" in o] for cell in notebook.cells if cell.cell_type == "code"]
    assert all(len(of_cell) <= 1 for of_cell in shown)
    return [BeautifulSoup(out.data["text/html"], "html.parser") for of_cell in shown for out in of_cell]


def tables_by_head(notebook) -> dict[str, list[list[str]]]:
    """The last table with each head, by its head: rows of texts."""
    return {
        " ".join(cell.text for cell in table.select("th")): [
            [cell.text for cell in row.select("td")] for row in table.select("tbody tr")
        ]
        for page in outputs(notebook)
        for table in page.select("table")
    }


def test_setup_page_shows_a_folder_of_the_readers_own(place, tmp_path):
    """From the root of the repository; the folder stands for a target, and P is given."""
    given = {
        "data": f"folder:{class_folders(tmp_path / 'pets')}", "targets": ["real"],
        "block_sizes": [8, "*"], "pretrained": str(place / "P.safetensors"),
    }  # fmt: skip
    target = tmp_path / "out.ipynb"
    papermill.execute_notebook(str(source(SETUP)), str(target), given, cwd=str(ROOT), progress_bar=False)
    notebook = read(target)
    assert gate.problems(notebook) == []
    tables = tables_by_head(notebook)
    domains = {row[0]: row[1:] for row in tables["role dataset classes train dev test chance metric"]}
    assert domains["real"] == [given["data"], "2", "8", "2", "10", "50", "accuracy"]
    starts = {row[0]: row[1:] for row in tables["module first_to_p second_to_p first_to_second"]}
    head = starts.pop("fc")
    assert set(map(tuple, starts.values())) == {("0", "0", "0")} and head[:2] == ["–", "–"] and head[2] != "0"
    captions = {c["id"]: c.text for page in outputs(notebook) for c in page.select(".tlb-caption")}
    assert set(captions) == {"table-0-1", "figure-0-1", "table-0-2"}  # nothing is known of P's training
    assert not [text for text in captions.values() if "stand in" in text]


def test_an_unknown_parameter_stops_papermill_with_one_sentence(place, tmp_path):
    """Papermill itself only warns. The notebook shows the sentence and no traceback."""
    target = tmp_path / "out.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="no parameter 'epoch' here.*epochs"):
        papermill.execute_notebook(str(source(REUSE)), str(target), {"epoch": 1}, progress_bar=False)
    (error,) = (o for c in read(target).cells if c.cell_type == "code" for o in c.outputs if "ename" in o)
    assert (error.ename, len(error.traceback)) == ("TlbookError", 1)
    assert error.traceback[0] == f"TlbookError: {error.evalue}"


@pytest.mark.filterwarnings("ignore::tlbook.questions.differences.method.similarity.ManyFeatures")
def test_second_question_compares_the_runs_it_was_asked_for(tmp_path):
    """Two runs of an epoch; every cell shows something, and distances are those of the runs' own weights."""
    from tlbook import models
    from tlbook.training import runs

    models.save(models.build(scales.get("smoke").network, 16).state_dict(), tmp_path / "P.safetensors")
    given = {
        "targets": '["quickdraw"]', "seeds": "[0]", "epochs": 1, "images": 40, "workers": 1,
        "pretrained": str(tmp_path / "P.safetensors"),
    }  # fmt: skip
    pages = [BeautifulSoup(html, "html.parser") for html in run_cells(source(DIFFERENCES), given)]
    assert all(page.select("img, table, .tlb-text, .tlb-code, li") for page in pages)
    assert len(runs.every()) == 4  # both inits at both rates
    low = [run for run in runs.every() if run.spec["identity"]["rate"] == scales.get("smoke").rates["low"]]
    ends = {run.spec["identity"]["init"]["kind"]: run.weights("final") for run in low}
    tables = [t for page in pages for t in page.select("table") if "both low" in t.text]  # ours is the last
    ratio = next(row for row in tables[-1].select("tbody tr") if "RI-T & P" in row.text).select("td")
    p = models.load(tmp_path / "P.safetensors")
    far, near = (_sum_of_modules(ends[kind], p) for kind in ("random", "from"))
    assert float(ratio[5].text) == pytest.approx(far / near, rel=0.01)
    labels = [frame["data-label"] for page in pages for frame in page.select(".tlb-frame")]
    assert {"P-T & P", "both right"} <= set(labels)


def _sum_of_modules(one: dict, p: dict) -> float:
    from tlbook.models import skeleton

    members = skeleton(scales.get("smoke").network).members()
    squares: dict = {}
    for name in p:
        if not name.startswith("fc"):
            module = next((module for module, names in members.items() if name in names), name)
            squares[module] = squares.get(module, 0) + (one[name] - p[name]).double().square().sum().item()
    return sum(square**0.5 for square in squares.values())


# -- refused ----------------------------------------------------------------------------------------------


def run_cells(path: Path, given: dict) -> list[str]:
    """Run a notebook's cells in this process, injected ``given`` included; the HTML that they show."""
    shown = []
    scope: dict = {"In": [""], "get_ipython": lambda: None, "__name__": "__main__"}
    for cell in code_of(parameterize_notebook(load_notebook_node(str(path)), given)):
        scope["In"].append(cell)
        body = ast.parse(cell).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), path.name, "exec"), scope)
        if last:
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), scope)
            shown.append(value._repr_html_())
    return shown


BAD = {
    "epoch": ({"epoch": 3}, "no parameter 'epoch' here; there are scale, .*epochs"),
    "scale": ({"scale": "big"}, "no scale 'big'; choose from smoke, laptop, gpu, paper"),
    "results": ({"results": "show"}, "results is 'show'; choose 'run'"),
    "role": ({"targets": '["sketch"]'}, "no role 'sketch'; choose from real, clipart, quickdraw, xray"),
    "list": ({"targets": '["real"'}, "not a JSON list"),
    "block size": ({"block_sizes": "[5]"}, "5 does not divide the side, 32 px .*1, 2, 4, 8, 16, 32"),
    "seed": ({"seeds": [-1]}, "-1 is not a whole number of at least 0"),
    "epochs": ({"epochs": 1.5}, "1.5 is not a whole number"),
    "no folder": ({"data": "{tmp}/nowhere"}, "there is no folder .*nowhere"),
    "folder of all": ({"data": "folder:{tmp}/pets"}, "name in targets the one"),
    "empty folder": ({"data": "folder:{tmp}/empty", "targets": "real"}, "at least 2 are needed"),
    "no weights": ({"pretrained": "{tmp}/P.safetensors"}, "there is no file .*P.safetensors"),
    "no safetensors": ({"pretrained": "{tmp}/broken.safetensors"}, "broken.safetensors is not a whole"),
    "other weights": ({"pretrained": "{tmp}/other.safetensors"}, "do not fit the network"),
    "records": ({"results": "records", "epochs": 3}, "epochs cannot be given"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_parameters_stop_before_anything_is_trained(what, tmp_path):
    import torch

    from tlbook import models

    class_folders(tmp_path / "pets", count=1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    models.save({"conv1.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    given, sentence = BAD[what]
    given = {name: v.format(tmp=tmp_path) if isinstance(v, str) else v for name, v in given.items()}
    with pytest.raises(TlbookError, match=sentence) as refusal:
        run_cells(source(REUSE), given)
    assert one_sentence(re.sub(r" Did you mean \w+\?$", "", str(refusal.value)))
    assert not list((tmp_path / "runs").glob("*/history.csv"))


# -- from the records -------------------------------------------------------------------------------------


def results_of(pages: list[BeautifulSoup]) -> list[BeautifulSoup]:
    """Without the cells of code and those that need this build's models."""
    assert any(page.select(".tlb-code") for page in pages)
    return [p for p in pages if not p.select(".tlb-code") and "no models here" not in p.text]


def test_records_of_laptop_are_shown():
    shown = run_cells(source(REUSE), {"scale": "laptop", "results": "records"})
    pages = results_of([BeautifulSoup(html, "html.parser") for html in shown])
    assert all(page.select(".tlb-panel") for page in pages)
    assert pages[0].select_one(".tlb-made summary").text.startswith("scale laptop, ")
    assert pages[0].select_one(".tlb-caption")["id"] == "figure-1-1"
    assert "Not recorded" not in pages[0].text


@pytest.mark.parametrize(
    "name", [path.stem for path in SOURCES if path.stem not in (SETUP, SCORECARD, YOURS)]
)
def test_a_page_without_records_says_so_everywhere(name, monkeypatch):
    monkeypatch.setattr(records, "recorded", lambda *a, **k: [])
    pages = [BeautifulSoup(html, "html.parser") for html in run_cells(source(name), {"results": "records"})]
    assert pages and all(page.text.strip() for page in pages)
    method = [page for page in pages if page.select("details.tlb-code") or "no models here" in page.text]
    without = ["Not recorded on real images yet." in page.text for page in pages]
    assert sum(without) > (len(pages) - len(method)) / 2
    assert not any(page.select("img") for page in pages if page.select_one(".tlb-panel"))


def test_records_need_neither_torch_nor_images(tmp_path):
    """Both pages in a process that cannot import torch: every cell shows something, figures or a sentence."""
    roles = ("real", "xray")
    pages, setup = without_torch.drawn(tmp_path, "feature_reuse", made_up.tables(roles), roles, REUSE, SETUP)
    pages = results_of(pages)
    assert [len(page.select("img")) for page in pages[:5]] == [1, 1, 0, 0, 1]
    assert all(page.select("img, table, li") and page.select(".tlb-panel") for page in pages)
    assert "book/records/laptop/feature_reuse/block_shuffle.csv" in pages[0].text
    domains, *others = setup
    assert [row.td.text for row in domains.select("tbody tr")] == ["source", "real", "xray"]
    texts = [text.text for page in others for text in page.select(".tlb-text")]
    assert len(texts) == 4 and set(texts) == {"This needs the package torch, which is not installed here."}


def test_the_scorecard_reads_a_folder_of_the_readers_own(tmp_path):
    records.write("gpu", "feature_reuse", made_up.tables(), made_up.provenance(), tmp_path)
    shown = run_cells(source(SCORECARD), {"records": str(tmp_path)})
    glance, forest, counted, details, before = (BeautifulSoup(html, "html.parser") for html in shown)
    assert len(glance.select("tr[id]")) == 30 and len(forest.select("img")) == 1
    assert counted.select_one("tbody td").text == "gpu" and "3 of 5 seeds (pilot)" in details.text
    assert len(before.select("details details")) == 30
