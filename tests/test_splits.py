"""Splits: disjoint, stratified, the same at every call."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tlbook.data import splits
from tlbook.data.folders import Listing

sampled = settings(deadline=None, max_examples=40)


@st.composite
def labelled(draw, least=4, most=30):
    """Labels of two to six classes in some order, at least ``least`` of each, and the classes' names."""
    counts = draw(st.lists(st.integers(least, most), min_size=2, max_size=6))
    labels = np.repeat(np.arange(len(counts)), counts)
    draw(st.randoms(use_true_random=False)).shuffle(labels)
    return labels, tuple("abcdef"[: len(counts)])


def counts(labels, chosen, classes):
    return np.bincount(labels[chosen], minlength=len(classes))


@sampled
@given(labelled())
def test_split_is_disjoint_whole_stratified_and_repeatable(case):
    labels, classes = case
    found = splits.split(labels, classes)
    together = np.concatenate(list(found.values()))
    assert sorted(together) == list(range(len(labels)))
    assert all(np.array_equal(part, np.sort(part)) for part in found.values())
    assert len(found["test"]) == len(labels) // 2
    half = len(labels) - len(labels) // 2
    assert len(found["dev"]) == max(round(half / 10), len(classes))
    whole = counts(labels, together, classes)
    assert (np.abs(counts(labels, found["test"], classes) - whole / 2) <= 1).all()
    assert (counts(labels, found["train"], classes) >= 1).all()
    again = splits.split(labels, classes)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_dev_is_a_stratified_tenth_of_the_training_half():
    labels = np.tile(np.arange(5), 80)
    found = splits.split(labels, "abcde")
    assert [len(found[name]) for name in ("train", "dev", "test")] == [180, 20, 200]
    assert (counts(labels, found["dev"], "abcde") == 4).all()


@sampled
@given(labelled(), st.data())
def test_official_split_is_kept_and_dev_taken_from_training(case, draw):
    labels, classes = case
    official = ["test" if i % 3 == 0 else "train" for i in range(len(labels))]
    train = np.array([name == "train" for name in official])
    assume(np.bincount(labels[train], minlength=len(classes)).min() >= 2)
    assume(set(labels[~train]) == set(labels))
    found = splits.split(labels, classes, official)
    assert np.array_equal(found["test"], np.flatnonzero(~train))
    assert set(found["train"]) | set(found["dev"]) == set(np.flatnonzero(train))
    assert not set(found["train"]) & set(found["dev"])
    source = splits.split(labels, classes, official, dev=False)
    assert len(source["dev"]) == 0 and np.array_equal(source["train"], np.flatnonzero(train))


def test_an_official_dev_part_is_kept_and_nothing_taken_from_training():
    labels = [0, 1] * 9
    official = ["train", "train"] + ["dev", "dev"] * 3 + ["test", "test"] * 5
    found = splits.split(labels, "ab", official)
    assert {name: list(part) for name, part in found.items()} == {
        "train": [0, 1], "dev": list(range(2, 8)), "test": list(range(8, 18)),
    }  # fmt: skip
    source = splits.split(labels, "ab", official, dev=False)
    assert len(source["dev"]) == 0 and list(source["train"]) == [0, 1]


@sampled
@given(labelled(least=1), st.data())
def test_a_cap_of_any_size_is_stratified(case, draw):
    labels, classes = case
    indices = np.flatnonzero(np.random.RandomState(1).rand(len(labels)) < 0.9)
    limit = draw.draw(st.integers(len(classes), len(labels) + 3))
    kept = splits.cap(indices, labels, limit, classes)
    assert len(kept) == min(limit, len(indices)) and set(kept) <= set(indices)
    assert np.array_equal(kept, np.unique(kept))
    before, after = (counts(labels, chosen, classes) for chosen in (indices, kept))
    assert ((after > 0) == (before > 0)).all()
    more = after - before * len(kept) / len(indices)  # than the class's share, in images
    assert (more <= 1 + 1e-9).all() and (more >= -1 - len(classes) * before / len(indices)).all()
    assert np.array_equal(kept, splits.cap(indices, labels, limit, classes))


def test_a_cap_that_leaves_fewer_than_the_classes_still_cuts():
    """scikit-learn refuses to stratify here; one image too many is a common case."""
    labels = np.tile(np.arange(10), 10)
    kept = splits.cap(np.arange(100), labels, 99, "abcdefghij")
    assert len(kept) == 99 and sorted(counts(labels, kept, "abcdefghij")) == [9] + [10] * 9


@pytest.mark.parametrize("rare", [1, 2, 4])
def test_a_rare_class_survives_a_cap(rare):
    labels = np.array([0] * 50 + [1] * 50 + [2] * rare)
    kept = splits.cap(np.arange(100 + rare), labels, 20, "abc")
    assert 1 <= (kept >= 100).sum() <= 2


def test_too_few_are_refused(refused):
    refused("'b' has 3 image.*at least 4", splits.split, [0] * 9 + [1] * 3, "ab")
    official = ["train"] * 5 + ["test", "train", "test"]
    refused("'b' has 1 image.*to train on", splits.split, [0] * 6 + [1, 1], "ab", official)
    official = ["train"] * 4 + ["dev", "test", "test"]
    labels = [0, 1, 0, 1, 0, 1, 0]
    refused("'b' has 0 image.*in the dev part.*at least 1 is", splits.split, labels, "ab", official)
    labels = [0, 1, 0, 1, 0, 1, 1]
    refused("'a' has 0 image.*in the test part.*at least 1 is", splits.split, labels, "ab", official)
    refused("'a' has 0 image.*in the test part", splits.split, labels, "ab", official, dev=False)
    refused("cap of 2 images is fewer than the 3 classes", splits.cap, np.arange(9), [0, 1, 2] * 3, 2, "abc")


@sampled
@given(st.lists(st.integers(4, 400), min_size=2, max_size=6), st.integers(6, 200))
def test_every_part_holds_every_class(counted, limit):
    labels = np.repeat(np.arange(len(counted)), counted)
    classes = tuple("abcdef"[: len(counted)])
    for official in ((), tuple("train" if i % 2 else "test" for i in range(len(labels)))):
        listing = Listing(Path("."), tuple(map(str, labels)), tuple(labels), classes, official)
        found = splits.parts(listing, limit, limit, dev=True)
        assert all((counts(labels, part, classes) >= 1).all() for part in found.values())
        assert not set(found["train"]) & set(found["dev"])


def test_a_rare_class_is_in_dev_and_others_keep_their_draw():
    labels = np.array([0] * 150 + [1] * 6)
    found = splits.split(labels, "ab")
    assert [len(found[name]) for name in ("train", "dev", "test")] == [70, 8, 78]
    assert all((counts(labels, part, "ab") >= 1).all() for part in found.values())
    fine = np.tile([0, 0, 1], 60)
    train, _ = splits._stratified(np.arange(180), fine, 90)
    kept, dev = splits._stratified(train, fine, 9)
    found = splits.split(fine, "ab")
    assert np.array_equal(found["train"], kept) and np.array_equal(found["dev"], dev)


@pytest.mark.parametrize("seed", [0, 2020])
def test_splitting_leaves_the_global_generator_alone(seed):
    np.random.seed(seed)
    before = np.random.get_state()[1].copy()
    splits.cap(splits.split([0, 1] * 20, "ab")["train"], [0, 1] * 20, 5, "ab")
    assert np.array_equal(before, np.random.get_state()[1])
