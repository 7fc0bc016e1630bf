"""Rewinding, paths, noise and criticality against closed forms: linear networks, and errors made up."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tlbook import metrics, models
from tlbook.models.symmetry import rescaled
from tlbook.questions.criticality.method import criticality as analysis
from tlbook.questions.criticality.method import suffix


def linear(first, second, third):
    """images @ first' @ second' @ third' as a chain of modules that are named like a network's."""
    model = nn.Sequential()
    for name, weight in (("conv1", first), ("layer1", second), ("fc", third)):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = torch.as_tensor(weight, dtype=torch.float32)
        if name == "layer1":
            layer = nn.ModuleDict({"0": layer})
        model.add_module(name, layer)
    steps = {"conv1": model.conv1, "layer1.0": model.layer1["0"], "fc": model.fc}
    return suffix.Chain(model, steps)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def world(rng):
    """(chain, initial and final weights by module, images, labels), all small, in NumPy and torch."""
    shapes = {"conv1.weight": (5, 6), "layer1.0.weight": (4, 5), "fc.weight": (3, 4)}
    start, end = (
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} for _ in "01"
    )
    images = rng.standard_normal((20, 6)).astype(np.float32)
    labels = torch.from_numpy(rng.integers(0, 3, 20))
    return linear(*end.values()), start, end, images, labels


def tensors(weights):
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def by_hand(images, weights):
    """Logits of the linear network, in float64."""
    logits = images.astype(float)
    for weight in weights.values():
        logits = logits @ np.asarray(weight, float).T
    return logits


def cross_entropy(logits, labels):
    shifted = logits - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]))


def test_rewinding_a_linear_network_by_hand(world):
    chain, start, end, images, labels = world
    found = analysis.rewind(chain, torch.from_numpy(images).split(8), labels, "accuracy", {0: tensors(start)})
    values = found[found.metric == "loss"].set_index("module").value
    assert set(values.index) == {"none", "conv1", "layer1.0", "layer1", "fc"}
    for module, value in values.items():
        names = [n for n in start if n.startswith(f"{module}.")]
        logits = by_hand(images, end | {name: start[name] for name in names})
        assert value == pytest.approx(cross_entropy(logits, labels.numpy()), rel=1e-5)


def test_redraws_are_averaged(world):
    chain, start, _, images, labels = world
    given = chain, [torch.from_numpy(images)], labels, "accuracy"
    others = [tensors(start), {name: -2 * value for name, value in tensors(start).items()}]
    both = analysis.rewind(*given, {}, others)
    alone = [analysis.rewind(*given, {}, [other]) for other in others]
    assert set(both.method[both.module != "none"]) == {"redraw"}
    assert both.value.to_numpy() == pytest.approx((alone[0].value + alone[1].value).to_numpy() / 2)


def test_noise_on_a_linear_network_by_hand(world):
    chain, start, end, images, labels = world
    own = next(s for s in suffix.walk(chain, [torch.from_numpy(images)]) if s.module == "layer1.0")
    a, b = ({"layer1.0.weight": w["layer1.0.weight"]} for w in (start, end))
    noises = [analysis.gaussian(tensors(b), (7, draw)) for draw in range(3)]
    path = analysis.direct_path(tensors(a), tensors(b), 3)
    found = analysis.noise_map(own, labels, "accuracy", path, noises, (0.1, 0.5), (0.2,))
    table = found[found.metric == "loss"].set_index(["fraction", "noise"])
    everywhere = {(fraction, noise) for fraction in (0, 0.5, 1) for noise in (-0.5, -0.1, 0, 0.1, 0.5)}
    assert set(table.index) == everywhere | {(1, -0.2), (1, 0.2)}
    for (fraction, factor), row in table.iterrows():
        middle = (1 - fraction) * a["layer1.0.weight"] + fraction * b["layer1.0.weight"]
        moved_to = [middle + factor * noise["layer1.0.weight"].numpy() for noise in noises]
        logits = [by_hand(images, end | {"layer1.0.weight": weight}) for weight in moved_to]
        losses = [cross_entropy(each, labels.numpy()) for each in logits]
        assert row.value == pytest.approx(np.mean(losses), rel=1e-4)
        moved = np.linalg.norm(a["layer1.0.weight"] - middle)
        assert row.distance == pytest.approx(moved, rel=1e-5, abs=1e-9)


def test_path_ends_are_exact_and_the_optimisation_path_is_the_checkpoints():
    start, end = {"a": torch.tensor([0.1])}, {"a": torch.tensor([0.3])}
    straight = analysis.direct_path(start, end, 4)
    assert len(straight) == 4 and (straight[0], straight[1]) == (start, end)
    path = analysis.optimisation_path({8: end, 0: start, 2: {"a": torch.tensor([9.0])}})
    assert list(path) == [0, 0.25, 1]
    assert [weights["a"].item() for weights in path.values()] == pytest.approx([0.1, 9.0, 0.3])


def test_a_path_of_one_point_is_refused(refused):
    refused("at least 2 points", analysis.direct_path, {}, {}, 1)


def test_noise_is_standard_normal_and_the_seeds():
    weights = {"w": torch.zeros(200, 300), "b": torch.zeros(4)}
    one, again, other = (analysis.gaussian(weights, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert torch.equal(one["w"], again["w"]) and not torch.equal(one["w"], other["w"])
    assert one["w"].mean().abs() < 0.02 and abs(one["w"].std() - 1) < 0.01


# A Fixup network


@pytest.fixture(scope="module")
def fixup():
    """(chain, weights at epoch 0, images, labels): a network moved away from its init."""
    torch.manual_seed(0)
    model = models.build("fixup_small8", 4)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    images, labels = torch.randn(30, 3, 16, 16), torch.arange(30) % 4
    return suffix.chain(model), start, images, labels


def test_rewinding_every_parameter_gives_checkpoint_0_exactly(fixup):
    chain, start, images, labels = fixup
    everything = suffix.evaluate(chain, [images], {"all": start})["all"]
    own = models.build("fixup_small8", 4)
    own.load_state_dict(start)
    wanted = metrics.measure(*metrics.predict(own, [(images, labels)]), "auc")
    assert metrics.measure(everything, labels, "auc") == wanted


def test_rewinding_to_the_final_weights_changes_nothing(fixup):
    chain, _, images, labels = fixup
    found = analysis.rewind(chain, [images], labels, "auc", {9: dict(chain.model.state_dict())})
    for _, own in found.groupby("metric"):
        assert own.value.to_numpy() == pytest.approx(own.value.iloc[0], abs=1e-6)
    assert len(found) == 3 * (1 + 6 + 4)


def test_a_stage_of_one_block_is_its_block(fixup):
    chain, start, images, labels = fixup
    found = analysis.rewind(chain, [images], labels, "auc", {0: start})
    values = found[found.metric == "loss"].set_index("module").value
    for stage in range(1, 5):
        assert values[f"layer{stage}"] == values[f"layer{stage}.0"]
    assert values["layer2.0"] != values["none"]


def test_stages_are_all_their_blocks():
    torch.manual_seed(0)
    chain = suffix.chain(models.build("fixup_resnet50_small", 3))
    named = analysis.groups(chain)
    assert named["layer2"] == ("layer2.0", "layer2.1", "layer2.2", "layer2.3")
    assert list(named) == [*chain.modules, "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("network", ["fixup_small8", "fixup_resnet50_small"])
def test_a_rescaled_twin_computes_the_same(network):
    torch.manual_seed(0)
    model = models.build(network, 4)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
        images = torch.randn(5, 3, 16, 16)
        before = model(images)
        model.load_state_dict(rescaled(model.state_dict(), model.rescalings(), "layer2.0", 4.0))
        torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_rescaled_is_refused(fixup, refused):
    given = fixup[0].model.state_dict(), fixup[0].model.rescalings()
    refused("no block 'fc'; it has layer1.0, layer2.0", rescaled, *given, "fc", 2.0)
    refused("positive factor, not -1", rescaled, *given, "layer1.0", -1.0)


def test_relative_criticality_is_that_of_the_rescaled_twin_and_raw_is_not(fixup):
    chain, start, images, _ = fixup
    trained = {name: value.clone() for name, value in chain.model.state_dict().items()}
    # labels that the network itself gives, so that noise can only make errors
    labels = suffix.plainly(chain, [images], {}).argmax(1)
    values = {}
    for factor in (1.0, 4.0):
        scalings = chain.model.rescalings()
        ends = [rescaled(state, scalings, "layer2.0", factor) for state in (start, trained)]
        chain.model.load_state_dict(ends[1])
        own = next(s for s in suffix.walk(chain, [images]) if s.module == "layer2.0")
        a, b = (analysis.part(chain, state, ["layer2.0"]) for state in ends)
        noises = [analysis.gaussian(b, (0, draw)) for draw in range(3)]
        path = analysis.direct_path(a, b, 5)
        for norm in ("raw", "relative"):
            values[factor, norm] = analysis.criticality_of(own, labels, path, noises, norm, 0.03).value
    chain.model.load_state_dict(trained)
    assert values[1.0, "relative"] > 0
    assert values[4.0, "relative"] == pytest.approx(values[1.0, "relative"], rel=1e-3)
    assert values[4.0, "raw"] != pytest.approx(values[1.0, "raw"], rel=0.5)


# The number


def tried(error, distances, allowed):
    """The smallest (distance / noise)^2 by trying everything."""
    every = [
        (distance / size) ** 2
        for fraction, distance in distances.items()
        for size in analysis.ladder()
        if error(fraction, size).mean() <= allowed
    ]
    return min(every, default=math.nan)


@settings(deadline=None, max_examples=60)
@given(
    distances=st.lists(st.floats(0.01, 50), min_size=1, max_size=6),
    bias=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    slopes=st.lists(st.floats(0.01, 30), min_size=6, max_size=6),
)
def test_the_search_finds_what_trying_everything_finds(distances, bias, slopes):
    """Errors that grow with the noise; the beginning of the path may or may not be borne."""
    distances = dict(enumerate([0.0, *sorted(distances)]))

    def error(place, size):
        return np.array([0.5, 1.5]) * slopes[place % 6] * size + bias[place % 6]

    found = analysis.criticality(error, distances, 0.4)
    wanted = tried(error, distances, 0.4)
    assert found.value == pytest.approx(wanted, nan_ok=True)
    if not math.isnan(wanted):
        assert found.lowest <= found.value <= found.highest
        assert error(found.fraction, found.noise).mean() <= 0.4


def test_the_search_looks_at_little():
    looked = []

    def error(place, size):
        looked.append((place, size))
        return np.array([size + (0.3 if place < 4 else 0)])

    distances = {place: place for place in range(5)}
    found = analysis.criticality(error, distances, 0.25)
    assert found.fraction == 4 and found.noise == 0.25 and found.value == (4 / 0.25) ** 2
    assert len(looked) < 20 < len(analysis.ladder()) * len(distances) and len(set(looked)) == len(looked)


def test_quadratic_errors_have_a_closed_form():
    """error = k (1 - a)^2 + c s^2 <= e at distance a d: mu = min over a of c (a d)^2 / (e - k (1 - a)^2)."""
    k, c, d, e = 0.5, 2.0, 3.0, 0.1
    fractions = np.linspace(0, 1, 101)

    def error(fraction, size):
        return np.array([k * (1 - fraction) ** 2 + c * size**2])

    found = analysis.criticality(error, {a: a * d for a in fractions.tolist()}, e)
    room = e - k * (1 - fractions) ** 2
    exact = np.min(c * (fractions[room > 0] * d) ** 2 / room[room > 0])
    resolution = 2 ** (2 / analysis.STEPS_PER_OCTAVE)
    assert exact <= found.value <= exact * resolution * 1.001


def test_a_module_that_the_function_ignores_has_criticality_0(rng):
    """Images that are 0 where the module reads: what it holds does not matter."""
    chain = linear(np.zeros((5, 6)), rng.standard_normal((4, 5)), rng.standard_normal((3, 4)))
    images, labels = torch.ones(9, 6), torch.zeros(9, dtype=torch.int64)
    own = next(s for s in suffix.walk(chain, [images]) if s.module == "layer1.0")
    end = analysis.part(chain, chain.model.state_dict(), ["layer1.0"])
    start = {name: torch.zeros_like(value) for name, value in end.items()}
    path = analysis.direct_path(start, end, 3)
    for norm in ("raw", "relative"):
        found = analysis.criticality_of(own, labels, path, [analysis.gaussian(end, (0,))], norm)
        assert (found.value, found.lowest, found.highest, found.fraction) == (0, 0, 0, 0)


def test_a_diverged_network_has_no_criticality(fixup):
    chain, start, images, labels = fixup
    own = list(suffix.walk(chain, [images]))[-1]
    whole = analysis.part(chain, start, ["fc"])
    broken = {name: torch.full_like(value, math.nan) for name, value in whole.items()}
    path = {0.0: whole, 1.0: broken}
    found = analysis.criticality_of(own, labels, path, [analysis.gaussian(broken, (0,))])
    assert all(map(math.isnan, found))
    noises = [whole, broken]
    values = analysis.noise_map(own, labels, "accuracy", path, noises, (0.5,)).query("metric == 'loss'")
    assert len(values) == 6 and values.value.notna().sum() == 1  # where it began, without noise


def test_the_range_over_draws_is_at_the_best_point():
    """Two draws that bear 2^-1 and 2^-3; their mean error crosses between."""

    def error(_, size):
        return np.array([size > 0.5, size > 0.125]).astype(float)

    found = analysis.criticality(error, {1.0: 2.0}, 0.4)
    assert (found.noise, found.value) == (0.125, 256) and (found.lowest, found.highest) == (16, 256)


def test_wrong_counts_images_or_labels():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [5.0, -5.0]])
    assert analysis.wrong(logits, torch.tensor([0, 0, 0])) == pytest.approx(1 / 3)
    assert analysis.wrong(logits, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])) == pytest.approx(1 / 6)
