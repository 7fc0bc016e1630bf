"""Distances between domains against slow and analytic references, and their bias."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbook import models
from tlbook.questions.controls.method import domain_distance as measures


def gaussian(n, d=8, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).normal(size=(n, d))


def slow_kernel_distance(x, y):
    """Sums over all pairs, written out."""
    size = np.sqrt((x**2).mean())
    x, y, d = x / size, y / size, x.shape[1]

    def mean(pairs):
        return np.mean([(a @ b / d + 1) ** 3 for a, b in pairs])

    within = [mean([(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)]
    return sum(within) - 2 * mean([(a, b) for a in x for b in y])


def test_kernel_distance_is_the_sum_over_pairs():
    x, y = gaussian(7, 3), gaussian(5, 3, shift=0.5, seed=1)
    assert measures.kernel_distance(x, y)[0] == pytest.approx(slow_kernel_distance(x, y))


def test_its_interval_is_the_delete_one_jackknifes():
    x, y = gaussian(9, 3), gaussian(6, 3, shift=0.5, seed=1)
    size = np.sqrt((x**2).mean())  # the unit stays that of all images
    value, low, high = measures.kernel_distance(x, y)

    def off_diagonal(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    def without(left_x, left_y):
        a, b = np.delete(x / size, left_x, 0), np.delete(y / size, left_y, 0)
        within = (off_diagonal((s @ s.T / 3 + 1) ** 3) for s in (a, b))
        return sum(within) - 2 * ((a @ b.T / 3 + 1) ** 3).mean()

    assert value == pytest.approx(without([], []))
    values = [[without(i, []) for i in range(9)], [without([], j) for j in range(6)]]
    variance = sum((len(v) - 1) / len(v) * ((np.array(v) - np.mean(v)) ** 2).sum() for v in values)
    assert (high - value, value - low) == pytest.approx((1.959964 * np.sqrt(variance),) * 2, rel=1e-5)


def test_it_is_unbiased_where_frechet_is_not():
    """Two draws from one distribution: over many, the kernel distance averages 0, Fréchet's does not."""
    pairs = [(gaussian(20, seed=2 * k), gaussian(20, seed=2 * k + 1)) for k in range(300)]
    kernel = np.array([measures.kernel_distance(x, y)[0] for x, y in pairs])
    assert abs(kernel.mean()) < 3 * kernel.std() / np.sqrt(len(kernel))
    frechet = np.array([measures.frechet_distance(x, y) for x, y in pairs])
    assert frechet.min() > 0 and frechet.mean() > 20 * frechet.std() / np.sqrt(len(frechet))


def test_its_interval_covers():
    """The value at very many images lies in the interval of few in about 95 % of draws."""
    truth = measures.kernel_distance(gaussian(2500, 4, seed=9), gaussian(2500, 4, shift=0.6, seed=8))[0]
    inside = 0
    for seed in range(100):
        x, y = gaussian(60, 4, seed=1000 + seed), gaussian(60, 4, shift=0.6, seed=5000 + seed)
        _, low, high = measures.kernel_distance(x, y)
        inside += low <= truth <= high
    assert inside >= 88


def test_it_grows_with_the_shift():
    x = gaussian(100)
    found = [measures.kernel_distance(x, gaussian(100, shift=s, seed=1))[0] for s in (0, 0.3, 0.6, 1.2)]
    assert found == sorted(found) and found[0] < 0.05 < found[1]


def test_it_sees_what_means_and_variances_hide():
    """Skewed against normal features, same mean and variance: the cubic kernel compares third moments."""
    rng = np.random.default_rng(0)
    skewed = rng.exponential(size=(2000, 2)) - 1
    value, low, _ = measures.kernel_distance(rng.normal(size=(2000, 2)), skewed)
    assert low > 0 and value > 0


@settings(max_examples=20)
@given(st.floats(0.01, 100))
def test_the_unit_of_the_features_does_not_matter(factor):
    x, y = gaussian(30), gaussian(20, shift=1, seed=1)
    assert measures.kernel_distance(factor * x, factor * y) == pytest.approx(measures.kernel_distance(x, y))
    assert measures.frechet_distance(factor * x, factor * y) == pytest.approx(measures.frechet_distance(x, y))


def test_frechet_of_fitted_gaussians():
    """Equal covariances: the squared distance of the means. Diagonal ones: sums of squared differences."""
    x = gaussian(50, 3)
    size = np.sqrt((x**2).mean())
    assert measures.frechet_distance(x, x + 2) == pytest.approx(3 * 4 / size**2)
    assert measures.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert measures.frechet_distance(x, 3 * x) == pytest.approx(
        ((2 * x.mean(0)) ** 2).sum() / size**2 + 4 * x.var(0, ddof=1).sum() / size**2
    )


def test_features_that_are_all_zero_are_no_distance():
    assert measures.kernel_distance(np.zeros((5, 2)), np.zeros((4, 2))) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (gaussian(2), gaussian(9), "at least 3 images"),
        (gaussian(9), gaussian(9, d=3), r"\(9, 8\) and \(9, 3\)"),
        (gaussian(9)[0], gaussian(9), "shapes"),
        (gaussian(9, d=0), gaussian(9, d=0), "with some d"),
        (gaussian(9), np.full((9, 8), np.nan), "finite"),
    ],
)
def test_what_has_no_distance_is_refused(refused, x, y, match):
    refused(match, measures.kernel_distance, x, y)
    refused(match, measures.frechet_distance, x, y)


def test_distances_at_fewer_images_are_of_the_first_ones():
    x, y = gaussian(20), gaussian(12, shift=1, seed=1)
    table = measures.distances(x, y, (5, 10, 20)).set_index(["images", "metric"])
    assert list(table.index.get_level_values("images").unique()) == [5, 10, 12]
    assert table.loc[(12, "kernel"), "value"] == measures.kernel_distance(x, y)[0]
    assert table.loc[(5, "frechet"), "value"] == measures.frechet_distance(x[:5], y[:5])
    assert np.isnan(table.loc[(5, "frechet"), "low"])


def test_features_are_what_fc_reads_and_leave_no_hook():
    model = models.build("fixup_small8", 5).eval()
    images = torch.randn(6, 3, 32, 32)
    batches = [(images[:4], torch.zeros(4)), (images[4:], torch.zeros(2))]
    found = measures.features(model, batches)
    assert found.shape == (6, 64) and not model.fc._forward_pre_hooks
    logits = torch.from_numpy(found).float() @ model.fc.weight.T + model.fc.bias
    torch.testing.assert_close(logits, model(images), rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())
