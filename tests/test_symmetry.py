"""Permutation symmetry of every network of the package, weight matching and REPAIR."""

import itertools

import numpy as np
import pytest
import torch
from networks import filled, images
from torch import nn

from tlbook.models import build, skeleton
from tlbook.models.fixup import NETWORKS
from tlbook.models.interpolation import interpolate, norm
from tlbook.models.symmetry import group_sizes, permuted, random_order
from tlbook.questions.loss_landscape.method import alignment
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

SMALL = "fixup_small8"
TABLE = skeleton(SMALL).symmetry()


@pytest.mark.parametrize("network", NETWORKS)
def test_permuting_units_leaves_the_function_of_every_architecture(network):
    model = filled(network)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    table = model.symmetry()
    order = random_order(state, table, torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = model(images(1))
        model.load_state_dict(permuted(state, table, order))
        assert torch.allclose(model(images(1)), before, rtol=1e-9, atol=1e-9)
    moved = [name for name in table if not torch.equal(model.state_dict()[name], state[name])]
    assert moved == list(table)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_axis_of_every_weight_is_in_the_table_once(network):
    state = build(network, 3).state_dict()
    table = skeleton(network).symmetry()
    assert set(table) == {name for name, tensor in state.items() if tensor.ndim > 1}
    sizes = group_sizes(state, table)
    free = [(name, axis) for name, groups in table.items() for axis, g in enumerate(groups) if g is None]
    assert free == [("conv1.weight", 1), ("fc.weight", 0)]
    inner = [group for group in sizes if "inner" in group]
    shape = NETWORKS[network]
    assert len(inner) == sum(shape.blocks) * (2 if shape.block == "bottleneck" else 1)
    assert len(sizes) - len(inner) == (5 if shape.block == "bottleneck" else 4)  # streams


@pytest.mark.parametrize("group", TABLE["layer2.0.conv1.weight"])
def test_half_a_permutation_changes_the_function(group):
    """Moving one weight of a group and not the others is another network."""
    model = filled(SMALL)
    state, table = model.state_dict(), TABLE
    size = group_sizes(state, table)[group]
    alone = {"layer2.0.conv1.weight": table["layer2.0.conv1.weight"]}
    wrong = permuted(state, alone, {group: torch.arange(size).flip(0)})
    before = model(images())
    model.load_state_dict(wrong)
    assert not torch.allclose(model(images()), before, rtol=1e-3)


def test_what_is_no_permutation_is_refused(refused):
    state, table = build(SMALL, 2).state_dict(), TABLE
    twice = {"stream0": torch.zeros(8)}
    refused("order of stream0 is no permutation of its 8", permuted, state, table, twice)
    refused("lack layer1.1.conv1", group_sizes, state, skeleton("fixup_resnet18").symmetry())
    refused("another width", group_sizes, state | {"fc.weight": torch.zeros(2, 5)}, table)


# Weight matching


@pytest.mark.parametrize("network", [SMALL, "fixup_small24", "bottleneck"])
def test_matching_finds_a_planted_permutation_back(network):
    model = filled(network)
    first, table = model.state_dict(), model.symmetry()
    order = random_order(first, table, torch.Generator().manual_seed(3))
    second = permuted(first, table, order)
    found = permuted(second, table, alignment.matching(first, second, table))
    assert all(torch.equal(found[name], first[name]) for name in first)


def test_matching_finds_a_permutation_back_under_noise():
    model = filled("fixup_small24")
    first, table = model.state_dict(), model.symmetry()
    torch.manual_seed(0)
    noisy = {name: tensor + 0.1 * tensor.std(correction=0) * torch.randn_like(tensor)
             for name, tensor in first.items()}  # fmt: skip
    order = random_order(first, table, torch.Generator().manual_seed(3))
    found = permuted(permuted(noisy, table, order), table,
                     alignment.matching(first, permuted(noisy, table, order), table))  # fmt: skip
    assert all(torch.equal(found[name], noisy[name]) for name in first)


def test_matching_brings_two_models_nearer_and_leaves_both_functions():
    first, second = filled(SMALL, 0), filled(SMALL, 1)
    table = TABLE
    states = first.state_dict(), {name: t.clone() for name, t in second.state_dict().items()}
    order = alignment.matching(*states, table)
    aligned = permuted(states[1], table, order)
    gap = [norm({n: states[0][n] - other[n] for n in table}) for other in (states[1], aligned)]
    assert gap[1] < gap[0]
    before = second(images())
    second.load_state_dict(aligned)
    assert torch.allclose(second(images()), before, rtol=1e-9)


def test_matching_of_one_group_is_the_best_of_all_permutations():
    """Two units more than brute force can miss: 5 units, 120 orders."""
    torch.manual_seed(2)
    table = {"a": ("units", None), "b": (None, "units")}
    first, second = ({"a": torch.randn(5, 3), "b": torch.randn(2, 5)} for _ in range(2))
    order = alignment.matching(first, second, table)["units"]

    def gap(p):
        p = list(p)
        return ((first["a"] - second["a"][p]) ** 2).sum() + ((first["b"] - second["b"][:, p]) ** 2).sum()

    best = min(itertools.permutations(range(5)), key=gap)
    assert tuple(order.tolist()) == best


# REPAIR


def test_statistics_are_those_of_each_convolutions_output():
    """By hand for the stem and the first block's first convolution."""
    model = filled(SMALL)
    found = alignment.statistics(model, images())
    assert len(found) == sum(name.endswith("weight") and name != "fc.weight" for name in model.state_dict())
    with torch.no_grad():
        stem = model.conv1(images())
        x = (stem + model.bias1).relu()
        block = model.layer1[0]
        inner = nn.functional.conv2d(x + block.bias1a, block.conv1.weight, padding=1) + block.bias1b
    for number, output in enumerate((stem, inner)):
        assert torch.allclose(found[number][0], output.mean((0, 2, 3)))
        assert torch.allclose(found[number][1], output.std((0, 2, 3), correction=0))


@pytest.mark.parametrize("network", [SMALL, "bottleneck"])
def test_a_repaired_network_has_the_statistics_that_lie_between(network):
    first, second = (filled(network, seed) for seed in (0, 1))
    ends = [alignment.statistics(model, images()) for model in (first, second)]
    wanted = alignment.between(*ends, 0.25)
    middle = filled(network, 2)
    middle.load_state_dict(interpolate(first.state_dict(), second.state_dict(), 0.25))
    assert not torch.allclose(alignment.statistics(middle, images())[3][1], wanted[3][1], rtol=0.05)
    repaired = alignment.Repaired(middle, images(), wanted)
    found = alignment.statistics(repaired, images())
    # `statistics` sees outputs before they are corrected, with all layers before them corrected
    for (mean, deviation), (factor, shift), target in zip(found, repaired.corrections, wanted, strict=True):
        assert torch.allclose(factor * mean + shift, target[0], atol=1e-6)
        assert torch.allclose(factor * deviation, target[1], rtol=1e-4)


def test_repair_of_an_end_changes_nothing():
    model = filled(SMALL)
    repaired = alignment.Repaired(model, images(), alignment.statistics(model, images()))
    with torch.no_grad():
        assert torch.allclose(repaired(images()), model(images()), rtol=1e-6, atol=1e-8)


def test_a_channel_that_says_nothing_stays_finite():
    """Fixup starts with zero convolutions, whose outputs have no deviation to renormalise."""
    first, second = build(SMALL, 2), build(SMALL, 2)
    ends = [alignment.statistics(model, images().float()) for model in (first, second)]
    repaired = alignment.Repaired(first, images().float(), alignment.between(*ends, 0.5))
    assert torch.isfinite(repaired(images().float())).all()


def test_lines_up_to_permutation_of_a_model_and_its_own_copy():
    """Half-way to a relabelled copy the raw network is another; aligned, it is the model itself."""
    model = filled(SMALL).float()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    table = TABLE
    other = permuted(state, table, random_order(state, table, torch.Generator().manual_seed(3)))
    pictures = images(64).float()
    labels = model(pictures).argmax(1)
    evaluator = Evaluator(build(SMALL, 3), {"test": [(pictures, labels)]})
    found = alignment.up_to_permutation(evaluator, state, other, table, [0, 0.5, 1], pictures)
    loss = found[found.metric == "loss"].set_index(["method", "alpha"]).value
    own = [loss[method, at] for method in ("aligned", "repaired") for at in (0, 0.5, 1)]
    assert own == pytest.approx([loss["raw", 0]] * 6, rel=1e-4)
    assert abs(loss["raw", 0.5] / loss["raw", 0] - 1) > 0.01
    assert np.isfinite(found.value).all()
