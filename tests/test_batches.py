"""Batches: every image once an epoch, normalised, and shuffled last."""

import numpy as np
import pytest
import torch

from tlbook.data import Domain, Examples, batches
from tlbook.data.shuffles import Shuffle, apply


def examples(n, side=8, seed=0):
    """Images whose first value is their label, so that a batch tells who is in it."""
    noise = np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8)
    images = torch.from_numpy(noise)
    labels = torch.arange(n)
    images[:, 0, 0, 0] = labels.to(torch.uint8)
    return Examples(labels, tuple(f"{i}" for i in range(n)), ("",) * n, images)


def domain(n=60):
    return Domain("made-up", ("a",), examples(n), examples(9, seed=1), examples(11, seed=2))


def view(shuffle=None, normalisation="own", of=None):
    return batches.View.of(of or domain(), 8, normalisation, shuffle or Shuffle.none())


def epoch(n, batch, augmentation="none", seed=0, shuffle=None):
    rng = np.random.default_rng(seed)
    return list(batches.training(examples(n), view(shuffle), augmentation, batch, rng))


@pytest.mark.parametrize(("n", "batch"), [(60, 16), (64, 16), (5, 16), (1, 1), (250, 7)])
def test_every_image_once_in_full_batches_and_a_smaller_last_one(n, batch, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 50)
    found = epoch(n, batch)
    sizes = [len(images) for images, _ in found]
    assert sizes == [batch] * (n // batch) + [n % batch] * (n % batch > 0)
    labels = torch.cat([labels for _, labels in found])
    assert sorted(labels.tolist()) == list(range(n))
    assert n < 3 or labels.tolist() != list(range(n))


def test_images_stay_with_their_labels():
    own = view()
    for images, labels in epoch(60, 16):
        raw = images[:, 0, 0, 0] * own.std[0] + own.mean[0]
        assert torch.allclose(raw, labels.float(), atol=1e-3)


def test_some_examples_keep_their_labels():
    whole = examples(20)
    places = np.array([7, 0, 7])
    part = whole.some(places)
    assert part.labels.tolist() == [7, 0, 7] and (part.paths, part.digests) == ((), ())
    assert torch.equal(part.images, whole.images[[7, 0, 7]]) and len(part) == 3


def test_the_generator_alone_decides():
    def order(**how):
        return torch.cat([labels for _, labels in epoch(60, 16, **how)])

    first = epoch(60, 16, "crop-flip")
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, epoch(60, 16, "crop-flip"), strict=True))
    assert not torch.equal(order(), order(seed=1))


def test_a_batch_larger_than_a_chunk_is_whole(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 10)
    assert [len(images) for images, _ in epoch(60, 32)] == [32, 28]


def test_own_normalisation_gives_mean_0_and_std_1():
    of = domain()
    images = torch.cat([images for images, _ in batches.evaluation(of.train, view(of=of), batch=7)])
    assert images.shape == (60, 3, 8, 8) and images.dtype == torch.float32
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("chexpert", [128 / 255] * 3, [64 / 255] * 3),
    ],
)
def test_fixed_normalisations(name, mean, std):
    of = domain()
    (images, _), *_ = batches.evaluation(of.test, view(normalisation=name, of=of))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    assert torch.allclose(images, (of.test.images / 255 - mean) / std, atol=1e-5)


def test_an_unknown_normalisation_is_refused(refused):
    refused("no normalisation 'none'; choose from own, imagenet", view, None, "none")


@pytest.mark.parametrize("shuffle", [Shuffle.block(2, 1234), Shuffle.pixel(1235)])
def test_the_shuffle_comes_last_and_is_the_same_in_training_and_test(shuffle):
    """A crop of a shuffled image would be another image than the shuffle of a crop."""
    plain, shuffled = view(), view(shuffle)
    (flat, _), *_ = batches.evaluation(examples(11), plain)
    (mixed, _), *_ = batches.evaluation(examples(11), shuffled)
    assert torch.equal(mixed, apply(shuffle, flat)) and not torch.equal(mixed, flat)
    for augmentation in ("none", "crop-flip"):
        whole = zip(epoch(60, 16, augmentation), epoch(60, 16, augmentation, shuffle=shuffle), strict=True)
        for (image, label), (moved, same) in whole:
            assert torch.equal(moved, apply(shuffle, image)) and torch.equal(label, same)


def test_batches_are_laid_out_channels_last():
    (images, _), *_ = epoch(60, 16, "crop-flip")
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_larger_images_are_cut_to_the_side():
    larger = examples(5, side=10)
    (images, _), *_ = batches.evaluation(larger, view())
    own = view()
    raw = images * own.std.view(1, 3, 1, 1) + own.mean.view(1, 3, 1, 1)
    assert torch.allclose(raw, larger.images[:, :, 1:9, 1:9].float(), atol=1e-3)
