"""Augmentations against the same draws applied to one image after another with NumPy and PIL."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from tlbook.data import augment

FILL = torch.tensor([100.0, 110.0, 120.0])
NAMES = ("none", "crop-flip", "resized-crop-flip", "affine")


def pictures(n=6, side=32, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, side, side))).float()


def views(name, images, side=32, seed=5):
    return augment.augment(name, images, side, FILL, np.random.default_rng(seed))


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_alone_decides(name):
    images = pictures(side=36)
    first, second, other = views(name, images), views(name, images), views(name, images, seed=6)
    assert first.shape == (6, 3, 32, 32) and torch.equal(first, second)
    assert torch.equal(first, other) == (name == "none")
    assert first.min() >= -1e-3 and first.max() <= 255 + 1e-3


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_image_has_its_own_draw(name):
    """Twenty copies of one image: hardly any two views agree."""
    found = views(name, pictures(1).expand(20, -1, -1, -1))
    same = [torch.allclose(found[i], found[j]) for i in range(20) for j in range(i)]
    assert sum(same) <= 5


def test_none_is_the_centre():
    images = pictures(side=37)
    assert torch.equal(views("none", images), images[:, :, 2:34, 2:34])
    assert torch.equal(views("none", pictures()), pictures())


def test_crop_flip_one_image_at_a_time():
    """The design's words: pad by an eighth of the side with the fill, cut out at an offset, flip half."""
    images, rng = pictures(40), np.random.default_rng(5)
    offsets = rng.integers(0, 9, (2, 40, 1))[..., 0]
    flips = rng.random((40, 1))[:, 0] < 0.5
    assert 8 < flips.sum() < 32 and set(offsets.ravel()) == set(range(9))
    found = views("crop-flip", images)
    for i, image in enumerate(images.numpy()):
        padded = np.broadcast_to(FILL.numpy()[:, None, None], (3, 40, 40)).copy()
        padded[:, 4:36, 4:36] = image
        top, left = offsets[:, i]
        cut = padded[:, top : top + 32, left : left + 32]
        assert np.allclose(found[i], cut[:, :, ::-1] if flips[i] else cut, atol=1e-4)


def test_resized_crop_against_pil():
    """PIL's own reading of a box of the image, resized bilinearly, on a smooth image."""
    side, n = 32, 30
    along = np.linspace(0, 1, 64)
    smooth = 127 + 60 * np.sin(5 * along)[:, None] + 60 * np.cos(4 * along)[None]
    images = torch.from_numpy(smooth).float().expand(n, 3, 64, 64)
    rng = np.random.default_rng(5)
    area = rng.uniform(0.08, 1, n)
    ratio = np.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3), n))
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    across, down = rng.uniform(-1, 1, (2, n))
    flips = rng.random(n) < 0.5
    found = views("resized-crop-flip", images, side)
    picture = Image.fromarray(smooth.astype(np.float32))
    for i in range(n):
        left, top = 32 * (1 - width[i]) * (1 + across[i]), 32 * (1 - height[i]) * (1 + down[i])
        box = (left, top, left + 64 * width[i], top + 64 * height[i])
        assert 0 <= box[0] < box[2] <= 64.0001 and 0 <= box[1] < box[3] <= 64.0001
        cut = picture.transform((side, side), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
        expected = np.asarray(cut)[:, ::-1] if flips[i] else np.asarray(cut)
        inside = np.s_[2:-2, 2:-2]  # PIL fills its outermost half pixel otherwise
        assert np.abs(found[i, 0].numpy()[inside] - expected[inside]).max() < 0.5


def test_resized_crop_stays_inside(monkeypatch):
    """With the image's edge far from grey, nothing from beyond it would go unnoticed."""
    seen = []
    sample = torch.nn.functional.grid_sample

    def spy(images, grid, **how):
        seen.append(grid)
        return sample(images, grid, **how)

    monkeypatch.setattr(augment.F, "grid_sample", spy)
    views("resized-crop-flip", pictures(300))
    (grid,) = seen
    assert grid.abs().max() <= 1
    widths = (grid[:, 0, -1, 0] - grid[:, 0, 0, 0]).abs() / 2 * 32 / 31
    heights = (grid[:, -1, 0, 1] - grid[:, 0, 0, 1]) / 2 * 32 / 31
    area, ratio = widths * heights, widths / heights
    assert 0.05 < area.min() < 0.2 and 0.8 < area.max() <= 1.0001  # clipped where it would not fit
    assert 0.74 < ratio.min() and ratio.max() < 1.34


def test_affine_without_draws_is_the_identity(monkeypatch):
    monkeypatch.setattr(augment, "DEGREES", 0.0)
    monkeypatch.setattr(augment, "SHIFT", 0.0)
    monkeypatch.setattr(augment, "ZOOM", (1.0, 1.0))
    assert torch.equal(views("affine", pictures()), pictures())


def test_affine_is_a_turn_a_shift_and_a_zoom_filled_with_grey():
    """Every output pixel is the input pixel nearest to where the inverse map says, or 128."""
    images, rng = pictures(10), np.random.default_rng(5)
    angle = np.deg2rad(rng.uniform(-15, 15, 10))
    zoom = rng.uniform(0.95, 1.05, 10)
    shift = rng.uniform(-0.05, 0.05, (2, 10)) * 32
    found = views("affine", images).numpy()
    rows, columns = np.mgrid[:32, :32] - 15.5
    for i, image in enumerate(images.numpy()):
        cos, sin = np.cos(angle[i]) / zoom[i], np.sin(angle[i]) / zoom[i]
        x = cos * columns - sin * rows + shift[0, i] + 15.5
        y = sin * columns + cos * rows + shift[1, i] + 15.5
        near_x, near_y = np.rint(x).astype(int), np.rint(y).astype(int)
        inside = (near_x >= 0) & (near_x < 32) & (near_y >= 0) & (near_y < 32)
        expected = np.where(inside, image[:, near_y.clip(0, 31), near_x.clip(0, 31)], 128.0)
        assert (found[i] == expected).mean() > 0.995  # a tie may be rounded either way


def test_an_unknown_augmentation_is_refused(refused):
    refused("no augmentation 'blur'; choose from none, crop-flip", views, "blur", pictures())
