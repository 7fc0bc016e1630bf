"""Streamed images: the same as resident ones, whatever the number of workers."""

import hashlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from images import class_folders, imagenet, picture, tiny_imagenet

from tlbook import data
from tlbook.data import batches, decode, stream, views
from tlbook.data.shuffles import Shuffle
from tlbook.data.stream import Stream
from tlbook.questions import grid
from tlbook.training import runs

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def load(folder, side=8, resized=9, train=100, test=100):
    data._load.cache_clear()
    return data.load(data.Request(f"folder:{folder}", side, resized, train, 0, test, True))


@pytest.fixture
def mine(tmp_path):
    return class_folders(tmp_path / "mine", count=40)


@pytest.fixture(params=["0", "2"])
def decoders(request, monkeypatch):
    monkeypatch.setenv("TLBOOK_DECODERS", request.param)


def epoch(domain, augmentation, seed=3, batch=16, side=8):
    view = batches.View.of(domain, side, "own", Shuffle.block(4, 1234))
    rng = np.random.default_rng(seed)
    return list(batches.training(domain.train, view, augmentation, batch, rng))


@pytest.mark.parametrize("augmentation", ["none", "crop-flip", "affine", "resized-crop-flip"])
def test_a_set_that_does_not_fit_gives_the_same_batches(mine, monkeypatch, decoders, augmentation):
    resident = load(mine)
    monkeypatch.setenv("TLBOOK_MEMORY", "0.000001")
    streamed = load(mine)
    assert isinstance(resident.train.images, torch.Tensor) and isinstance(streamed.train.images, Stream)
    assert resident.digest == streamed.digest
    assert all(torch.equal(a, b) for a, b in zip(resident.mean_and_std, streamed.mean_and_std, strict=True))
    pairs = zip(epoch(resident, augmentation), epoch(streamed, augmentation), strict=True)
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in pairs)
    view = batches.View.of(resident, 8, "own", Shuffle.none())
    for split in ("dev", "test"):
        both = (batches.evaluation(getattr(d, split), view, batch=7) for d in (resident, streamed))
        assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(*both, strict=True))


def test_a_streamed_run_has_the_bits_of_a_resident_one(tiny, mine, monkeypatch):
    own = tiny.replace(datasets={"real": f"folder:{mine}"}, epochs=2)
    spec = grid.ri_t(own, "real", "high", 0)
    resident = runs.ensure(spec).weights("final")
    monkeypatch.setenv("TLBOOK_MEMORY", "0.000001")
    data._load.cache_clear()
    assert grid.ri_t(own, "real", "high", 0).id == spec.id
    streamed = runs.ensure(spec, retrain=True).weights("final")
    assert all(torch.equal(resident[name], streamed[name]) for name in resident)


@pytest.fixture
def official(tmp_path, monkeypatch):
    monkeypatch.setenv("TLBOOK_DATA", str(tmp_path))
    imagenet(tmp_path, train=30)
    data._load.cache_clear()
    return data.load(data.Request("imagenet", 16, 18, 200, 0, 50, False))


def test_crops_of_whole_files_do_not_depend_on_the_workers(official, monkeypatch):
    found = {}
    for count in ("0", "1", "3"):
        monkeypatch.setenv("TLBOOK_DECODERS", count)
        found[count] = epoch(official, "resized-crop-flip", side=16)
    for other in ("1", "3"):
        assert all(torch.equal(a, b) and torch.equal(x, y)
                   for (a, x), (b, y) in zip(found["0"], found[other], strict=True))  # fmt: skip
    assert [len(images) for images, _ in found["0"]] == [16] * 5 + [10]
    again = epoch(official, "resized-crop-flip", seed=4, side=16)
    assert not torch.equal(found["0"][0][0], again[0][0])


def test_an_image_is_cropped_by_its_own_seed(official):
    (part,) = [torch.tensor([5, 2])]
    (got,) = official.train.images.gather([part], [torch.tensor([11, 12])])
    for image, index, seed in zip(got, (5, 2), (11, 12), strict=True):
        path = official.train.images.files.folder / official.train.paths[index]
        assert np.array_equal(image, views.natural_train(path, 16, np.random.default_rng(seed)))


def test_pieces_become_parts_of_the_size_asked_for(official, monkeypatch):
    monkeypatch.setattr(stream, "PIECE", 4)
    parts = torch.arange(90).flip(0).split(10)
    got = list(official.train.images.gather(parts))
    assert [len(part) for part in got] == [10] * 9
    whole = torch.cat(list(official.train.images.split(90)))
    assert torch.equal(torch.cat(got), whole.flip(0))


def test_test_views_are_decoded_once_where_they_would_fit_in_memory(official, monkeypatch, tmp_path):
    first = torch.cat(list(official.train.images.split(32)))
    monkeypatch.setattr(Stream, "_decoded", lambda *a: pytest.fail("decoded again"))
    assert torch.equal(torch.cat(list(official.train.images.split(7))), first)
    (shuffled,) = official.train.images.gather([torch.tensor([5, 80, 5])])
    assert torch.equal(shuffled, first[[5, 80, 5]])
    monkeypatch.undo()
    monkeypatch.setenv("TLBOOK_CACHE", str(tmp_path / "cache"))
    for file in (tmp_path / "cache" / "views").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:100])  # damaged
    assert torch.equal(torch.cat(list(official.train.images.split(32))), first)
    (tmp_path / "cache" / "views").rename(tmp_path / "elsewhere")
    with monkeypatch.context() as full:
        full.setattr(stream.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
        full.setattr(Stream, "_write", lambda *a: pytest.fail("wrote to a full disk"))
        assert torch.equal(torch.cat(list(official.train.images.split(32))), first)
    monkeypatch.setenv("TLBOOK_MEMORY", "0.000001")
    monkeypatch.setattr(Stream, "_write", lambda *a: pytest.fail("kept what does not fit"))
    assert torch.equal(torch.cat(list(official.train.images.split(32))), first)


def test_other_pixels_have_another_file(official):
    path = official.train.images.files.folder / official.train.paths[0]
    list(official.train.images.split(32))
    picture(path, seed=999, size=(30, 40))
    data._load.cache_clear()
    again = data.load(data.Request("imagenet", 16, 18, 200, 0, 50, False))
    (one,) = again.train.images.gather([torch.tensor([0])])
    assert np.array_equal(one[0], views.natural_test(path, 16, 18))
    assert again.train.images.cache != official.train.images.cache


def test_a_broken_file_is_named_in_one_sentence(official, decoders, refused):
    path = official.train.images.files.folder / official.train.paths[50]
    path.write_bytes(b"no image")
    refused(f"{path.name} is not an image", list, official.train.images.split(90))


def test_a_pass_says_how_fast_it_was(official, monkeypatch, capsys):
    monkeypatch.setattr(stream, "_reported", set())
    monkeypatch.setenv("TLBOOK_DECODERS", "2")
    monkeypatch.setenv("TLBOOK_MEMORY", "0.000001")
    list(official.train.images.split(32))
    said = capsys.readouterr().err
    assert said.startswith("imagenet: 90 images in ") and "images/s; decoding (2 processes) was" in said
    list(official.train.images.split(32))
    assert capsys.readouterr().err == ""  # a quick one says it once
    monkeypatch.setattr(stream, "SLOW", 0)
    list(official.train.images.split(32))
    assert "images/s" in capsys.readouterr().err


def test_bad_settings_are_refused(monkeypatch, refused):
    monkeypatch.setenv("TLBOOK_MEMORY", "much")
    refused("TLBOOK_MEMORY is a number of gigabytes, not 'much'", stream.fits, 1)
    monkeypatch.setenv("TLBOOK_DECODERS", "two")
    refused("TLBOOK_DECODERS is a number of processes, not 'two'", stream.workers, 1)
    monkeypatch.delenv("TLBOOK_DECODERS")
    assert stream.workers(10) == 0 and stream.workers(10_000) >= 1


# Digests that are remembered


def test_digests_are_those_of_the_files_and_only_changed_ones_are_read_again(mine, monkeypatch):
    paths = [f"cat/{i:02d}.png" for i in (3, 1, 3, 2)]
    first = stream.digests(mine, paths)
    assert first == decode.digest_files(mine, paths)
    read = []
    original = decode.digest_files
    monkeypatch.setattr(decode, "digest_files", lambda f, p: read.extend(p) or original(f, p))
    assert stream.digests(mine, paths[:2]) == first[:2] and read == []
    picture(mine / "cat" / "01.png", seed=77, size=(13, 9))
    changed = stream.digests(mine, [*paths, "dog/00.png"])
    assert read == ["cat/01.png", "dog/00.png"]
    assert changed[0] == first[0] and changed[1] != first[1]
    os.utime(mine / "cat" / "02.png", (1, 1))
    assert stream.digests(mine, paths)[3] == first[3] and read[-1] == "cat/02.png"


def test_a_damaged_index_is_read_past(mine, tmp_path):
    first = stream.digests(mine, ["cat/00.png"])
    (index,) = (tmp_path / "cache" / "digests").glob("*.json")
    index.write_bytes(b"rubbish\n\xff\xfe 12 \n" + index.read_bytes()[:40])
    assert stream.digests(mine, ["cat/00.png"]) == first


def test_what_is_missing_is_named(mine, refused):
    refused("gone.png cannot be read", stream.digests, mine, ["cat/gone.png"])


# What was there before is as it was


PINNED = {  # digest of the training examples, and of all pixels in the order train, dev, test
    ("tiny-imagenet", 32, 37): ("0c3469937a7d", "290d25ccf561"),
    ("tiny-imagenet", 64, 73): ("0c3469937a7d", "19894fb35522"),
    ("pacs/photo", 32, 37): ("a6eb74918503", "1ac93f9a2e48"),
    ("chest-xray", 32, 37): ("cf35da50beb2", "aee261880bd7"),
    ("folder", 32, 37): ("a5e45058f220", "753a4cc5855a"),
}


def bitmaps(folder, classes, count):
    """Class folders of a format without compression, whose bytes no version of a library changes."""
    return class_folders(folder, classes, count, "bmp")


@pytest.mark.parametrize("memory", ["", "0.000001"])
def test_sets_that_were_read_before_have_the_same_digests_and_pixels(tmp_path, monkeypatch, memory):
    """Computed with the version before streaming: run ids and records hang on them."""
    monkeypatch.setenv("TLBOOK_DATA", str(tmp_path))
    monkeypatch.setenv("TLBOOK_MEMORY", memory)
    tiny_imagenet(tmp_path, train=6, val=3, ending="bmp")
    bitmaps(tmp_path / "PACS" / "photo", ("b", "a", "c"), 20)
    bitmaps(tmp_path / "xray", ("x", "y", "z"), 16)
    bitmaps(tmp_path / "mine", ("cat", "dog"), 12)
    data._load.cache_clear()
    for (dataset, side, resized), pinned in PINNED.items():
        name = f"folder:{tmp_path / 'mine'}" if dataset == "folder" else dataset
        chooses = dataset != "tiny-imagenet"
        found = data.load(data.Request(name, side, resized, 300, 0, 1000, chooses))
        pixels = hashlib.sha256()
        for part in (found.train, found.dev, found.test):
            for images in part.images.split(8) if len(part) else ():
                pixels.update(images.numpy().tobytes())
        assert (found.digest[:12], pixels.hexdigest()[:12]) == pinned, dataset
