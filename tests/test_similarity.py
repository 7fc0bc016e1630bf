"""CKA and its company: definitions computed another way, cases by hand, and what other packages get wrong."""

import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbook.models import build, skeleton
from tlbook.questions.differences.method import features, similarity

RNG = np.random.default_rng(0)
A = RNG.standard_normal((60, 5)).astype(np.float32)
B = (A @ RNG.standard_normal((5, 7)) + RNG.standard_normal((60, 7))).astype(np.float32)
WIDE = np.concatenate([B, RNG.standard_normal((60, 100))], axis=1).astype(np.float32)
quiet = pytest.mark.filterwarnings("ignore::tlbook.questions.differences.method.similarity.ManyFeatures")


# Other ways to the same numbers


def textbook_gram(x):
    """Centred with the centring matrix written out, in float64."""
    h = np.eye(len(x)) - 1 / len(x)
    return h @ (x.astype(float) @ x.astype(float).T) @ h


def textbook_cka(x, y):
    """tr(KHLH) over the norms."""
    k, m = textbook_gram(x), textbook_gram(y)
    return np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))


def u_statistic(x, y):
    """Unbiased HSIC as a product of U-centred matrices (Székely & Rizzo 2014), without Song's three terms."""

    def centre(z):
        k = z.astype(float) @ z.astype(float).T
        np.fill_diagonal(k, 0)
        n, rows = len(k), k.sum(0)
        u = k - (rows[:, None] + rows) / (n - 2) + k.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(u, 0)
        return u

    n = len(x)
    return (centre(x) * centre(y)).sum() / (n * (n - 3))


def textbook_debiased(x, y):
    return u_statistic(x, y) / np.sqrt(u_statistic(x, x) * u_statistic(y, y))


def everything(sets, groups=((0, 1),), chunks=1, neighbours=5, **how):
    """`similarity.compare` of feature sets over that many chunks of their examples."""

    def chunk(part):
        made = similarity.Chunk(range(len(sets)), len(part), neighbours)
        for i, x in enumerate(sets):
            made.put(i, x[part])
        return made

    parts = np.array_split(np.arange(len(sets[0])), chunks)
    return similarity.compare(map(chunk, parts), groups, **how)


@quiet
@pytest.mark.parametrize(("x", "y"), [(A, B), (A, WIDE), (WIDE, WIDE[::-1])], ids=["narrow", "mixed", "wide"])
def test_cka_agrees_with_the_textbook(x, y):
    """In feature form (12 features, 60 examples) and Gram form (the others), plain and debiased, to 1e-6."""
    assert similarity.cka(x, y) == pytest.approx(textbook_cka(x, y), abs=1e-6)
    assert similarity.cka(x, y, debiased=True) == pytest.approx(textbook_debiased(x, y), abs=1e-6)
    found = everything([x, y])
    assert found["cka"][0, 1] == pytest.approx(textbook_cka(x, y), abs=1e-6)
    assert found["cka_debiased"][0, 1] == pytest.approx(textbook_debiased(x, y), abs=1e-6)


def test_a_case_computed_by_hand():
    """x = (1, -1, 0, 0), y = (1, 1, -1, -1), both centred: <x, y> = 0; with x itself 1.

    Of x and z = (2, 0, -1, -1): <x, z>² / (<x, x> <z, z>) = 4 / (2 · 6).
    """
    x, y, z = (np.array([v], dtype=float).T for v in ([1, -1, 0, 0], [1, 1, -1, -1], [2, 0, -1, -1]))
    assert similarity.cka(x, x) == pytest.approx(1)
    assert similarity.cka(x, y) == pytest.approx(0, abs=1e-12)
    assert similarity.cka(x, z) == pytest.approx(1 / 3)
    # U-centred K of x: only k12 = -1 is not 0 off the diagonal; row sums -1, -1, 0, 0, total -2, n = 4, so
    # u12 = -1 + 1 - 1/3 = -1/3 = u34, the other four 1/2 - 1/3 = 1/6: squares sum to 2 (2/9 + 4/36) = 2/3
    assert u_statistic(x, x) == pytest.approx(1 / 6)
    inner = similarity.inner_by_features([similarity.centred(x), similarity.centred(z)])
    assert inner.unbiased()[0, 0] == pytest.approx(1 / 6)
    assert inner.products[0, 1] == pytest.approx(4)


# What it does and does not depend on


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100), shift=st.floats(-5, 5), debiased=st.booleans())
def test_rotations_scalings_and_shifts_change_nothing(seed, scale, shift, debiased):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 30, 6))
    turned = scale * x @ np.linalg.qr(rng.standard_normal((6, 6)))[0] + shift
    assert similarity.cka(turned, y, debiased) == pytest.approx(similarity.cka(x, y, debiased), abs=1e-9)
    assert similarity.cka(x, y, debiased) == pytest.approx(similarity.cka(y, x, debiased), abs=1e-12)
    assert similarity.cka(x, turned, debiased) == pytest.approx(1)
    assert 0 <= similarity.cka(x, y) <= 1


def test_a_general_linear_map_does():
    stretched = A @ np.diag([1, 1, 1, 1, 30]).astype(np.float32)
    assert similarity.cka(A, stretched) < 0.7


@quiet
def test_permuted_examples_give_the_null():
    """The mean over permutations is exact: it is what many permutations average to; the debiased one is 0."""
    rng = np.random.default_rng(1)
    orders = [rng.permutation(60) for _ in range(400)]
    found = everything([WIDE, B], draws=19)
    plain = [textbook_cka(WIDE, B[order]) for order in orders[:150]]
    assert found["cka_null"][0, 1] == pytest.approx(np.mean(plain), abs=3 * np.std(plain) / np.sqrt(150))
    debiased = [similarity.cka(WIDE, B[order], debiased=True) for order in orders]
    assert np.mean(debiased) == pytest.approx(0, abs=3 * np.std(debiased) / 20)
    assert found["cka_null"][0, 1] < found["cka_null_high"][0, 1] < found["cka"][0, 1]


def test_permuted_gram_matrices_are_those_of_permuted_examples():
    chunk = similarity.Chunk("ab", 60, neighbours=0)
    chunk.put("a", A)
    chunk.put("b", B)
    drawn = chunk.permuted([[0, 1]], 3, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for one in drawn:
        order = rng.permutation(60)
        wanted = (textbook_gram(A) * textbook_gram(B[order])).sum()
        assert one[0, 1] == pytest.approx(wanted, rel=1e-4)


def test_unrelated_wide_features_are_biased_and_the_debiased_are_not():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 50, 500))
    with pytest.warns(similarity.ManyFeatures, match="more features than the 50 examples"):
        assert similarity.cka(x, y) > 0.8
    with pytest.warns(similarity.ManyFeatures):
        assert abs(similarity.cka(x, y, debiased=True)) < 0.1


# Over chunks of examples


@quiet
def test_minibatches_converge_to_the_exact_value():
    """Unbiased over chunks: their mean error vanishes with examples. Averaging plain CKA's HSIC would not."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4000, 40)).astype(np.float32)
    y = (x[:, :20] + 2 * rng.standard_normal((4000, 20))).astype(np.float32)
    exact = textbook_debiased(x, y)
    found = everything([x, y], chunks=50)
    assert found["cka_debiased"][0, 1] == pytest.approx(exact, abs=0.01)
    assert found["cka"][0, 1] > exact + 0.1
    few = everything([x[:400], y[:400]], chunks=5)["cka_debiased"][0, 1]
    assert abs(few - exact) < 0.1


def test_every_chunk_counts():
    """A package kept only its last batch. Here halves that disagree give what neither does."""
    first, second = np.split(A, 2)
    noise = RNG.standard_normal((30, 5)).astype(np.float32)
    other = np.concatenate([first, noise])
    whole = everything([A, other], chunks=2)["cka"][0, 1]
    halves = everything([first, first])["cka"][0, 1], everything([second, noise])["cka"][0, 1]
    assert halves[1] + 0.1 < whole < halves[0] - 0.1
    assert everything([A, A], chunks=3)["cka"][0, 1] == pytest.approx(1, abs=1e-6)


def test_memory_grows_with_the_square_of_a_chunk_and_not_with_the_chunks():
    """Stated: 4 m n² bytes a chunk of n examples."""

    def peak(n, chunks):
        x = np.zeros((n * chunks, 2), dtype=np.float32)
        x[:, 0] = np.arange(len(x))
        tracemalloc.start()
        everything([x] * 6, groups=(), chunks=chunks, neighbours=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    one = peak(400, 1)
    assert one < 4 * 6 * 400**2 * 1.4  # and a Gram matrix or two more
    assert peak(800, 1) == pytest.approx(4 * one, rel=0.25)
    assert peak(400, 8) < 1.2 * one  # one chunk at a time


# Neighbours


@quiet
def test_shared_neighbours_agree_with_sorting_distances():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 40, 3)).astype(np.float32)

    def near(z):
        apart = np.linalg.norm(z[:, None] - z[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        return [set(row) for row in np.argsort(apart, axis=1)[:, :5]]

    wanted = np.mean([len(a & b) / 5 for a, b in zip(near(x), near(y), strict=True)])
    found = everything([x, y, 3 * x + 1])["neighbours"]
    assert found[0, 1] == pytest.approx(wanted) and found[0, 2] == pytest.approx(1)


def test_neighbours_of_unrelated_features_are_shared_by_chance():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 300, 8)).astype(np.float32)
    assert everything([x, y], neighbours=10)["neighbours"][0, 1] == pytest.approx(10 / 299, abs=0.015)


# What is refused, and what is said


def test_constant_features_give_nan_and_are_named():
    names = [("P-T", "conv1"), ("P-T", "layer1")]
    chunk = similarity.Chunk(names, 60)
    chunk.put(names[0], A)
    chunk.put(names[1], np.full((60, 3), 7.3, dtype=np.float32))
    with pytest.warns(similarity.ConstantFeatures, match="P-T layer1: .*constant") as said:
        found = similarity.compare([chunk], [[0, 1]])
    assert len(said) == 1 and "conv1" not in str(said[0].message)
    for metric in ("cka", "cka_debiased", "cka_null"):
        assert np.isnan(found[metric][1]).all() and found[metric][0, 0] == found[metric][0, 0]


def test_a_diverged_network_is_named_and_harms_no_other():
    broken = A.copy()
    broken[3, 2] = np.inf
    with pytest.warns(similarity.ConstantFeatures, match="with 2: "):
        found = everything([A, B, broken])
    assert found["cka"][0, 1] == pytest.approx(textbook_cka(A, B), abs=1e-6)
    assert np.isnan(found["cka"][2]).all()


def test_what_cannot_be_compared_is_refused(refused):
    refused("at least 4 examples, and there are 3", similarity.cka, A[:3, :2], B[:3, :2])
    refused("the same examples, not 60 of one and 59", similarity.cka, A, B[:59])
    refused("at least 4 examples, and there are 0", similarity.centred, A[:0])
    refused("no examples", similarity.compare, [])
    refused("between 0 and 7 neighbours here, not 8", similarity.Chunk, "ab", 8, 8)
    for none in (np.zeros((60, 0)), torch.zeros(60, 0), np.zeros((60, 4, 0))):
        refused("have no columns", similarity.cka, none, B)
        refused("have no columns", similarity.cka, A, none)
    refused("real numbers, not complex", similarity.cka, A + 1j, B)


@pytest.mark.parametrize("kind", [np.float16, torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(kind):
    """Sums and squares of these overflow a half, which goes up to 65504."""
    a, b = (1000 * (x - x.mean(0)) for x in (A, B))
    halves = [x.astype(kind) if kind is np.float16 else torch.from_numpy(x).to(kind) for x in (a, b)]
    assert similarity.cka(*halves) == pytest.approx(textbook_cka(a, b), abs=0.01)


# Outputs of networks


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("fixup_small8", 5).eval()


def images(count=24):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def batched(x, size):
    return [(part, torch.zeros(len(part))) for part in x.split(size)]


def test_outputs_are_those_of_the_modules(network):
    names = network.places()
    assert names == ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")
    found = features.outputs(network, batched(images(), 7), names)
    x = images()
    with torch.no_grad():
        assert torch.allclose(found["conv1"], network.conv1(x), atol=1e-5)
        assert torch.allclose(found["fc"], network(x), atol=1e-5)
        y = network.layer1(network.maxpool((network.conv1(x) + network.bias1).relu()))
    assert torch.allclose(found["layer1"], y, atol=1e-5)
    assert {name: tuple(out.shape[1:]) for name, out in found.items()} == {
        "conv1": (8, 16, 16), "layer1": (8, 16, 16), "layer2": (16, 8, 8), "layer3": (32, 4, 4),
        "layer4": (64, 2, 2), "fc": (5,),
    }  # fmt: skip


def test_a_stage_stands_for_its_last_block():
    deep = build("fixup_resnet18", 3)
    assert deep.places()[:4] == ("conv1", "layer1.0", "layer1", "layer2.0")
    assert skeleton("fixup_resnet50_small").places().count("layer3") == 1


def test_hooks_are_gone_and_no_gradient_is_kept(network):
    found = features.outputs(network, batched(images(), 8), ("conv1", "fc"))
    assert all(not module._forward_hooks for module in network.modules())
    assert not any(out.requires_grad for out in found.values())
    assert all(parameter.grad is None for parameter in network.parameters())
    with pytest.raises(RuntimeError):
        features.outputs(network, [(images(2), None), (torch.zeros(1, 4, 32, 32), None)], ("conv1",))
    assert all(not module._forward_hooks for module in network.modules())


def test_the_size_of_batches_changes_nothing(network):
    whole = features.outputs(network, batched(images(), 24), ("layer4",))["layer4"]
    assert torch.allclose(
        features.outputs(network, batched(images(), 5), ("layer4",))["layer4"], whole, atol=1e-5
    )


def test_unknown_modules_and_no_images_are_refused(network, refused):
    refused("no module 'layer9'; it has conv1", features.outputs, network, batched(images(), 8), ("layer9",))
    refused("no module ''", features.outputs, network, batched(images(), 8), ("",))
    refused("no images", features.outputs, network, [], ("fc",))


def test_rows_are_positions_and_the_same_ones_for_every_model():
    maps = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    everywhere = features.rows(maps, 100)
    assert everywhere.shape == (32, 3)
    assert everywhere[5].tolist() == maps[0, :, 1, 1].tolist()
    some = features.rows(maps, 10)
    assert torch.equal(some + 1, features.rows(maps + 1, 10)) and len(some) == 10
    last = maps.contiguous(memory_format=torch.channels_last)
    assert torch.equal(features.rows(last, 10), some)
    assert features.rows(torch.ones(5, 7), 3).shape == (3, 7)


def test_a_network_is_itself(network):
    """1 with itself at every module, by every measure; other packages were off."""
    names = network.places()
    found = features.outputs(network, batched(images(), 8), names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", similarity.ManyFeatures)
        for out in found.values():
            assert similarity.cka(out, out) == pytest.approx(1, abs=1e-6)
            assert similarity.cka(out, out, debiased=True) == pytest.approx(1, abs=1e-6)
