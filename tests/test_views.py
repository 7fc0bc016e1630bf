"""How one image is read: the paper's chains against the official code's output and against torchvision."""

from pathlib import Path

import numpy as np
import pytest
from images import picture
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode, functional

from tlbook.data import views

PARITY = Path(__file__).parent / "parity"


@pytest.fixture(scope="module")
def official():
    with np.load(PARITY / "chexpert.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("number", [0, 1])
def test_chest_images_are_the_official_ones(official, number, tmp_path):
    Image.fromarray(official[f"image{number}/in"]).save(tmp_path / "a.png")
    (image,) = (views.chest_test(tmp_path / "a.png", 224, 256) - 128) / 64
    np.testing.assert_allclose(image[::4, ::4], official[f"image{number}/out_every_fourth"], atol=1e-4)
    stats = image.mean(), image.std(), image.min(), image.max()
    np.testing.assert_allclose(stats, official[f"image{number}/stats"], atol=1e-4)


@pytest.mark.parametrize(
    ("angle", "shift", "zoom"),
    [(0, [0, 0], 1), (7.3, [3, -5], 1.03), (-14, [0, 4], 0.95), (15, [-7, 0], 1.05)],
)
def test_an_affine_is_torchvision_s(official, angle, shift, zoom):
    image = Image.fromarray(official["image0/in"])
    how = dict(interpolation=InterpolationMode.NEAREST, fill=128)
    wanted = functional.affine(image, angle, shift, zoom, [0.0, 0.0], **how)
    assert np.array_equal(np.asarray(wanted), np.asarray(views.moved(image, angle, shift, zoom)))


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_grey_keeps_it(value):
    """There is nothing to equalise; a division by zero would be one way to fail."""
    image = np.full((5, 4), value, np.uint8)
    assert np.array_equal(views.equalised(image), image)


def test_equalised_by_hand():
    """Darkest to 0; the others by how many are at or below them, of those above the darkest."""
    image = np.array([[10, 10, 20], [30, 30, 30]], np.uint8)
    assert views.equalised(image).tolist() == [[0, 0, 64], [255, 255, 255]]


@pytest.mark.parametrize("size", [(50, 40), (33, 80), (64, 64), (300, 37), (20, 21)])
def test_the_test_view_is_torchvision_s(tmp_path, size):
    picture(tmp_path / "a.png", size=size)
    both = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(28)])
    with Image.open(tmp_path / "a.png") as image:
        wanted = np.asarray(both(image)).transpose(2, 0, 1)
    assert np.array_equal(views.natural_test(tmp_path / "a.png", 28, 32), wanted)


class Drawn:
    """A generator whose crop is known: area, log of the ratio, left, top, flip."""

    def __init__(self, *uniform, integers=(), flip=1.0):
        self.draws, self.whole, self.flip = list(uniform), list(integers), flip

    def uniform(self, low, high):
        assert low <= self.draws[0] <= high
        return self.draws.pop(0)

    def integers(self, high):
        assert 0 <= self.whole[0] < high
        return self.whole.pop(0)

    def random(self):
        return self.flip


@pytest.mark.parametrize("flip", [0.4, 0.6])
def test_a_random_crop_is_torchvision_s(tmp_path, flip):
    picture(tmp_path / "a.png", size=(50, 40))
    drawn = Drawn(0.25, np.log(1.25), integers=[20, 11], flip=flip)  # 500 pixels, so 25 by 20
    got = views.natural_train(tmp_path / "a.png", 16, drawn)
    with Image.open(tmp_path / "a.png") as image:
        wanted = functional.resized_crop(image, 11, 20, 20, 25, [16, 16])
        wanted = functional.hflip(wanted) if flip < 0.5 else wanted
    assert np.array_equal(got, np.asarray(wanted).transpose(2, 0, 1))


def test_crops_spread_like_torchvision_s():
    """Means of width, height and place over many draws, ours against theirs; and all lie inside."""
    rng, size = np.random.default_rng(0), (60, 45)
    ours = np.array([views.crop_box(size, rng) for _ in range(4000)])
    blank = Image.new("RGB", size)
    theirs = np.array([transforms.RandomResizedCrop.get_params(blank, [0.08, 1], [3 / 4, 4 / 3])
                       for _ in range(4000)])[:, [1, 0, 3, 2]]  # fmt: skip
    assert (ours >= 0).all() and (ours[:, :2] + ours[:, 2:] <= size).all()
    spread = np.sqrt((ours.var(0) + theirs.var(0)) / 4000)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * spread).all()


@pytest.mark.parametrize(("size", "box"), [((400, 30), (180, 0, 40, 30)), ((30, 400), (0, 180, 30, 40))])
def test_where_no_crop_fits_the_middle_is_taken(size, box):
    """In so narrow an image a crop of most of its area never fits."""
    tried = Drawn(*[0.9, 0.0] * views.ATTEMPTS)
    assert views.crop_box(size, tried) == box


def test_training_views_of_a_chest_stay_within_the_affine(tmp_path):
    """Never flipped, always grey outside: the mean stays near, and the same seed gives the same view."""
    picture(tmp_path / "a.png", size=(40, 50), mode="L")
    one, two, other = (views.chest_train(tmp_path / "a.png", 32, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.shape == (1, 32, 32) and one.dtype == np.float32
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert 0 <= one.min() and one.max() <= 255
