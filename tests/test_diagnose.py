"""`tlbook diagnose`: from a folder of images and a file of weights to one page; what is refused before."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from conftest import one_sentence
from PIL import Image
from test_notebooks import run_cells, source

from tlbook import models
from tlbook.book import diagnosis, diagnosis_page, parameters
from tlbook.book.diagnosis import Diagnosis, Report
from tlbook.errors import TlbookError
from tlbook.questions.your_network.study import networks, weights
from tlbook.training import runs

FILE = Path(__file__).with_name("your_networks.py")
CLASSES = ("<b>\"&'", "$x_1$", "tree")
ODD = "</title><script>alert(1)</script>"


def images(folder, classes=CLASSES, each=14):
    """A folder of classes that differ in colour."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = rng.integers(0, 120, (20, 24, 3), dtype=np.uint8)
            pixels[..., number % 3] += 100
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def made(own_folders):
    """A diagnosis through the command line's own parameters: its folder, parameters and report."""
    with own_folders() as folder:
        network = networks.register(f"{FILE}:small")
        torch.manual_seed(0)
        torch.save(models.build(network, 7).state_dict(), folder / "p.pth")
        given = parameters.read(
            {
                "network": f"{FILE}:small",
                "weights": str(folder / "p.pth"),
                "data": str(images(folder / "images")),
                "side": "16",
                "seeds": "0,1",
                "epochs": "2",
                "rates": "0.05",
                "minutes": "30",
            },
            Diagnosis,
        )
        yield folder, given, diagnosis.run(given, show=False, say=lambda line: None)


def test_the_page_is_whole_in_itself_and_every_name_is_escaped(made):
    _, _, report = made
    report.about["network"] = ODD
    page = diagnosis_page.page(report)
    soup = BeautifulSoup(page, "html.parser")
    assert not soup.find_all("script") and not soup.find_all("b", string=re.compile("&"))
    for tag in soup.find_all(True):
        for name in ("src", "href", "srcset", "data"):
            assert tag.get(name, "data:").startswith(("data:", "#")), f"{tag.name} fetches {tag[name][:40]}"
    assert "@import" not in page and not re.search(r"url\((?!data:)", page)
    assert ODD in soup.title.string and CLASSES[0] in soup.get_text()
    for image in soup.find_all("img"):
        assert image.has_attr("alt")


def test_the_page_answers_first_and_says_how_it_was_made(made):
    _, given, report = made
    soup = BeautifulSoup(diagnosis_page.page(report), "html.parser")
    titles = [title.get_text() for title in soup.find_all("h2")]
    assert titles[0] == "What to do" and titles[-1] == "How this was made" and len(titles) >= 10
    first = [item.get_text() for item in soup.select_one("main > ul").find_all("li")]
    assert len(first) == len(soup.select(".tlb-figure")) == 8
    assert given.command in soup.get_text()
    assert "18 to train, 3 to choose, 21 to test, 3 classes, 16 px" in soup.get_text()


def test_the_tables_come_back_as_they_were_written(made, tmp_path):
    _, _, report = made
    report.save(tmp_path / "record")
    again = Report.load(tmp_path / "record")
    assert again.about == report.about and again.tables.keys() == report.tables.keys()
    for name, table in report.tables.items():
        assert np.allclose(table.value, again.tables[name].value, rtol=1e-5, equal_nan=True)
    assert diagnosis.in_short(again) == diagnosis.in_short(report)


def test_the_same_from_networks_that_are_trained_already(made, tmp_path, monkeypatch):
    folder, given, report = made
    monkeypatch.setenv("TLBOOK_RUNS", str(folder / "runs"))
    monkeypatch.setenv("TLBOOK_CACHE", str(folder / "cache"))
    files = {}
    for run in runs.every():
        identity = run.spec["identity"]
        if identity["shuffle"]["kind"] == "none" and identity["rate"] == 0.05:
            name = f"{identity['init']['kind']}-{identity['order_seed']}-{run.id}.pth"
            files.setdefault(identity["init"]["kind"], []).append(name)
            torch.save({"model": run.weights("final")}, tmp_path / name)
    scratch = [str(tmp_path / name) for name in sorted(files["random"])]
    ours = {model: identity for model, identity in report.tables["ends"].groupby(["start", "seed"])}
    finetuned = [str(tmp_path / n) for n in sorted(files["from"]) if n[5] in "01"]
    asked = {"network": given.network, "weights": given.weights, "data": given.data, "side": 16}
    before = set(runs.root().iterdir())
    found = diagnosis.run(
        parameters.read(asked | {"finetuned": finetuned, "scratch": scratch}, Diagnosis),
        say=lambda line: None,
    )
    after = {path for path in set(runs.root().iterdir()) - before if path.name != "files"}
    assert not after, "nothing is trained"
    theirs = found.tables["ends"].groupby(["start", "seed"])
    same = {key: rows.value.to_numpy() for key, rows in theirs}
    for seed in (0, 1):
        assert np.allclose(same["RI-T", seed], ours["RI-T", seed].value, rtol=1e-5)
    assert "P permuted" in " ".join(found.left_out) and "start is not known" in " ".join(found.left_out)
    assert "is open" in diagnosis.in_short(found)[0] or "Pre-training" in diagnosis.in_short(found)[0]


def test_networks_with_their_classes_in_another_order_are_refused(made, tmp_path, monkeypatch, refused):
    folder, given, _ = made
    monkeypatch.setenv("TLBOOK_RUNS", str(folder / "runs"))
    monkeypatch.setenv("TLBOOK_CACHE", str(folder / "cache"))
    network = networks.register(given.network)
    model = networks.drawn(network, 3)
    with torch.no_grad():  # reads the colour: class i where channel i is the brightest
        colour = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))
        colour[2].weight.copy_(10 * torch.eye(3)[[1, 2, 0]])
        colour[2].bias.zero_()
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))\n"
    )
    torch.save(colour.state_dict(), tmp_path / "p.pth")
    asked = {"network": f"{tmp_path / 'net.py'}:net", "weights": str(tmp_path / "p.pth"), "data": given.data}
    asked |= {"side": 16, "finetuned": str(tmp_path / "p.pth")}
    refused("with its classes in another order; here they are", diagnosis.run,
            parameters.read(asked, Diagnosis), say=lambda line: None)  # fmt: skip
    assert model is not None


REFUSALS = {
    "no folder": ({"data": "no/such/folder"}, "there is no folder .*; give one that holds a sub-folder"),
    "one class": ({"data": "one"}, "holds 1 class folder"),
    "too few": ({"data": "few"}, "has 3 image"),
    "no weights": ({"weights": "no.pth"}, "there is no file .*no.pth; give one of weights, or default"),
    "no network": ({"network": "torchvision:resnet19"}, "near are resnet18"),
    "a side": ({"network": f"{FILE}:transformer", "weights": ""}, "it can those of 32 px"),
    "minutes": ({"minutes": "-1"}, "minutes: '-1' is no number of minutes"),
    "rates": ({"rates": "-0.1"}, "must be positive numbers"),
    "seeds": ({"seeds": "1,1"}, "seeds: 1 is given twice"),
    "scratch alone": ({"scratch": "p.pth"}, "give finetuned too"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSALS.values(), ids=REFUSALS)
def test_bad_input_is_refused_before_anything_is_trained(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "images")
    images(tmp_path / "one", CLASSES[:1])
    images(tmp_path / "few", each=3)
    network = networks.register(f"{FILE}:small")
    torch.save(models.build(network, 7).state_dict(), tmp_path / "p.pth")
    asked = {"network": f"{FILE}:small", "weights": "p.pth", "data": "images", "side": 16, "minutes": 1}
    with pytest.raises(TlbookError, match=words) as error:
        diagnosis.run(parameters.read(asked | changes, Diagnosis))
    assert one_sentence(error)
    assert not [p for p in runs.root().glob("*") if p.name != "files"]


def test_the_command_line_has_every_parameter_and_says_a_refusal_in_one_sentence(command, tmp_path):
    code, out, _ = command("diagnose", "--help")
    text = re.sub(r"\x1b\[[\d;]*m", "", out)
    for field in map(diagnosis.FIELDS.get, diagnosis.OPTIONS):
        assert f"--{field.metadata.get('option', field.name.replace('_', '-'))}" in text
    code, _, err = command("diagnose", "--network", "resnet18", "--data", images(tmp_path / "images"))
    assert code == 2 and err.startswith("tlbook: network: 'resnet18' is not one") and err.count("\n") == 1


def test_our_own_networks_need_no_weights(tmp_path):
    """The default of the notebook: ours, on generated images; its P is the book's."""
    given = Diagnosis()
    assert given.network == "fixup:fixup_small8" and given.data == "embedded/clipart" and not given.weights
    network = networks.register("fixup:fixup_small24")
    assert (
        weights.runs.weights(diagnosis._ours(network)).keys() == models.build(network, 3).state_dict().keys()
    )


def test_the_notebook_answers_for_a_network_and_its_average_by_hand_is_the_tables(made, monkeypatch):
    folder, given, report = made
    monkeypatch.setenv("TLBOOK_RUNS", str(folder / "runs"))
    monkeypatch.setenv("TLBOOK_CACHE", str(folder / "cache"))
    asked = {
        name: getattr(given, name) for name in ("network", "weights", "data", "side", "epochs", "minutes")
    }
    shown = run_cells(source("07_your_network"), asked | {"seeds": [0, 1], "rates": [0.05]})
    pages = [BeautifulSoup(html, "html.parser") for html in shown]
    assert sum(bool(page.select(".tlb-figure")) for page in pages) == 8
    captions = [page.select_one(".tlb-caption")["id"] for page in pages if page.select(".tlb-caption")]
    assert captions == [f"figure-7-{number}" for number in range(1, 9)]
    (table,) = (page for page in pages if "by hand" in page.text)
    soup = report.tables["soups"]
    soup = soup[(soup.kind == "soup") & (soup.metric == "accuracy") & (soup.start == "P-T")].value.item()
    assert [float(cell.text) for cell in table.select("td")] == [pytest.approx(soup, rel=5e-3)] * 2


def test_the_notebook_of_records_says_so_where_none_are(monkeypatch, tmp_path):
    monkeypatch.setattr(diagnosis_page, "EXAMPLES", tmp_path)
    shown = run_cells(source("07_your_network"), {"results": "records"})
    assert "none is recorded yet" in shown[0] and all("do not answer" in html for html in shown[1:6])


def test_recorded_examples_stand_in_tabs_of_their_names(made, monkeypatch, tmp_path):
    *_, report = made
    for name in ("photo", "sketch"):
        report.save(tmp_path / name)
    monkeypatch.setattr(diagnosis_page, "EXAMPLES", tmp_path)
    shown = [
        BeautifulSoup(html, "html.parser")
        for html in run_cells(source("07_your_network"), {"results": "records"})
    ]
    tabs = [page for page in shown if page.select("label")]
    assert len(tabs) == 9 and {label.text for page in tabs for label in page.select("label")} == {
        "photo",
        "sketch",
    }
    assert all(len(page.select(".tlb-caption")) == 1 for page in tabs[1:])
    assert sum("no models here" in page.text for page in shown) == 1
