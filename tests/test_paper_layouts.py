"""The paper's own sets: tiny trees in exactly their layouts, splits and labels as the official code's."""

import csv
import hashlib
import shutil
from pathlib import Path

import images
import numpy as np
import pytest
import torch

from tlbook import data, scales
from tlbook.book import records
from tlbook.data import layouts, splits
from tlbook.data.folders import Listing
from tlbook.training import runs

PARITY = Path(__file__).parent / "parity"
PAPER = scales.get("paper")


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("TLBOOK_DATA", str(folder))
    return folder


def load(dataset, train=6, test=4, side=16, chooses=True):
    return data.load(data.Request(dataset, side, round(side * 8 / 7), train, 0, test, chooses))


# ImageNet


@pytest.mark.parametrize("name", ["imagenet", "ILSVRC2012"])
def test_imagenet_is_read_as_an_image_folder(root, name):
    images.imagenet(root).rename(root / name)
    found = load("imagenet", train=100, test=100, chooses=False)
    assert found.classes == ("n01", "n02", "n03")
    assert [len(part) for part in (found.train, found.dev, found.test)] == [18, 0, 6]
    assert all(path.startswith("val/") for path in found.test.paths)
    for path, label in zip(found.train.paths, found.train.labels, strict=True):
        assert path.startswith(f"train/{found.classes[label]}/")


def test_a_flat_val_folder_is_refused_with_what_to_do(root, refused):
    folder = images.imagenet(root)
    for path in (folder / "val").glob("*/*"):
        path.rename(folder / "val" / path.name)
    for path in (folder / "val").iterdir():
        path.rmdir() if path.is_dir() else None
    refused("val holds no class folders; sort its images into val/<wnid>/", layouts.listing, "imagenet")
    shutil.rmtree(folder / "val")
    refused("val of the official layout is missing", layouts.listing, "imagenet")


# DomainNet


def test_the_subsample_is_the_official_one():
    with np.load(PARITY / "domainnet_subsample.npz", allow_pickle=False) as file:
        for name in file.files:
            count, size = (int(word.strip("nsize")) for word in name.split("_")[1:])
            assert np.array_equal(splits.subsample(np.arange(count), size), file[name])


def test_domainnet_reads_its_lists_in_their_order(root):
    images.domainnet(root)
    found = layouts.listing("domainnet/real")
    assert found.classes == ("ant", "bee", "cat")
    listed = [line.split() for part in ("train", "test")
              for line in (root / "domainnet" / f"real_{part}.txt").read_text().splitlines()]  # fmt: skip
    assert [[path, str(label)] for path, label in zip(found.paths, found.labels, strict=True)] == listed
    assert found.split == ("train",) * 9 + ("test",) * 5


def test_domainnet_with_more_than_the_subsample_takes_dev_from_outside(root):
    images.domainnet(root, train=30, test=12)
    found = load("domainnet/real", train=20, test=6)
    lines = [line.split()[0] for line in (root / "domainnet" / "real_train.txt").read_text().splitlines()]
    chosen = np.random.RandomState(2020).choice(30, 20, replace=False)
    assert list(found.train.paths) == [lines[i] for i in chosen]
    assert len(found.dev) == 1 and not set(found.dev.paths) & set(found.train.paths)
    assert set(found.dev.paths) < set(lines)
    test = [line.split()[0] for line in (root / "domainnet" / "real_test.txt").read_text().splitlines()]
    chosen = np.random.RandomState(2020).choice(12, 6, replace=False)
    assert list(found.test.paths) == [test[i] for i in chosen]


def test_domainnet_without_more_gives_up_a_twentieth_of_training_and_keeps_the_order(root):
    images.domainnet(root, "clipart", train=40, test=5)
    found = load("domainnet/clipart", train=50, test=50)
    lines = [line.split()[0] for line in (root / "domainnet" / "clipart_train.txt").read_text().splitlines()]
    assert len(found.dev) == 2 and len(found.train) == 38
    assert list(found.train.paths) == [line for line in lines if line not in found.dev.paths]
    assert len(load("domainnet/clipart", train=50, test=50, chooses=False).train) == 40


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("real/bee/x.jpg", "is not <domain>/<class>/<file> <number>"),
        ("real/../x.jpg 1", "is not <domain>/<class>/<file> <number>"),
        ("/etc/passwd 1", "is not a plain path inside the folder"),
        ("real//x.jpg 1", "is not a plain path inside the folder"),
        ("real/./x.jpg 1", "is not a plain path inside the folder"),
        ("real/bee/x.jpg " + "9" * 5000, "is not <domain>/<class>/<file> <number>"),
        ("real/bee/x.jpg 0", "class 0 of .* is 'ant' and 'bee' at once"),
        ("real/dog/x.jpg 5", "are not 0, 1, 2"),
    ],
)
def test_broken_lists_are_refused(root, refused, line, match):
    folder = images.domainnet(root)
    with open(folder / "real_test.txt", "a") as file:
        file.write(line + "\n")
    refused(match, layouts.listing, "domainnet/real")


def test_missing_lists_and_images_are_named(root, refused):
    folder = images.domainnet(root)
    path = folder / load("domainnet/real", train=50, test=50).train.paths[2]
    path.unlink()
    data._load.cache_clear()
    refused(f"{path.name} cannot be read", load, "domainnet/real", 50, 50)
    (folder / "real_test.txt").unlink()
    refused("real_test.txt of the official layout is missing", layouts.listing, "domainnet/real")
    refused("clipart_train.txt of the official layout is missing", layouts.listing, "domainnet/clipart")


# CheXpert


@pytest.fixture(scope="module")
def official():
    with np.load(PARITY / "chexpert.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_labels_and_repeats_are_the_official_ones(official, root):
    """All 200 rows with every value: as validation, and as the training part with its repeats."""
    folder = root / "CheXpert-v1.0"
    folder.mkdir(parents=True)
    shutil.copyfile(PARITY / "chexpert_rows.csv", folder / "train.csv")
    shutil.copyfile(PARITY / "chexpert_rows.csv", folder / "valid.csv")
    found = layouts.listing("chexpert")
    assert list(found.classes) == official["label_header"].tolist()
    assert np.array_equal(np.array(found.labels[200:]), official["dev_labels"])
    chosen = splits.parts(found, 200, 0, dev=True)
    assert np.array_equal(chosen["dev"], np.arange(200, 400))
    rows = np.sort(chosen["train"])  # back from the permuted to the file's order, which the parity is in
    assert np.array_equal(np.array(found.labels)[rows], official["train_labels_with_repeats"])
    assert np.array_equal(np.bincount(rows, minlength=200), official["train_repeats_per_row"])


def test_a_repeated_row_comes_twice_in_a_row(root):
    images.chexpert(root, train=40)
    found = load("chexpert", train=30, test=10)
    doubled = [i for i, path in enumerate(found.train.paths) if found.train.paths.count(path) == 2]
    assert doubled and len(set(found.train.paths)) == 30
    positive = found.train.labels[:, [0, 2]].any(1)
    assert sorted(torch.nonzero(positive).flatten().tolist()) == doubled
    assert all(found.train.paths[i] == found.train.paths[i + 1] for i in doubled[::2])
    assert len(set(found.test.paths)) == len(found.test) == 10
    assert not set(found.test.paths) & set(found.train.paths)


def test_rows_that_train_and_test_are_the_official_ones(official):
    """Of as many rows as the real train.csv has; none is repeated here, so that rows can be compared."""
    count = int(official["split/n"])
    columns = ("x",) * count, ((0,) * 5,) * count
    rows = Listing(Path("."), *columns, tuple(layouts.FINDINGS), ("train",) * count, "chexpert", "chest")
    found = splits.parts(rows, 50_000, 50_000, dev=True)
    for name in ("train", "test"):
        assert np.array_equal(found[name][:1000], official[f"split/{name}_first1000"])
        digest = hashlib.sha256(found[name].astype("<i8").tobytes()).hexdigest()
        assert digest == str(official[f"split/sha256_{name}_le_int64"])


@pytest.mark.parametrize("name", ["CheXpert-v1.0-small", "CheXpert-v1.0", "CheXpert-v1.0-img224"])
def test_chexpert_layout(root, name):
    images.chexpert(root, name=name)
    found = load("chexpert", train=8, test=6)
    assert found.multilabel and found.train.labels.dtype == torch.float32
    assert len(found.classes) == 5 and len(found.dev) == 6 and len(found.test) == 6
    assert all(path.startswith("valid/") for path in found.dev.paths)
    assert any("lateral" in path for path in found.train.paths)
    image = found.test.images[torch.arange(2)]
    assert image.shape == (2, 3, 16, 16) and image.dtype == torch.uint8
    assert torch.equal(image[:, 0], image[:, 2])
    assert [len(part) for part in found.test.images.split(4)] == [4, 2]


def test_chexpert_refusals(root, refused):
    folder = images.chexpert(root)
    refused("has 20 rows, fewer than the 50000 . 50000 images", load, "chexpert", 50_000, 50_000)
    text = (folder / "train.csv").read_text()
    (folder / "train.csv").write_text(text.replace("Edema", "Oedema"))
    refused("train.csv has no column 'Edema'", layouts.listing, "chexpert")
    rows = list(csv.reader(text.splitlines()))
    rows[3][rows[0].index("Edema")] = "2.0"
    (folder / "train.csv").write_text("\n".join(",".join(row) for row in rows))
    refused("Edema is '2.0' in line 4 of .*valid: 1.0, 0.0, -1.0", layouts.listing, "chexpert")
    (folder / "valid.csv").unlink()
    (folder / "train.csv").write_text(text)
    refused("valid.csv of the official layout is missing", layouts.listing, "chexpert")


def rewrite(path, change):
    """Change the rows of a CSV (lists of fields)."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


@pytest.mark.parametrize("name", ["train.csv", "valid.csv"])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: rows[2].pop(3), "Line 3 of .* has 18 fields, and the file has 19 columns"),
        (lambda rows: rows[2].pop(), "Line 3 of .* has 18 fields"),
        (lambda rows: rows[-1].insert(3, "x"), "Line .* has 20 fields, and the file has 19 columns"),
        (lambda rows: rows[4].append(""), "Line 5 of .* has 20 fields"),
        (lambda rows: rows.insert(2, ["x"]), "Line 3 of .* has 1 fields"),
        (lambda rows: rows[0].append("Edema"), "more than one column 'Edema'"),
        (lambda rows: rows[0].pop(3), "Line 2 of .* has 19 fields, and the file has 18 columns"),
        (lambda rows: rows[3].__setitem__(1, '"Female'), "is no line of a CSV"),
        (lambda rows: rows[3].__setitem__(0, "/etc/passwd"), "is not a plain path inside"),
        (
            lambda rows: rows[3].__setitem__(0, "CheXpert-v1.0-small/../../x.jpg"),
            "is not a plain path inside",
        ),
        (lambda rows: rows[3].__setitem__(0, "CheXpert-v1.0-small//etc/x.jpg"), "is not a plain path inside"),
        (lambda rows: rows[3].__setitem__(0, ""), "is not a plain path inside"),
        (lambda rows: rows.__delitem__(slice(1, None)), "has columns and no rows"),
        (lambda rows: rows.clear(), "has no column 'Path'"),
        (lambda rows: rows[1].__setitem__(2, "5\0"), "is not UTF-8 text"),
    ],
)
def test_a_csv_that_is_not_as_its_columns_say_is_refused(root, refused, name, change, match):
    rewrite(images.chexpert(root) / name, change)
    refused(match, layouts.listing, "chexpert")


def test_a_csv_is_utf_8_with_or_without_a_mark_and_with_blank_lines(root, refused):
    path = images.chexpert(root) / "train.csv"
    before, text = layouts.listing("chexpert"), path.read_text()
    path.write_text(text.replace("\n", "\r\n\r\n"), encoding="utf-8-sig", newline="")
    assert layouts.listing("chexpert") == before
    path.write_bytes(text.replace("Female", "Fran\u00e7ois").encode("latin-1"))
    refused(r"train.csv is not UTF-8 text .line 2.; save it as UTF-8", layouts.listing, "chexpert")


def test_labels_without_an_auc_are_refused(root, refused):
    rewrite(images.chexpert(root) / "valid.csv", lambda rows: [row.__setitem__(slice(5, None), ["0.0"] * 14)
                                                               for row in rows[1:]])  # fmt: skip
    refused("6 dev images of chexpert have the same labels", load, "chexpert", 8, 6)
    assert len(load("chexpert", 8, 6, chooses=False).train) >= 8


# All of it, through the command line


@pytest.fixture
def tlbook(monkeypatch, command):
    """Run a command in this process, with a `paper` of small images and networks."""
    small = PAPER.replace(network="fixup_small8", side=28, shuffles={"sizes": ("*", 1, 2, 4, 7, 14, 28)})
    monkeypatch.setitem(scales.SCALES, "paper", small)
    return command


def test_reproduce_at_scale_paper_with_counts_turned_down(tlbook, root):
    """ImageNet, a DomainNet list and CheXpert in their own layouts, from pre-training to the tables."""
    images.imagenet(root)
    images.domainnet(root, train=30)
    images.chexpert(root)
    less = "--images 8 --test-images 6 --source-images 12 --source-epochs 1 --epochs 1 --block-size 28"
    less = less.split()
    targets = ("--target", "real", "--target", "xray", "--seed", 0, "--workers", 1)
    code, out, err = tlbook("reproduce", "--scale", "paper", "--only", "feature_reuse", *less, *targets)
    assert code == 0, err
    assert "feature_reuse.learning_curves: " in out and "images/s; decoding (" in err
    specs = {run.spec["identity"]["role"]: run.spec["identity"] for run in runs.every()}
    assert set(specs) == {"source", "real", "xray"}
    assert specs["source"]["examples"] == 12 and specs["source"]["classes"] == 3
    assert specs["real"]["dataset"] == "domainnet/real" and specs["real"]["examples"] == 8
    assert specs["xray"]["multilabel"] and specs["xray"]["classes"] == 5
    for run in runs.every():
        history = run.history()
        assert np.isfinite(history[history.metric == "loss"].value).all()


def test_plan_counts_what_is_turned_down(tlbook, root):
    """Without images a plan counts what the scale declares, turned down the same way."""
    words = ("plan", "--scale", "paper", "--target", "real", "--seed", 0)
    passes = {}
    for images_ in (100, 200):
        code, out, _ = tlbook(*words, "--images", images_, "--test-images", 10, "--source-images", 10,
                              "--source-epochs", 1, "--epochs", 1, "--block-size", "*")  # fmt: skip
        assert code == 0
        (row,) = (line.split() for line in out.splitlines() if line.split()[:1] == ["feature_reuse"])
        passes[images_] = int(row[3])
    # 4 curves and 8 shuffled runs of 1 epoch: trained once, measured twice
    assert passes[200] - passes[100] == pytest.approx(12 * 100 * (1 + 2 / 3), abs=1)


def test_turned_down_scales_are_never_recorded(tlbook, tmp_path):
    code, _, err = tlbook("reproduce", "--scale", "paper", "--images", 9, "--record", tmp_path / "records")
    assert code == 2 and "Only a scale as it stands is recorded" in err
    assert not records.recorded("feature_reuse", root=tmp_path / "records")


def test_the_paper_s_sets_keep_their_side_and_other_sets_the_stored_square():
    assert data.request(PAPER, "real").side == data.request(PAPER, "source").side == 224
    assert data.request(PAPER, "real").resized == 256  # Resize(256), CenterCrop(224)
    own = PAPER.replace(datasets={"real": "folder:/x"})
    assert data.request(own, "real").side == 256
    cropped = own.replace(every_target={"augmentation": "crop-flip"})
    assert data.request(cropped, "real").side == 224
