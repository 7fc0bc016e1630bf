"""The first page's study on generated images: what it shows of the domains, and how a P-T starts."""

import numpy as np
import pytest
import torch

from tlbook import data
from tlbook.data.layouts import MissingData
from tlbook.models import skeleton
from tlbook.questions import grid
from tlbook.questions.setup import study as setup
from tlbook.training import executors, runs


def test_samples_are_the_roles_training_images_under_each_block_size(tiny):
    shown = setup.samples(tiny, "clipart", count=5)
    assert list(shown) == ["*", "16", "32"]
    training = data.load(data.request(tiny, "clipart")).train.images.permute(0, 2, 3, 1).numpy()
    assert (shown["32"] == training[[0, 9, 19, 29, 39]]).all()
    for images in shown.values():
        assert images.shape == (5, 32, 32, 3) and images.dtype == np.uint8


def test_shuffled_samples_are_permutations_of_the_unshuffled(tiny):
    """The same for every image: '*' of all values, a block size of whole blocks."""
    shown = setup.samples(tiny, "real", ["*", 8, 32], count=6)
    plain, single, blocks = (shown[size] for size in ("32", "*", "8"))
    assert (np.sort(plain.reshape(6, -1)) == np.sort(single.reshape(6, -1))).all()
    assert (single != plain).any((1, 2, 3)).all() and (blocks != plain).any((1, 2, 3)).all()
    every = np.concatenate([tiles(image) for image in plain], 1)  # a tile of all six images at once
    moved = np.concatenate([tiles(image) for image in blocks], 1)
    places = [(every == tile).all(1).argmax() for tile in moved]
    assert sorted(places) == list(range(16)) and (every[places] == moved).all()


def tiles(image: np.ndarray) -> np.ndarray:
    """The 16 blocks of 8 x 8 pixels of an image, row by row, each as a line."""
    return image.reshape(4, 8, 4, 8, 3).swapaxes(1, 2).reshape(16, -1)


def test_samples_name_what_is_missing(tiny, refused):
    nowhere = tiny.replace(datasets={"real": "pacs/photo"})
    refused("pacs/photo needs the environment variable TLBOOK_DATA", setup.samples, nowhere, "real")


def test_domains_count_what_is_trained_and_tested(tiny):
    rows = grid.domains(tiny, ("real", "xray")).set_index("role")
    assert list(rows.index) == ["source", "real", "xray"]
    assert tuple(rows.loc["real", ["train", "dev", "test"]]) == (40, 20, 40)
    assert rows.chance["real"] == pytest.approx(100 / rows.classes["real"])
    assert (rows.chance["xray"], rows.metric["xray"]) == (0.5, "auc")


def test_domains_leave_out_what_is_not_here_but_are_never_empty(tiny):
    partly = tiny.replace(datasets={"real": "pacs/photo"})
    assert list(grid.domains(partly, ("real", "clipart")).role) == ["source", "clipart"]
    nothing = partly.replace(source=partly.task("real"))
    with pytest.raises(MissingData, match="pacs/photo needs"):
        grid.domains(nothing, ("real",))


def test_two_p_t_start_from_the_whole_of_p_with_heads_of_their_own(tiny):
    """The official code loads everything of a checkpoint but fc.weight and fc.bias."""
    rows = setup.start_of_p_t(tiny, "real").set_index("module")
    assert list(rows.index) == list(skeleton(tiny.network).members())
    body = rows.drop("fc")
    assert (body == 0).all(axis=None)
    assert rows.first_to_second["fc"] > 0.1
    assert rows.loc["fc", ["first_to_p", "second_to_p"]].isna().all()


def test_distances_are_measured_not_assumed(tiny, monkeypatch):
    """A P whose first convolution lies 3 away from where the two P-T start."""
    executors.ensure_all(grid.pretraining(tiny))
    true = runs.weights(grid.pretrained(tiny))
    moved = {name: tensor.clone() for name, tensor in true.items()}
    moved["conv1.weight"].view(-1)[0] += 3.0
    start = setup.initial
    monkeypatch.setattr(setup, "initial", lambda spec, p: start(spec, true))
    monkeypatch.setattr(setup.runs, "weights", lambda which: moved)
    rows = setup.start_of_p_t(tiny, "real").set_index("module")
    assert rows.first_to_p["conv1"] == pytest.approx(3.0, rel=1e-6)
    assert rows.first_to_p.drop("conv1").fillna(0).eq(0).all() and rows.first_to_second["conv1"] == 0
    assert torch.equal(true["fc.weight"], moved["fc.weight"])
